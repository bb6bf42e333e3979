"""`RewardConfig`: TRL's, with the loss and what it is averaged over."""

from dataclasses import dataclass, field
from typing import Literal

import trl


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
        default=None, metadata={"help": "How the scorer cuts a text into steps; by default the way that fits the data."}
    )
    pad_token: str | None = field(
        default=None, metadata={"help": "Token for padding, where the tokenizer has none or one equal to EOS."}
    )

    def __post_init__(self) -> None:
        # TRL deprecates pad_token; here it is the way to mend a tokenizer from the command line.
        pad_token, self.pad_token = self.pad_token, None
        super().__post_init__()
        self.pad_token = pad_token
