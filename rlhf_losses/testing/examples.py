"""Example batches of each feedback type, row by row, on which `check_loss` evaluates a loss."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

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
    shift_positions,
)
from rlhf_losses.feedback.base import Row
from rlhf_losses.losses import AnyLoss

Rows = tuple[Feedback, ...]
"""Feedback of several rows; the positions of each row start at 0."""

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
"""Batches of rows without their texts, simple ones first. `check_loss` uses those in the domain of a loss."""


def example_batches_for(loss: AnyLoss) -> list[Rows]:
    """Return the example batches in the domain of a loss.

    Raises:
        AssertionError: there are no examples of its feedback type, or `require_domain` refuses all of them.
    """
    types = {term.loss.feedback_type: None for term in loss.as_objective().terms}
    feedback_types = [one for one in types if one is not Feedback] or [Pairs]
    unknown = [one.__name__ for one in feedback_types if one not in EXAMPLES]
    if unknown:
        raise AssertionError(
            f"Its feedback type is {unknown[0]}, for which there are no examples. "
            f"Use one of {', '.join(one.__name__ for one in EXAMPLES)}."
        )
    accepted = [rows for rows in _batches(feedback_types) if accepts(loss, join(rows))]
    if not accepted:
        raise AssertionError(
            f"Its require_domain refuses every example of {', '.join(one.__name__ for one in feedback_types)}. "
            "Refuse only values for which the formula is not defined."
        )
    return accepted


def example_batches_of(feedback_type: type[Feedback]) -> list[Rows]:
    """Return the example batches of one feedback type: its own first, then those of types that convert to it."""
    others = [one for one in EXAMPLES if one is not feedback_type and one.is_convertible_to(feedback_type)]
    batches = [
        [source.from_row(row) for row in rows] for source in (feedback_type, *others) for rows in EXAMPLES[source]
    ]
    return [tuple(one for row in rows if len(one := row.convert_to(feedback_type))) for rows in batches]


def join(rows: Sequence[Feedback]) -> Feedback:
    """Return the feedback of rows of the same type over the concatenation of their scores.

    Examples:
        >>> join([Pairs.from_row({}), Pairs.from_row({})]).chosen
        tensor([0, 2])
    """
    return _join(tuple(rows))


@lru_cache(maxsize=16)  # rules evaluate the same rows on many scores
def _join(rows: Rows) -> Feedback:
    return type(rows[0]).concatenate(shift_positions(rows))


def accepts(loss: AnyLoss, feedback: Feedback) -> bool:
    """Return whether feedback is in the domain of a loss."""
    try:
        loss.check(feedback)
    except InvalidFeedbackError:
        return False
    return True


def _batches(feedback_types: Sequence[type[Feedback]]) -> list[Rows]:
    """Return batches whose rows have all feedback types, each over scores of its own."""
    batches = {one: example_batches_of(one) for one in feedback_types}
    if len(feedback_types) == 1:
        return batches[feedback_types[0]]
    return [
        tuple(Mixed(shift_positions(row)) for row in zip(*rows, strict=False))
        for rows in zip(*batches.values(), strict=False)
    ]
