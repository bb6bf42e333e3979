"""`PRMTrainer` with the arguments of TRL 1.13's, on the trainer of this package."""

from collections.abc import Callable
from typing import Any

from peft import PeftConfig
from torch.optim import Optimizer
from transformers import (
    DataCollatorForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
)

from rlhf_losses.checks.argument_checks import describe_type, require_instance, require_known_arguments
from rlhf_losses.compat.trl.labelled_steps import StepLimits, cut_steps
from rlhf_losses.compat.trl.prm_config import PRMConfig
from rlhf_losses.compat.trl.token_classifier import as_sequence_classifier
from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError
from rlhf_losses.models.model_argument import require_tokenizer
from rlhf_losses.training import RewardTrainer

INSTEAD = {
    "data_collator": "The rows are tokenized and padded as the loss needs them. Omit it.",
    "model_init": "A run has one model here. Call it: PRMTrainer(model=model_init(), ...).",
    "compute_metrics": (
        "Its input would be one score per step, without -100 between them. Omit it: the accuracy over all steps is "
        "logged as eval_accuracy."
    ),
    "preprocess_logits_for_metrics": "There are no logits of two labels, but one score per step. Omit it.",
}
"""Arguments that have no place here, and what to do instead."""


class PRMTrainer(RewardTrainer):
    """`rlhf_losses.RewardTrainer` with the arguments of TRL 1.13's `PRMTrainer`.

    The model has one score per step instead of the logits of two labels; $\\sigma$ of the score is the probability that
    the step is good.

    Args:
        model: a token classifier with two labels, whose transformer is trained with a score head in place of its own;
            or a sequence classifier with one label, or a path.
        args: the configuration.
        data_collator: a `DataCollatorForTokenClassification`, or None; nothing else is accepted.
        train_dataset: rows with columns `prompt`, `completions` (steps) and `labels`.
        eval_dataset: the same for evaluation; a dictionary holds several datasets by name.
        processing_class: tokenizer of the model.
        model_init: refused.
        compute_metrics: refused.
        callbacks: callbacks of the run.
        optimizers: an optimizer and a learning-rate schedule.
        preprocess_logits_for_metrics: refused.
        peft_config: adapters to train.
        old_names: `tokenizer`, the name of `processing_class` in TRL 0.12.

    Raises:
        InvalidArgumentError: an argument of another type, or one that has no place here.
        InvalidSettingError: an optimizer of parameters that are not trained.
        UnsupportedModelError: a token classifier with other than two labels, or an encoder.
    """

    def __init__(
        self,
        model: Any = None,
        args: PRMConfig | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        model_init: Callable[[], PreTrainedModel] | None = None,
        compute_metrics: Callable[[Any], dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Optimizer | None, Any] = (None, None),
        preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None = None,
        peft_config: PeftConfig | None = None,
        **old_names: Any,
    ) -> None:
        require_known_arguments(old_names, ["tokenizer"], "PRMTrainer")
        processing_class = old_names.get("tokenizer", processing_class)
        if type(data_collator) is DataCollatorForTokenClassification:
            data_collator = None
        _refuse_arguments(
            data_collator=data_collator,
            model_init=model_init,
            compute_metrics=compute_metrics,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics,
        )
        remedy = "Import it from there; rlhf_losses.RewardConfig belongs to rlhf_losses.RewardTrainer."
        require_instance(args, PRMConfig, "args", "the PRMConfig of rlhf_losses.compat.trl", remedy)
        require_tokenizer(processing_class)
        assert args is not None
        assert processing_class is not None
        limits = StepLimits(
            processing_class,
            args.step_separator,
            args.max_length if args.overlong == "drop" else None,
            args.max_completion_length,
        )
        classifier = as_sequence_classifier(model)
        if classifier is not model and optimizers[0] is not None:
            raise InvalidSettingError(
                "`optimizers` has an optimizer of the token classifier, whose head is replaced by a score head. Omit "
                "it and set optim and learning_rate, or create both from one model: "
                "AutoModelForSequenceClassification.from_pretrained(PATH, num_labels=1)."
            )
        super().__init__(
            classifier,
            args,
            cut_steps(train_dataset, limits, args.dataset_num_proc, args.train_on_last_step_only),
            cut_steps(eval_dataset, limits, args.dataset_num_proc),
            processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
            peft_config=peft_config,
        )


def _refuse_arguments(**arguments: Any) -> None:
    """Raise `InvalidArgumentError` for the first argument that is not None."""
    for name, value in arguments.items():
        if value is not None:
            raise InvalidArgumentError(f"`{name}` {describe_type(value)}, and has no place here. {INSTEAD[name]}")
