"""Loading of datasets from files and folders."""

import bz2
import csv
import gzip
import json
import lzma
import zipfile
from datetime import date
from io import BytesIO

import fsspec
import pytest
import zstandard
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook
from thorough_cases import each_value

from rlhf_losses.errors import InvalidFeedbackError, MissingPackageError, UnreadableDatasetError
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


def test_lists_in_streamed_csv_files_are_decoded(tmp_path):
    stream = load_splits(str(write(tmp_path / "rows.csv", ROWS)), streaming=True)["train"]
    assert list(stream) == ROWS


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path):
    write(tmp_path / "pairs.train.jsonl", ROWS)
    message = r"no file 'pair.train.jsonl' in .* Did you mean 'pairs.train.jsonl'\?"
    with pytest.raises(UnreadableDatasetError, match=message):
        load_rows(str(tmp_path / "pair.train.jsonl"))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UnreadableDatasetError, match="no folder"):
        load_rows(str(tmp_path / "nowhere" / "pairs.jsonl"))


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    file = tmp_path / "rows.txt"
    file.write_text("text")
    with pytest.raises(UnreadableDatasetError, match=r"suffix '.txt'.* \.json, \.jsonl, .*\.csv, .*\.parquet"):
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
    message = r"b.jsonl' and .*a.jsonl' have different columns: chosen, rejected in one .*Give one of the files"
    with pytest.raises(UnreadableDatasetError, match=message):
        load_rows(str(tmp_path))


def test_a_folder_with_a_model_is_refused(tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(
        UnreadableDatasetError, match=r"contains a model \(config.json\), not a dataset. Give the folder of a dataset"
    ):
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
    with pytest.raises(
        UnreadableDatasetError, match=r"Row 1 of .*rows.jsonl' is not valid JSON: .*Write one object per line"
    ):
        load_rows(str(file))


def test_a_missing_split_is_refused_with_the_existing_ones(tmp_path):
    with pytest.raises(UnreadableDatasetError, match=r"has no split 'tset'\..* Choose one of: train"):
        load_rows(str(write(tmp_path / "rows.jsonl", ROWS)), "tset")


def test_a_split_without_rows_is_refused(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("prompt,chosen,rejected\n")
    with pytest.raises(InvalidFeedbackError, match="has no rows"):
        load_rows(str(file))


PAIRS = [
    {"prompt": "Q", "chosen": text, "rejected": "other", "margin": margin}
    for text, margin in [("None", 1.0), ("007", 2.5), ("1.50", None), ("é\n2", 0.5)]
]
"""Texts that readers of tables take for missing values or numbers, and margins."""


def table(rows, delimiter=","):
    """Return the text of a table; an empty cell is a missing value."""
    lines = [list(rows[0]), *([("" if value is None else str(value)) for value in row.values()] for row in rows)]
    quoted = (delimiter.join('"' + cell.replace('"', '""') + '"' if cell else "" for cell in line) for line in lines)
    return "\n".join(quoted).encode()


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def workbook(rows):
    book, content = Workbook(), BytesIO()
    for line in [list(rows[0]), *(list(row.values()) for row in rows)]:
        book.active.append(line)
    book.save(content)
    return content.getvalue()


def arrow(rows, folder):
    Dataset.from_list(rows).save_to_disk(folder)
    return next(folder.glob("*.arrow")).read_bytes()


def archive(**files):
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return content.getvalue()


CONTENTS = {
    ".csv": table(PAIRS),
    ".tsv": table(PAIRS, "\t"),
    ".xlsx": workbook(PAIRS),
    ".jsonl": json_lines(PAIRS),
    ".ndjson": json_lines(PAIRS),
    ".json": json.dumps(PAIRS, indent=2).encode(),
    ".JSONL": json_lines(PAIRS),
}
COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("compression", ["", *COMPRESS])
@pytest.mark.parametrize("suffix", CONTENTS)
def test_texts_are_read_as_written_from_every_format(tmp_path, suffix, compression, streaming):
    file = tmp_path / f"rows{suffix}{compression}"
    file.write_bytes(COMPRESS.get(compression, bytes)(CONTENTS[suffix]))
    assert list(load_splits(str(file), streaming=streaming)["train"]) == PAIRS


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("compression", ["", ".gz", ".zip"])
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_typed_formats_are_read_compressed_as_well(tmp_path, suffix, compression, streaming):
    plain = tmp_path / f"plain{suffix}"
    Dataset.from_list(PAIRS).to_parquet(plain) if suffix == ".parquet" else plain.write_bytes(
        arrow(PAIRS, tmp_path / "saved")
    )
    file = tmp_path / f"rows{suffix}{compression}"
    compress = {".gz": gzip.compress, ".zip": lambda content: archive(**{plain.name: content})}.get(compression, bytes)
    file.write_bytes(compress(plain.read_bytes()))
    assert list(load_splits(str(file), streaming=streaming)["train"]) == PAIRS


def test_the_files_of_an_archive_are_splits(tmp_path):
    file = tmp_path / "rows.zip"
    file.write_bytes(
        archive(**{"data/train.csv": table(PAIRS), "data/test.csv": table(PAIRS[:1]), "notes.txt": b"nothing"})
    )
    assert {split: list(rows) for split, rows in load_splits(str(file)).items()} == {"train": PAIRS, "test": PAIRS[:1]}


def test_archives_in_a_folder_are_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.zip").write_bytes(archive(**{f"{name}.csv": table(PAIRS)}))
    assert list(load_rows(str(tmp_path))) == PAIRS + PAIRS


def test_shards_are_the_splits_in_their_names(tmp_path):
    (tmp_path / "data").mkdir()
    for name, rows in {
        "train-00000-of-00002": PAIRS,
        "train-00001-of-00002": PAIRS[:1],
        "test-00000-of-00001": PAIRS,
    }.items():
        Dataset.from_list(rows).to_parquet(tmp_path / "data" / f"{name}.parquet")
    assert {split: len(rows) for split, rows in load_splits(str(tmp_path)).items()} == {"train": 5, "test": 4}
    assert len(load_rows(str(tmp_path / "data" / "train-*.parquet"))) == 5


def test_a_pattern_is_one_split(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_bytes(table([row | {"prompt": name} for row in PAIRS]))
    (tmp_path / "c.txt").write_text("not a table")
    assert [row["prompt"] for row in load_rows(str(tmp_path / "*.csv"))] == ["a"] * 4 + ["b"] * 4
    with pytest.raises(
        UnreadableDatasetError, match=r"No file matches .*\*.tsv'\. Check the pattern, and put it in quotes"
    ):
        load_rows(str(tmp_path / "*.tsv"))


def test_files_beside_those_of_the_splits_are_named(tmp_path, caplog):
    for name in ("train", "more"):
        (tmp_path / f"{name}.csv").write_bytes(table(PAIRS))
    assert len(load_rows(str(tmp_path))) == 4
    assert "more.csv" in caplog.text


@pytest.fixture
def memory():
    """Return a remote file system."""
    system = fsspec.filesystem("memory")
    system.pipe("/rows/train.csv", table(PAIRS))
    system.pipe("/rows/test.csv", table(PAIRS[:1]))
    system.pipe("/one.jsonl.gz", gzip.compress(json_lines(PAIRS)))
    yield system
    system.rm("/", recursive=True)


@pytest.mark.parametrize("streaming", [False, True])
def test_remote_files_patterns_and_folders_are_read(memory, streaming):
    def read(name):
        return {split: list(rows) for split, rows in load_splits(name, streaming=streaming).items()}

    assert read("memory://one.jsonl.gz") == {"train": PAIRS}
    assert read("memory://rows/t*.csv") == {"train": PAIRS[:1] + PAIRS}
    assert read("memory://rows") == {"train": PAIRS, "test": PAIRS[:1]}


def test_a_file_url_is_a_path(tmp_path):
    (tmp_path / "rows.csv").write_bytes(table(PAIRS))
    assert list(load_rows(f"file://{tmp_path / 'rows.csv'}")) == PAIRS


@pytest.mark.parametrize("name", ["nothing://rows.csv", "memory://nowhere.csv"])
def test_a_remote_file_that_cannot_be_read_is_refused_with_the_reason(name):
    with pytest.raises(UnreadableDatasetError, match=r"cannot be loaded: .+\. Check the URL"):
        load_rows(name)


@pytest.mark.parametrize(("suffix", "package"), [(".xlsx", "openpyxl"), (".csv.zst", "zstandard")])
def test_a_missing_package_is_named_with_the_extra(tmp_path, monkeypatch, suffix, package):
    file = tmp_path / f"rows{suffix}"
    file.write_bytes(b"content")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MissingPackageError, match=rf"not installed: {package}\. Run: pip install 'rlhf-losses\[files\]'"
    ):
        load_rows(str(file))


def test_several_sheets_are_refused(tmp_path):
    book = Workbook()
    for sheet in (book.active, book.create_sheet("more")):
        sheet.append(["chosen", "rejected"])
        sheet.append(["a", "b"])
    book.save(tmp_path / "rows.xlsx")
    with pytest.raises(UnreadableDatasetError, match=r"2 sheets with rows \(Sheet, more\).*Save each sheet"):
        load_rows(str(tmp_path / "rows.xlsx"))


def test_typed_cells_of_a_sheet_are_texts_in_columns_of_texts(tmp_path):
    book = Workbook()
    for row in [("chosen", "rejected", "margin"), (7, True, 2), (1.5, date(2024, 1, 31), 2.5), (None, "x", None)]:
        book.active.append(row)
    book.save(tmp_path / "rows.xlsx")
    assert list(load_rows(str(tmp_path / "rows.xlsx"))) == [
        {"chosen": "7", "rejected": "TRUE", "margin": 2.0},
        {"chosen": "1.5", "rejected": "2024-01-31", "margin": 2.5},
        {"chosen": None, "rejected": "x", "margin": None},
    ]


TEXTS = [
    "None",
    "NA",
    "null",
    "nan",
    "007",
    "1.50",
    "TRUE",
    "12345678901234567890123",
    "2024-01-31",
    "1e5",
    " a ",
    "N/A",
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_a_table_of_one_text_keeps_it(tmp_path, text, streaming):
    rows = [{"prompt": text, "chosen": text, "rejected": text}] * 3
    (tmp_path / "rows.csv").write_bytes(table(rows))
    assert list(load_splits(str(tmp_path / "rows.csv"), streaming=streaming)["train"]) == rows


def test_only_the_empty_cell_is_missing(tmp_path):
    (tmp_path / "rows.csv").write_text('prompt,chosen,rejected\n,"",none\n')
    assert list(load_rows(str(tmp_path / "rows.csv"))) == [{"prompt": None, "chosen": None, "rejected": "none"}]


def test_a_renamed_column_is_read_as_its_new_name_requires(tmp_path):
    (tmp_path / "rows.csv").write_text("reply,verdict\n007,TRUE\n1.50,0\n")
    columns = {"completion": "reply", "label": "verdict"}
    assert list(load_rows(str(tmp_path / "rows.csv"), columns=columns)) == [
        {"completion": "007", "label": True},
        {"completion": "1.50", "label": False},
    ]


@pytest.mark.parametrize(
    ("column", "cell"), [("rating", "NA"), ("rating", "four"), ("rating", "nan"), ("rating", "1_0")]
)
def test_a_value_that_is_no_number_is_refused_with_its_row(tmp_path, column, cell):
    (tmp_path / "rows.csv").write_text(f"prompt,completion,{column}\nQ,a,1\nQ,b,{cell}\n")
    message = rf"Column '{column}' of row 1 of .*rows.csv' is '{cell}', which is not a number\. Write a number"
    with pytest.raises(InvalidFeedbackError, match=message):
        load_rows(str(tmp_path / "rows.csv"))


@pytest.mark.parametrize("streaming", [False, True])
def test_all_cells_that_cannot_be_read_are_in_one_message(tmp_path, streaming):
    cells = ["4", '"4,5"', "k. A.", '"3,5"', "", "5", "-", "?", "x"]
    lines = [f"Q,a,{cell},{'no' if cell == '5' else '[1]'}" for cell in cells]
    (tmp_path / "rows.csv").write_text("\n".join(["prompt,completion,rating,labels", *lines]))
    with pytest.raises(InvalidFeedbackError) as raised:
        list(load_splits(str(tmp_path / "rows.csv"), streaming=streaming, columns={"ratings": "labels"})["train"])
    message = str(raised.value)
    if streaming:
        assert "row 1 of" in message
        assert "'4,5', which is not a number" in message
    else:
        assert "has 6 cells that are no numbers: '4,5' in row 1, 'k. A.' in row 2, '3,5' in row 3, '-'" in message
        assert "'?' in row 7 and 1 more. " in message
        assert "Column 'labels' of row 5 of" in message
        assert "'no', which is not a list." in message
    assert "write 4.5 for '4,5'" in message
    assert message.count("row 1 is row 3 of a sheet") == 1


def test_semicolons_and_an_index_without_a_name_are_read(tmp_path):
    (tmp_path / "rows.csv").write_text(";chosen;rejected\n0;a,b;c\n", encoding="utf-8-sig")
    assert list(load_rows(str(tmp_path / "rows.csv"))) == [{"unnamed_0": 0, "chosen": "a,b", "rejected": "c"}]


def test_a_row_with_too_many_cells_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("chosen, rejected\na,b\na,b,c\n")
    with pytest.raises(UnreadableDatasetError, match=r"Row 1 of .*rows.csv' has 3 cells for 2 columns\. Put quotes"):
        load_rows(str(tmp_path / "rows.csv"))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_bytes("chosen,rejected\né,b\n".encode("latin-1"))
    with pytest.raises(UnreadableDatasetError, match=r"rows.csv' is not a text in UTF-8.*Save it in UTF-8"):
        load_rows(str(tmp_path / "rows.csv"))


def test_csv_files_with_different_columns_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("chosen,rejected\na,b\n")
    (tmp_path / "b.csv").write_text("chosen,rejected,margin\na,b,1\n")
    with pytest.raises(UnreadableDatasetError, match=r"have different columns: margin in one of them only\. Give"):
        load_rows(str(tmp_path))


@pytest.mark.parametrize("streaming", [False, True])
def test_json_texts_that_look_like_dates_and_numbers_remain_texts(tmp_path, streaming):
    rows = [{"prompt": "When?", "chosen": text, "rejected": "2024-01-31T12:00:00Z"} for text in ("2024-01-31", "007")]
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
    assert list(load_splits(str(tmp_path / "rows.jsonl"), streaming=streaming)["train"]) == rows


def test_json_dates_in_messages_remain_texts(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "2024-01-31"}]}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert list(load_rows(str(tmp_path / "rows.json"))) == rows


def test_json_numbers_in_a_column_of_texts_are_texts(tmp_path):
    rows = [{"prompt": "2 + 2 = ", "chosen": chosen, "rejected": "5"} for chosen in (4, "four", True, None)]
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
    assert load_rows(str(tmp_path / "rows.jsonl"))["chosen"][:] == ["4", "four", "true", None]


@pytest.mark.parametrize("other", [{}, {"chosen": "a", "rejected": "b"}])
def test_json_values_of_different_types_in_one_column_of_texts_are_refused(tmp_path, other):
    rows = [{"prompt": "Q", **other}, {"prompt": [1], **other}]
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
    message = r"Column 'prompt' of row 1 of .*rows.jsonl' is \[\"1\"\], which cannot be in one column with the texts"
    with pytest.raises(InvalidFeedbackError, match=message):
        load_rows(str(tmp_path / "rows.jsonl"))


def test_nulls_in_json_lists_and_keys_of_some_objects_are_kept(tmp_path):
    rows = [
        {"lines": [None, [1.5], []], "messages": [{"role": "user", "content": "Hi"}], "margin": None},
        {"lines": [[2.0], None], "messages": [{"role": "tool", "content": [{"text": "a"}], "name": "f"}], "margin": 1},
    ]
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
    assert list(load_rows(str(tmp_path / "rows.jsonl"))) == rows


@pytest.mark.parametrize(
    "text", ['{"data": [{"text": "a"}, {"text": "b"}]}', '["a", "b"]', '\ufeff{"text": "a"}\n\n{"text": "b"}']
)
def test_other_arrangements_of_json_are_read(tmp_path, text):
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    assert list(load_rows(str(tmp_path / "rows.json"))) == [{"text": "a"}, {"text": "b"}]


def test_a_row_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\nnull\n')
    with pytest.raises(UnreadableDatasetError, match=r"Row 1 of .*rows.jsonl' is null, but a row is an object"):
        load_rows(str(tmp_path / "rows.jsonl"))


def test_a_changed_file_is_read_again(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("chosen,rejected\na,b\n")
    assert load_rows(str(file))["chosen"][:] == ["a"]
    file.write_text("chosen,rejected\nc,b\n")
    assert load_rows(str(file))["chosen"][:] == ["c"]


def test_dates_after_many_nulls_remain_texts(tmp_path):
    rows = [{"text": "a", "closed": None}] * 2_000 + [{"text": "a", "closed": "2024-01-31T12:00:00Z"}]
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
    assert load_rows(str(tmp_path / "rows.jsonl"))["closed"][1_999:] == [None, "2024-01-31T12:00:00Z"]


@pytest.mark.parametrize("name", ["train.json.zip", "val.json.zip"])
def test_an_archive_may_have_any_name(tmp_path, name):
    (tmp_path / name).write_bytes(archive(**{name.removesuffix(".zip"): json.dumps(PAIRS)}))
    (rows,) = load_splits(str(tmp_path / name)).values()
    assert list(rows) == PAIRS


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
@pytest.mark.parametrize(
    ("row", "after"), [('q2,"unclosed,0', "q,b,1"), ('q2,"unclosed,0', 'q,"b",1'), ('q2,"a "quoted" word",0', "q,b,1")]
)
def test_quotes_that_are_not_closed_are_refused_with_the_line(tmp_path, suffix, delimiter, row, after, streaming):
    lines = ["prompt,completion,rating", 'q1,"two', 'lines and ""quotes""",1', row, *[after] * 50]
    (tmp_path / f"rows{suffix}").write_text("\n".join(lines).replace(",", delimiter) + "\n")
    message = rf"row that begins at line 4 of .*rows{suffix}' has a quote that is not closed.*Close each quote"
    with pytest.raises(UnreadableDatasetError, match=message):
        list(load_splits(str(tmp_path / f"rows{suffix}"), streaming=streaming)["train"])


@pytest.mark.parametrize(
    ("streaming", "compression", "suffix"), each_value([False, True], list(COMPRESS), [".jsonl", ".csv", ".parquet"])
)
def test_compressed_files_that_are_not_complete_are_refused(tmp_path, suffix, compression, streaming):
    rows = [{"prompt": f"{index} + 1 = ", "chosen": str(index + 1), "rejected": "0"} for index in range(20_000)]
    plain = tmp_path / "plain.parquet"
    Dataset.from_list(rows).to_parquet(plain)
    contents = {".jsonl": lambda: json_lines(rows), ".csv": lambda: table(rows), ".parquet": plain.read_bytes}
    content = COMPRESS[compression](contents[suffix]())
    file = tmp_path / f"rows{suffix}{compression}"
    file.write_bytes(content[: len(content) // 2])
    message = rf"rows{suffix}{compression}' cannot be decompressed to its end: .*not complete\. Use a complete copy"
    with pytest.raises(UnreadableDatasetError, match=message):
        list(load_splits(str(file), streaming=streaming)["train"])


@pytest.mark.parametrize("compression", COMPRESS)
def test_files_that_are_compressed_in_parts_are_read_to_the_end(tmp_path, compression):
    content, compress = json_lines(PAIRS), COMPRESS[compression]
    (tmp_path / f"rows.jsonl{compression}").write_bytes(compress(content) + compress(content))
    assert list(load_rows(str(tmp_path / f"rows.jsonl{compression}"))) == PAIRS + PAIRS


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["g[1]", "[ab]", "a*", "a?", "[!a]"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".zip"])
def test_folders_may_have_characters_of_patterns_in_their_names(tmp_path, name, suffix, streaming):
    folder = tmp_path / name / "data"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        path = folder / f"{split}-00000-of-00001{suffix}"
        path.write_bytes(archive(**{"rows.jsonl": json_lines(ROWS)})) if suffix == ".zip" else write(path, ROWS)
    splits = load_splits(str(tmp_path / name), streaming=streaming)
    assert {split: list(rows) for split, rows in splits.items()} == {"train": ROWS, "test": ROWS}
    assert list(load_splits(f"{folder}/t*{suffix}", streaming=streaming)["train"]) == ROWS + ROWS


def test_a_folder_with_options_for_files_and_brackets_in_its_name_is_refused(tmp_path):
    folder = tmp_path / "g[1]"
    folder.mkdir()
    write(folder / "rows.jsonl", ROWS)
    (folder / "README.md").write_text("# Rows")
    with pytest.raises(UnreadableDatasetError, match=r"g\[1\]' has a README.md, whose options.*Rename the folder"):
        load_rows(str(folder))
    assert list(load_rows(f"{folder}/*.jsonl")) == ROWS


COLUMNS = st.fixed_dictionaries(
    {
        "prompt": st.text(max_size=3) | st.none() | st.integers(-3, 3),
        "chosen": st.text("aé7", max_size=3),
        "id": st.integers() | st.none(),
        "numbers": st.lists(st.integers(-9, 9), min_size=1, max_size=2),
        "object": st.fixed_dictionaries({"a": st.text(max_size=2), "b": st.booleans()}),
        "json": st.dictionaries(st.sampled_from("ab"), st.integers(0, 9) | st.text(max_size=2), max_size=2),
    }
)


@given(rows=st.lists(COLUMNS, min_size=1, max_size=5))
def test_a_stream_and_a_dataset_have_the_values_of_the_file(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [row | {"prompt": None if row["prompt"] is None else str(row["prompt"])} for row in rows]
    has_large_integers = any(abs(row["id"] or 0) >= 2**63 for row in rows)
    as_stored = [row | {"id": str(row["id"])} if has_large_integers and row["id"] is not None else row for row in texts]
    assert list(load_splits(file, streaming=True)["train"]) == texts
    assert list(load_splits(file)["train"]) == as_stored
