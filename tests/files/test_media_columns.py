"""Columns of images, audio and video are not read."""

import pytest
from datasets import Audio, Dataset, Features, Image, List, Value

from rlhf_losses.data import convert_dataset
from rlhf_losses.files.media_columns import without_media
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
    kept = without_media(data.to_iterable_dataset() if streaming else data, "train data")
    assert list(kept) == [{"chosen": "yes", "rejected": "no"}] * 4
    assert "train data: the columns photo, photos, sound are not read" in caplog.text


def test_the_broken_image_cannot_be_decoded():
    with pytest.raises(OSError, match="cannot identify image"):
        pairs_with_media().select_columns(["photo"])[0]


def test_a_dataset_without_media_is_unchanged():
    data = Dataset.from_dict({"chosen": ["a"]})
    assert without_media(data) is data


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", ["pandas", "numpy", "arrow", "torch", None])
def test_rows_are_python_values_in_every_format(form, streaming):
    data = Dataset.from_dict({"chosen": ["a", "b"], "ranks": [[1, 2], [2, 1]]})
    formatted = (data.to_iterable_dataset() if streaming else data).with_format(form)
    assert list(without_media(formatted)) == list(data)


@pytest.mark.parametrize("streaming", [False, True])
def test_images_within_messages_are_not_decoded(streaming):
    part = {"type": Value("string"), "text": Value("string"), "image": Image()}
    features = Features({"messages": List({"role": Value("string"), "content": List(part)})})
    content = [{"type": "text", "text": "Hi", "image": None}, {"type": "image", "text": None, "image": BROKEN}]
    data = Dataset.from_list([{"messages": [{"role": "user", "content": content}]}], features=features)
    row = next(iter(without_media(data.to_iterable_dataset() if streaming else data)))
    assert row["messages"][0]["content"][1]["image"] == BROKEN


@pytest.mark.parametrize("streaming", [False, True])
def test_files_with_media_are_read_as_texts(tmp_path, streaming):
    pairs_with_media().to_parquet(tmp_path / "rows.parquet")
    splits = load_splits(str(tmp_path / "rows.parquet"), streaming=streaming)
    assert list(splits["train"]) == [{"chosen": "yes", "rejected": "no"}] * 4


def test_python_functions_do_not_decode():
    assert list(convert_dataset(pairs_with_media())) == [{"chosen": "yes", "rejected": "no"}] * 4
    assert inspect_dataset(pairs_with_media(), loss_registry(), None, "data").rows == 4
