"""What was measured since the last log is saved for each process."""

import pytest
import torch

from rlhf_losses.checkpoints.log_state import LogState, load_log_states
from rlhf_losses.errors import DamagedCheckpointError


def test_the_states_are_loaded_in_the_order_of_the_processes(tmp_path):
    for rank in (0, 2, 10, 1):
        LogState(torch.tensor(0.5 * rank), 3.0, 4, 11, {"tokens": rank}).save(tmp_path, rank)
    states = load_log_states(tmp_path)
    assert [state.metrics["tokens"] for state in states] == [0, 1, 2, 10]
    assert [state.loss.item() for state in states] == [0.0, 0.5, 1.0, 5.0]
    assert (states[0].total_loss, states[0].last_logged_step, states[0].num_processes) == (3.0, 4, 11)


def test_an_earlier_version_has_none(tmp_path):
    assert load_log_states(tmp_path) == []


@pytest.mark.parametrize("content", [{"schema": 2}, {"schema": 1, "loss": 0.0}, {}])
def test_another_schema_and_other_keys_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "log_state_0.pt")
    with pytest.raises(DamagedCheckpointError, match=r"log_state_0\.pt has the schema .*Resume with the version"):
        load_log_states(tmp_path)
