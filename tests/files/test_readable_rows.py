"""Columns of images, audio and video are not read, and texts must be valid."""

import pyarrow
import pyarrow.parquet
import pytest
from datasets import Audio, Dataset, Features, Image, List, Value

from rlhf_losses.data import convert_dataset
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.files.splits import load_splits
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset

BROKEN = {"bytes": b"no image", "path": None}


def pairs_with_media():
    """Return pairs beside broken images and sounds."""
    row = {"chosen": "yes", "photo": BROKEN, "rejected": "no", "photos": [BROKEN], "sound": BROKEN}
    file = {"bytes": Value("binary"), "path": Value("string")}
    texts = {"chosen": Value("string"), "rejected": Value("string")}
    stored = Features({"photo": file, "photos": List(file), "sound": file} | texts)
    media = Features({"photo": Image(), "photos": List(Image()), "sound": Audio()} | texts)
    return Dataset.from_list([row] * 4, features=stored).cast(media)


@pytest.mark.parametrize("streaming", [False, True])
def test_columns_without_texts_are_dropped_with_a_message(streaming, caplog):
    caplog.set_level("INFO")
    data = pairs_with_media()
    kept = readable_rows(data.to_iterable_dataset() if streaming else data, "train data")
    assert list(kept) == [{"chosen": "yes", "rejected": "no"}] * 4
    assert "train data: the columns photo, photos, sound are not read" in caplog.text


def test_the_broken_image_cannot_be_decoded():
    with pytest.raises(OSError, match="cannot identify image"):
        pairs_with_media().select_columns(["photo"])[0]


def test_a_dataset_without_media_is_unchanged():
    data = Dataset.from_dict({"chosen": ["a"]})
    assert readable_rows(data) is data


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", ["pandas", "numpy", "arrow", "torch", None])
def test_rows_are_python_values_in_every_format(form, streaming):
    data = Dataset.from_dict({"chosen": ["a", "b"], "ranks": [[1, 2], [2, 1]]})
    formatted = (data.to_iterable_dataset() if streaming else data).with_format(form)
    assert list(readable_rows(formatted)) == list(data)


@pytest.mark.parametrize("streaming", [False, True])
def test_images_within_messages_are_not_decoded(streaming):
    part = {"type": Value("string"), "text": Value("string"), "image": Image()}
    features = Features({"messages": List({"role": Value("string"), "content": List(part)})})
    content = [{"type": "text", "text": "Hi", "image": None}, {"type": "image", "text": None, "image": BROKEN}]
    data = Dataset.from_list([{"messages": [{"role": "user", "content": content}]}], features=features)
    row = next(iter(readable_rows(data.to_iterable_dataset() if streaming else data)))
    assert row["messages"][0]["content"][1]["image"] == BROKEN


@pytest.mark.parametrize("streaming", [False, True])
def test_files_with_media_are_read_as_texts(tmp_path, streaming):
    pairs_with_media().to_parquet(tmp_path / "rows.parquet")
    splits = load_splits(str(tmp_path / "rows.parquet"), streaming=streaming)
    assert list(splits["train"]) == [{"chosen": "yes", "rejected": "no"}] * 4


def test_python_functions_do_not_decode():
    assert list(convert_dataset(pairs_with_media())) == [{"chosen": "yes", "rejected": "no"}] * 4
    assert inspect_dataset(pairs_with_media(), loss_registry(), None, "data").rows == 4


def _with_a_broken_text(nested):
    """Return a table of 40 rows whose text in row 33 is not UTF-8."""
    texts = pyarrow.array([b"good"] * 33 + [b"\xbb"] + [b"good"] * 6).cast(pyarrow.binary())
    broken = pyarrow.Array.from_buffers(pyarrow.string(), len(texts), texts.buffers())
    if nested:
        broken = pyarrow.ListArray.from_arrays(list(range(len(texts) + 1)), broken)
    return pyarrow.table({"chosen": ["a"] * 40, "rejected": ["b"] * 40, "note": broken})


@pytest.mark.parametrize("nested", [False, True])
def test_a_text_of_a_file_that_is_not_utf8_is_refused_with_its_column_and_row(tmp_path, nested):
    file = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(_with_a_broken_text(nested), file, row_group_size=16)
    with pytest.raises(InvalidFeedbackError, match=r"pairs\.parquet: column 'note' has a text .* in row 33 "):
        load_splits(str(file))


def test_a_text_of_a_dataset_that_is_not_utf8_is_refused():
    with pytest.raises(InvalidFeedbackError, match="data: column 'note' has a text that is not valid UTF-8, in row 33"):
        convert_dataset(Dataset(_with_a_broken_text(nested=False)))
