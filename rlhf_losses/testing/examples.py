"""Small batches of every kind of feedback, row by row: what `check_loss` prices."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import (
    Attributes,
    Feedback,
    Labels,
    Lengths,
    Mixed,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
)
from rlhf_losses.feedback.base import Row
from rlhf_losses.losses import Loss

Rows = tuple[Feedback, ...]
"""Rows of data, each with score positions of its own that count from 0."""

# What the rows say, without their texts. The plainest batch of a kind comes first; a loss is checked on
# those within its domain.
EXAMPLES: Mapping[type[Feedback], Sequence[Sequence[Row]]] = {
    Pairs: (
        [{}, {}, {}],
        [{"margin": 0.5}, {"weight": 2.0}, {"weight": 0.0}, {"preference": 0.5}, {"preference": 0.8}],
        [{"margin": 1}, {"margin": 0, "weight": 0.5}, {"margin": 3, "tie": 0.25}, {"margin": 2, "preference": 0.0}],
        [{"margin": 1}, {"margin": 0}, {"margin": 1, "preference": 0.8}],
        [{"tie": True}, {"tie": False}, {"tie": 0.4, "preference": 0.7}, {"tie": 0.0, "preference": 0.5}],
    ),
    Rankings: (
        [{"ranks": [1, 2]}, {"ranks": [3, 1, 4, 2]}, {"ranks": [2, 3, 1]}],
        [{"ranks": [1, 1]}, {"ranks": [2, 1, 1, 3]}, {"ranks": [1, 2, 2]}],
    ),
    Ratings: (
        [{"rating": 0.9}, {"ratings": [0.1, -0.6, 0.1]}, {"ratings": [-0.6, 0.2]}],
        [{"rating": 5}, {"ratings": [1, 3, 5]}, {"ratings": [2, 4]}],
        [{"rating": 1}, {"ratings": [2, 1]}],
        [{"rating": 1.0}, {"ratings": [0.25, 0.0, 1.0]}, {"ratings": [0.5, 0.75]}],
    ),
    Labels: (
        [{"label": True}, {"label": False}, {"label": True}],
        [{"label": 1}, {"label": -1}, {"label": 1}],
        [{"label": 0.3}, {"label": 1.0}, {"label": 0.0}],
    ),
    Attributes: (
        [
            {"attributes": {"helpfulness": 4, "correctness": 3, "verbosity": 1}},
            {"attributes": [{"helpfulness": 0.5, "correctness": None}, {"helpfulness": -1, "correctness": 2}]},
        ],
    ),
    Lengths: (
        [{"lengths": [12, 30]}, {"lengths": [7, 21, 40]}, {"lengths": [3]}],
        [{"lengths": [5, 5]}, {"lengths": [5]}],
    ),
    Steps: (
        [{"labels": [True, False, True]}, {"labels": [True]}, {"labels": [False, False]}],
        [{"labels": [1, -1, 1]}, {"labels": [1]}, {"labels": [-1, -1]}],
        [{"labels": [0.9, 0.1, -0.6]}, {"labels": [0.25]}, {"labels": [1.0, 0.0]}],
    ),
    StepwiseRankings: (
        [
            {"chosen_steps": ["a", "b"], "rejected_steps": ["c"]},
            {"completion_steps": [["a"], ["b", "c", "d"], ["e", "f"]], "ranks": [2, 1, 3]},
        ],
        [
            {"completion_steps": [["a"], ["b"]], "ranks": [1, 1]},
            {"completion_steps": [["a"], ["b", "c"], ["d"]], "ranks": [1, 2, 2]},
        ],
    ),
    Votes: (
        [{"votes": [3, 0]}, {"votes": [0, 2]}, {"votes": [1, 0]}],
        [{"votes": [2, 1]}, {"votes": [1, 1]}, {"votes": [1, 0], "ties": 2}],
    ),
}


def batches_for(loss: Loss) -> list[Rows]:
    """Return the example batches that lie in the domain of `loss`; at least one, or `AssertionError`."""
    kinds = list(
        dict.fromkeys(term.loss.feedback_type for term in loss.terms if term.loss.feedback_type is not Feedback)
    ) or [Pairs]
    unknown = [kind.__name__ for kind in kinds if kind not in EXAMPLES]
    if unknown:
        raise AssertionError(
            f"It reads {unknown[0]}, of which there are no examples. "
            f"Let it read one of {', '.join(kind.__name__ for kind in EXAMPLES)}."
        )
    within = [rows for rows in _batches_of(kinds) if accepts(loss, join(rows))]
    if not within:
        raise AssertionError(
            f"Its require_domain refuses every example of {', '.join(kind.__name__ for kind in kinds)}. "
            "Let it refuse only values that the formula cannot price."
        )
    return within


def join(rows: Sequence[Feedback]) -> Feedback:
    """Lay rows end to end over one vector of scores.

    >>> join([Pairs.from_row({}), Pairs.from_row({})]).chosen
    tensor([0, 2])
    """
    return _joined(tuple(rows))


@lru_cache(maxsize=16)  # rules price the same rows at many scores
def _joined(rows: Rows) -> Feedback:
    return type(rows[0]).concatenate(_side_by_side(rows))


def _batches_of(kinds: Sequence[type[Feedback]]) -> list[Rows]:
    """Return batches whose rows hold all the kinds, each over scores of its own."""
    batches = {kind: batches_read_as(kind) for kind in kinds}
    if len(kinds) == 1:
        return batches[kinds[0]]
    together = zip(*batches.values(), strict=False)
    return [tuple(Mixed(_side_by_side(row)) for row in zip(*rows, strict=False)) for rows in together]


def batches_read_as(kind: type[Feedback]) -> list[Rows]:
    """Return the batches of one kind, and after them those of the kinds that can be read as it."""
    sources = [kind, *(other for other in EXAMPLES if other is not kind and other.is_convertible_to(kind))]
    batches = [tuple(source.from_row(row) for row in rows) for source in sources for rows in EXAMPLES[source]]
    return [tuple(one for row in rows if len(one := row.convert_to(kind))) for rows in batches]


def _side_by_side(parts: Sequence[Feedback]) -> Rows:
    starts = accumulate((part.score_count() for part in parts), initial=0)
    return tuple(
        part.reindexed(torch.arange(start, start + part.score_count()))
        for part, start in zip(parts, starts, strict=False)
    )


def accepts(loss: Loss, feedback: Feedback) -> bool:
    """Tell whether feedback lies in the domain of `loss`."""
    try:
        loss.check(feedback)
    except InvalidFeedbackError:
        return False
    return True
