"""A row of a dataset becomes texts to score and feedback on their scores."""

import pytest
import torch

from rlhf_losses.feedback import (
    FEEDBACK_TYPES,
    Answer,
    Labels,
    Mixed,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    Votes,
    feedback_types_in_columns,
)

PROMPT = "Why is the sky blue?"
GOOD, BAD, WORSE = "Air scatters blue most.", "It is paint.", "Who knows."
ASK = [{"role": "user", "content": PROMPT}]
REPLY = [{"role": "assistant", "content": GOOD}]
OTHER = [{"role": "assistant", "content": BAD}]


def test_a_pair_with_a_prompt_is_two_answers_to_it():
    row = {"prompt": PROMPT, "chosen": GOOD, "rejected": BAD}
    assert Pairs.answers(row) == [Answer(PROMPT, (GOOD,)), Answer(PROMPT, (BAD,))]
    pairs = Pairs.from_row(row)
    assert (pairs.chosen.tolist(), pairs.rejected.tolist()) == ([0], [1])
    assert (pairs.margin, pairs.weight, pairs.preference) == (None, None, None)


def test_a_pair_without_a_prompt_has_whole_texts():
    assert Pairs.answers({"chosen": GOOD, "rejected": BAD}) == [Answer(None, (GOOD,)), Answer(None, (BAD,))]


def test_a_pair_of_conversations_has_messages():
    row = {"prompt": ASK, "chosen": REPLY, "rejected": OTHER}
    assert Pairs.answers(row) == [Answer(ASK, (REPLY,)), Answer(ASK, (OTHER,))]


def test_the_optional_columns_of_a_pair_are_read():
    pairs = Pairs.from_row({"chosen": GOOD, "rejected": BAD, "margin": 2, "weight": 0.5, "preference": 0.75})
    assert pairs.margin.tolist() == [2.0]
    assert pairs.weight.tolist() == [0.5]
    assert pairs.preference.tolist() == [0.75]


@pytest.mark.parametrize("column", ["margin", "weight", "preference"])
def test_an_optional_column_that_is_null_is_ignored(column):
    assert getattr(Pairs.from_row({"chosen": GOOD, "rejected": BAD, column: None}), column) is None


def test_a_ranking_is_one_list_of_answers():
    row = {"prompt": PROMPT, "completions": [BAD, GOOD, WORSE], "ranks": [2, 1, 2]}
    assert Rankings.answers(row) == [Answer(PROMPT, (text,)) for text in (BAD, GOOD, WORSE)]
    rankings = Rankings.from_row(row)
    assert rankings.candidates.tolist() == [0, 1, 2]
    assert rankings.ranks.tolist() == [2, 1, 2]
    assert rankings.sizes.tolist() == [3]
    assert len(rankings) == 1


def test_only_the_order_of_ranks_matters():
    row = {"completions": [BAD, GOOD, WORSE, "?"], "ranks": [10, 2.5, 10, 40]}
    assert Rankings.from_row(row).ranks.tolist() == [2, 1, 2, 3]


def test_one_rating_is_read_from_a_completion():
    row = {"prompt": PROMPT, "completion": GOOD, "rating": 4}
    assert Ratings.answers(row) == [Answer(PROMPT, (GOOD,))]
    ratings = Ratings.from_row(row)
    assert (ratings.candidates.tolist(), ratings.ratings.tolist(), ratings.sizes.tolist()) == ([0], [4.0], [1])


def test_several_ratings_are_read_from_completions():
    row = {"prompt": PROMPT, "completions": [GOOD, BAD], "ratings": [4.5, 1]}
    assert Ratings.answers(row) == [Answer(PROMPT, (GOOD,)), Answer(PROMPT, (BAD,))]
    ratings = Ratings.from_row(row)
    assert (ratings.candidates.tolist(), ratings.ratings.tolist(), ratings.sizes.tolist()) == ([0, 1], [4.5, 1.0], [2])
    assert len(ratings) == 2


@pytest.mark.parametrize(("label", "read"), [(True, 1.0), (False, 0.0), (1, 1.0), (-1, -1.0), (0.25, 0.25)])
def test_a_label_is_true_or_false_or_a_number(label, read):
    row = {"prompt": PROMPT, "completion": GOOD, "label": label}
    assert Labels.answers(row) == [Answer(PROMPT, (GOOD,))]
    assert Labels.from_row(row).labels.tolist() == [read]


@pytest.mark.parametrize(
    ("labels", "read"),
    [([True, False], [1.0, 0.0]), ([1, -1], [1.0, -1.0]), ([0.9, -0.6], pytest.approx([0.9, -0.6]))],
)
def test_the_steps_of_one_answer_are_its_parts(labels, read):
    row = {"prompt": PROMPT, "completions": ["First.", "Then."], "labels": labels}
    assert Steps.answers(row) == [Answer(PROMPT, ("First.", "Then."))]
    steps = Steps.from_row(row)
    assert steps.steps.tolist() == [0, 1]
    assert steps.values.tolist() == read


def test_votes_are_counts_of_two_answers():
    row = {"prompt": PROMPT, "completions": [GOOD, BAD], "votes": [2, 1]}
    assert Votes.answers(row) == [Answer(PROMPT, (GOOD,)), Answer(PROMPT, (BAD,))]
    votes = Votes.from_row(row)
    assert (votes.votes_first.tolist(), votes.votes_second.tolist(), votes.ties) == ([2.0], [1.0], None)
    assert Votes.from_row({**row, "ties": 3}).ties.tolist() == [3.0]


def test_a_row_can_have_several_feedback_types():
    row = {"prompt": PROMPT, "chosen": GOOD, "rejected": BAD, "completion": WORSE, "label": False}
    assert Mixed.answers(row) == [Answer(PROMPT, (text,)) for text in (GOOD, BAD, WORSE)]
    mixed = Mixed.from_row(row)
    assert (mixed.convert_to(Pairs).chosen.tolist(), mixed.convert_to(Pairs).rejected.tolist()) == ([0], [1])
    assert mixed.convert_to(Labels).candidates.tolist() == [2]
    assert mixed.score_count() == 3


def test_positions_count_the_parts_of_all_answers():
    row = {"chosen": GOOD, "rejected": BAD, "completions": ["First.", "Then."], "labels": [1, 0]}
    assert sum(len(answer.parts) for answer in Mixed.answers(row)) == 4
    assert Mixed.from_row(row).convert_to(Steps).steps.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("columns", "types"),
    [
        (["chosen", "rejected"], [Pairs]),
        (["prompt", "chosen", "rejected", "margin"], [Pairs]),
        (["chosen_ids", "rejected_ids"], [Pairs]),
        (["prompt", "completions", "ranks"], [Rankings]),
        (["prompt", "completion", "rating"], [Ratings]),
        (["prompt", "completions", "ratings"], [Ratings]),
        (["prompt", "completion", "label"], [Labels]),
        (["prompt", "completions", "labels"], [Steps]),
        (["prompt", "completions", "votes", "ties"], [Votes]),
        (["prompt", "completions", "votes", "ranks", "ratings"], [Rankings, Ratings, Votes]),
        (["completion", "label", "rating"], [Ratings, Labels]),
        (["chosen", "rejected", "completions", "labels"], [Pairs, Steps]),
        (["prompt", "text"], []),
        ([], []),
    ],
)
def test_columns_determine_the_feedback_types(columns, types):
    assert feedback_types_in_columns(columns) == tuple(types)


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES, ids=lambda one: one.__name__)
def test_each_set_of_columns_matches_its_feedback_type(feedback_type):
    for alternative in feedback_type.columns:
        assert feedback_type.matches_columns([*alternative, *feedback_type.optional_columns])
        assert not feedback_type.matches_columns(alternative[1:])


def test_only_the_given_feedback_types_of_a_row_are_read():
    row = {"chosen": GOOD, "rejected": BAD, "completion": WORSE, "label": False}
    mixed = Mixed.from_row(row, [Labels])
    assert [type(part) for part in mixed.parts] == [Labels]
    assert mixed.convert_to(Labels).candidates.tolist() == [0]


def test_fields_take_lists_and_keep_tensors():
    pairs = Pairs(chosen=[0], rejected=[1], margin=[1])
    assert (pairs.chosen.dtype, pairs.margin.dtype) == (torch.long, torch.float32)
    assert Pairs(chosen=torch.tensor([0]), rejected=torch.tensor([1])).rejected.dtype == torch.long
