"""One batch of eight equals eight batches of one, and two processes equal one, however ragged the items."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from rlhf_losses import RewardConfig, RewardTrainer

WORDS = ["red", "green", "blue", "round", "square", "small", "large", "old", "new", "kind"]


def ragged_lists() -> Dataset:
    """Return lists of two to five answers, with ties."""
    return Dataset.from_list(
        [
            {
                "prompt": f"Say {i}. ",
                "completions": [f"{WORDS[(i + j) % 10]} {i * j}" for j in range(2 + i % 4)],
                "ranks": [1 + (i + 2 * j) % 3 for j in range(2 + i % 4)],
            }
            for i in range(16)
        ]
    )


def ragged_steps() -> Dataset:
    """Return answers of one to six steps."""
    return Dataset.from_list(
        [
            {
                "prompt": f"Count to {i}. ",
                "completions": [f"{WORDS[(i + j) % 10]}. " for j in range(1 + i % 6)],
                "labels": [float((i + j) % 2) for j in range(1 + i % 6)],
            }
            for i in range(16)
        ]
    )


def both_kinds() -> Dataset:
    """Return rows with a pair and steps; the chosen answer is the one in steps."""
    rows = []
    for row in ragged_steps():
        rows.append({**row, "chosen": "".join(row["completions"]), "rejected": "Nothing."})
    return Dataset.from_list(rows)


CASES = {
    "lists, over pairs": (ragged_lists, "bradley_terry + 0.1 * centering", "items"),
    "lists, over prompts": (ragged_lists, "bradley_terry", "prompts"),
    "lists, by list": (ragged_lists, "plackett_luce + 0.01 * score_decay", "items"),
    "steps": (ragged_steps, "segment_hinge", "items"),
    "steps, over prompts": (ragged_steps, "segment_rating", "prompts"),
    "pairs and steps": (both_kinds, "bradley_terry + 0.5 * segment_hinge + 0.1 * score_decay", "items"),
}


def train(model: str, settings, data: Dataset, loss: str, over: str, size: int, steps: int) -> RewardTrainer:
    arguments = settings(
        per_device_train_batch_size=size, gradient_accumulation_steps=steps, average_over=over, max_steps=2
    )
    trainer = RewardTrainer(model, RewardConfig(**arguments), train_dataset=data, loss=loss)
    trainer.train()
    return trainer


@pytest.mark.parametrize("case", CASES)
def test_one_batch_of_eight_equals_eight_batches_of_one(language_model, settings, case):
    data, loss, over = CASES[case]
    at_once = train(language_model, settings, data(), loss, over, size=8, steps=1)
    one_by_one = train(language_model, settings, data(), loss, over, size=1, steps=8)

    for whole, parts in zip(at_once.state.log_history[:-1], one_by_one.state.log_history[:-1], strict=True):
        for name in [name for name in whole if name.startswith(("loss", "grad_norm", "accuracy", "margin"))]:
            assert parts[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name
    for (name, whole), (_, parts) in zip(
        at_once.model.named_parameters(), one_by_one.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("case", ["lists, over pairs", "steps, over prompts"])
def test_the_mean_of_micro_batch_means_would_differ(language_model, settings, case):
    """The data are ragged enough that the tests above could fail."""
    data, loss, over = CASES[case]
    trainer = train(language_model, settings, data(), loss, over, size=8, steps=1)
    rows = [trainer.train_dataset[i] for i in range(8)]
    from rlhf_losses.training.terms import weigh

    totals = {
        round(float(weigh(trainer.loss, trainer.data_collator([row])["passes"][0], "items")[0].sum()), 3)
        for row in rows
    }
    assert len(totals) > 1


@pytest.mark.parametrize("case", ["lists, over pairs", "pairs and steps"])
def test_evaluation_does_not_depend_on_the_batch_size(language_model, settings, case):
    data, loss, over = CASES[case]
    measured = []
    for size in (1, 5, 16):
        arguments = settings(per_device_eval_batch_size=size, average_over=over)
        trainer = RewardTrainer(
            language_model, RewardConfig(**arguments), train_dataset=data(), eval_dataset=data(), loss=loss
        )
        metrics = trainer.evaluate()
        measured.append({name: metrics[name] for name in ("eval_loss", "eval_accuracy", "eval_mean_reward")})

    assert measured[1] == pytest.approx(measured[0], rel=1e-5)
    assert measured[2] == pytest.approx(measured[0], rel=1e-5)


SCRIPT = """
import json, sys, torch
from datasets import load_from_disk
from rlhf_losses import RewardConfig, RewardTrainer
model, data, loss, over, size, out = sys.argv[1:]
trainer = RewardTrainer(
    model,
    RewardConfig(
        out, max_steps=2, per_device_train_batch_size=int(size), logging_steps=1, save_strategy="no", report_to="none",
        bf16=False, gradient_checkpointing=False, use_cpu=True, disable_tqdm=True, average_over=over,
        learning_rate=1e-3, ddp_backend="gloo",
    ),
    train_dataset=load_from_disk(data),
    loss=loss,
)
trainer.train()
if trainer.is_world_process_zero():
    weights = {name: weight.double().sum().item() for name, weight in trainer.model.named_parameters()}
    print("RESULT" + json.dumps({"log": trainer.state.log_history[:-1], "weights": weights}))
"""


def run(folder: Path, processes: int, *arguments: str) -> dict:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *launcher, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[6:])


@pytest.mark.parametrize("case", ["lists, over pairs", "steps, over prompts"])
def test_two_processes_equal_one(language_model, tmp_path, case):
    data, loss, over = CASES[case]
    data().save_to_disk(str(tmp_path / "data"))
    common = [language_model, str(tmp_path / "data"), loss, over]
    alone = run(tmp_path, 1, *common, "8", str(tmp_path / "one"))
    together = run(tmp_path, 2, *common, "4", str(tmp_path / "two"))

    for one, two in zip(alone["log"], together["log"], strict=True):
        for name in ("loss", "grad_norm", "accuracy"):
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
    assert together["weights"] == pytest.approx(alone["weights"], rel=1e-4, abs=1e-4)
