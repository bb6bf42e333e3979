"""The state of a run is saved with a schema; older files are upgraded, newer and unknown ones are refused."""

import pickle

import pytest
import torch

from rlhf_losses.errors import DamagedCheckpointError, UnsupportedModelError
from rlhf_losses.ppo.checkpoints import PPOState, upgrade

CPU = torch.device("cpu")
SCHEMA_1 = {
    "micro_batches": 3,
    "rollout": [{"prompt_ids": torch.ones(2, 3), "num_items_in_batch": torch.tensor(6)}],
    "coefficient": 0.0499,
    "scales": [{"count": 8.0, "mean": -5.5, "squares": 21.25}],
}


def test_saved_state_is_loaded_for_each_process(tmp_path):
    states = [PPOState(number, [{"values": torch.full((2, 2), number)}], 0.1 * number, []) for number in (1, 2)]
    folder = tmp_path / "checkpoint-1"  # no other process has created it yet
    for rank, state in enumerate(states):
        state.save(folder, rank)
    for rank, state in enumerate(states):
        loaded = PPOState.load(folder, rank, torch.device("cpu", rank))  # as accelerate names it
        assert (loaded.step, loaded.beta, loaded.reward_stats) == (state.step, state.beta, [])
        assert torch.equal(loaded.buffered_inputs[0]["values"], state.buffered_inputs[0]["values"])
    content = torch.load(folder / "ppo_state_0.pt", weights_only=True)
    assert content["schema"] == 3


def test_state_of_schema_1_is_upgraded(tmp_path):
    torch.save(SCHEMA_1, tmp_path / "ppo_state_0.pt")
    state = PPOState.load(tmp_path, 0, CPU)
    assert (state.step, state.beta) == (3, 0.0499)
    assert state.reward_stats == [{"count": 8.0, "mean": -5.5, "m2": 21.25}]
    assert state.buffered_inputs[0]["num_items_in_batch"] == 6


def test_state_of_schema_2_is_upgraded(tmp_path):
    content = {"schema": 2, "step": 1, "buffered_inputs": None, "beta": 0.1, "reward_stats": []}
    torch.save(content, tmp_path / "ppo_state_0.pt")
    assert PPOState.load(tmp_path, 0, CPU) == PPOState(1, None, 0.1, [], value_shift=0.0)


def test_state_of_a_newer_schema_is_refused():
    content = {"schema": 4, "step": 1, "buffered_inputs": None, "beta": 0.1, "reward_stats": []}
    with pytest.raises(UnsupportedModelError, match=r"a file has schema 4.*supports schemas 1 to 3.*Resume with"):
        upgrade(content, "a file")


@pytest.mark.parametrize("schema", [1, 3])
def test_missing_and_unknown_keys_are_refused(schema):
    known = SCHEMA_1 if schema == 1 else {"schema": 3} | upgrade(SCHEMA_1)
    first = next(name for name in known if name != "schema")
    for content in (known | {"surplus": 1}, {name: value for name, value in known.items() if name != first}):
        name = "surplus" if "surplus" in content else first
        with pytest.raises(UnsupportedModelError, match=rf"keys \({name}\).*schema {schema}.*Resume from a checkpoint"):
            upgrade(content)


def test_missing_state_of_a_process_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"ppo_state_1\.pt does not exist.*number of processes"):
        PPOState.load(tmp_path, 1, CPU)


@pytest.mark.parametrize("content", [b"text", pickle.dumps(print, protocol=2), b""])
def test_a_file_that_is_no_state_is_one_message(tmp_path, content):
    (tmp_path / "ppo_state_0.pt").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=r"ppo_state_0\.pt is not a file that a trainer writes"):
        PPOState.load(tmp_path, 0, CPU)
