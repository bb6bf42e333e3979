"""Runs that are killed, stopped, or cannot write go on from their newest whole checkpoint, with the same logs."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset, load_dataset
from peft import LoraConfig
from ppo_runs import assert_same, logs_without_times, weights
from thorough_cases import with_thorough
from transformers import TrainerCallback

from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.checkpoints.manifest import MANIFEST, find_damage
from rlhf_losses.errors import DamagedCheckpointError, RunStoppedError

ROOT = Path(__file__).parents[1]

STATE = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "log_state_0.pt", MANIFEST}
"""Files of a checkpoint beside the model."""


class AtStep(TrainerCallback):
    """Calls a function at the beginning of a step."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step_begin(self, args, state, control, **_):
        if state.global_step + 1 == self.step:
            self.action()


@pytest.fixture
def make_run(language_model, pairs, settings, tmp_path):
    """Return a function that makes a trainer with dropout, with a folder, data, callbacks and changed settings."""

    def make(folder="run", data=pairs, callbacks=(), **changes):
        torch.manual_seed(0)
        plain = {
            "output_dir": str(tmp_path / folder),
            "max_steps": 6,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "logging_steps": 4,
            "save_strategy": "steps",
            "save_steps": 2,
        }
        lora = LoraConfig(r=2, lora_dropout=0.2)
        args = RewardConfig(**settings(**plain | changes))
        return RewardTrainer(language_model, args, data, data, peft_config=lora, callbacks=list(callbacks))

    return make


def assert_same_run(ours, theirs):
    assert_same(weights(ours.model), weights(theirs.model), rtol=0, atol=0)
    assert logs_without_times(ours) == logs_without_times(theirs)


RUNS = {
    # Rows that are not whole batches, an evaluation, and a log between two checkpoints.
    "dataset": ({"eval_strategy": "steps", "eval_steps": 3, "logging_steps": 3, "eval_on_start": True}, [5, 6]),
    # The log and the evaluation of an epoch come after its last step.
    "every epoch": ({"logging_strategy": "epoch", "eval_strategy": "epoch", "max_steps": 5}, [3, 5]),
    # The scores of a step are computed twice, with the same dropout.
    "batch loss": ({"loss": "bradley_terry + 0.1 * batch_sum_to_zero", "lr_scheduler_type": "constant"}, [5, 6]),
    # The end of a pass, and the middle of the next one.
    "stream": ({}, [4, 5, 6]),
}
"""Settings, and the steps of the checkpoints from which the run is resumed."""


@pytest.mark.upstream
@pytest.mark.parametrize("name", with_thorough(["dataset", "stream"], ["every epoch", "batch loss"]))
def test_weights_and_logs_after_a_resume_are_those_of_the_unbroken_run(make_run, pairs, name):
    # 14 rows are 3 full steps and a half one, so 6 steps are almost two passes.
    rows = pairs.select(range(14 if name != "every epoch" else 12))
    data = rows.to_iterable_dataset() if name == "stream" else rows
    changes, steps = RUNS[name]
    unbroken = make_run("unbroken", data, save_steps=1, **changes)
    unbroken.train()
    for step in steps:
        resumed = make_run("resumed", data, **changes)
        resumed.train(resume_from_checkpoint=unbroken.args.output_dir + f"/checkpoint-{step}")
        assert_same_run(resumed, unbroken)


@pytest.mark.upstream
def test_a_damaged_newest_checkpoint_is_skipped_or_refused(make_run, tmp_path, caplog):
    unbroken = make_run("unbroken")
    output = unbroken.train()
    run = tmp_path / "run"
    shutil.copytree(tmp_path / "unbroken", run)
    newest = run / "checkpoint-6"
    assert {path.name for path in newest.iterdir()} >= STATE
    (newest / "scheduler.pt").unlink()
    resumed = make_run("run")
    assert resumed.train(resume_from_checkpoint=True).training_loss == output.training_loss
    assert f"'{newest}' is skipped, because scheduler.pt is missing." in caplog.messages
    assert_same_run(resumed, unbroken)
    assert find_damage(newest) is None  # written again
    (newest / "model_card.md").write_text("added later")
    assert find_damage(newest) is None
    with (newest / "adapter_model.safetensors").open("r+b") as file:
        file.write(b"\x01")
    with pytest.raises(DamagedCheckpointError, match=r"adapter_model\.safetensors has other content.*'.*checkpoint-4'"):
        make_run("run").train(resume_from_checkpoint=str(newest))


DAMAGES = {
    "optimizer.pt": "optimizer.pt is missing",
    "scheduler.pt": "scheduler.pt is missing",
    "rng_state.pth": "rng_state.pth is missing",
}


def test_a_checkpoint_of_an_earlier_version_resumes_and_incomplete_ones_are_refused(make_run, tmp_path):
    unbroken = make_run("unbroken")
    unbroken.train()
    old = tmp_path / "unbroken" / "checkpoint-4"
    for name in (MANIFEST, "log_state_0.pt"):
        (old / name).unlink()
    resumed = make_run("resumed", logging_steps=2)
    resumed.train(resume_from_checkpoint=str(old))
    assert_same(weights(resumed.model), weights(unbroken.model), rtol=0, atol=0)
    trainer = make_run("resumed")
    for name, problem in DAMAGES.items():
        content = (old / name).read_bytes()
        (old / name).unlink()
        with pytest.raises(DamagedCheckpointError, match=problem):
            trainer.train(resume_from_checkpoint=str(old))
        for wrong in (b"text", pickle.dumps(print), pickle.dumps([1])):
            (old / name).write_bytes(wrong)
            with pytest.raises(DamagedCheckpointError, match=f"{name} is not a file that a trainer writes"):
                trainer.train(resume_from_checkpoint=str(old))
        (old / name).write_bytes(content)


def test_a_damaged_best_model_is_not_loaded(make_run, tmp_path):
    def damage():
        (tmp_path / "run" / "checkpoint-2" / "adapter_model.safetensors").write_bytes(b"")

    best_is_first = {"load_best_model_at_end": True, "metric_for_best_model": "num_tokens", "greater_is_better": False}
    trainer = make_run(callbacks=[AtStep(6, damage)], eval_strategy="steps", eval_steps=2, **best_is_first)
    with pytest.raises(DamagedCheckpointError, match=r"checkpoint-2' cannot be loaded.*0 bytes.*checkpoint-6"):
        trainer.train()


@pytest.mark.skipif(sys.platform == "win32", reason="files of limited size")
def test_a_full_disk_is_one_message_and_earlier_checkpoints_stay(make_run, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    trainer = make_run(callbacks=[AtStep(3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, hard)))])
    try:
        with pytest.raises(RunStoppedError, match=r"checkpoint-4' could not be written.*checkpoint-2'. Free space"):
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-2"]
    assert find_damage(tmp_path / "run" / "checkpoint-2") is None


def test_a_folder_that_cannot_be_written_is_one_message(make_run, tmp_path):
    trainer = make_run(callbacks=[AtStep(4, (tmp_path / "run" / "checkpoint-4").touch)])
    with pytest.raises(RunStoppedError, match=r"checkpoint-4' could not be written: FileExistsError.*checkpoint-2'"):
        trainer.train()


def test_a_streamed_file_that_vanishes_is_one_message(make_run, pairs, tmp_path):
    files = [tmp_path / f"rows-{number}.jsonl" for number in range(2)]
    for file in files:
        Dataset.from_list(list(pairs)).to_json(file)
    stream = load_dataset("json", data_files=[str(file) for file in files], split="train", streaming=True)
    trainer = make_run(data=stream, callbacks=[AtStep(3, files[1].unlink)])
    with pytest.raises(RunStoppedError, match=r"The run stopped: .*rows-1.*checkpoint-2'. Restore the file"):
        trainer.train()


@pytest.fixture
def command(language_model, tmp_path, write_rows):
    """Return the words of a training command without an end."""
    rows = [{"prompt": "Hi ", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(8)]
    where = ("--model", language_model, "--dataset", write_rows(*rows), "--output_dir", tmp_path / "cli")
    fast = "--loss hinge --max_steps 100000 --per_device_train_batch_size 2 --disable_tqdm true --save_steps 3"
    return ("train", *where, *fast.split(), "--no_gradient_checkpointing")


def signals_at_steps(monkeypatch, numbers):
    """Send signals to this process during the training steps, one signal per step in a mapping."""
    counts, original = iter(range(1, 10**6)), RewardTrainer.training_step

    def step(*args, **kwargs):
        for number in numbers.get(next(counts), ()):
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    monkeypatch.setattr(RewardTrainer, "training_step", step)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_after_the_step_and_gives_its_exit_code(cli, command, monkeypatch, tmp_path, number, code):
    signals_at_steps(monkeypatch, {2: [number]})
    result = cli(*command)
    assert result.code == code, result.err
    assert f"Stopped at step 2. Saved {tmp_path / 'cli' / 'checkpoint-2'}." in result.err
    assert "add --resume_from_checkpoint to the same command" in result.err
    assert find_damage(tmp_path / "cli" / "checkpoint-2") is None


def test_a_second_signal_stops_at_once_and_names_what_is_kept(cli, command, monkeypatch, tmp_path):
    signals_at_steps(monkeypatch, {5: [signal.SIGINT, signal.SIGINT]})
    result = cli(*command)
    assert result.code == 130
    assert f"The newest whole checkpoint is {tmp_path / 'cli' / 'checkpoint-3'}" in result.err
    assert not (tmp_path / "cli" / "checkpoint-4").exists()


def test_a_time_limit_saves_and_ends_without_an_error_and_the_same_command_goes_on(cli, command, tmp_path):
    limited = (*command, "--stop_after", "0.5", "--resume_from_checkpoint", "auto")
    first, second = cli(*limited), cli(*limited)
    steps = [json.loads((path / "trainer_state.json").read_text())["global_step"] for path in checkpoints(tmp_path)]
    for result in (first, second):
        assert result.code == 0, result.err
        assert "The time limit of 0.5 is reached. Stopped at step" in result.out
        assert "Saved the reward model" not in result.out
    assert f"Stopped at step {max(steps)}." in second.out
    assert not (tmp_path / "cli" / "config.json").exists()


def checkpoints(tmp_path):
    return list((tmp_path / "cli").glob("checkpoint-*"))


def test_a_time_limit_that_is_no_duration_is_refused_before_the_model_loads(cli, command, tmp_path):
    result = cli(*command, "--stop_after", "soon")
    assert result.code == 2
    assert "stop_after is 'soon', which is not a duration above 0. Write hours" in result.err
    assert not (tmp_path / "cli").exists()


@pytest.mark.parametrize("kills", with_thorough(["2"], ["5"]))
def test_kills_are_survived(kills):
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.reliability.kills", "--kills", kills, "--cases", "LoRA"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.splitlines()[-2].startswith(f"| all | {kills} |"), printed
    assert printed.splitlines()[-2].endswith(f"| {kills} | {kills} |"), printed
