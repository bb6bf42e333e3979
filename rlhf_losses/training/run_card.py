"""The model card of a run of `RewardTrainer`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rlhf_losses.cards.described_loss import described_terms, meaning_of_scores
from rlhf_losses.cards.held_out_table import HeldOutSet, results_in_log
from rlhf_losses.cards.origins import origin_of_dataset, origin_of_model
from rlhf_losses.cards.provenance import Provenance
from rlhf_losses.cards.reward_model_card import RewardModelCard
from rlhf_losses.cards.run_description import effective_settings, trained_weights
from rlhf_losses.data.rendering import render
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.losses import AnyLoss
from rlhf_losses.scoring.canaries import CANARY_CONVERSATION
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.training_data import TrainingData

SETTINGS = (
    *("num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "max_length", "overlong"),
    *("average_over", "bf16", "fp16", "seed"),
)
"""Settings on a card."""

LAST_LOGS = {"mean_reward": "mean", "min_reward": "smallest", "max_reward": "largest"}
"""Metrics of the scores in the last log of the training."""


def card_of_run(
    folder: Path,
    *,
    loss: AnyLoss,
    data: TrainingData,
    args: RewardConfig,
    model: Any,
    base: str | None,
    tokenizer: PreTrainedTokenizerBase,
    provenance: Provenance,
    used_rows: int | None,
    log: Sequence[Mapping[str, Any]],
    held_out: Sequence[HeldOutSet],
) -> RewardModelCard:
    """Return the card of a trained reward model.

    Args:
        folder: folder that the model was saved in.
        loss: its loss.
        data: its data.
        args: its configuration.
        model: the model.
        base: folder or Hub id that it was loaded from; None for a model that was created in memory.
        tokenizer: its tokenizer.
        provenance: names of the data, and the command.
        used_rows: number of rows that it was trained on, or None for a stream.
        log: `trainer.state.log_history`.
        held_out: results on held-out data; by default those of the log.
    """
    metadata = RewardModelMetadata.load(folder)
    configuration = args.to_dict()
    return RewardModelCard(
        name=str(args.hub_model_id) if args.push_to_hub and args.hub_model_id else folder.resolve().name,
        terms=described_terms(loss),
        base=None if base is None else origin_of_model(base),
        architecture=type(model.get_base_model() if isinstance(model, PeftModel) else model).__name__,
        is_adapter=(folder / "adapter_config.json").is_file(),
        is_checkpoint=folder.name.startswith(PREFIX_CHECKPOINT_DIR),
        trained=trained_weights(model),
        dataset=None if provenance.dataset is None else origin_of_dataset(provenance.dataset),
        data=data_sentences(data, provenance, used_rows),
        reads="conversation" if data.forms == {"conversation"} else "text",
        scores_steps=data.segmentation is not None,
        writes_bos=_writes_bos(tokenizer),
        scale=[*meaning_of_scores(loss), *_score_sentences(log)],
        held_out=held_out or results_in_log(log, evaluation_rows(data.evaluation)),
        settings=effective_settings(configuration, SETTINGS),
        command=provenance.command,
        versions=metadata.versions if metadata is not None else {},
    )


def base_of(path_or_model: Any, model: Any) -> str | None:
    """Return the folder or Hub id of the trained model; of adapters that are trained further, that of their base.

    Args:
        path_or_model: the argument `model` of the trainer.
        model: the same after adapters in its folder are loaded.
    """
    if isinstance(model, PeftModel):
        path = model.peft_config[model.active_adapter].base_model_name_or_path
    else:
        path = path_or_model if isinstance(path_or_model, str) else model.config.name_or_path
    return str(path) if path else None


def evaluation_rows(data: Any) -> dict[str, int]:
    """Return the number of rows of each evaluation set, by the beginning of its metrics; streams are left out.

    Args:
        data: an evaluation set, several by name, or None.
    """
    sets = {f"eval_{name}_": rows for name, rows in data.items()} if isinstance(data, dict) else {"eval_": data}
    return {prefix: len(rows) for prefix, rows in sets.items() if isinstance(rows, Dataset)}


def data_sentences(data: TrainingData, provenance: Provenance, used: int | None) -> list[str]:
    """Return sentences about the rows of the training data.

    Args:
        data: the data of a run.
        provenance: names of the data, and the number of rows before conversion.
        used: number of rows that the model was trained on, or None for a stream.
    """
    types = " and ".join(one.__name__ for one in data.feedback_types)
    forms = {"text": "plain texts", "conversation": "conversations"}
    kind = " and ".join(forms[one] for one in sorted(data.forms, reverse=True)) or "texts"
    found = [f"It was trained on {types} of {kind}."]
    if used is None:
        found.append("The data are a stream, of which the number of rows is unknown.")
        return found
    given, checked = data.given_rows, data.checked_rows
    if provenance.rows is not None and provenance.rows != given:
        empty = f" ({provenance.without_feedback} without feedback)" if provenance.without_feedback else ""
        found.append(f"The {provenance.rows} rows of the dataset{empty} were converted to {given}.")
    if provenance.converter is not None:
        found.append(f"The converter was `{provenance.converter}`.")
    if checked != given:
        found.append(f"Their ratings were grouped by prompt, to {checked} rows.")
    if checked is not None:
        reason = "" if used == checked else ". The others are too long, or without feedback that the loss uses"
        found.append(f"{used} of {checked} rows were used{reason}.")
    return found


def _score_sentences(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence about the scores in the last log of the training."""
    entry: Mapping[str, Any] = next((one for one in reversed(log) if "mean_reward" in one), {})
    found = [f"{title} {float(entry[name]):.4g}" for name, title in LAST_LOGS.items() if name in entry]
    return [f"Scores in the last log of the training: {', '.join(found)}."] if found else []


def _writes_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether a chat template writes BOS."""
    if not tokenizer.chat_template or tokenizer.bos_token is None:
        return False
    try:
        text = render(Answer(None, (CANARY_CONVERSATION,)), tokenizer).text
    except RlhfLossesError:
        return False
    return text.startswith(str(tokenizer.bos_token))
