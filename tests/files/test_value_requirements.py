"""Values that feedback requires, in files of every format."""

import json

import pytest

from rlhf_losses.data import convert_dataset
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.files.columns import parse_columns, rename_columns
from rlhf_losses.files.splits import load_splits

STEPS = {"prompt": "Q", "completions": ["a", "b", "c"]}


@pytest.fixture(params=[False, True], ids=["dataset", "stream"])
def read(request, tmp_path):
    """Return a function that reads a text as a file, with renamed columns."""

    def read_rows(text, suffix=".jsonl", columns=None):
        file = tmp_path / f"rows{suffix}"
        file.write_text(text)
        renaming = parse_columns(columns)
        return list(
            rename_columns(load_splits(str(file), streaming=request.param, columns=renaming)["train"], renaming)
        )

    return read_rows


def json_lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def csv_table(*rows):
    """Return the rows as CSV, with lists and objects as JSON."""
    lines = [list(rows[0]), *([v if isinstance(v, str) else json.dumps(v) for v in row.values()] for row in rows)]
    return "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) + "\n" for line in lines)


@pytest.mark.parametrize(("write", "suffix"), [(json_lines, ".jsonl"), (csv_table, ".csv")])
@pytest.mark.parametrize("labels", [[[True, 0, 1]], [[True, None, -100]], [[True, False, True], [1, 0, 1.0]]])
def test_booleans_and_numbers_are_labels_together(read, labels, write, suffix):
    rows = read(write(*(STEPS | {"labels": one} for one in labels)), suffix)
    assert [row["labels"] for row in rows] == labels  # True == 1 == 1.0


def test_booleans_beside_numbers_in_one_column_are_labels(read):
    rows = [{"prompt": "Q", "completion": "a", "label": label} for label in (True, 0, 0.5)]
    assert [row["label"] for row in read(json_lines(*rows))] == [1, 0, 0.5]


@pytest.mark.parametrize(("write", "suffix"), [(json_lines, ".jsonl"), (csv_table, ".csv")])
def test_large_integers_in_numbers_of_feedback_are_floats(read, write, suffix):
    rows = read(write(*({"prompt": "Q", "completion": "a", "rating": rating} for rating in (10**20, 1))), suffix)
    assert [row["rating"] for row in rows] == [1e20, 1.0]
    lists = read(write({"prompt": "Q", "completions": ["a", "b"], "ratings": [-(10**30), 2]}), suffix)
    assert lists[0]["ratings"] == [-1e30, 2.0]
    assert read(write({"completion": "a", "attributes": {"x": 10**20}}), suffix)[0]["attributes"] == {"x": 1e20}


def test_integers_larger_than_any_float_are_refused_with_the_row(read):
    rows = [{"prompt": "Q", "completion": "a", "rating": rating} for rating in (1, 10**400)]
    with pytest.raises(InvalidFeedbackError, match=r"Column 'rating' of row 1 of .* is 1000.*Correct the number"):
        read(json_lines(*rows))


@pytest.mark.parametrize("head", ["response", "answer", "output", "reply"])
def test_values_of_objects_in_cells_are_renamed(read, head):
    text = f'prompt,{head}\nQ,"{{""text"": ""7"", ""score"": 3}}"\nQ,"{{""text"": 1.50, ""score"": 2.5}}"\n'
    rows = read(text, ".csv", f"completion={head}.text,rating={head}.score")
    assert [(row["completion"], row["rating"]) for row in rows] == [("7", 3), ("1.50", 2.5)]


def test_elements_and_keys_of_lists_in_cells_are_renamed(read):
    rows = read(csv_table({"prompt": "Q", "answer": ["007", "8"]}), ".csv", "chosen=answer.0,rejected=answer.1")
    assert (rows[0]["chosen"], rows[0]["rejected"]) == ("007", "8")
    rows = read(
        csv_table({"prompt": "Q", "response": [{"text": "7"}, {"text": 8}]}), ".csv", "completions=response.text"
    )
    assert rows[0]["completions"] == ["7", "8"]


def test_a_column_with_a_dot_in_its_name_has_no_head(read):
    rows = read("prompt,response,response.text\nQ,a,7\n", ".csv", "completion=response.text")
    assert rows == [{"prompt": "Q", "response": "a", "completion": "7"}]


@pytest.mark.parametrize("written", ["1.50", "1e5", "1E400", "-0.0", "0.10000000000000000001", "7", "true"])
def test_json_numbers_in_columns_of_texts_are_as_written(read, written):
    text = (
        f'{{"prompt": {written}, "completions": [{written}, "b"], "ranks": [1, 2], "reply": {{"text": {written}}}}}\n'
    )
    (row,) = read(text, columns="system=reply.text")
    assert (row["prompt"], row["completions"], row["system"]) == (written, [written, "b"], written)


def test_json_numbers_elsewhere_are_numbers(read):
    rows = read('{"chosen": "a", "rejected": "b", "margin": 1.50}\n{"chosen": "a", "rejected": "b", "margin": 1e2}\n')
    assert [row["margin"] for row in rows] == [1.5, 100.0]


@pytest.mark.parametrize(
    ("text", "suffix", "column"),
    [
        ('{"chosen": "a", "rejected": "b"}\n{"chosen": "a\\ud83d", "rejected": "b"}\n', ".jsonl", "chosen"),
        ('[{"chosen": "a", "rejected": "b"}, {"chosen": "a", "rejected": "b\\ude00"}]', ".json", "rejected"),
        (
            json_lines(*[{"completion": "a", "m": {"k": ["x"]}}, {"completion": "a", "m": {"k": ["\ud83d"]}}]),
            ".jsonl",
            "m",
        ),
        (json_lines(*[{"text": "a", "m": {"k": 1}}, {"text": "a", "m": {"\ud83d": 1}}]), ".jsonl", "m"),
        ('completions,ranks\n"[""a"", ""b""]","[1, 2]"\n"[""a"", ""\\ud83d""]","[1, 2]"\n', ".csv", "completions"),
    ],
)
def test_half_characters_are_refused_with_row_and_column(read, text, suffix, column):
    with pytest.raises(
        InvalidFeedbackError,
        match=rf"Column '{column}' of row 1 of .*rows{suffix}' contains '\\ud.*half of a character",
    ):
        read(text, suffix)


def test_characters_of_two_halves_are_read(read):
    assert read('{"text": "\\ud83d\\ude00"}\n') == [{"text": "😀"}]


@pytest.mark.parametrize(
    "values", [["x", ["x"]], [["x"], {"a": 1}], [{"a": "7"}, "7"], ["x", 7, [[1], "y"]], [None, [1], "true", ["a", {}]]]
)
def test_values_of_several_types_in_a_column_that_is_not_needed_are_kept(read, values):
    rows = [{"prompt": "Q", "chosen": "a", "rejected": "b", "answer": "7", "meta": value} for value in values]
    assert read(json_lines(*rows)) == rows


def test_pairs_beside_values_of_several_types_are_feedback(tmp_path):
    rows = [{"chosen": "a", "rejected": "b", "meta": meta} for meta in ("x", ["x"])]
    (tmp_path / "rows.jsonl").write_text(json_lines(*rows))
    converted = convert_dataset(load_splits(str(tmp_path / "rows.jsonl"))["train"])
    assert converted["chosen"][:] == ["a", "a"]


def test_cells_of_another_kind_after_the_first_rows_are_texts(tmp_path):
    cells = ["1"] * 1_499 + ["abc", "007", "", "2"]
    file = tmp_path / "rows.csv"
    file.write_text("prompt,chosen,rejected,id,tags\n" + "".join(f"Q,a,b,{cell},[{cell}]\n" for cell in cells))
    stream = list(load_splits(str(file), streaming=True)["train"])
    assert [row["id"] for row in stream[1_498:]] == [1, "abc", "007", None, 2]
    assert [row["tags"] for row in stream[1_498:]] == [[1], "[abc]", "[007]", [], [2]]
    assert load_splits(str(file))["train"]["id"][1_498:] == ["1", "abc", "007", None, "2"]
