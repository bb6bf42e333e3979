"""Output folders and Ctrl-C."""

import json
import signal
from types import SimpleNamespace

import pytest

from rlhf_losses.cli.training_runs import Interruptible, checkpoint_to_resume, farewell
from rlhf_losses.errors import OutputExistsError


@pytest.fixture
def run_with_checkpoints(tmp_path):
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return tmp_path


@pytest.mark.parametrize("wish", [None, False, "false", "no"])
def test_a_fresh_folder_starts_anew(tmp_path, wish):
    assert checkpoint_to_resume(str(tmp_path / "new"), wish) is None


def test_a_folder_with_files_of_others_is_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert checkpoint_to_resume(str(tmp_path), None) is None


def test_a_run_is_not_overwritten_without_a_wish(run_with_checkpoints):
    with pytest.raises(OutputExistsError, match="checkpoint-10"):
        checkpoint_to_resume(str(run_with_checkpoints), None)


@pytest.mark.parametrize("wish", [True, "true", "True", "last", "yes"])
def test_resuming_takes_the_last_checkpoint(run_with_checkpoints, wish):
    assert checkpoint_to_resume(str(run_with_checkpoints), wish) == str(run_with_checkpoints / "checkpoint-10")


def test_resuming_takes_the_checkpoint_that_is_named(run_with_checkpoints):
    named = str(run_with_checkpoints / "checkpoint-5")
    assert checkpoint_to_resume(str(run_with_checkpoints), named) == named


def test_ctrl_c_asks_to_save_and_stop_at_the_end_of_the_step(capsys):
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    alone = SimpleNamespace(world_size=1)
    with Interruptible() as stop:
        stop.on_step_end(alone, None, control)
        assert not control.should_training_stop
        signal.raise_signal(signal.SIGINT)
        stop.on_step_end(alone, None, control)
    assert control.should_save
    assert control.should_training_stop
    assert "Ctrl-C again stops at once" in capsys.readouterr().err


def test_a_second_ctrl_c_stops_at_once():
    with Interruptible():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_after_the_run_ctrl_c_means_what_it_meant_before():
    before = signal.getsignal(signal.SIGINT)
    with Interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_the_farewell_names_the_last_checkpoint_or_says_that_there_is_none(run_with_checkpoints):
    told = farewell(str(run_with_checkpoints), 12)
    assert told.startswith(f"Stopped at step 12; saved {run_with_checkpoints / 'checkpoint-10'}.")
    assert "--resume_from_checkpoint" in told
    assert farewell(str(run_with_checkpoints / "nowhere"), 3) == "Stopped at step 3; nothing was saved."
