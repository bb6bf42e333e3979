"""Scores for the example batches, and the comparison and formatting of loss values."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rlhf_losses.feedback import Ragged
from rlhf_losses.losses import AnyLoss, BatchLoss, Loss
from rlhf_losses.testing.examples import Rows, example_batches_for, join

SEED = 0


def scored_examples(
    loss: AnyLoss, dtype: torch.dtype, spreads: Sequence[float] = (1.0, 10.0, 1e4, 1e18), ties: bool = True
) -> Iterator[tuple[Rows, Tensor]]:
    """Yield each example batch of a loss with several vectors of scores.

    Args:
        loss: the loss to evaluate.
        dtype: dtype of the scores.
        spreads: scores are uniform in plus or minus each spread.
        ties: also yield equal scores, and scores with the same absolute value.
    """
    generator = torch.Generator().manual_seed(SEED)
    for rows in example_batches_for(loss):
        count = sum(row.score_count() for row in rows)
        if ties:
            yield rows, torch.full((count,), spreads[-1], dtype=dtype)
        for spread in spreads:
            scores = spread * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
            yield rows, scores.to(dtype)
            if ties:
                yield rows, (spread * scores.sign()).to(dtype)


def scored_examples_in(loss: AnyLoss, *dtypes: torch.dtype) -> Iterator[tuple[torch.dtype, Rows, Tensor]]:
    """Yield the scored example batches once for each dtype of the scores."""
    for dtype in dtypes:
        for rows, scores in scored_examples(loss, dtype):
            yield dtype, rows, scores


def loss_values(loss: AnyLoss, scores: Tensor, rows: Rows) -> Tensor:
    """Return the values of a loss on a batch.

    Returns:
        One value per item of a loss, one for the whole batch of a `BatchLoss`, and one per row for an objective, whose
        terms have items of different types.
    """
    if isinstance(loss, BatchLoss):
        return loss.per_item_loss(scores, join(rows)).mean()[None]
    if isinstance(loss, Loss):
        return loss.per_item_loss(scores, join(rows))
    return torch.stack([loss(part, row) for part, row in zip(split_scores(scores, rows), rows, strict=True)])


def split_scores(scores: Tensor, rows: Rows) -> tuple[Tensor, ...]:
    """Return the scores of each row."""
    return Ragged(torch.tensor([row.score_count() for row in rows])).split(scores)


def is_close(values: Tensor, expected: Tensor) -> bool:
    """Return whether vectors have the same shape and are equal up to rounding in float64."""
    return values.shape == expected.shape and bool(((values - expected).abs() <= tolerance(expected)).all())


def tolerance(values: Tensor) -> float:
    """Return the largest difference by rounding in float64 for values of this size."""
    return 1e-9 * (1 + float(values.abs().max() if len(values) else 0))


def format_values(values: Tensor) -> str:
    """Return a vector as text, for messages.

    Examples:
        >>> format_values(torch.tensor([0.5, 1e18]))
        '[0.5, 1e+18]'
    """
    return "[" + ", ".join(f"{value:.4g}" for value in values.tolist()) + "]"
