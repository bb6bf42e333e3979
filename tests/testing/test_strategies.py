"""Drawn feedback holds what real feedback holds, and the awkward cases among it."""

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback, Pairs, Rankings
from rlhf_losses.testing.strategies import scores, scores_with

# The first one found will do; the smallest one is of no use here.
ANY = settings(phases=[Phase.generate], max_examples=500)


@pytest.mark.parametrize("kind", FEEDBACK_TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_feedback_points_at_the_scores_that_come_with_it(kind, data):
    drawn, feedback = data.draw(scores_with(kind))
    assert isinstance(feedback, kind)
    assert feedback.score_count() == len(drawn)
    assert len(feedback) > 0


@pytest.mark.parametrize(
    "awkward",
    [
        lambda drawn, lists: len(lists) == 1 and len(drawn) == 2,
        lambda drawn, lists: len(set(lists.sizes.tolist())) > 1,
        lambda drawn, lists: len(lists) == 1 and len(set(lists.ranks.tolist())) == 1,
        lambda drawn, lists: len(set(drawn.tolist())) < len(drawn),
        lambda drawn, lists: drawn.abs().max() >= 9e17 and drawn.abs().min() < 1,
    ],
    ids=["one short list", "ragged", "all tied", "equal scores", "extreme and ordinary scores"],
)
def test_awkward_lists_are_drawn(awkward):
    find(scores_with(Rankings), lambda drawn: bool(awkward(*drawn)), settings=ANY)


def test_pairs_come_with_and_without_their_numbers():
    for column in ("margin", "weight", "preference"):
        find(scores_with(Pairs), lambda drawn, column=column: getattr(drawn[1], column) is None, settings=ANY)
        find(scores_with(Pairs), lambda drawn, column=column: getattr(drawn[1], column) is not None, settings=ANY)


@given(scores(5))
def test_scores_are_float32(drawn):
    assert (drawn.dtype.itemsize, drawn.shape) == (4, (5,))


def test_an_unknown_kind_is_refused_with_those_that_can_be_drawn():
    with pytest.raises(NotImplementedError, match=r"no strategy for Feedback\. Draw one of Pairs, Rankings"):
        scores_with(Feedback)
