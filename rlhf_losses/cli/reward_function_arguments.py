"""Arguments of `rlhf-losses ppo` for reward models, and the reward functions that they describe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.files.splits import load_rows
from rlhf_losses.ppo import StepMeanRewards, StepRewards
from rlhf_losses.scoring import Ensemble, fit_reference
from rlhf_losses.scoring.ensemble import NOTATION
from rlhf_losses.serving.remote_scorer import is_server_url

REWARD_AT: dict[str, Callable[[Any], Any]] = {
    "completion": lambda scorer: scorer,
    "step": StepRewards,
    "step_mean": StepMeanRewards,
}
"""Reward function of a scorer or an ensemble, by value of `--reward_at`."""


@dataclass
class RewardFunctionArguments:
    """Arguments for reward models."""

    reward_model_name_or_path: list[str] | None = field(
        default=None,
        metadata={
            "help": "Folder or Hub id of the reward model, or the address of a server, http://HOST:PORT. Several "
            "models are weighted by --reward_weights or combined by --ensemble.",
            "aliases": ["--reward_model"],
        },
    )
    ensemble: str | None = field(
        default=None, metadata={"help": f"Combine several reward models into one reward function: {NOTATION}."}
    )
    reward_at: str = field(
        default="completion",
        metadata={
            "help": "Position of rewards: at the end of the completion (completion), the score of each step at its end "
            "(step), or the score of each step divided by the number of steps (step_mean). The last two need a "
            "reward model that was trained on steps.",
            "choices": list(REWARD_AT),
        },
    )
    reference_samples: str | None = field(
        default=None,
        metadata={
            "help": "Dataset with the columns prompt and completion (or chosen). The scores of each reward model are "
            "standardized to mean 0 and variance 1 on it; mean and variance are saved in the folder of the model. "
            "Sets --score_normalization reference."
        },
    )
    share_base: bool = field(
        default=False,
        metadata={
            "help": "Whether policy, reference, reward model and critic share one copy of the weights. The reward "
            "model must be an adapter of the policy's base: a checkpoint of rlhf-losses train."
        },
    )

    @property
    def names(self) -> list[str]:
        """Return the folders or Hub ids of the reward models."""
        names = self.reward_model_name_or_path or []
        return [names] if isinstance(names, str) else names  # a --config file can have one name without a list


def reward_functions(arguments: RewardFunctionArguments, load: Callable[[str], Any]) -> list[Any]:
    """Return the reward functions.

    Args:
        arguments: arguments for reward models.
        load: loads a reward model, given its folder, Hub id or address.

    Raises:
        FeedbackMismatchError: the reference samples have other columns.
    """
    scorers = [load(name) for name in arguments.names]
    if arguments.reference_samples:
        samples = load_reference_samples(arguments.reference_samples)
        for scorer, name in zip(scorers, arguments.names, strict=True):
            fit_reference(scorer, *samples, name if Path(name).is_dir() else None)
    make = REWARD_AT[arguments.reward_at]
    if arguments.ensemble is None:
        return [make(scorer) for scorer in scorers]
    return [make(Ensemble(scorers, arguments.ensemble))]


def require_weights(arguments: RewardFunctionArguments) -> None:
    """Raise `CommandLineError` for a setting that needs the weights of a model which is on a server.

    Args:
        arguments: arguments for reward models.
    """
    remote = next(filter(is_server_url, arguments.names), None)
    if remote is None:
        return
    flags = {
        "--reference_samples": arguments.reference_samples is not None,
        "--share_base": arguments.share_base,
        f"--reward_at {arguments.reward_at}": arguments.reward_at != "completion",
    }
    if flag := next((name for name, is_set in flags.items() if is_set), None):
        raise CommandLineError(
            f"{flag} needs the weights of the reward model, but '{remote}' is a server. Remove it, or give the folder "
            "of the model. A server standardizes scores with rlhf-losses serve --transforms standardize."
        )


def load_reference_samples(name: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return prompts and completions of a dataset.

    Args:
        name: Hub id, folder or file.

    Raises:
        FeedbackMismatchError: it has no prompts or no completions.
    """
    rows = load_rows(name)
    columns = rows.column_names or []
    completion = next((column for column in ("completion", "chosen") if column in columns), None)
    if "prompt" not in columns or completion is None:
        raise FeedbackMismatchError(
            f"The dataset of --reference_samples has the columns {', '.join(columns)}, but it needs prompt and "
            "completion (or chosen). Rename the columns."
        )
    return list(rows["prompt"]), list(rows[completion])
