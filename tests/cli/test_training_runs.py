"""Output folders, checkpoints and Ctrl-C."""

import json
import signal
from types import SimpleNamespace

import pytest

from rlhf_losses.cli.training_runs import Interruptible, checkpoint_to_resume, interrupted_message
from rlhf_losses.errors import OutputExistsError


@pytest.fixture
def run_with_checkpoints(tmp_path):
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return tmp_path


@pytest.mark.parametrize("resume", [None, False, "false", "no"])
def test_a_new_folder_starts_a_new_run(tmp_path, resume):
    assert checkpoint_to_resume(str(tmp_path / "new"), resume) is None


def test_other_files_in_the_folder_are_not_a_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert checkpoint_to_resume(str(tmp_path), None) is None


def test_an_earlier_run_is_not_overwritten(run_with_checkpoints):
    with pytest.raises(OutputExistsError, match="checkpoint-10"):
        checkpoint_to_resume(str(run_with_checkpoints), None)


@pytest.mark.parametrize("resume", [True, "true", "True", "last", "yes"])
def test_resuming_without_a_path_uses_the_last_checkpoint(run_with_checkpoints, resume):
    assert checkpoint_to_resume(str(run_with_checkpoints), resume) == str(run_with_checkpoints / "checkpoint-10")


def test_resuming_with_a_path_uses_this_checkpoint(run_with_checkpoints):
    named = str(run_with_checkpoints / "checkpoint-5")
    assert checkpoint_to_resume(str(run_with_checkpoints), named) == named


def test_ctrl_c_saves_and_stops_at_the_end_of_the_step(capsys):
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


def test_the_previous_signal_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)
    with Interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_the_message_after_an_interruption_has_the_last_checkpoint(run_with_checkpoints):
    text = interrupted_message(str(run_with_checkpoints), 12)
    assert text.startswith(f"Stopped at step 12. Saved {run_with_checkpoints / 'checkpoint-10'}.")
    assert "--resume_from_checkpoint" in text
    assert (
        interrupted_message(str(run_with_checkpoints / "nowhere"), 3) == "Stopped at step 3. No checkpoint was saved."
    )
