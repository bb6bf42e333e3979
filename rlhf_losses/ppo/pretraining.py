"""PPO-ptx: what the policy learned before PPO is kept by going on to learn it.

Texts are cut into windows that are read one batch a micro-batch, in an order that the seed and the number of the
micro-batch tell: a run that counts its micro-batches, as checkpoints do, resumes where it was in the texts.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import PartialState
from accelerate.utils import send_to_device
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, TrainerCallback

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.layouts import Layout

Windows = Sequence[Sequence[int]]


class PretrainingLoss(TrainerCallback):
    r"""The mean next-token cross-entropy over the pretraining texts of an optimizer step, in shares.

    .. math:: -\frac1N \sum_x \sum_t \log \pi(x_t \mid x_{<t})

    the sum over the texts that all micro-batches and processes read in the step, with `N` tokens to predict.

    Args:
        windows: token ids, as `windows_of` cuts them.
        layout: how the windows of a batch are read; none may be shared between them.
        rows: windows a micro-batch.
        seed: of the order; it is another in every pass over the windows.
        total: adds a tensor up over all processes.

    Reference:
        Ouyang et al. (2022), equation 2, https://arxiv.org/abs/2203.02155
    """

    def __init__(
        self, windows: Dataset, layout: Layout, rows: int, seed: int, total: Callable[[Tensor], Tensor]
    ) -> None:
        self.windows = windows
        self.layout = layout
        self.rows = rows
        self.seed = seed
        self.total = total
        self.processes, self.rank = PartialState().num_processes, PartialState().process_index
        self._tokens: Tensor | None = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Forget how many tokens the last optimizer step had."""
        self._tokens = None

    def batch(self, number: int) -> Windows:
        """Return the windows of this process in the micro-batch of that number, counted from 0."""
        first = (number * self.processes + self.rank) * self.rows
        count = len(self.windows)
        places = [divmod(first + row, count) for row in range(self.rows)]
        read: Windows = self.windows[[order(self.seed, epoch, count)[at] for epoch, at in places]]["input_ids"]
        return read

    def share(self, model: nn.Module, number: int, accumulated: int) -> Tensor:
        """Return the share of a micro-batch in the mean of the optimizer step, whose `accumulated` ones start with it.

        It is that number of processes times as large as it should be that then average their gradients.
        """
        texts = self.batch(number)
        if self._tokens is None:
            ahead = [texts, *(self.batch(number + later) for later in range(1, accumulated))]
            count = sum(len(text) - 1 for batch in ahead for text in batch)
            self._tokens = self.total(torch.tensor(float(count), device=next(model.parameters()).device))
        return self.processes * summed_cross_entropy(model, self.layout, texts) / self._tokens


def summed_cross_entropy(model: nn.Module, layout: Layout, texts: Windows) -> Tensor:
    """Return what all tokens of some texts cost but the first of each, in nats, in float32."""
    device = next(model.parameters()).device
    arrangement = layout.arrange(texts)
    inputs = send_to_device(arrangement.model_inputs, device)
    before = torch.cat([torch.from_numpy(places[:-1]) for places in arrangement.places]).to(device)
    targets = torch.tensor([token for text in texts for token in text[1:]], device=device)
    logits = model(**inputs, use_cache=False).logits.flatten(0, 1)
    return F.cross_entropy(logits[before].float(), targets, reduction="sum")


def windows_of(texts: Any, tokenizer: PreTrainedTokenizerBase, longest: int) -> Dataset:
    """Tokenize the column `text`, each with EOS, and cut texts of more than `longest` tokens.

    Raises:
        FeedbackMismatchError: there is no such column, or the data are a stream.
        InvalidFeedbackError: a text is empty.
    """
    if not isinstance(texts, Dataset) or "text" not in texts.column_names:
        arrived = f"columns {', '.join(texts.column_names)}" if isinstance(texts, Dataset) else type(texts).__name__
        raise FeedbackMismatchError(
            f"The pretraining_dataset has no column text ({arrived} arrived), so there is no next token to predict. "
            "Give a datasets.Dataset in memory or on disk, and rename its column to text."
        )
    empty = sum(not text for text in texts["text"])
    if empty or not len(texts):
        raise InvalidFeedbackError(
            f"{empty} of {len(texts)} pretraining texts are empty, so they have no next token. Drop them first."
        )

    def cut(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        encoded = [tokenizer(text, truncation=False)["input_ids"] for text in rows["text"]]
        ended = [ids if ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id] for ids in encoded]
        return {"input_ids": [window for ids in ended for window in windows(ids, longest)]}

    with PartialState().main_process_first():
        return texts.map(cut, batched=True, remove_columns=texts.column_names)


def windows(ids: list[int], longest: int) -> Iterator[list[int]]:
    """ForwardPassSplitter a text so that each of its tokens but the first is predicted in one window.

    >>> list(windows([1, 2, 3, 4, 5, 6], longest=3))
    [[1, 2, 3], [3, 4, 5], [5, 6]]
    """
    for start in range(0, len(ids) - 1, longest - 1):
        yield ids[start : start + longest]


@lru_cache(maxsize=2)
def order(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order in which a pass over `count` windows reads them.

    >>> sorted(order(seed=0, epoch=3, count=4)), order(0, 3, 4) == order(0, 3, 4)
    ([0, 1, 2, 3], True)
    """
    drawn: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return drawn
