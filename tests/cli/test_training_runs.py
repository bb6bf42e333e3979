"""Output folders, checkpoints and signals."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
from tqdm import tqdm
from transformers import ProgressCallback

from rlhf_losses.checkpoints.manifest import MANIFEST, begin_checkpoint, commit_checkpoint
from rlhf_losses.cli.signals import Interruption, StopSignals
from rlhf_losses.cli.training_runs import StopMessage, checkpoint_to_resume, close_progress_bars
from rlhf_losses.errors import DamagedCheckpointError, OutputExistsError
from rlhf_losses.messages.printed_commands import plugins_in_use


@pytest.fixture
def run_with_checkpoints(tmp_path):
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        begin_checkpoint(folder)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            (folder / name).write_bytes(name.encode())
        commit_checkpoint(folder)
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


def test_a_damaged_checkpoint_is_skipped_and_named(run_with_checkpoints, caplog):
    (run_with_checkpoints / "checkpoint-10" / "optimizer.pt").write_bytes(b"optimizer.xx")
    assert checkpoint_to_resume(str(run_with_checkpoints), True) == str(run_with_checkpoints / "checkpoint-5")
    (record,) = caplog.records
    assert "checkpoint-10' is skipped, because optimizer.pt has other content than was written" in record.getMessage()
    with pytest.raises(DamagedCheckpointError, match=r"optimizer\.pt.*newest whole checkpoint"):
        checkpoint_to_resume(str(run_with_checkpoints), str(run_with_checkpoints / "checkpoint-10"))


def test_auto_starts_anew_only_without_a_whole_checkpoint(run_with_checkpoints):
    run = str(run_with_checkpoints)
    assert checkpoint_to_resume(run, "auto") == f"{run}/checkpoint-10"
    for step in (5, 10):
        (run_with_checkpoints / f"checkpoint-{step}" / MANIFEST).unlink()
    assert checkpoint_to_resume(run, "auto") is None
    with pytest.raises(DamagedCheckpointError, match=r"no whole checkpoint.*an earlier version, name its folder"):
        checkpoint_to_resume(run, True)
    assert checkpoint_to_resume(run, f"{run}/checkpoint-5") == f"{run}/checkpoint-5"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_requests_a_stop_and_the_second_stops_at_once(number, capsys):
    requests = []
    with StopSignals() as signals:
        signals.request = requests.append
        signal.raise_signal(number)
        assert requests == [number]
        assert "Ctrl-C again stops at once" in capsys.readouterr().err
        with pytest.raises(Interruption) as stopped:
            signal.raise_signal(number)
    assert stopped.value.exit_code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert requests == [number]


def test_a_signal_before_the_training_stops_at_once():
    with StopSignals(), pytest.raises(Interruption):
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_the_launcher_passes_on_too_counts_once():
    times, requests = iter([0.0, 0.1, 5.0]), []
    with StopSignals(launched=True, now=lambda: next(times)) as signals:
        signals.request = requests.append
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert requests == [signal.SIGTERM]
        with pytest.raises(Interruption):
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_after_the_one_that_stops_at_once_ends_the_process():
    command = os.fork()
    if command == 0:
        with StopSignals():
            try:
                signal.raise_signal(signal.SIGINT)
            except Interruption:
                signal.raise_signal(signal.SIGTERM)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]) == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_process_that_loads_data_ignores_ctrl_c_and_can_be_terminated(number, code):
    with StopSignals() as signals:
        signals.request = lambda _: pytest.fail("a worker asked the run to stop")
        worker = os.fork()
        if worker == 0:
            signal.raise_signal(number)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == code


def test_the_previous_signal_handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def stopped_at(folder, step: int, logs: list = ()) -> SimpleNamespace:
    """Return a trainer that has stopped at a step."""
    state = SimpleNamespace(global_step=step, log_history=list(logs))
    return SimpleNamespace(args=SimpleNamespace(output_dir=str(folder)), state=state)


def test_the_message_after_an_interruption_has_the_newest_whole_checkpoint(run_with_checkpoints):
    newest, trainer = run_with_checkpoints / "checkpoint-10", stopped_at(run_with_checkpoints, 12)
    saved = StopMessage().about(stopped_at(run_with_checkpoints, 10))
    assert saved.startswith(f"Stopped at step 10. Saved {newest}.")
    later = StopMessage().about(trainer)
    assert f"The newest whole checkpoint is {newest}." in later
    assert "To resume, add --resume_from_checkpoint to the same command." in later
    begin_checkpoint(run_with_checkpoints / "checkpoint-12")
    assert StopMessage().about(trainer) == later
    nowhere = stopped_at(run_with_checkpoints / "nowhere", 3)
    assert StopMessage().about(nowhere) == "Stopped at step 3. No checkpoint was saved."


@pytest.mark.parametrize(
    ("resume", "advice"),
    [
        ("auto", "run the same command again."),
        (True, "run the same command again."),
        ("Last", "run the same command again."),
        ("no", "add --resume_from_checkpoint to the same command."),
        ("run/checkpoint-5", "run the same command with --resume_from_checkpoint last."),
    ],
)
def test_the_message_after_an_interruption_fits_the_command_that_was_run(run_with_checkpoints, resume, advice):
    message = StopMessage(resume).about(stopped_at(run_with_checkpoints, 10))
    assert message.endswith(f"checkpoint-10. To resume, {advice}")


def test_the_message_after_an_interruption_names_the_command_of_the_report_that_was_asked_for(run_with_checkpoints):
    without_logs, trainer = (stopped_at(run_with_checkpoints, 10, logs) for logs in ([], [{"step": 5, "loss": 0.5}]))
    command = f"report {run_with_checkpoints} --output {run_with_checkpoints / 'report.html'}"  # as --report does
    ending = f" `rlhf-losses {command}` writes the report of the run so far."
    assert StopMessage(report=True).about(trainer).endswith(ending)
    with plugins_in_use(["my loss.py"]):
        command = f"rlhf-losses --plugin 'my loss.py' {command}"
        assert command in StopMessage(report=True).about(trainer)
    assert "rlhf-losses report" not in StopMessage().about(trainer)
    assert StopMessage(report=True).about(without_logs) == StopMessage().about(without_logs)


def test_a_message_after_a_progress_bar_has_a_line_of_its_own(capsys):
    callback = ProgressCallback()
    callback.training_bar = tqdm(total=2)
    close_progress_bars(SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[callback])))
    assert capsys.readouterr().err.endswith("\n")
