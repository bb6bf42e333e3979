"""`RewardConfig`: TRL's, with the loss and what it is averaged over."""

from dataclasses import dataclass, field
from typing import Literal

import trl

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import LayoutName, require_layout


@dataclass
class RewardConfig(trl.RewardConfig):
    """TRL's `RewardConfig` plus what is ours; every other argument keeps its name and default.

    Args:
        loss: text of the loss, like `"bradley_terry + 0.01 * centering"`.
        average_over: `"items"` (every pair, list, rating or step counts the same) or `"prompts"` (every
            prompt counts the same, however many items it has).
        overlong: what happens to rows with a text longer than `max_length` or the model's context:
            `"drop"` (as TRL does, but reported), `"truncate_prompt"` (cut prompts from the left) or `"error"`.
        step_separator: what stands between two steps of an answer where the data have no white space.
        segmentation: how the scorer cuts a text into steps again; by default the way that fits the data.
        layout: how texts lie in memory: `"padded"`, `"packed"` (no padding), `"prefix_shared"` (no padding, and
            what texts have in common at their beginning once), or `"auto"`, the fastest that the model takes.
            Scores and gradients are the same.
        check_layout: compare the scores of the first rows with those of the padded layout before training.
        max_tokens_per_forward: the most tokens of one forward and backward pass. A batch with more is cut into several
            passes, whose gradients add up to that of the batch; which rows meet in an optimizer step, and in
            which order they come, does not change. By default a batch is one pass; on a CPU, where large passes are
            slower, it is cut at about 2,048 tokens where that computes next to nothing twice.
        hidden_state_cache_gib: memory in GiB to keep what layers below the first trained one (LoRA on upper layers only) give
            each text, so that later epochs start there. 0 keeps nothing.
        loss_parameters_learning_rate: learning rate of the numbers that a loss learns beside the model, like tie widths and
            cut points. They are few and start far from the truth, so they need larger steps than weights do.
        pad_token: token for padding, for tokenizers that have none or one equal to EOS.
    """

    loss: str = field(default="bradley_terry", metadata={"help": "The loss, like 'bradley_terry + 0.01 * centering'."})
    average_over: Literal["items", "prompts"] = field(
        default="items", metadata={"help": "What every one of counts the same in the mean: items or prompts."}
    )
    overlong: Literal["drop", "truncate_prompt", "error"] = field(
        default="drop", metadata={"help": "What happens to rows with a text longer than max_length or the context."}
    )
    step_separator: str = field(
        default="\n", metadata={"help": "What stands between two steps where the data have no white space."}
    )
    segmentation: Literal["sentences", "lines", "paragraphs"] | None = field(
        default=None,
        metadata={"help": "AttentionOptions the scorer cuts a text into steps; by default the way that fits the data."},
    )
    layout: LayoutName = field(
        default="auto",
        metadata={
            "help": "AttentionOptions texts lie in memory: padded, packed or prefix_shared; auto takes the fastest."
        },
    )
    check_layout: bool = field(
        default=False, metadata={"help": "Compare the first rows' scores with those of the padded layout."}
    )
    max_tokens_per_forward: int | None = field(
        default=None,
        metadata={"help": "The most tokens of one forward pass; larger batches are cut. On a CPU by default 2,048."},
    )
    hidden_state_cache_gib: float = field(
        default=0.0,
        metadata={"help": "GiB to keep what layers below the first trained one give each text, for later epochs."},
    )
    loss_parameters_learning_rate: float = field(
        default=0.02, metadata={"help": "Learning rate of the numbers that a loss learns, like cut points."}
    )
    pad_token: str | None = field(
        default=None, metadata={"help": "Token for padding, where the tokenizer has none or one equal to EOS."}
    )

    def __post_init__(self) -> None:
        # TRL deprecates pad_token; here it is the way to mend a tokenizer from the command line.
        pad_token, self.pad_token = self.pad_token, None
        super().__post_init__()
        self.pad_token = pad_token
        require_layout(self.layout)
        if self.max_tokens_per_forward is not None and self.max_tokens_per_forward < 1:
            raise InvalidSettingError(
                f"max_tokens_per_forward={self.max_tokens_per_forward} leaves no room for a token in a forward pass. "
                "Give a positive number, or leave it out."
            )
