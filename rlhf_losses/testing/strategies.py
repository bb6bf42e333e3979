"""Hypothesis strategies for scores with feedback, including edge cases."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from rlhf_losses.feedback import Attributes, Feedback, Labels, Pairs, Rankings, Ratings, Steps, StepwiseRankings, Votes
from rlhf_losses.testing.examples import join

ScoresAndFeedback = tuple[Tensor, Feedback]

_LARGEST = 1e18


def scores_with(feedback_type: type[Feedback]) -> st.SearchStrategy[ScoresAndFeedback]:
    """Return a strategy for float32 scores and feedback on them.

    Batches have one to four rows, lists have any length from two, and ranks and scores have ties. The absolute values
    of scores are up to 1e18. Labels are true or false, so that they are in the domain of every loss.

    Args:
        feedback_type: type of the feedback.

    Raises:
        NotImplementedError: there is no strategy for this type.
    """
    if feedback_type not in _ROWS:
        names = ", ".join(known.__name__ for known in _ROWS)
        raise NotImplementedError(f"There is no strategy for {feedback_type.__name__}. Use one of {names}.")
    return st.lists(_ROWS[feedback_type].map(feedback_type.from_row), min_size=1, max_size=4).flatmap(_with_scores)


def scores(count: int) -> st.SearchStrategy[Tensor]:
    """Return a strategy for vectors of float32 scores, including equal and extreme scores."""
    ordinary = st.floats(-10, 10, width=32)
    edge_cases = st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4, _LARGEST, -_LARGEST])
    return st.lists(ordinary | edge_cases, min_size=count, max_size=count).map(torch.tensor)


def _with_scores(rows: list[Feedback]) -> st.SearchStrategy[ScoresAndFeedback]:
    feedback = join(rows)
    return st.tuples(scores(feedback.score_count()), st.just(feedback))


def _lists(values: st.SearchStrategy[Any], min_size: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=min_size, max_size=5)


def _has_votes(row: dict[str, Any]) -> bool:
    return bool(sum(row["votes"]) + row["ties"] > 0)


_counts = st.integers(0, 9)
_numbers = st.floats(0, 8, width=32)


def _with_ties(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose tie is a share of the largest tie that its preference allows."""
    largest, share = 2 * min(row["preference"], 1 - row["preference"]), row.pop("share")
    return row | {"tie": share * largest}


_pair = st.fixed_dictionaries({}, optional={"margin": _numbers, "weight": _numbers, "preference": st.floats(0, 1)})
_pair_with_ties = st.fixed_dictionaries(
    {"preference": st.floats(0, 1), "share": st.floats(0, 1)}, optional={"margin": _numbers, "weight": _numbers}
).map(_with_ties)


_attributes = st.fixed_dictionaries({"helpfulness": st.integers(0, 4), "correctness": st.none() | st.integers(0, 4)})


def _in_steps(ranks_and_counts: list[tuple[int, int]]) -> dict[str, Any]:
    """Return a row of answers with these ranks and numbers of steps."""
    return {
        "completion_steps": [["a step"] * count for _, count in ranks_and_counts],
        "ranks": [rank for rank, _ in ranks_and_counts],
    }


_ROWS: dict[type[Feedback], st.SearchStrategy[dict[str, Any]]] = {
    Pairs: _pair | _pair_with_ties,
    Rankings: st.fixed_dictionaries({"ranks": _lists(st.integers(1, 4), min_size=2)}),
    Ratings: st.fixed_dictionaries({"ratings": _lists(st.integers(1, 5))}),
    Labels: st.fixed_dictionaries({"label": st.booleans()}),
    Steps: st.fixed_dictionaries({"labels": _lists(st.booleans())}),
    StepwiseRankings: _lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=2).map(_in_steps),
    Attributes: st.fixed_dictionaries({"attributes": _lists(_attributes)}),
    Votes: st.fixed_dictionaries({"votes": st.tuples(_counts, _counts), "ties": _counts}).filter(_has_votes),
}
