"""What decides the result of a run of `RewardTrainer`, for its fingerprint."""

from collections.abc import Iterable, Mapping
from typing import Any

from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.fingerprints.code_content import code_content
from rlhf_losses.fingerprints.content import Content, join_contents
from rlhf_losses.fingerprints.data_content import datasets_content
from rlhf_losses.fingerprints.run_identity import RunIdentity
from rlhf_losses.fingerprints.run_settings import argument_settings, evaluation_decides, process_count
from rlhf_losses.fingerprints.setting_effects import REWARD_EFFECTS
from rlhf_losses.losses import AnyLoss
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.training_data import TrainingData

NAMES = ("global_batch_size", "loss", "loss_code", "loss_parameters", "segmentation")
"""Names of what this module records besides settings, data and model."""


def begin(loss: AnyLoss, args: RewardConfig, arguments: Mapping[str, Any]) -> RunIdentity:
    """Return the identity of a run with its settings and its loss.

    Args:
        loss: the loss or objective of the run.
        args: the configuration.
        arguments: further arguments of the trainer.

    Raises:
        InvalidSettingError: they differ from those of the checkpoint in `args.resume_from_checkpoint`.
    """
    processes = process_count(args)
    identity = RunIdentity(args, REWARD_EFFECTS, NAMES, "RewardTrainer")
    terms = [term.loss for term in loss.as_objective().terms]
    identity.record(
        {
            "global_batch_size": args.train_batch_size * args.gradient_accumulation_steps * processes,
            "loss": _loss_name(loss),
            "loss_parameters": [name for term in terms for name in term.loss_parameters],
            **argument_settings(arguments),
        },
        {"loss_code": _code_of_plugins(terms)},
    )
    return identity


def record_data(identity: RunIdentity, data: TrainingData, args: RewardConfig, arguments: Mapping[str, Any]) -> None:
    """Record the data of a run before they are tokenized; evaluation data only if they decide the result.

    Args:
        identity: identity of the run.
        data: its datasets.
        args: the configuration.
        arguments: further arguments of the trainer.
    """
    content: dict[str, Content | None] = {"train_dataset": datasets_content(data.train, COLUMNS)}
    if data.evaluation is not None and evaluation_decides(args, arguments):
        content["eval_dataset"] = datasets_content(data.evaluation, COLUMNS)
        if metrics := arguments.get("compute_metrics"):
            content["compute_metrics"] = code_content(metrics)
    identity.record({"segmentation": data.segmentation}, content)


def _loss_name(loss: AnyLoss) -> str:
    """Return the terms of a loss, in an order that does not depend on the one in which they are written.

    Examples:
        >>> from rlhf_losses.losses import bradley_terry, centering
        >>> _loss_name(0.1 * centering + bradley_terry) == _loss_name(bradley_terry + 0.1 * centering)
        True
    """
    terms = sorted(loss.as_objective().terms, key=lambda term: (str(term.loss), term.weight))
    return " + ".join(str(term.loss) if term.weight == 1 else f"{term.weight} * {term.loss}" for term in terms)


def _code_of_plugins(losses: Iterable[Any]) -> Content | None:
    """Return the content of the code of losses that are not part of this package; its version is recorded anyway."""
    classes = sorted({type(loss) for loss in losses}, key=lambda cls: cls.__qualname__)
    plugins = [cls for cls in classes if not cls.__module__.startswith("rlhf_losses.")]
    return join_contents("losses of plugins", [code_content(cls) for cls in plugins])
