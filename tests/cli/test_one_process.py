"""Commands that do their work in one process, and folders that another run writes to."""

import os

import pytest

from rlhf_losses.cli.main import ONE_PROCESS
from rlhf_losses.errors import OutputExistsError
from rlhf_losses.processes.folder_claims import claim, require_unclaimed


@pytest.mark.parametrize("command", ONE_PROCESS)
def test_a_command_of_one_process_is_refused_in_several(cli, monkeypatch, command):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    result = cli(command, "--model", "missing", "--dataset", "missing")
    assert result.code == 2
    assert "has started 2 processes (OMPI_COMM_WORLD_SIZE=2)" in result.err
    assert f"env -u OMPI_COMM_WORLD_SIZE rlhf-losses {command}" in result.err


def in_another_process(action):
    """Return whether an action raises `OutputExistsError` in a copy of this process."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            action()
            code = 0
        except OutputExistsError:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return bool(code)


def test_a_folder_is_claimed_by_one_run_at_a_time(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def start_another_run():
        monkeypatch.setattr("rlhf_losses.processes.folder_claims._CLAIMED", set())  # a new process has none
        require_unclaimed(folder)
        with claim(folder):
            pass

    with claim(folder), claim(folder):  # one run inside another one
        assert in_another_process(start_another_run)
    assert not in_another_process(start_another_run)
    assert list(folder.iterdir()) == []
    require_unclaimed(tmp_path / "new")


def test_all_processes_of_a_run_raise_the_error(tmp_path):
    with (
        pytest.raises(OutputExistsError, match="Another run"),
        claim(tmp_path, writes=False, all_gather=lambda texts: ["Another run is writing.", *texts]),
    ):
        pass
