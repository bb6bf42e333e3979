"""Data whose items differ in number from row to row, and training on them in one process or several."""

import json
import subprocess
import sys
from pathlib import Path

from datasets import Dataset

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


def short_and_long() -> Dataset:
    """Return pairs, every other one about a prompt many times longer."""
    return Dataset.from_list(
        [
            {
                "prompt": f"Say {i}. " + " ".join(WORDS[(i + j) % 10] for j in range(40 * (i % 2))),
                "chosen": f"{WORDS[i % 10]} {i}",
                "rejected": f"{WORDS[(i + 1) % 10]} {i}",
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


def answers_in_steps() -> Dataset:
    """Return sixteen lists of two or three answers with one to three steps each."""
    return Dataset.from_list(
        [
            {
                "prompt": f"Count to {i}. ",
                "completion_steps": [["one. ", "two. ", "three."][: 1 + (i + j) % 3] for j in range(2 + i % 2)],
                "ranks": [1, 2, 2][: 2 + i % 2],
            }
            for i in range(16)
        ]
    )


RAGGED = {
    "lists, over pairs": (ragged_lists, "bradley_terry + 0.1 * centering", "items"),
    "lists, over prompts": (ragged_lists, "bradley_terry", "prompts"),
    "lists, by list": (ragged_lists, "plackett_luce + 0.01 * score_decay", "items"),
    "steps": (ragged_steps, "segment_hinge", "items"),
    "steps, over prompts": (ragged_steps, "segment_rating", "prompts"),
    "lists, and their batch": (ragged_lists, "bradley_terry + 0.5 * batch_sum_to_zero + length_decorrelation", "items"),
    "lists, and their batch, over prompts": (ragged_lists, "plackett_luce + 0.5 * batch_sum_to_zero", "prompts"),
    "ties, a width learned": (ragged_lists, "rao_kupper", "items"),
    "answers in steps": (answers_in_steps, "aggregated(of=plackett_luce, by='minimum')", "items"),
    "pairs and steps": (both_kinds, "bradley_terry + 0.5 * segment_hinge + 0.1 * score_decay", "items"),
}


SCRIPT = """
import json, sys, torch
from accelerate.utils import gather_object
from datasets import load_from_disk
from rlhf_losses import RewardConfig, RewardTrainer

class Counting(RewardTrainer):
    passes = []

    def training_step(self, model, inputs, *others):
        self.passes.append(len(inputs["passes"]))
        return super().training_step(model, inputs, *others)

model, data, loss, over, size, out, layout, budget = sys.argv[1:]
trainer = Counting(
    model,
    RewardConfig(
        out, max_steps=2, per_device_train_batch_size=int(size), logging_steps=1, save_strategy="no", report_to="none",
        bf16=False, gradient_checkpointing=False, use_cpu=True, disable_tqdm=True, average_over=over,
        learning_rate=1e-3, ddp_backend="gloo", layout=layout, tokens_per_pass=int(budget) if budget else None,
    ),
    train_dataset=load_from_disk(data),
    loss=loss,
)
trainer.train()
passes = gather_object([trainer.passes])
if trainer.is_world_process_zero():
    weights = {name: weight.double().sum().item() for name, weight in trainer.model.named_parameters()}
    found = {"log": trainer.state.log_history[:-1], "weights": weights, "passes": passes}
    print("RESULT" + json.dumps(found), flush=True)
"""


END = """
import os, sys
if torch.distributed.is_initialized():
    torch.distributed.barrier()
sys.stdout.flush()
os._exit(0)
"""
"""Ends a process at once: threads of torch's that are still running at its ordered end abort it now and then."""


def train_in_processes(folder: Path, processes: int, *arguments: str) -> dict:
    """Train on data from disk, and return the log, the sum of each weight, and the passes of each process and step."""
    return run_in_processes(SCRIPT, folder, processes, *arguments)


def run_in_processes(code: str, folder: Path, processes: int, *arguments: str) -> dict:
    """Run a script in several processes that find each other, and return what it prints after RESULT."""
    return result_in(printed_by_processes(code, folder, processes, *arguments))


def printed_by_processes(code: str, folder: Path, processes: int, *arguments: str) -> str:
    """Run a script, which imports torch, in several processes that find each other, and return what they print."""
    script = folder / "script.py"
    script.write_text(code + END)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *launcher, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def result_in(printed: str) -> dict:
    """Return what follows RESULT."""
    return json.loads(next(line for line in printed.splitlines() if line.startswith("RESULT"))[6:])
