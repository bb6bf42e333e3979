"""Types of columns of several Parquet or Arrow files."""

import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.files.splits import load_splits

PAIR = {"prompt": "Q", "chosen": "a", "rejected": "b"}


def write_parquet(table, path):
    pyarrow.parquet.write_table(table, path)


def write_arrow_stream(table, path):
    with pyarrow.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def write_shards(folder, shards, split="train", write=write_parquet):
    """Write each list of values of the column `margin` to a file of its own."""
    suffix = "parquet" if write is write_parquet else "arrow"
    for index, values in enumerate(shards):
        table = pyarrow.Table.from_pylist([PAIR | {"margin": value} for value in values])
        write(table, str(folder / f"{split}-{index:05d}-of-{len(shards):05d}.{suffix}"))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("write", [write_parquet, write_arrow_stream])
@pytest.mark.parametrize(
    ("shards", "values"),
    [
        ([[None, None], [1.5]], [None, None, 1.5]),
        ([[1.5], [None]], [1.5, None]),
        ([[None], [1], [2.5]], [None, 1.0, 2.5]),
        ([[True], [2]], [1, 2]),
        ([["a"], [1]], ["a", "1"]),
        ([[1], ["a"]], ["1", "a"]),
        ([[[]], [[1.5]]], [[], [1.5]]),
        ([[{"a": None}], [{"a": [1]}]], [{"a": None}, {"a": [1]}]),
        ([[[{"a": 1}]], [[{"a": 2, "b": "x"}]]], [[{"a": 1, "b": None}], [{"a": 2, "b": "x"}]]),
    ],
)
def test_shards_are_read_with_the_types_of_all_of_them(tmp_path, shards, values, write, streaming):
    write_shards(tmp_path, shards, write=write)
    rows = load_splits(str(tmp_path), streaming=streaming)["train"]
    assert list(rows) == [PAIR | {"margin": value} for value in values]


@pytest.mark.parametrize("streaming", [False, True])
def test_each_split_has_types_and_columns_of_its_own(tmp_path, streaming):
    write_shards(tmp_path, [[None]])
    Dataset.from_list([PAIR | {"margin": 2.5, "id": "x"}]).to_parquet(tmp_path / "test-00000-of-00001.parquet")
    splits = load_splits(str(tmp_path), streaming=streaming)
    assert list(splits["train"]) == [PAIR | {"margin": None}]
    assert list(splits["test"]) == [PAIR | {"margin": 2.5, "id": "x"}]


@pytest.mark.parametrize("streaming", [False, True])
def test_types_without_a_common_one_are_refused_with_file_and_column(tmp_path, streaming):
    write_shards(tmp_path, [["a"], [["a"]]])
    with pytest.raises(
        UnreadableDatasetError,
        match=r"Column 'margin' of .*train-00001-of-00002.parquet' has the type List.*Write values",
    ):
        load_splits(str(tmp_path), streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_shards_with_other_columns_are_refused(tmp_path, streaming):
    Dataset.from_list([PAIR]).to_parquet(tmp_path / "a.parquet")
    Dataset.from_list([PAIR | {"id": 1}]).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(UnreadableDatasetError, match=r"b.parquet' and .*a.parquet' have different columns: id in one"):
        load_splits(str(tmp_path), streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_files_without_rows_are_left_out(tmp_path, streaming):
    write_shards(tmp_path, [[1.0], [2.0]])
    file = tmp_path / "train-00001-of-00002.parquet"
    write_parquet(pyarrow.parquet.read_table(file).slice(0, 0), file)
    assert [row["margin"] for row in load_splits(tmp_path, streaming=streaming)["train"]] == [1.0]
    with pytest.raises(InvalidFeedbackError, match="has no rows"):
        load_splits(file, streaming=streaming)
