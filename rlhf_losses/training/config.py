"""Configuration of `RewardTrainer`."""

from copy import copy
from dataclasses import dataclass, field, fields
from typing import Literal

import trl
from transformers import TrainingArguments
from transformers.training_args import ParallelMode

from rlhf_losses.checkpoints.stopping import parse_duration
from rlhf_losses.checks.argument_checks import describe_type
from rlhf_losses.checks.setting_types import Range, require_finite_settings, require_ranges, require_setting_types
from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError
from rlhf_losses.layouts import LayoutName, require_layout
from rlhf_losses.models.bfloat16 import choose_bf16
from rlhf_losses.models.inherited_defaults import prepare_defaults
from rlhf_losses.processes.launchers import connect_on_cpus, require_connectable, require_connected

LEARNING_RATE, ADAPTER_LEARNING_RATE = 1e-4, 1e-3
"""Default learning rates if all weights or adapters are trained."""


@dataclass
class RewardConfig(trl.RewardConfig):
    """TRL's `RewardConfig` with additional settings; all other settings keep their names and defaults.

    `bf16` is False by default on a machine without an accelerator for it.

    Args:
        loss: string form of the loss, for example `"bradley_terry + 0.01 * centering"`.
        average_over: `"items"` averages the loss over items (pairs, lists, ratings or steps), `"prompts"` over prompts,
            so that a prompt with many items has the same weight as a prompt with one.
        overlong: treatment of rows with a text longer than `max_length` or the context of the model: `"drop"` (as in
            TRL, with a report), `"truncate_prompt"` (truncate prompts from the left) or `"error"`.
        step_separator: string inserted between two steps of an answer if neither has white space at the boundary.
        segmentation: how a text is split into steps at scoring: `"sentences"`, `"lines"` or `"paragraphs"`; by default
            the segmentation that fits the training data.
        layout: arrangement of texts in a forward pass: `"padded"`, `"packed"` (without padding), `"prefix_shared"`
            (without padding, and with common prefixes of texts once), or `"auto"`, the fastest that the model supports.
            Scores and gradients are the same for all layouts.
        check_layout: compare the scores of the first rows with those of the padded layout before training.
        max_tokens_per_forward: largest number of tokens of a forward pass. Larger batches are divided into several
            passes whose gradients add up to the gradient of the batch; optimizer steps do not change. By default a
            batch is one pass; on a CPU it is divided at about 2,048 tokens if that repeats few tokens.
        hidden_state_cache_gib: memory in GiB for the hidden states after the frozen lower layers, which later epochs
            use again (LoRA on upper layers only). 0 disables the cache.
        loss_parameters_learning_rate: learning rate of the trainable parameters of a loss, such as tie widths and cut
            points. They are few and start far from their optimum, so they need larger steps than weights.
        stop_after: save a checkpoint and end after this time, for example `"3h30m"`, `"90m"` or a number of seconds,
            counted from the creation of the trainer; by default never.
        skip_nonfinite: largest number of optimizer steps to skip because a score, a loss or a gradient is NaN or
            infinite; a further one stops the run before the optimizer step.
        resize_embeddings: add embeddings for tokens of the tokenizer that the model has none for. With adapters, the
            new embeddings are trained and saved too.
        pad_token: padding token, for tokenizers without one or with one equal to EOS; by default a token that no text
            ends with.
        allow_changed: names of what may differ from the checkpoint when a run resumes, such as
            `["learning_rate", "train_dataset"]`. By default a difference that changes the result is an error.
        learning_rate: peak learning rate; by default 1e-4 if all weights are trained, and 1e-3 for adapters.
    """

    loss: str = field(default="bradley_terry", metadata={"help": "Loss, like 'bradley_terry + 0.01 * centering'."})
    average_over: Literal["items", "prompts"] = field(
        default="items", metadata={"help": "Average the loss over items (default) or over prompts."}
    )
    overlong: Literal["drop", "truncate_prompt", "error"] = field(
        default="drop",
        metadata={"help": "Treatment of rows with a text longer than max_length or the context of the model."},
    )
    step_separator: str = field(
        default="\n", metadata={"help": "String inserted between two steps if neither has white space at the boundary."}
    )
    segmentation: Literal["sentences", "lines", "paragraphs"] | None = field(
        default=None,
        metadata={"help": "How a text is split into steps at scoring; by default as in the training data."},
    )
    layout: LayoutName = field(
        default="auto",
        metadata={
            "help": "Arrangement of texts in a forward pass: padded, packed, prefix_shared, or auto for the fastest."
        },
    )
    check_layout: bool = field(
        default=False, metadata={"help": "Compare the scores of the first rows with those of the padded layout."}
    )
    max_tokens_per_forward: int | None = field(
        default=None,
        metadata={
            "help": "Largest number of tokens of a forward pass; larger batches are divided. Default: 2,048 on a CPU."
        },
    )
    hidden_state_cache_gib: float = field(
        default=0.0,
        metadata={"help": "Memory in GiB for hidden states of frozen lower layers, for later epochs. 0 disables it."},
    )
    loss_parameters_learning_rate: float = field(
        default=0.02, metadata={"help": "Learning rate of trainable parameters of the loss, like cut points."}
    )
    skip_nonfinite: int = field(
        default=0,
        metadata={
            "help": "Largest number of optimizer steps to skip because of NaN or infinity. By default a run stops."
        },
    )
    stop_after: str | None = field(
        default=None,
        metadata={"help": "Save a checkpoint and end after this time, for example 3h30m; by default never."},
    )
    resize_embeddings: bool = field(
        default=False, metadata={"help": "Add embeddings for tokens of the tokenizer that the model has none for."}
    )
    pad_token: str | None = field(
        default=None, metadata={"help": "Padding token, for tokenizers without one or with one equal to EOS."}
    )
    allow_changed: list[str] | None = field(
        default=None,
        metadata={"help": "Names of settings and data that may differ from the checkpoint of a resumed run."},
    )

    learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate; by default 1e-4, and 1e-3 for adapters (LoRA)."}
    )

    def __post_init__(self) -> None:
        require_layout(self.layout)
        if self.stop_after is not None:
            self.stop_after = str(self.stop_after)  # YAML reads a number of seconds as a number
            parse_duration(self.stop_after)
        require_setting_types(self, TrainingArguments)
        require_ranges(self, RANGES)
        require_finite_settings(self)
        if self.label_smoothing_factor:
            raise InvalidSettingError(
                f"label_smoothing_factor={self.label_smoothing_factor} is for labels of classes, and no loss reads it. "
                "Omit it. For pairs it is a setting of the loss: loss='bradley_terry(label_smoothing=0.1)'."
            )
        choose_bf16(self)
        prepare_defaults(self)
        require_connectable()
        connect_on_cpus(self)
        # TRL deprecates pad_token, but the command line needs it for tokenizers without a padding token.
        pad_token, self.pad_token = self.pad_token, None
        super().__post_init__()
        require_connected(self.world_size, self.parallel_mode != ParallelMode.NOT_PARALLEL)
        self.pad_token = pad_token

    def choose_learning_rate(self, adapters: bool) -> None:
        """Set the learning rate to its default if there is none.

        Args:
            adapters: whether the run trains adapters instead of all weights.
        """
        if self.learning_rate is None:
            self.learning_rate = ADAPTER_LEARNING_RATE if adapters else LEARNING_RATE


RANGES = {
    "dataset_num_proc": Range(1, "It is a number of processes; None is one."),
    "max_length": Range(1, "No text has fewer tokens; None is no limit."),
    "max_tokens_per_forward": Range(1, "A forward pass has at least one token."),
    "hidden_state_cache_gib": Range(0, "It is an amount of memory; 0 is no cache."),
    "loss_parameters_learning_rate": Range(0, "A negative learning rate would maximize the loss."),
    "skip_nonfinite": Range(0, "It is a number of steps; 0 stops at the first step with NaN or infinity."),
}
"""Range of each setting."""


def as_reward_config(args: TrainingArguments | None, model_name: str) -> RewardConfig:
    """Return the configuration of a run; that of TRL's trainer gets the default values of the additional settings.

    Args:
        args: a `RewardConfig` of this package or of TRL, `transformers.TrainingArguments`, or None for the defaults.
        model_name: last part of the path of the model, for the default output folder.

    Raises:
        InvalidArgumentError: something else, such as the configuration of another trainer.
    """
    if args is None:
        return RewardConfig(f"{model_name}-Reward")
    if isinstance(args, RewardConfig):
        return copy(args)  # a run changes it
    accepted = tuple(base for base in RewardConfig.__mro__ if issubclass(base, TrainingArguments))
    if type(args) not in accepted:
        raise InvalidArgumentError(
            f"`args` {describe_type(args)}, but it must be a RewardConfig. "
            "Pass rlhf_losses.RewardConfig('OUTPUT_DIR', learning_rate=1e-5)."
        )
    return RewardConfig(**{one.name: getattr(args, one.name) for one in fields(args) if one.init})
