"""A launcher whose processes accelerate does not connect is refused, and single processes are not."""

import pytest

from rlhf_losses import InvalidSettingError, RewardConfig
from rlhf_losses.ppo import PPOConfig
from rlhf_losses.processes.launchers import (
    LAUNCHERS,
    is_first_process,
    launched_processes,
    require_connectable,
    require_connected,
)

SINGLE = {
    "no launcher": {},
    "torchrun with one process": {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "1"},
    "mpirun -np 1": {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    "the shell of salloc": {"SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"},
    "the script of sbatch": {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_NPROCS": "8"},
    "srun -n1 in a larger allocation": {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
    "text in place of a number": {"WORLD_SIZE": "auto"},
    "accelerate launch --cpu": {"ACCELERATE_USE_CPU": "True"},
}
SEVERAL = {launcher.name: {launcher.size: "2", launcher.rank: "0"} for launcher in LAUNCHERS} | {
    "a size without a number of the process": {"WORLD_SIZE": "2"},
    "the second task of an older srun": {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"},
    "accelerate launch --cpu --num_processes 2": {"ACCELERATE_USE_CPU": "True", "MASTER_PORT": "29500"},
}


@pytest.fixture
def clean(monkeypatch):
    """Remove the variables of the launcher of the tests."""
    for launcher in LAUNCHERS:
        monkeypatch.delenv(launcher.size, raising=False)
        monkeypatch.delenv(launcher.rank, raising=False)
    return monkeypatch


@pytest.mark.parametrize("environment", SINGLE.values(), ids=SINGLE)
def test_a_single_process_is_accepted(environment):
    require_connectable(environment)
    require_connected(1, False, environment)


@pytest.mark.parametrize("environment", SEVERAL.values(), ids=SEVERAL)
@pytest.mark.parametrize("config", [RewardConfig, PPOConfig])
def test_processes_that_accelerate_does_not_connect_are_refused(clean, tmp_path, environment, config):
    for name, value in environment.items():
        clean.setenv(name, value)
    with pytest.raises(InvalidSettingError, match=r"process.*(Start them|env -u|--num_processes 1)"):
        config(str(tmp_path), report_to="none", bf16=False)


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda one: one.name)
def test_connected_processes_are_accepted(launcher):
    environment = {launcher.size: "4", launcher.rank: "3", "MASTER_ADDR": "127.0.0.1"}
    assert launched_processes(environment).count == 4
    require_connectable(environment)
    require_connected(4, True, environment)
    require_connected(8, True, environment)  # each task of srun starts torchrun with two processes
    with pytest.raises(InvalidSettingError, match="connects 2 of them"):
        require_connected(2, True, environment)


def test_processes_without_an_average_of_gradients_are_refused():
    with pytest.raises(InvalidSettingError, match=r"does not average.*use_cpu=True"):
        require_connected(2, False, {})


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda one: one.name)
def test_the_first_process_is_that_of_rank_0(launcher):
    assert is_first_process({launcher.rank: "0"})
    assert not is_first_process({launcher.rank: "1"})


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"WORLD_SIZE": "2"}, "no number of this process"),
        ({"WORLD_SIZE": "2", "SLURM_PROCID": "1"}, "no number of this process"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "-x MASTER_ADDR=127"),
    ],
)
def test_processes_that_would_wait_for_each_other_are_refused(environment, found):
    with pytest.raises(InvalidSettingError, match=found):
        require_connectable(environment)
