"""The model card of a run of `PPOTrainer`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rlhf_losses.cards.origins import origin_of_dataset, origin_of_model
from rlhf_losses.cards.policy_card import PolicyCard, RewardSource
from rlhf_losses.cards.provenance import Provenance
from rlhf_losses.cards.run_description import effective_settings, trained_weights
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.reward_functions import find_scorers
from rlhf_losses.ppo.run_summary import describe_gain, summarize_run
from rlhf_losses.scoring.metadata import RewardModelMetadata, library_versions
from rlhf_losses.scoring.scorer import Scorer

SETTINGS = (
    *("max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "num_iterations"),
    *("learning_rate", "critic_learning_rate", "beta", "kl_target", "gamma", "lam", "epsilon", "temperature"),
    *("max_completion_length", "score_normalization", "missing_eos_penalty", "bf16", "fp16", "seed"),
)
"""Settings on a card."""


def card_of_policy(
    folder: Path,
    *,
    args: PPOConfig,
    model: Any,
    base: str | None,
    functions: Sequence[Any],
    names: Sequence[str],
    weights: Iterable[float],
    prompts: Any,
    provenance: Provenance,
    log: Sequence[Mapping[str, Any]],
) -> PolicyCard:
    """Return the card of a policy.

    Args:
        folder: folder that the model was saved in.
        args: settings of the run.
        model: the policy.
        base: folder or Hub id that it was loaded from; None for a model that was created in memory.
        functions: reward functions.
        names: their names in the log.
        weights: their weights.
        prompts: training data.
        provenance: names of the data, and the command.
        log: `trainer.state.log_history`.
    """
    summary, configuration = summarize_run(log), args.to_dict()
    first = prompts[0]["prompt"] if isinstance(prompts, Dataset) and len(prompts) else None
    return PolicyCard(
        name=str(args.hub_model_id) if args.push_to_hub and args.hub_model_id else folder.resolve().name,
        base=None if base is None else origin_of_model(base),
        architecture=type(model.get_base_model() if isinstance(model, PeftModel) else model).__name__,
        is_adapter=(folder / "adapter_config.json").is_file(),
        is_checkpoint=folder.name.startswith(PREFIX_CHECKPOINT_DIR),
        trained=trained_weights(model),
        rewards=[
            RewardSource(name, float(weight), _description(function))
            for function, name, weight in zip(functions, names, weights, strict=True)
        ],
        prompts=None if provenance.dataset is None else origin_of_dataset(provenance.dataset),
        prompt_count=len(prompts) if isinstance(prompts, Dataset) else None,
        reads="conversation" if isinstance(first, list) else "text",
        summary="The run has fewer than two logs of the reward."
        if summary is None
        else describe_gain(summary, args.log_completions),
        settings=effective_settings(configuration, SETTINGS),
        command=provenance.command,
        versions=library_versions(),
    )


def _description(function: Any) -> str:
    """Return what a reward function is: its reward models with their losses, or a function."""
    scorers = find_scorers([function])
    if not scorers:
        return "a function"
    models = ", ".join(_described_scorer(one) for one in scorers)
    return models if isinstance(function, Scorer) else f"{type(function).__name__} of {models}"


def _described_scorer(scorer: Scorer) -> str:
    path = str(scorer.folder or scorer.model.config.name_or_path)
    name = origin_of_model(path).link if path else f"`{scorer.__name__}`"
    saved = RewardModelMetadata.load(path) if path and scorer.folder is None else None
    loss = (saved or scorer.metadata).loss
    return f"the reward model {name}" + ("" if loss == "unknown" else f", trained with `{loss}`")
