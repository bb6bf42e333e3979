"""PPO-ptx: next-token cross-entropy on pretraining texts, added to the loss of PPO.

Texts are cut into windows. The windows of a micro-batch depend only on the seed and on the index of the micro-batch,
which checkpoints store, so a resumed run continues with the same windows.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import PartialState
from accelerate.utils import send_to_device
from datasets import Dataset
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, TrainerCallback

from rlhf_losses.data.repeated_bos import without_repeated_bos
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.layouts import Layout
from rlhf_losses.ppo.formulas import AllReduce, single_process

Windows = Sequence[Sequence[int]]
"""Token ids of several windows."""


class PretrainingLoss(TrainerCallback):
    r"""Mean next-token cross-entropy over the pretraining texts of an optimizer step, one micro-batch at a time.

    $$-\frac1N \sum_x \sum_t \log \pi(x_t \mid x_{<t})$$

    The sum is over the windows of all micro-batches and processes of the step, with $N$ predicted tokens in total.

    Args:
        windows: dataset with a column `input_ids`, see `tokenize_windows`.
        layout: layout of the windows of a batch; it must not let windows attend to each other.
        batch_size: number of windows per micro-batch and process.
        seed: seed of the order of the windows, which differs between epochs.
        all_reduce: sums a tensor over all processes.

    References:
        Ouyang et al. (2022), equation 2, https://arxiv.org/abs/2203.02155
    """

    def __init__(
        self, windows: Dataset, layout: Layout, batch_size: int, seed: int, all_reduce: AllReduce = single_process
    ) -> None:
        self.windows = windows
        self.layout = layout
        self.batch_size = batch_size
        self.seed = seed
        self.all_reduce = all_reduce
        self.num_processes, self.process_index = PartialState().num_processes, PartialState().process_index
        self._tokens_in_step: Tensor | None = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Reset the number of tokens of the optimizer step."""
        self._tokens_in_step = None

    def batch(self, number: int) -> Windows:
        """Return the windows of this process in a micro-batch, counted from 0."""
        first = (number * self.num_processes + self.process_index) * self.batch_size
        count = len(self.windows)
        places = [divmod(first + row, count) for row in range(self.batch_size)]
        rows: Windows = self.windows[[order(self.seed, epoch, count)[at] for epoch, at in places]]["input_ids"]
        return rows

    def micro_batch_loss(self, model: nn.Module, number: int, accumulation_steps: int) -> Float[Tensor, ""]:
        """Return the share of a micro-batch in the mean over the optimizer step.

        The first call of a step counts the tokens of the step. The result is multiplied by the number of processes,
        whose gradients are averaged.

        Args:
            model: language model.
            number: index of the micro-batch over the whole run, from 0.
            accumulation_steps: number of micro-batches of the optimizer step.
        """
        texts = self.batch(number)
        if self._tokens_in_step is None:
            batches = [texts, *(self.batch(number + later) for later in range(1, accumulation_steps))]
            count = sum(len(text) - 1 for batch in batches for text in batch)
            device = next(model.parameters()).device
            self._tokens_in_step = self.all_reduce(torch.tensor(float(count), device=device))
        total = summed_cross_entropy(model, self.layout, texts)
        loss: Tensor = self.num_processes * total / self._tokens_in_step
        return loss


def summed_cross_entropy(model: nn.Module, layout: Layout, texts: Windows) -> Float[Tensor, ""]:
    """Return the sum of the next-token cross-entropy over all tokens but the first of each text, in float32.

    Args:
        model: language model.
        layout: layout of the texts.
        texts: token ids.
    """
    device = next(model.parameters()).device
    arranged = layout.arrange(texts)
    inputs = send_to_device(arranged.model_inputs, device)
    before = torch.cat([torch.from_numpy(indices[:-1]) for indices in arranged.token_indices]).to(device)
    targets = torch.tensor([token for text in texts for token in text[1:]], device=device)
    logits = model(**inputs, use_cache=False).logits.flatten(0, 1)
    return F.cross_entropy(logits[before].float(), targets, reduction="sum")


def tokenize_windows(texts: Any, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    """Tokenize the column `text`, append EOS to each text, and cut long texts into windows.

    Args:
        texts: dataset with a column `text`.
        tokenizer: tokenizer of the policy.
        max_length: largest number of tokens of a window.

    Returns:
        Dataset with one window of `input_ids` per row.

    Raises:
        FeedbackMismatchError: there is no column `text`, or the dataset is a stream.
        InvalidFeedbackError: a text is empty.
    """
    if not isinstance(texts, Dataset) or "text" not in texts.column_names:
        received = f"columns {', '.join(texts.column_names)}" if isinstance(texts, Dataset) else type(texts).__name__
        raise FeedbackMismatchError(
            f"The pretraining_dataset has no column text (received: {received}), so there are no tokens to predict. "
            "Use a datasets.Dataset in memory or on disk, and rename its column to text."
        )
    empty = sum(not text for text in texts["text"])
    if empty or not len(texts):
        raise InvalidFeedbackError(
            f"{empty} of {len(texts)} pretraining texts are empty, so they have no next token. Drop them first."
        )

    def cut(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        tokenized = [tokenizer(text, truncation=False)["input_ids"] for text in rows["text"]]
        encoded = [without_repeated_bos(ids, tokenizer) for ids in tokenized]
        ended = [ids if ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id] for ids in encoded]
        return {"input_ids": [window for ids in ended for window in cut_windows(ids, max_length)]}

    with PartialState().main_process_first():
        return texts.map(cut, batched=True, remove_columns=texts.column_names)


def cut_windows(ids: list[int], max_length: int) -> Iterator[list[int]]:
    """Cut a text so that every token but the first is predicted in exactly one window.

    Examples:
        >>> list(cut_windows([1, 2, 3, 4, 5, 6], max_length=3))
        [[1, 2, 3], [3, 4, 5], [5, 6]]
    """
    for start in range(0, len(ids) - 1, max_length - 1):
        yield ids[start : start + max_length]


@lru_cache(maxsize=2)
def order(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order of `count` windows in an epoch.

    Examples:
        >>> sorted(order(seed=0, epoch=3, count=4)), order(0, 3, 4) == order(0, 3, 4)
        ([0, 1, 2, 3], True)
    """
    drawn: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return drawn
