"""Values of another type than their column, in every feedback type: the message has the row and the column."""

import datetime

import numpy as np
import pytest
from datasets import Dataset, IterableDataset

from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, prepare
from rlhf_losses.data.row_schema import READERS, require_valid_row
from rlhf_losses.data.rows import PREPARED_COLUMNS
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import FEEDBACK_TYPES, Attributes, Labels, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.feedback import StepwiseRankings as Stepwise
from rlhf_losses.losses import BradleyTerry

SURROGATE = "a\ud800"

DEEP = "a"
for _ in range(3_000):
    DEEP = [DEEP]


def each(names, values):
    """Return the same values for each name."""
    return {name: values for name in names}


VALID = {
    Pairs: {"prompt": "p", "chosen": "a", "rejected": "b", "margin": 1.0, "weight": 1, "preference": 0.5, "tie": 0.1},
    Rankings: {"prompt": "p", "completions": ["a", "b"], "ranks": [1, 2]},
    Ratings: {"prompt": "p", "completion": "a", "rating": 4},
    Labels: {"prompt": "p", "completion": "a", "label": True},
    Steps: {"prompt": "p", "completions": ["a", "b"], "labels": [True, None]},
    Stepwise: {"prompt": "p", "completion_steps": [["a"], ["b"]], "ranks": [1, 2]},
    Votes: {"prompt": "p", "completions": ["a", "b"], "votes": [1, 2], "ties": 0},
    Attributes: {"prompt": "p", "completion": "a", "attributes": {"helpful": 4, "brief": None}},
}

TEXTS = ("prompt", "completion", "chosen", "rejected")
LISTS = ("completions", "chosen_steps", "rejected_steps", "completion_steps")
NUMBERS = ("margin", "weight", "preference", "tie", "rating", "label", "ties")

WRONG = {
    **each(TEXTS, [[1, 2], [["a"]], b"a", datetime.date(2024, 1, 1), float("nan"), SURROGATE, {"a": 1}, DEEP]),
    **each(LISTS, [3, "ab", {"a": 1}, [None], [[1]], [b"a"], [float("nan")], [SURROGATE], DEEP]),
    "completion_steps": [1, [1], ["ab"], [["a"], [None]], [[["a"]]], [["a"], 3]],
    **each(NUMBERS, ["x", b"5", [1.0], {"a": 1}, datetime.date(2024, 1, 1), 10**400, 1j]),
    **each(("ranks", "ratings", "labels", "votes"), [1, "12", ["x"], [[1]], [b"5"], [10**400], {"a": 1}]),
    "attributes": ["x", 3, [3], {"a": "x"}, {1: 2}, {SURROGATE: 1}],
    **each(("chosen_ids", "rejected_ids"), [[], [-1], [1.0], ["a"], [None], [float("nan")], [True], 3, "ab"]),
    "system": [3, ["a"], {"a": 1}, SURROGATE],
    "tools": [3, {"a": 1}, "not JSON", "{", DEEP],
    "documents": [3, {"a": 1}, "not JSON", "[" * 5_000],
    "chat_template_kwargs": [
        *([1], 3, "not JSON", "[1]", {1: 2}, {"tokenize": True}, {"messages": []}, {"add_generation_prompt": 1}),
        *({"conversation": []}, np.array([1])),
    ],
}


def rows_with(column: str, value: object) -> list[tuple[type, dict[str, object]]]:
    """Return rows of every feedback type that has a column, with this value there."""
    found = []
    for feedback_type in FEEDBACK_TYPES:
        row = {**VALID[feedback_type]}
        if column.endswith("_ids"):
            row = {"chosen_ids": [5], "rejected_ids": [6]}
        if column in ("chosen_steps", "rejected_steps"):
            row = {"chosen_steps": ["a"], "rejected_steps": ["b"]}
        if column == "ratings":
            row = {"completions": ["a"], "ratings": [1]}
        if column in {one for columns in feedback_type.columns for one in columns} | {*feedback_type.optional_columns}:
            found.append((feedback_type, {**row, column: value}))
    return found or [(Pairs, {**VALID[Pairs], column: value})]


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES)
def test_valid_rows_pass_and_every_column_has_a_reader(feedback_type):
    require_valid_row(VALID[feedback_type], [feedback_type])
    columns = {column for columns in feedback_type.columns for column in columns} | {*feedback_type.optional_columns}
    assert columns <= set(READERS)


@pytest.mark.parametrize("column", WRONG)
def test_a_value_of_another_type_is_refused_with_its_column(column):
    for value in WRONG[column]:
        for feedback_type, row in rows_with(column, value):
            if feedback_type is Stepwise and column == "completions":
                continue
            with pytest.raises(InvalidFeedbackError, match=rf"olumn '{column}'") as caught:
                require_valid_row(row, [feedback_type])
            assert len(str(caught.value)) < 700


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), (1, 2), np.array([1, 2], dtype=np.int8)])
def test_arrays_and_tuples_are_lists(array):
    require_valid_row({"completions": ("a", "b"), "ranks": array}, [Rankings])
    assert Rankings.from_row({"completions": ("a", "b"), "ranks": array}).ranks.tolist() == [1, 2]


@pytest.mark.parametrize("stream", [False, True])
def test_the_message_has_the_row_and_the_dataset(stream, character_tokenizer):
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p", "chosen": [1], "rejected": "b"}]
    encoder, limit = RowEncoder(character_tokenizer, (Pairs,)), LengthLimit(None, "")

    def read():
        if stream:
            list(prepare(IterableDataset.from_generator(lambda: iter(rows)), encoder, limit, "my data"))
        else:
            check_dataset(Dataset.from_list(rows[1:]), BradleyTerry(), "my data")

    with pytest.raises(InvalidFeedbackError, match=rf"^Row {int(stream)} of my data: Column 'chosen' is \[1\]"):
        read()


@pytest.mark.parametrize("value", ["a text", 3.5, [["a"]], None])
def test_columns_of_the_user_do_not_change_the_preparation(value, character_tokenizer):
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    encoder, limit = RowEncoder(character_tokenizer, (Pairs,)), LengthLimit(None, "")
    expected = prepare(Dataset.from_list([row]), encoder, limit)[0]
    named = {name: value for name in (*PREPARED_COLUMNS, "prompt_share", "images_", "id")}
    prepared = prepare(Dataset.from_list([{**row, **named}]), encoder, limit)[0]
    assert {name: prepared.get(name) for name in PREPARED_COLUMNS} == {
        name: expected.get(name) for name in PREPARED_COLUMNS
    }
