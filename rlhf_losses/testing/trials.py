"""What the rules try a loss on: scores for the example batches, what they cost, and how both are compared and told."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rlhf_losses.losses import BatchLoss, Loss
from rlhf_losses.testing.examples import Rows, batches_for, join

SEED = 0


def scored_batches(
    loss: Loss, dtype: torch.dtype, spreads: Sequence[float] = (1.0, 10.0, 1e4, 1e18), ties: bool = True
) -> Iterator[tuple[Rows, Tensor]]:
    """Yield every example batch with all scores equal, then with scores drawn from plus or minus each spread."""
    generator = torch.Generator().manual_seed(SEED)
    for rows in batches_for(loss):
        count = sum(row.score_count() for row in rows)
        if ties:
            yield rows, torch.full((count,), spreads[-1], dtype=dtype)
        for spread in spreads:
            drawn = spread * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
            yield rows, drawn.to(dtype)
            if ties:
                yield rows, (spread * drawn.sign()).to(dtype)


def scored_batches_in(loss: Loss, *dtypes: torch.dtype) -> Iterator[tuple[torch.dtype, tuple[Rows, Tensor]]]:
    """Yield the scored batches once in each type of scores."""
    for dtype in dtypes:
        for batch in scored_batches(loss, dtype):
            yield dtype, batch


def costs_of(loss: Loss, scores: Tensor, rows: Rows) -> Tensor:
    """Return one cost an item; one a row for a sum, whose terms have items of their own; one for a whole batch."""
    if isinstance(loss, BatchLoss):
        return loss.per_item_loss(scores, join(rows)).mean()[None]
    if not is_sum(loss):
        return loss.per_item_loss(scores, join(rows))
    parts = scores.split([row.score_count() for row in rows])
    return torch.stack([loss(part, row) for part, row in zip(parts, rows, strict=True)])


def is_sum(loss: Loss) -> bool:
    """Tell whether the terms of a loss are other losses, as those of a named sum are too."""
    return any(term.loss is not loss for term in loss.terms)


def is_close(some: Tensor, others: Tensor) -> bool:
    """Tell whether vectors are as long as each other and equal, up to rounding in float64."""
    return some.shape == others.shape and bool(((some - others).abs() <= tolerance(others)).all())


def tolerance(values: Tensor) -> float:
    """Return by how much numbers of this size may differ by rounding in float64."""
    return 1e-9 * (1 + float(values.abs().max() if len(values) else 0))


def told(values: Tensor) -> str:
    """Write numbers down for a message.

    >>> told(torch.tensor([0.5, 1e18]))
    '[0.5, 1e+18]'
    """
    return "[" + ", ".join(f"{value:.4g}" for value in values.tolist()) + "]"
