"""A run that resumes with a change is refused, or the change that is allowed or permitted takes effect."""

import importlib
import sys
from pathlib import Path

import pytest
from ragged import printed_by_processes, results_in

# One worker makes the runs that the tests resume.
pytestmark = pytest.mark.xdist_group("changed runs")

ROOT = Path(__file__).parents[1]
REFUSED = {
    "reward": ["loss", "data: other order", "base: one weight", "adapters: lora_alpha", "tokenizer: eos_token"],
    "ppo": ["prompts: order", "base: other weights", "reward function: code", "beta"],
}
PERMITTED = {"reward": ["global batch in two parts", "longer max_steps"], "ppo": ["intervals of checkpoints"]}


@pytest.fixture(scope="module")
def changes():
    """Return the benchmark of changes as a module."""
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("benchmarks.reliability.changes")
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def trainers(changes):
    """Return the trainers of each kind, which share checkpoints over the tests."""
    return {kind: changes.Trainers(kind) for kind in changes.CASES}


@pytest.mark.filterwarnings("ignore:Could not find a config file")  # PEFT, about the base of adapters in memory
@pytest.mark.parametrize("kind", REFUSED)
def test_changes_are_refused_or_work(changes, trainers, kind):
    refused, permitted = changes.CASES[kind]
    chosen = [one for one in (*refused, *permitted) if one.name in REFUSED[kind] + PERMITTED[kind]]
    outcomes = {one.name: trainers[kind].outcome(one) for one in chosen}
    assert outcomes == dict.fromkeys(REFUSED[kind], "refused") | dict.fromkeys(PERMITTED[kind], "works")


def resumed(trainers, kind, settings, arguments=(), before=None):
    """Return a trainer that has resumed with allowed or permitted changes."""
    before = before or {}
    checkpoint, _ = trainers[kind].checkpoint(before)
    output = checkpoint.parent / f"resumed-{len(list(checkpoint.parent.iterdir()))}"
    trainer = trainers[kind].make(output, {**before.get("settings", {}), **settings}, dict(arguments))
    trainer.train(resume_from_checkpoint=str(checkpoint))
    return trainer


TWO_PROCESSES = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from benchmarks.reliability.changes import Trainers

checkpoint = sys.argv[2]
for size in (4, 2):
    trainer = Trainers("reward").make(Path(sys.argv[3]), {"per_device_train_batch_size": size}, {})
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
        found = [weight.flatten().tolist() for weight in trainer.accelerator.unwrap_model(trainer.model).parameters()]
    except ValueError as error:
        found = str(error)
    if trainer.is_world_process_zero():
        print("RESULT" + json.dumps(found), flush=True)
"""


@pytest.mark.thorough
def test_two_processes_continue_with_the_same_global_batch_only(trainers, tmp_path):
    checkpoint, unbroken = trainers["reward"].checkpoint({})
    arguments = (str(ROOT), str(checkpoint), str(tmp_path / "run"))
    refused, weights = results_in(printed_by_processes(TWO_PROCESSES, tmp_path, 2, *arguments))
    assert "global_batch_size: 4 in the checkpoint, 8 now" in refused
    for ours, theirs in zip(weights, unbroken.model.parameters(), strict=True):
        assert ours == pytest.approx(theirs.flatten().tolist(), rel=1e-3, abs=1e-5)


def learning_rates(trainer):
    return [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]


LINEAR = {"settings": {"lr_scheduler_type": "linear"}}


def test_allowed_settings_of_the_optimizer_take_effect(trainers):
    allowed = {"learning_rate": 2e-3, "weight_decay": 0.5, "adam_beta2": 0.9}
    trainer = resumed(trainers, "reward", allowed | {"allow_changed": list(allowed)}, before=LINEAR)
    assert learning_rates(trainer) == pytest.approx([1e-3, 7.5e-4, 2e-3 * 2 / 4, 2e-3 * 1 / 4])
    groups = trainer.optimizer.param_groups
    assert {group["betas"] for group in groups} == {(0.9, 0.9)}
    assert groups[0]["weight_decay"] == 0.5
    assert all(state["step"] == 4 for state in trainer.optimizer.state.values())


def test_the_schedule_of_a_longer_run_continues_to_its_end(trainers):
    trainer = resumed(trainers, "reward", {"max_steps": 8}, before=LINEAR)
    assert learning_rates(trainer) == pytest.approx([1e-3, 7.5e-4, *(1e-3 * (8 - step) / 8 for step in range(2, 8))])


def test_new_intervals_take_effect(trainers):
    trainer = resumed(trainers, "reward", {"save_steps": 3, "logging_steps": 4})
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [1, 2, 4]
    saved = Path(trainer.args.output_dir).glob("checkpoint-*")
    assert sorted(path.name for path in saved) == ["checkpoint-3", "checkpoint-4"]


def test_an_allowed_beta_takes_effect(trainers):
    trainer = resumed(trainers, "ppo", {"beta": 0.3, "allow_changed": "beta"})
    assert trainer.beta == 0.3


def test_the_command_refuses_before_the_model_is_loaded(cli, done, language_model, write_rows, tmp_path):
    data = write_rows(*({"prompt": f"{i}?", "chosen": f"{i}!", "rejected": "no"} for i in range(8)))
    model = tmp_path / "model"
    model.mkdir()
    for file in Path(language_model).iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    common = ("train", "--model", model, "--dataset", data, "--output_dir", tmp_path / "run", "--use_cpu")
    common = (*common, "--loss", "bradley_terry", "--save_steps", 1, "--report_to", "none", "--max_steps")
    done(*common, 1)
    (model / "model.safetensors").unlink()
    refused = cli(*common, 2, "--resume_from_checkpoint", "--learning_rate", 0.01, "--seed", 3)
    assert refused.code == 2
    assert "learning_rate: 0.001 in the checkpoint, 0.01 now; seed: 42 in the checkpoint, 3 now" in refused.err
    assert "--allow_changed learning_rate seed" in refused.err
    misspelled = cli(*common, 2, "--resume_from_checkpoint", "--allow_changed", "learnin_rate")
    assert "Did you mean 'learning_rate'" in misspelled.err
