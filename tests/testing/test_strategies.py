"""The strategies draw feedback of every type, including edge cases."""

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback, Pairs, Rankings
from rlhf_losses.testing.strategies import scores, scores_with

# Without shrinking: the first example is sufficient.
ANY = settings(phases=[Phase.generate], max_examples=500)


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES, ids=lambda one: one.__name__)
@given(data=st.data())
def test_feedback_has_positions_in_the_drawn_scores(feedback_type, data):
    drawn, feedback = data.draw(scores_with(feedback_type))
    assert isinstance(feedback, feedback_type)
    assert feedback.score_count() == len(drawn)
    assert len(feedback) > 0


@pytest.mark.parametrize(
    "is_edge_case",
    [
        lambda drawn, lists: len(lists) == 1 and len(drawn) == 2,
        lambda drawn, lists: len(set(lists.sizes.tolist())) > 1,
        lambda drawn, lists: len(lists) == 1 and len(set(lists.ranks.tolist())) == 1,
        lambda drawn, lists: len(set(drawn.tolist())) < len(drawn),
        lambda drawn, lists: drawn.abs().max() >= 9e17 and drawn.abs().min() < 1,
    ],
    ids=["one short list", "ragged", "all tied", "equal scores", "extreme and ordinary scores"],
)
def test_edge_cases_of_lists_are_drawn(is_edge_case):
    find(scores_with(Rankings), lambda drawn: bool(is_edge_case(*drawn)), settings=ANY)


def test_pairs_are_drawn_with_and_without_optional_fields():
    for column in ("margin", "weight", "preference"):
        find(scores_with(Pairs), lambda drawn, column=column: getattr(drawn[1], column) is None, settings=ANY)
        find(scores_with(Pairs), lambda drawn, column=column: getattr(drawn[1], column) is not None, settings=ANY)


@given(scores(5))
def test_scores_are_float32(drawn):
    assert (drawn.dtype.itemsize, drawn.shape) == (4, (5,))


def test_a_type_without_strategy_is_refused_with_the_types_that_have_one():
    with pytest.raises(NotImplementedError, match=r"no strategy for Feedback\. Use one of Pairs, Rankings"):
        scores_with(Feedback)
