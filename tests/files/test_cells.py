"""Kinds and values of cells."""

import pandas
import pytest
from datasets import Dataset

from rlhf_losses.feedback import FEEDBACK_TYPES
from rlhf_losses.files.cells import FEEDBACK_COLUMNS, STRUCTURED_COLUMNS, TEXT_COLUMNS, column_kinds, parse_list
from rlhf_losses.files.splits import load_rows


def test_every_column_of_a_feedback_type_has_a_kind():
    columns = {
        column
        for feedback_type in FEEDBACK_TYPES
        for alternative in (*feedback_type.columns, feedback_type.optional_columns)
        for column in alternative
    }
    assert columns <= {*FEEDBACK_COLUMNS, *STRUCTURED_COLUMNS, *TEXT_COLUMNS}


@pytest.mark.parametrize("text", ["1", '{"a": 1}', "a, b", "[1", "__import__('os')"])
def test_texts_that_are_not_lists_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_list(text)


@pytest.mark.parametrize(
    "rows",
    [
        [
            {"completions": ["it's", 'a "b"'], "ranks": [1, 2]},
            {"completions": ["c\n", "", "d" * 100], "ranks": [1, -2, 0]},
        ],
        [
            {
                "prompt": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "No, 'you'"}],
                "completion": "a",
            }
        ],
        [{"completions": ["a", "b"], "ratings": [1.5, 2.0]}, {"completions": ["c"], "ratings": [0.25]}],
        [{"completions": ["a", "b"], "labels": [True, False]}],
    ],
)
def test_lists_are_read_as_datasets_and_pandas_write_them(tmp_path, rows):
    Dataset.from_list(rows).to_csv(tmp_path / "datasets.csv")
    pandas.DataFrame(rows).to_csv(tmp_path / "pandas.csv", index=False)
    for name in ("datasets", "pandas"):
        assert list(load_rows(str(tmp_path / f"{name}.csv"))) == rows


@pytest.mark.parametrize("text", ["[1 ... 5]", "['a' b]", "[array([1]) array([2])]", "[1 nan]", "[007]", "[1-2]"])
def test_arrays_that_are_not_complete_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_list(text)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.50", None], "number"),
        (["TRUE", "false"], "number"),
        (["1", "007"], "text"),
        (["1", "a"], "text"),
        (["1", "nan"], "text"),
        (["[1]", None, '{"a": 1}'], "object"),
        (["[1]", "[see below]"], "text"),
        (['[{"role": "user", "content": "Hi"}]'], "list"),
    ],
)
def test_other_columns_contain_numbers_if_all_cells_are_numbers(cells, kind):
    assert column_kinds(["x"], [{"x": cell} for cell in cells], targets={}) == {"x": kind}


def test_labels_of_another_format_are_not_those_of_a_feedback_type():
    cells = {"input": "a step", "label": "a step +", "task": "sum"}
    assert set(column_kinds(cells, [cells], targets={}).values()) == {"text"}
    votes = {"history": "Hi", "labels": "1", "human_ref_A": "a", "human_ref_B": "b"}
    assert column_kinds(votes, [votes], targets={})["labels"] == "number"
