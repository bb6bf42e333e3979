"""Hypothesis strategies: scores with matching feedback, the awkward ones included."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from rlhf_losses.feedback import Attributes, Feedback, Labels, Pairs, Rankings, Ratings, Steps, StepwiseRankings, Votes
from rlhf_losses.testing.examples import join

ScoresAndFeedback = tuple[Tensor, Feedback]

_LARGEST = 1e18


def scores_with(kind: type[Feedback]) -> st.SearchStrategy[ScoresAndFeedback]:
    """Draw float32 scores and feedback of `kind` over them.

    Batches have one row or several, lists have any length from two, and there are ties among ranks and
    among scores. Scores reach from ordinary ones up to 1e18 in magnitude. Labels are drawn as true or
    false, so that every loss that reads them can price them.
    """
    if kind not in _ROWS:
        names = ", ".join(known.__name__ for known in _ROWS)
        raise NotImplementedError(f"There is no strategy for {kind.__name__}. Draw one of {names}.")
    return st.lists(_ROWS[kind].map(kind.from_row), min_size=1, max_size=4).flatmap(_scored)


def scores(count: int) -> st.SearchStrategy[Tensor]:
    """Draw a vector of float32 scores, with repetitions and extremes among them."""
    ordinary = st.floats(-10, 10, width=32)
    awkward = st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4, _LARGEST, -_LARGEST])
    return st.lists(ordinary | awkward, min_size=count, max_size=count).map(torch.tensor)


def _scored(rows: list[Feedback]) -> st.SearchStrategy[ScoresAndFeedback]:
    feedback = join(rows)
    return st.tuples(scores(feedback.score_count()), st.just(feedback))


def _lists(values: st.SearchStrategy[Any], shortest: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=shortest, max_size=5)


def _someone_voted(row: dict[str, Any]) -> bool:
    return sum(row["votes"]) + row["ties"] > 0


_counts = st.integers(0, 9)
_small = st.floats(0, 8, width=32)


def _with_ties(row: dict[str, Any]) -> dict[str, Any]:
    """Let a share of those who do not agree see a tie."""
    doubt, share = 2 * min(row["preference"], 1 - row["preference"]), row.pop("share")
    return row | {"tie": share * doubt}


_pair = st.fixed_dictionaries({}, optional={"margin": _small, "weight": _small, "preference": st.floats(0, 1)})
_pair_with_ties = st.fixed_dictionaries(
    {"preference": st.floats(0, 1), "share": st.floats(0, 1)}, optional={"margin": _small, "weight": _small}
).map(_with_ties)


_attributes = st.fixed_dictionaries({"helpfulness": st.integers(0, 4), "correctness": st.none() | st.integers(0, 4)})


def _in_steps(ranks_and_counts: list[tuple[int, int]]) -> dict[str, Any]:
    """Return a row of ranked answers with so many steps."""
    return {
        "completion_steps": [["a step"] * count for _, count in ranks_and_counts],
        "ranks": [rank for rank, _ in ranks_and_counts],
    }


_ROWS: dict[type[Feedback], st.SearchStrategy[dict[str, Any]]] = {
    Pairs: _pair | _pair_with_ties,
    Rankings: st.fixed_dictionaries({"ranks": _lists(st.integers(1, 4), shortest=2)}),
    Ratings: st.fixed_dictionaries({"ratings": _lists(st.integers(1, 5))}),
    Labels: st.fixed_dictionaries({"label": st.booleans()}),
    Steps: st.fixed_dictionaries({"labels": _lists(st.booleans())}),
    StepwiseRankings: _lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), shortest=2).map(_in_steps),
    Attributes: st.fixed_dictionaries({"attributes": _lists(_attributes)}),
    Votes: st.fixed_dictionaries({"votes": st.tuples(_counts, _counts), "ties": _counts}).filter(_someone_voted),
}
