"""Old checkpoints are removed after a new one is whole; other folders are left alone."""

import pytest

from rlhf_losses.checkpoints.manifest import begin_checkpoint, commit_checkpoint, has_manifest
from rlhf_losses.checkpoints.rotation import checkpoint_folders, find_best, make_room, remove_old_checkpoints


@pytest.fixture
def save(tmp_path):
    """Return a function that writes a checkpoint of a step, which may stay unfinished."""

    def write(step, whole=True):
        folder = tmp_path / f"checkpoint-{step}"
        make_room(folder)
        begin_checkpoint(folder)
        (folder / "trainer_state.json").write_text(str(step))
        if whole:
            commit_checkpoint(folder)
        return folder

    return write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("limit", "kept"), [(None, [2, 4, 6, 10]), (0, [2, 4, 6, 10]), (2, [6, 10]), (1, [10]), (9, [2, 4, 6, 10])]
)
def test_the_newest_checkpoints_are_kept(save, tmp_path, limit, kept):
    newest = [save(step) for step in (2, 4, 6, 10)][-1]
    remove_old_checkpoints(newest, limit, None)
    assert names(tmp_path) == sorted(f"checkpoint-{step}" for step in kept)


def test_the_best_checkpoint_is_kept(save, tmp_path):
    newest = [save(step) for step in (2, 4, 6)][-1]
    remove_old_checkpoints(newest, 1, str(tmp_path / "checkpoint-2"))
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-6"]


def test_the_best_checkpoint_is_found_in_a_run_that_was_moved(save, tmp_path):
    best, newest = save(2), save(4)
    elsewhere = "/moved/from/checkpoint-2"
    assert find_best(elsewhere, newest) == str(best)
    assert find_best(str(best), newest) == str(best)
    assert find_best("/moved/from/checkpoint-3", newest) is None
    make_room(best)  # a checkpoint of the same step is being written
    assert find_best(elsewhere, newest) == str(tmp_path / "replaced-checkpoint-2")


def test_folders_without_a_manifest_do_not_count(save, tmp_path):
    save(2)
    unfinished, newest = save(3, whole=False), save(4)
    remove_old_checkpoints(newest, 2, None)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-3", "checkpoint-4"]
    assert not has_manifest(unfinished)


def test_checkpoints_of_later_steps_are_removed_first_after_a_run_went_back(save, tmp_path):
    for step in (2, 4, 9):
        save(step)
    remove_old_checkpoints(save(5), 2, None)
    assert names(tmp_path) == ["checkpoint-4", "checkpoint-5"]


def test_an_unfinished_folder_of_the_same_name_leaves_no_file(save):
    (save(4, whole=False) / "stale.bin").write_text("stale")
    assert names(save(4)) == ["manifest.json", "trainer_state.json"]


def test_a_whole_checkpoint_is_kept_until_another_of_the_same_step_is_whole(save, tmp_path):
    save(4)
    save(4, whole=False)
    assert [one.path.name for one in checkpoint_folders(tmp_path)] == ["checkpoint-4", "replaced-checkpoint-4"]
    assert has_manifest(tmp_path / "replaced-checkpoint-4")
    remove_old_checkpoints(save(4), None, None)
    assert names(tmp_path) == ["checkpoint-4"]


def test_a_folder_that_was_being_deleted_is_no_checkpoint(save, tmp_path):
    (tmp_path / "deleted-checkpoint-2").mkdir()
    assert not checkpoint_folders(tmp_path)
    remove_old_checkpoints(save(4), None, None)
    assert names(tmp_path) == ["checkpoint-4"]
