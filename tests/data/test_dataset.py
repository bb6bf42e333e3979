"""Datasets are checked without a model, ratings are grouped by prompt, and prompts get weights."""

import datetime
import logging

import pytest
from datasets import Dataset

from rlhf_losses import (
    FeedbackMismatchError,
    InvalidFeedbackError,
    bradley_terry,
    centering,
    cross_entropy,
    length_decorrelation,
    ordinal_preference,
    plackett_luce,
    score_decay,
    segment_hinge,
    squared_error,
)
from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, prepare, required_feedback_types
from rlhf_losses.data.dataset import add_prompt_weights, column_names
from rlhf_losses.data.rating_groups import group_ratings, without_long_answers
from rlhf_losses.feedback import Lengths, Pairs, Ratings, Steps
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.losses import SquaredDifference

PAIRS = {"prompt": ["q ", "q ", "r "], "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"]}
RATINGS = {"prompt": ["q", "q", "r"], "completion": ["a", "b", "c"], "rating": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    ("loss", "columns", "expected"),
    [
        (bradley_terry, ["chosen", "rejected"], (Pairs,)),
        (bradley_terry, ["prompt", "completions", "ratings"], (Ratings,)),
        (bradley_terry + segment_hinge, ["chosen", "rejected", "completions", "labels"], (Pairs, Steps)),
        (score_decay, ["completion", "rating"], (Ratings,)),
        (squared_error + length_decorrelation, ["completion", "rating"], (Ratings, Lengths)),
    ],
)
def test_the_terms_of_a_loss_determine_the_feedback_types(loss, columns, expected):
    assert required_feedback_types(loss, columns) == expected


def test_a_missing_type_is_named_with_the_columns_and_losses_that_fit():
    with pytest.raises(FeedbackMismatchError, match=r"segment_hinge needs Steps.*chosen, rejected.*hold Pairs.*hinge"):
        required_feedback_types(bradley_terry + segment_hinge, ["chosen", "rejected"])


def test_ratings_are_grouped_for_losses_that_compare_answers(caplog):
    data = Dataset.from_dict(RATINGS)
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        (group,) = group_ratings(data, bradley_terry + centering, "train data").rows
    assert group == {"prompt": "q", "completions": ["a", "b"], "ratings": [1.0, 2.0]}
    assert "3 rated answers" in caplog.text
    assert "1 prompts have one rated answer" in caplog.text
    assert group_ratings(data, squared_error) is None


def test_groups_have_each_answer_once_and_no_rows_without_a_prompt(caplog):
    rows = [("q", "a", 1.0), (None, "a", 5.0), ("q", "b", 2.0), ("q", "a", 4.0), (" ", "c", 1.0), (None, "d", 1.0)]
    names = ("prompt", "completion", "rating")
    grouped = group_ratings(Dataset.from_list([dict(zip(names, row, strict=True)) for row in rows]), bradley_terry)
    (group,) = grouped.rows
    assert (group["completions"], group["ratings"]) == (["a", "b"], [(1.0 + 4.0) / 2, 2.0])
    assert grouped.single_answers == 3
    assert "rated answers without a prompt (rows 1, 4, 5) are compared with no other answer" in caplog.text
    assert "have one rated answer" not in caplog.text


def test_ratings_that_are_texts_are_averaged_as_numbers():
    data = Dataset.from_dict({"prompt": ["Q"] * 3, "completion": ["a", "b", "a"], "rating": ["5", "1", "4"]})
    assert group_ratings(data, bradley_terry).rows[0]["ratings"] == [4.5, 1.0]


def test_a_rated_answer_that_is_too_long_leaves_its_list(character_tokenizer, caplog):
    long = "c c c c c c c c"
    answers = [("p", "a"), ("p", "b b"), ("p", long), ("q", "a"), ("q", long), ("r", "a"), ("r", "b")]
    rows = [{"prompt": f"{one} ", "completion": text, "rating": float(n)} for n, (one, text) in enumerate(answers)]
    lists = group_ratings(Dataset.from_list(rows), bradley_terry).rows
    encoder, limit = RowEncoder(character_tokenizer, (Ratings,)), LengthLimit(12, "max_length")
    fitting = without_long_answers(lists, encoder, limit, "train data")
    assert [row["completions"] for row in fitting] == [["a", "b b"], ["a", "b"]]
    assert [row["ratings"] for row in fitting] == [[0.0, 1.0], [5.0, 6.0]]
    assert "2 rated answers are longer than 12 tokens (max_length) and dropped" in caplog.text
    assert "the longest of their lists: rows 2, 4." in caplog.text
    assert without_long_answers(lists, encoder, LengthLimit(99, "max_length"), "train data") is lists
    with pytest.raises(InvalidFeedbackError, match="No list of train data has two answers of at most 2 tokens"):
        without_long_answers(lists, encoder, LengthLimit(2, "max_length"), "train data")


def test_rows_without_a_rating_are_dropped_and_counted(caplog):
    rows = Dataset.from_dict({"prompt": ["q"] * 3, "completion": ["a", "b", "c"], "rating": [None, 1.0, 2.0]})
    (group,) = group_ratings(rows, bradley_terry.as_objective()).rows
    assert group["completions"] == ["b", "c"]
    assert "1 of 3 rows have no feedback that the loss uses" in caplog.text
    report = inspect_dataset(rows, loss_registry())
    assert (report.rows, report.without_feedback, report.feedback["Ratings"].items) == (3, 1, 2)
    with pytest.raises(FeedbackMismatchError, match=r"No row of data has the feedback"):
        group_ratings(rows.select([0]), bradley_terry.as_objective())


def test_a_stream_of_ratings_cannot_be_grouped():
    stream = Dataset.from_dict(RATINGS).to_iterable_dataset()
    with pytest.raises(FeedbackMismatchError, match=r"stream.*without streaming"):
        group_ratings(stream, bradley_terry)
    assert group_ratings(stream, squared_error) is None


def test_checks_name_the_row_of_an_invalid_value():
    data = Dataset.from_dict({**RATINGS, "rating": [1.0, float("inf"), 2.0]})
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of train data.*inf"):
        check_dataset(data, squared_error, "train data")


def test_checks_name_the_number_of_invalid_rows():
    ratings = ["1", *["4,5"] * 3, "2", *["k. A."] * 3]
    data = Dataset.from_dict({"prompt": ["Q"] * 8, "completion": ["a"] * 8, "rating": ratings})
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of .* 6 rows are invalid: 1, 2, 3, 5, 6 and 1 more\."):
        check_dataset(data, squared_error)
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of (?!.*rows are invalid)"):
        check_dataset(data.select(range(2)), squared_error)


def test_checks_of_a_stream_use_its_first_row():
    stream = Dataset.from_dict({**RATINGS, "rating": [1.0, float("inf"), 2.0]}).to_iterable_dataset()
    check_dataset(stream, squared_error)
    assert column_names(stream) == ["prompt", "completion", "rating"]


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_without_feedback_and_long_rows_are_dropped_and_reported(character_tokenizer, caplog, streaming):
    data = Dataset.from_dict({**PAIRS, "chosen": ["a", None, "c" * 40], "rejected": ["d", None, "f"]})
    encoder = RowEncoder(character_tokenizer, (Pairs,))
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        rows = list(
            prepare(data.to_iterable_dataset() if streaming else data, encoder, LengthLimit(20, "max_length"), "data")
        )
    assert [row["chosen"] for row in rows] == ["a"]
    assert "longer than 20 tokens (max_length)" in caplog.text
    assert "too long already in row 2, so overlong='truncate_prompt' does not help" in caplog.text
    assert "To truncate prompts" not in caplog.text
    caplog.clear()
    prepare(Dataset.from_dict({**PAIRS, "prompt": ["q", "q" * 40, "r"]}), encoder, LengthLimit(20, "max_length"))
    assert "To truncate prompts instead: overlong='truncate_prompt' (row 1)." in caplog.text
    assert "does not help" not in caplog.text
    assert "They are dropped. " in caplog.text
    lists = {"prompt": ["q", "r"], "completions": [["a", "b", "c" * 40], ["d", "e", "f"]], "ratings": [[1, 2, 3]] * 2}
    prepare(Dataset.from_dict(lists), RowEncoder(character_tokenizer, (Ratings,)), LengthLimit(20, "max_length"))
    assert "They are dropped, with all of their 3 answers. " in caplog.text


def test_prompts_with_several_rows_get_smaller_weights(character_tokenizer):
    encoder = RowEncoder(character_tokenizer, (Pairs,))
    rows = prepare(Dataset.from_dict(PAIRS), encoder, LengthLimit(None, "no limit"))
    assert list(add_prompt_weights(rows)["prompt_weight"]) == [0.5, 0.5, 1.0]
    # Without a column, the tokens that the texts of a row have in common are its prompt.
    without = prepare(
        Dataset.from_dict({side: [p + a for p, a in zip(PAIRS["prompt"], PAIRS[side], strict=True)]
                           for side in ("chosen", "rejected")}),
        encoder, LengthLimit(None, "no limit"),
    )  # fmt: skip
    assert list(add_prompt_weights(without)["prompt_weight"]) == [0.5, 0.5, 1.0]
    with pytest.raises(FeedbackMismatchError, match=r"stream.*items"):
        add_prompt_weights(rows.to_iterable_dataset())


@pytest.mark.parametrize(
    ("loss", "row", "problem"),
    [
        (bradley_terry, {"chosen": None, "rejected": "b"}, "Column 'chosen' is null, but 'rejected' is not"),
        (cross_entropy, {"completion": None, "label": True}, "Column 'completion' is null, but 'label' is not"),
        (squared_error, {"completion": None, "rating": 2.0}, "Column 'completion' is null, but 'rating' is not"),
        (plackett_luce, {"completion": None, "rating": 2.0}, "Column 'completion' is null, but 'rating' is not"),
        (plackett_luce, {"completions": None, "ranks": [1, 2]}, "Column 'completions' is null, but 'ranks' is not"),
    ],
)
def test_a_null_answer_is_refused_with_its_row(loss, row, problem):
    good = {"chosen": "a", "rejected": "b", "completion": "a", "label": True, "rating": 1.0, "completions": ["a", "b"],
            "ranks": [1, 2]}  # fmt: skip
    rows = Dataset.from_list([{"prompt": "q"} | {name: good[name] for name in row}] * 2 + [{"prompt": "q"} | row])
    with pytest.raises(InvalidFeedbackError, match=f"Row 2 of data: .*{problem}"):
        group_ratings(rows, loss.as_objective()) or check_dataset(rows, loss)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("loss", [ordinal_preference, 2 * SquaredDifference(target=0.0)], ids=str)
def test_a_row_without_a_required_column_is_refused_with_its_number(character_tokenizer, loss, streaming):
    rows = Dataset.from_dict({**PAIRS, "margin": [1, 0, None]})
    encoder = RowEncoder(character_tokenizer, (Pairs,))

    def check():
        if streaming:
            list(prepare(rows.to_iterable_dataset(), encoder, LengthLimit(None, "no limit"), loss=loss))
        else:
            check_dataset(rows, loss)

    with pytest.raises(InvalidFeedbackError, match=r"Row 2 of data.*Column 'margin' is null.* in every row.* drop"):
        check()
    check_dataset(rows.select([0, 1]), loss)
    check_dataset(rows, bradley_terry)


def test_a_required_column_is_not_required_of_rows_with_other_feedback():
    rows = [
        {"chosen": "a", "rejected": "b", "margin": 2, "completion": None, "label": None},
        {"chosen": None, "rejected": None, "margin": None, "completion": "a", "label": True},
    ]
    check_dataset(Dataset.from_list(rows), ordinal_preference + cross_entropy)


def test_a_row_without_feedback_of_a_type_is_not_a_null_answer():
    rows = [
        {"chosen": "a", "rejected": "b", "completion": None, "label": None},
        {"chosen": None, "rejected": None, "completion": "a", "label": True},
    ]
    check_dataset(Dataset.from_list(rows), bradley_terry + cross_entropy)


def test_prompts_with_other_template_arguments_are_other_prompts(character_tokenizer):
    encoder = RowEncoder(character_tokenizer, (Pairs,))
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b", "system": system} for system in ("x", "x", "y")]
    prepared = prepare(Dataset.from_list(rows), encoder, LengthLimit(None, "no limit"))
    assert list(add_prompt_weights(prepared)["prompt_weight"]) == [0.5, 0.5, 1.0]


def test_a_prompt_that_is_a_date_is_refused_with_its_row():
    day = {"prompt": datetime.date(2024, 1, 2), "completion": "a"}
    rows = Dataset.from_list([day | {"rating": 1.0}, day | {"rating": 2.0}])
    with pytest.raises(InvalidFeedbackError, match=r"Row 0 of .*'prompt' is datetime\.date"):
        check_dataset(group_ratings(rows, bradley_terry.as_objective()).rows, bradley_terry)
