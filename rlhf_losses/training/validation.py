"""Checks before training: the loss, the tokenizer, the PEFT configuration and the model fit together."""

import logging
import math
from copy import copy
from dataclasses import fields
from typing import Any

from datasets import Dataset
from peft import LoraConfig, PeftConfig, PeftModel, TaskType
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    set_seed,
)
from trl.trainer.utils import create_model_from_path

from rlhf_losses.data.rows import FeedbackTypes
from rlhf_losses.errors import InvalidLossError, UnsupportedModelError
from rlhf_losses.feedback import STEPWISE_TYPES
from rlhf_losses.hooks import as_loss
from rlhf_losses.losses import AnyLoss, Centering, Objective, centering
from rlhf_losses.losses.families import BatchLoss
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.models.architectures import (
    ONE_SCORE_PER_TEXT,
    is_encoder,
    longrope_threshold,
    require_single_label,
    require_single_stack,
)
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.models.scores import HEADS
from rlhf_losses.training.config import RewardConfig

logger = logging.getLogger(__name__)

HEAD_PARTS = ("pooler", "pre_classifier")
"""Modules between the layers and the head of encoders, which a language model need not have."""

ROWS_FOR_TEXTS = 100
"""Number of rows from which the number of answers in a row is estimated."""

HEAD_PARTS_BY_MODEL_TYPE = {"modernbert": ("head",), "modernbert-decoder": ("head",), "eurobert": ("dense",)}
"""Further such modules, whose names have another meaning in other model types."""


def choose_loss(loss: AnyLoss | str | None, args: RewardConfig) -> AnyLoss:
    """Return the loss of a run, with a centering term for TRL's `center_rewards_coefficient`; `args.loss` names it.

    Args:
        loss: a loss, an objective, or the string form of one; by default `args.loss`.
        args: the configuration.

    Raises:
        UnknownNameError: the string contains an unknown loss.
        InvalidLossError: not a loss, two different losses, or two centering terms.
    """
    chosen = as_loss(args.loss if loss is None else loss)
    if args.loss not in (_default_loss(), str(chosen)) and as_loss(args.loss) != chosen:
        raise InvalidLossError(
            f"The loss is given twice: args.loss is '{args.loss}' and loss is '{chosen}', but a run has one loss. Omit "
            "one of them."
        )
    args.loss = str(chosen)
    coefficient: float | None = args.center_rewards_coefficient
    if coefficient is None:
        return chosen
    if any(isinstance(term.loss, Centering) for term in chosen.as_objective().terms):
        raise InvalidLossError(
            f"center_rewards_coefficient={coefficient} and the loss '{chosen}' both center the scores. "
            "Keep one of them, preferably the term of the loss."
        )
    return chosen + coefficient * centering


def _default_loss() -> str:
    return next(str(one.default) for one in fields(RewardConfig) if one.name == "loss")


def model_name(model: str | PreTrainedModel | PeftModel) -> str:
    """Return the path of a model, or its class for a model created in memory."""
    return model if isinstance(model, str) else model.config._name_or_path or type(model).__name__


def load_config(model: str | PreTrainedModel | PeftModel, args: RewardConfig) -> Any:
    """Return the configuration of a model without loading its weights.

    With `ignore_mismatched_sizes` in `model_init_kwargs`, the model gets a new head with one label.
    """
    if not isinstance(model, str):
        return model.config
    options = args.model_init_kwargs if isinstance(args.model_init_kwargs, dict) else {}
    new_head = {"num_labels": 1} if options.get("ignore_mismatched_sizes") else {}
    with explain_loading(model, "a reward model"):
        return AutoConfig.from_pretrained(
            model, revision=options.get("revision"), trust_remote_code=args.trust_remote_code, **new_head
        )


def require_scalar_model(model: str | PreTrainedModel | PeftModel, config: Any) -> None:
    """Raise `UnsupportedModelError` for several labels, a language-modelling head and an encoder-decoder model.

    A path of a language model is accepted: it is loaded with a new head of one label.
    """
    require_single_stack(config)
    if not isinstance(model, str) and model.get_output_embeddings() is not None:
        raise UnsupportedModelError(
            f"The {type(model).__name__} has a language-modelling head, but a reward model has a score head. Pass its "
            "path, which is loaded with a new head, or load it: "
            "AutoModelForSequenceClassification.from_pretrained(PATH, num_labels=1)."
        )
    is_classifier = any("ForSequenceClassification" in name for name in config.architectures or [])
    if is_classifier or not isinstance(model, str):
        require_single_label(config, model_name(model))


def create_model(path: str, args: RewardConfig, trl_arguments: dict[str, Any], **options: Any) -> PreTrainedModel:
    """Return a sequence classifier with one label, loaded as TRL does.

    Args:
        path: path of the model.
        args: the configuration; `model_init_kwargs` is used and removed.
        trl_arguments: further arguments of `trl.RewardTrainer`; `quantization_config` is used and removed.
        options: arguments of `from_pretrained` with precedence over `model_init_kwargs`.
    """
    set_seed(args.seed)
    options = {
        "trust_remote_code": args.trust_remote_code,
        **(args.model_init_kwargs or {}),
        "num_labels": 1,
        **options,
    }
    if "quantization_config" in trl_arguments:
        options["quantization_config"] = trl_arguments.pop("quantization_config")
    args.model_init_kwargs = None  # TRL warns about options for a model that is loaded
    return create_model_from_path(path, AutoModelForSequenceClassification, **options)


def warn_about_longrope(config: Any, args: RewardConfig) -> None:
    """Warn if texts may be so long that they change the position embeddings of other texts in a forward pass."""
    threshold = longrope_threshold(config)
    if (args.max_length or float("inf")) > threshold:
        logger.warning(
            "If a text has more than %d tokens, this model uses other position embeddings for all texts of a forward "
            "pass (longrope), which changes the scores of shorter texts. Limit the length: %s.",
            threshold, setting("max_length", int(threshold)),
        )  # fmt: skip


def warn_about_small_steps(objective: Objective, args: RewardConfig, train: Any) -> None:
    """Warn if an optimizer step has so few answers that a statistic over them, such as a correlation, is mostly noise.

    Args:
        objective: the weighted sum of losses.
        args: the configuration.
        train: the tokenized training data; nothing is known of a stream.
    """
    losses = [term.loss for term in objective.terms if isinstance(term.loss, BatchLoss)]
    if not losses or not isinstance(train, Dataset) or not len(train):
        return
    texts = [len(ids) for ids in train["text_ids"][:ROWS_FOR_TEXTS]]
    rows = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    answers = round(rows * sum(texts) / len(texts))
    for loss in losses:
        if answers < loss.smallest_step:
            enough = math.ceil(args.per_device_train_batch_size * loss.smallest_step / answers)
            logger.warning(
                "%s is computed over the answers of an optimizer step, which are about %d. With fewer than %d it is "
                "mostly noise, and the model learns little. Use %s.",
                loss, answers, loss.smallest_step, setting("per_device_train_batch_size", enough),
            )  # fmt: skip


def require_step_scores(model: nn.Module, loss: AnyLoss, feedback_types: FeedbackTypes) -> None:
    """Raise `UnsupportedModelError` if a loss needs scores of steps and the model has one score per text."""
    stepwise = [feedback_type.__name__ for feedback_type in feedback_types if feedback_type in STEPWISE_TYPES]
    if stepwise and is_encoder(model):
        raise UnsupportedModelError(f"The loss '{loss}' needs {' and '.join(stepwise)}, but this {ONE_SCORE_PER_TEXT}")


def complete_peft_config(peft_config: PeftConfig | None, config: Any) -> PeftConfig | None:
    """Return a PEFT configuration that trains and saves the score head and the modules before it.

    For models without a default in PEFT, such as ModernBERT, LoRA applies to all linear layers.

    Args:
        peft_config: the configuration; it stays unchanged.
        config: the configuration of the model.
    """
    if peft_config is None or not hasattr(peft_config, "modules_to_save"):
        return peft_config
    completed = copy(peft_config)
    completed.task_type = TaskType.SEQ_CLS
    saved = list(peft_config.modules_to_save or [])
    head = [] if set(saved) & set(HEADS) else ["score"]
    parts = HEAD_PARTS + HEAD_PARTS_BY_MODEL_TYPE.get(config.model_type, ())
    completed.modules_to_save = list(dict.fromkeys([*saved, *head, *parts]))
    if isinstance(completed, LoraConfig) and not (completed.target_modules or completed.target_parameters):
        known = config.model_type in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
        completed.target_modules = None if known else "all-linear"
    return completed
