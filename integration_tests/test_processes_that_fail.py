"""When one of two processes fails, is killed, or has other data, no process waits forever and the reason is printed."""

import json
import os
import signal
import sys
import time
from functools import partial

import pytest
from accelerate import PartialState
from datasets import Dataset, IterableDataset
from ended_processes import run_forked

from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.checkpoints.manifest import find_damage
from rlhf_losses.cli.main import main
from rlhf_losses.ppo import PPOConfig, PPOTrainer

pytestmark = pytest.mark.upstream

ROWS = [{"prompt": f"{i} ", "chosen": f"good {i}", "rejected": f"bad {i % 3}"} for i in range(12)]
COUNTS = (5, 1, 3)
"""Rows of each shard of a stream."""


def shards(rows):
    """Yield the rows of several shards."""
    for one in rows:
        yield from one


def stream():
    starts = [sum(COUNTS[:number]) for number in range(len(COUNTS))]
    parts = [ROWS[start : start + count] for start, count in zip(starts, COUNTS, strict=True)]
    return IterableDataset.from_generator(shards, gen_kwargs={"rows": parts})


def train_on_stream(model, settings, processes, _rank=0):
    """Train two epochs with evaluation after each of them, and print the log of the first process."""
    args = RewardConfig(
        **settings(max_steps=6, eval_strategy="epoch", disable_tqdm=True), ddp_backend="gloo" if processes > 1 else None
    )
    args.per_device_train_batch_size = args.per_device_eval_batch_size = 4 // processes
    trainer = RewardTrainer(model, args, stream(), stream(), loss="bradley_terry")
    trainer.train()
    if trainer.is_world_process_zero():
        print("LOG" + json.dumps(trainer.state.log_history[:-1]), flush=True)


def printed_log(output):
    (line,) = [line for line in output.splitlines() if line.startswith("LOG")]
    return json.loads(line[3:])


def test_a_stream_with_uneven_shards_trains_two_processes_as_one(language_model, settings, tmp_path, capsys):
    train_on_stream(language_model, settings, 1)
    alone = printed_log(capsys.readouterr().out)
    ended = run_forked(partial(train_on_stream, language_model, settings, 2), tmp_path / "output")
    assert [one.code for one in ended] == [0, 0], ended[0].output
    together = printed_log(ended[0].output)
    assert [sorted(entry) for entry in together] == [sorted(entry) for entry in alone]
    for two, one in zip(together, alone, strict=True):
        for name in ("loss", "grad_norm", "accuracy", "mean_reward", "eval_loss", "eval_accuracy"):
            assert two.get(name, 0.0) == pytest.approx(one.get(name, 0.0), rel=1e-4, abs=1e-6), (one["epoch"], name)


@pytest.fixture
def command(language_model, tmp_path, write_rows):
    """Return the words of a training command of five steps, with a checkpoint after each of them."""
    words = ["train", "--model", language_model, "--dataset", write_rows(*ROWS), "--loss", "bradley_terry", "--use_cpu"]
    words += ["--output_dir", tmp_path / "run", "--max_steps", 5, "--save_steps", 1, "--report_to", "none"]
    return [str(word) for word in words]


def whole_checkpoints(run):
    return sorted(path.name for path in run.glob("checkpoint-*") if find_damage(path) is None)


def test_a_killed_process_ends_the_other_one_with_a_message(command, tmp_path):
    def train(rank):
        write = RewardTrainer._log_state

        def killed_in_the_third_write(self):
            if rank == 1 and self.state.global_step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(self)

        RewardTrainer._log_state = killed_in_the_third_write
        sys.exit(main(command))

    first, second = run_forked(train, tmp_path / "output")
    assert second.code == -signal.SIGKILL
    assert first.code == 2, first.output
    assert "rlhf-losses: Another process of this run has ended or does not answer" in first.output
    assert whole_checkpoints(tmp_path / "run") == ["checkpoint-1", "checkpoint-2"]


def before_the_second_step(action):
    """Call a function before the second step of the training of this process, which a test has forked."""
    step = RewardTrainer.training_step

    def with_action(self, *inputs):
        if self.state.global_step == 1:
            action()
        return step(self, *inputs)

    RewardTrainer.training_step = with_action


def test_a_signal_to_one_process_stops_both_after_the_same_step(command, tmp_path):
    def train(rank):
        if rank == 1:
            before_the_second_step(lambda: os.kill(os.getpid(), signal.SIGTERM))
        sys.exit(main(command))

    first, second = run_forked(train, tmp_path / "output")
    assert (first.code, second.code) == (143, 143), first.output + second.output
    assert "Stopped at step 2. Saved" in first.output
    assert "Stopped at" not in second.output
    assert whole_checkpoints(tmp_path / "run") == ["checkpoint-1", "checkpoint-2"]


def test_a_process_that_does_not_answer_in_time_stops_the_run(command, tmp_path):
    def train(rank):
        if rank == 1:
            before_the_second_step(lambda: time.sleep(5))
        PartialState._reset_state()  # that of the process of the tests
        sys.exit(main([*command, "--ddp_timeout", "2"]))

    ended = run_forked(train, tmp_path / "output")
    assert [one.code for one in ended] == [2, 2], ended[0].output
    assert "Another process of this run has ended or does not answer (Timed out" in ended[0].output


def test_a_reward_function_that_fails_on_one_process_ends_both(language_model, tmp_path):
    def train(rank):
        def reward(completions, **_):
            return [1.0 / (1 - rank)] * len(completions)

        args = PPOConfig(
            str(tmp_path / "run"), max_steps=1, max_completion_length=4, per_device_train_batch_size=2, use_cpu=True,
            report_to="none", bf16=False, disable_tqdm=True, save_strategy="no", sanity_check=False,
        )  # fmt: skip
        PPOTrainer(language_model, [reward], args, Dataset.from_list([{"prompt": "Say:"}] * 4)).train()

    first, second = run_forked(train, tmp_path / "output")
    assert (first.code, second.code) == (1, 1)
    assert second.output.rstrip().endswith("ZeroDivisionError: float division by zero")
    assert "ProcessError: A reward function failed in another process: ZeroDivisionError" in first.output
