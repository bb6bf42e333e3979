"""Loading of datasets from files and folders."""

import csv
import gc
import json

import pytest
from datasets import Dataset, DatasetDict

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.files.cells import parse_list
from rlhf_losses.files.splits import load_rows, load_splits

ROWS = [
    {"prompt": "1 + 1 = ", "completions": ["2", "3"], "ranks": [1, 2]},
    {"prompt": "1 + 2 = ", "completions": ["4", "[3]", "3"], "ranks": [2, 1, 1]},
]


def write_csv(file, rows, as_text=json.dumps):
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow({name: value if isinstance(value, str) else as_text(value) for name, value in row.items()})
    return file


def write(file, rows):
    writers = {
        ".jsonl": lambda: file.write_text("".join(json.dumps(row) + "\n" for row in rows)),
        ".json": lambda: file.write_text(json.dumps(rows)),
        ".parquet": lambda: Dataset.from_list(rows).to_parquet(file),
        ".csv": lambda: write_csv(file, rows),
    }
    writers[file.suffix]()
    return file


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv"])
def test_all_file_formats_give_the_same_rows(tmp_path, suffix):
    assert list(load_rows(str(write(tmp_path / f"rows{suffix}", ROWS)))) == ROWS


def test_csv_cells_can_be_python_lists(tmp_path):
    assert list(load_rows(str(write_csv(tmp_path / "rows.csv", ROWS, as_text=repr)))) == ROWS


def test_csv_cells_can_be_conversations(tmp_path):
    rows = [{"chosen": [{"role": "user", "content": "Hi"}], "rejected": [{"role": "user", "content": "No"}]}]
    assert list(load_rows(str(write_csv(tmp_path / "rows.csv", rows)))) == rows


def test_a_text_in_brackets_in_a_csv_file_remains_a_text(tmp_path):
    rows = [{"prompt": "[1, 2] has the sum ", "chosen": "[3]", "rejected": "[4, 5]"}]
    assert list(load_rows(str(write_csv(tmp_path / "rows.csv", rows)))) == rows


def test_an_invalid_list_in_a_csv_file_is_refused_with_its_row(tmp_path):
    file = write_csv(tmp_path / "rows.csv", [ROWS[0], ROWS[1] | {"ranks": "first"}])
    with pytest.raises(
        InvalidFeedbackError, match=r"Column 'ranks' of row 1 of .*rows.csv' is 'first', which is not a list. Write"
    ):
        load_rows(str(file))


@pytest.mark.parametrize("text", ["1", '{"a": 1}', "a, b", "[1", "__import__('os')"])
def test_texts_that_are_not_lists_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_list(text)


def test_a_file_is_the_split_train(tmp_path):
    assert list(load_splits(str(write(tmp_path / "any.jsonl", ROWS)))) == ["train"]


def test_a_saved_dataset_is_the_split_train(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    assert list(load_splits(str(tmp_path / "saved"))["train"]) == ROWS


def test_saved_splits_keep_their_names(tmp_path):
    DatasetDict(train=Dataset.from_list(ROWS), dev=Dataset.from_list(ROWS[:1])).save_to_disk(tmp_path / "saved")
    assert {name: len(rows) for name, rows in load_splits(str(tmp_path / "saved")).items()} == {"train": 2, "dev": 1}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_file_names_in_a_folder_are_names_of_splits(tmp_path, suffix):
    write(tmp_path / f"train{suffix}", ROWS)
    write(tmp_path / f"test{suffix}", ROWS[:1])
    splits = load_splits(str(tmp_path))
    assert list(splits["train"]) == ROWS
    assert list(splits["test"]) == ROWS[:1]


def test_the_default_of_several_splits_is_test(tmp_path):
    DatasetDict(train=Dataset.from_list(ROWS), test=Dataset.from_list(ROWS[:1])).save_to_disk(tmp_path / "saved")
    assert len(load_rows(str(tmp_path / "saved"))) == 1
    assert len(load_rows(str(tmp_path / "saved"), "train")) == 2


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # datasets does not close streamed files
def test_lists_in_streamed_csv_files_are_decoded(tmp_path):
    stream = load_splits(str(write(tmp_path / "rows.csv", ROWS)), streaming=True)["train"]
    assert list(stream) == ROWS
    gc.collect()


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path):
    write(tmp_path / "pairs.train.jsonl", ROWS)
    with pytest.raises(UnreadableDatasetError, match=r"no file 'pair.train.jsonl' in .* Did you mean 'pairs.train.jsonl'\?"):
        load_rows(str(tmp_path / "pair.train.jsonl"))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UnreadableDatasetError, match="no folder"):
        load_rows(str(tmp_path / "nowhere" / "pairs.jsonl"))


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    file = tmp_path / "rows.txt"
    file.write_text("text")
    with pytest.raises(UnreadableDatasetError, match=r"suffix '.txt'.* \.json, \.jsonl, \.parquet, \.csv"):
        load_rows(str(file))


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(UnreadableDatasetError, match="has no dataset"):
        load_rows(str(tmp_path))


def test_a_folder_with_several_file_formats_is_refused(tmp_path):
    for suffix in (".jsonl", ".csv"):
        write(tmp_path / f"rows{suffix}", ROWS)
    with pytest.raises(
        UnreadableDatasetError, match=r"several formats \(rows.csv, rows.jsonl\), of which only one.*Give one file"
    ):
        load_rows(str(tmp_path))
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: rows.csv\n---\n")
    assert list(load_rows(str(tmp_path))) == ROWS


def test_files_with_different_columns_are_refused_with_the_columns(tmp_path):
    write(tmp_path / "a.jsonl", ROWS)
    write(tmp_path / "b.jsonl", [{"prompt": "1 + 1 = ", "chosen": "2", "rejected": "3"}])
    with pytest.raises(UnreadableDatasetError, match=r"its rows differ, .*new columns.*chosen.*Give one of its files"):
        load_rows(str(tmp_path))


def test_a_folder_with_a_model_is_refused(tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UnreadableDatasetError, match=r"contains a model \(config.json\), not a dataset.*--model"):
        load_rows(str(tmp_path))


@pytest.mark.parametrize("content", ["", "\n", "[]"])
def test_a_file_without_rows_is_refused(tmp_path, content):
    file = tmp_path / "rows.json"
    file.write_text(content)
    with pytest.raises(InvalidFeedbackError, match=r"rows.json.* (is empty|has no rows)"):
        load_rows(str(file))


def test_an_invalid_file_is_refused_with_the_reason(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a"}\n{oops}\n')
    with pytest.raises(UnreadableDatasetError, match=r"rows.jsonl' cannot be loaded: JSON parse error: .* row 1"):
        load_rows(str(file))


def test_a_missing_split_is_refused_with_the_existing_ones(tmp_path):
    with pytest.raises(UnreadableDatasetError, match=r"has no split 'tset'\..* Choose one of: train"):
        load_rows(str(write(tmp_path / "rows.jsonl", ROWS)), "tset")


def test_a_split_without_rows_is_refused(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("prompt,chosen,rejected\n")
    with pytest.raises(InvalidFeedbackError, match="has no rows"):
        load_rows(str(file))
