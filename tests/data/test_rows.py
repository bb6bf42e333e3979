"""Rows are tokenized as whole texts, each text once, with a score at the end of every part."""

import pytest
import torch

from rlhf_losses import segment_rating
from rlhf_losses.data import RowEncoder, join_feedback
from rlhf_losses.data.rows import (
    FEEDBACK_COLUMNS,
    PREPARED_COLUMNS,
    feedback_types_in_row,
    row_feedback,
    rows_feedback,
)
from rlhf_losses.data.tokenization import Encoded, cut_prompt
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Labels, Mixed, Pairs, Rankings, Ratings, Steps
from rlhf_losses.metrics import agreement


def words(tokenizer, ids):
    return "".join(tokenizer.convert_ids_to_tokens(ids))


def test_a_text_ends_with_eos_and_is_scored_there(character_tokenizer):
    row = RowEncoder(character_tokenizer, (Pairs,)).encode({"prompt": "q ", "chosen": "yes", "rejected": "no<eos>"})
    assert [words(character_tokenizer, ids) for ids in row["text_ids"]] == ["<bos>q yes<eos>", "<bos>q no<eos>"]
    assert row["score_position"] == [len(ids) - 1 for ids in row["text_ids"]]


def test_each_step_is_scored_at_the_token_that_completes_it(character_tokenizer):
    steps = {"prompt": "q ", "completions": ["ab. ", "cd", "e"], "labels": [1, 0, 1]}
    row = RowEncoder(character_tokenizer, (Steps,)).encode(steps)
    text = words(character_tokenizer, row["text_ids"][0])
    assert text == "<bos>q ab. cd\ne<eos>"
    tokens = character_tokenizer.convert_ids_to_tokens(row["text_ids"][0])
    assert [tokens[position] for position in row["score_position"]] == [" ", "\n", "<eos>"]


def test_a_text_of_two_feedback_types_occurs_once(character_tokenizer):
    row = {"prompt": "q ", "chosen": "ab. cd", "rejected": "no", "completions": ["ab. ", "cd"], "labels": [1, 0]}
    encoded = RowEncoder(character_tokenizer, (Pairs, Steps)).encode(row)
    assert len(encoded["text_ids"]) == 2
    # The chosen answer and its last step have the same score.
    chosen, _rejected, _first_step, last_step = encoded["feedback_to_score"]
    assert chosen == last_step
    assert len(encoded["score_position"]) == 3


def test_a_null_column_has_no_feedback(character_tokenizer):
    row = {"prompt": "q ", "chosen": None, "rejected": None, "completion": "ab", "label": True}
    assert RowEncoder(character_tokenizer, (Pairs, Labels)).encode(row)["feedback_types"] == ["Labels"]


def test_the_prompts_of_a_row_are_truncated_by_the_same_number_of_tokens(character_tokenizer):
    row = {"prompt": "abcdefgh ", "chosen": "yes yes", "rejected": "no"}
    encoded = RowEncoder(character_tokenizer, (Pairs,)).encode(row, max_length=14)
    texts = [words(character_tokenizer, ids) for ids in encoded["text_ids"]]
    assert texts == ["<bos>efgh yes yes<eos>", "<bos>efgh no<eos>"]


def test_truncating_a_prompt_shifts_the_score_positions():
    cut = cut_prompt(Encoded(ids=[1, 7, 8, 9, 5, 2], positions=(4, 5), prompt=(1, 4)), 2)
    assert cut == Encoded(ids=[1, 9, 5, 2], positions=(2, 3), prompt=(1, 2), removed=2)


def test_a_tokenized_pair_is_used_unchanged(character_tokenizer):
    row = RowEncoder(character_tokenizer, (Pairs,)).encode({"chosen_ids": [1, 5, 2], "rejected_ids": [1, 6, 7, 2]})
    assert row["text_ids"] == [[1, 5, 2], [1, 6, 7, 2]]
    assert row["score_position"] == [2, 3]


def test_a_tokenized_text_without_tokens_is_refused(character_tokenizer):
    with pytest.raises(InvalidFeedbackError, match=r"rejected_ids.*\[\].*Drop the row"):
        RowEncoder(character_tokenizer, (Pairs,)).encode({"chosen_ids": [1, 5, 2], "rejected_ids": []})


def test_score_lengths_count_answer_tokens_up_to_each_score(character_tokenizer):
    row = {"prompt": "abc ", "completions": ["de. ", "f"], "labels": [1, 0]}
    encoded = RowEncoder(character_tokenizer, (Steps,)).encode(row)
    assert encoded["score_length"] == [len("de. "), len("de. f") + 1]  # EOS is the last token of the answer


@pytest.mark.parametrize("ignored", [None, -100, -100.0])
def test_steps_that_nobody_judged_are_left_out_of_the_feedback(character_tokenizer, ignored):
    row = {"prompt": "q ", "completions": ["a. ", "b. ", "c"], "labels": [0.5, ignored, 1.0]}
    encoded = RowEncoder(character_tokenizer, (Steps,)).encode(row)
    steps = row_feedback(row, (Steps,)).convert_to(Steps)
    assert steps.values.tolist() == [0.5, 1.0]
    assert encoded["feedback_to_score"] == [0, -1, 1]
    assert encoded["score_position"] == [len("^q a. ") - 1, len("^q a. b. c$") - 1]  # ^ is BOS, and $ is EOS
    scores = torch.tensor([3.0, 100.0, -1.0])
    assert segment_rating(scores, steps).item() == pytest.approx(((3 - 0.5) ** 2 + (-1 - 1) ** 2) / 2)
    assert agreement(scores, Steps.from_row(row | {"labels": [1, ignored, 1]}))["accuracy"].mean == 0.5


def test_a_row_in_which_nobody_judged_a_step_has_no_feedback():
    row = {"completions": ["a", "b"], "labels": [None, -100]}
    assert feedback_types_in_row(row, (Steps,)) == ()
    assert feedback_types_in_row(row | {"labels": [None, 0]}, (Steps,)) == (Steps,)


def test_joined_feedback_shifts_the_positions_of_each_row_by_the_scores_before_it():
    lists = Rankings(candidates=[0, 1, 2], sizes=[3], ranks=[2, 1, 3])
    pair = Pairs(chosen=[1], rejected=[0])
    joined = join_feedback([lists, pair, pair])
    assert joined.convert_to(Rankings).candidates.tolist() == [0, 1, 2]
    pairs = next(one for one in joined.parts if isinstance(one, Pairs))
    assert pairs.chosen.tolist() == [4, 6]
    assert pairs.rejected.tolist() == [3, 5]


def test_joined_feedback_has_the_requested_types_without_rows_of_them():
    joined = join_feedback([Labels(candidates=[0], labels=[1.0])], feedback_types=(Pairs, Labels))
    assert [type(one) for one in joined.parts] == [Pairs, Labels]
    assert len(joined.convert_to(Pairs)) == 0
    assert len(join_feedback([], feedback_types=(Pairs,))) == 0


def test_given_score_counts_include_scores_without_feedback():
    labels = Labels(candidates=[0], labels=[1.0])
    assert join_feedback([labels, labels], score_counts=[3, 2]).convert_to(Labels).candidates.tolist() == [0, 3]


def test_row_feedback_skips_types_that_a_row_does_not_have():
    row = {"prompt": "q", "completion": "a", "rating": 0.5, "chosen": None, "rejected": None}
    found = row_feedback(row, (Pairs, Ratings))
    assert isinstance(found, Mixed)
    assert [type(one) for one in found.parts] == [Ratings]
    torch.testing.assert_close(found.convert_to(Ratings).ratings, torch.tensor([0.5]))


def test_the_columns_of_a_batch_are_values_of_feedback_and_tokens():
    assert {"margin", "ranks", "labels", "votes", "chosen_steps", "completion_steps"} <= set(FEEDBACK_COLUMNS)
    assert not {"prompt", "chosen", "completions", "chosen_ids"} & set(FEEDBACK_COLUMNS)
    assert {"text_ids", "feedback_types", "prompt_weight"} <= set(PREPARED_COLUMNS)


def test_rows_after_an_unjudged_step_keep_their_scores():
    """The feedback of a row counts the scores of all its steps, also of those that nobody judged."""
    rows = [
        {"completions": ["a", "b", "c"], "labels": [1, 0, None]},
        {"completions": ["d", "e"], "labels": [-100, 1]},
    ]
    assert rows_feedback(rows, (Steps,)).convert_to(Steps).steps.tolist() == [0, 1, 4]
    both = {"completion": "x", "label": True, "completions": ["a", "b"], "labels": [1, None]}
    mixed = row_feedback(both, (Steps, Labels))
    assert mixed.convert_to(Labels).candidates.tolist() == [2]
