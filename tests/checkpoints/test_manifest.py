"""A folder is a whole checkpoint only if every file has the size and the content that the manifest lists."""

import json
import os
import shutil

import pytest

from rlhf_losses.checkpoints.manifest import (
    MANIFEST,
    UNFINISHED,
    begin_checkpoint,
    commit_checkpoint,
    find_damage,
    has_manifest,
)

FILES = {"model.safetensors": b"weights", "inner/critic.safetensors": b"critic", "empty.txt": b""}


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint-2"
    begin_checkpoint(folder)
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    commit_checkpoint(folder)
    return folder


def test_the_manifest_replaces_the_mark_of_an_unfinished_checkpoint(checkpoint):
    assert has_manifest(checkpoint)
    assert find_damage(checkpoint) is None
    assert not (checkpoint / UNFINISHED).exists()
    assert json.loads((checkpoint / MANIFEST).read_text())["files"].keys() == FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(checkpoint, name):
    (checkpoint / name).unlink()
    assert find_damage(checkpoint) == f"{name} is missing"


def test_another_size_is_found_without_reading_contents(checkpoint):
    os.truncate(checkpoint / "model.safetensors", 3)
    assert find_damage(checkpoint, contents=False) == "model.safetensors has 3 bytes instead of 7"


def test_another_content_of_the_same_size_is_found(checkpoint):
    assert find_damage(checkpoint) is None
    (checkpoint / "inner/critic.safetensors").write_bytes(b"critiC")
    assert find_damage(checkpoint, contents=False) is None
    assert find_damage(checkpoint) == "inner/critic.safetensors has other content than was written"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1, "files": {}, "sha256": ""}', '{"files": 3}'])
def test_a_manifest_with_other_content_is_found(checkpoint, text):
    (checkpoint / MANIFEST).write_text(text)
    assert find_damage(checkpoint) == f"{MANIFEST} has other content than was written"


def test_a_line_removed_from_the_manifest_is_found(checkpoint):
    content = json.loads((checkpoint / MANIFEST).read_text())
    del content["files"]["model.safetensors"]
    (checkpoint / MANIFEST).write_text(json.dumps(content))
    assert find_damage(checkpoint) == f"{MANIFEST} has other content than was written"


def test_a_folder_that_was_moved_is_whole(checkpoint):
    moved = shutil.move(checkpoint, checkpoint.with_name("elsewhere"))
    assert find_damage(moved) is None


def test_a_checkpoint_that_is_being_written_is_unfinished_whatever_it_has(checkpoint):
    begin_checkpoint(checkpoint)
    assert not has_manifest(checkpoint)
    assert "unfinished" in find_damage(checkpoint)


def test_the_card_of_a_checkpoint_can_be_edited(tmp_path):
    folder = tmp_path / "checkpoint-1"
    begin_checkpoint(folder)
    (folder / "README.md").write_text("# A card")
    (folder / "weights").write_text("1")
    commit_checkpoint(folder)
    (folder / "README.md").write_text("# A card with results")
    assert find_damage(folder) is None
