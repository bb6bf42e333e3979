"""Data with different numbers of items per row, and training on them in one process or several."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset
from forked_processes import printed_by_forks
from run_script import printed_by

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


def pairs_and_steps() -> Dataset:
    """Return rows with a pair and steps; the chosen answer has the steps."""
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
    "ties with a trained width": (ragged_lists, "rao_kupper", "items"),
    "answers in steps": (answers_in_steps, "aggregated(of=plackett_luce, by='minimum')", "items"),
    "pairs and steps": (pairs_and_steps, "bradley_terry + 0.5 * segment_hinge + 0.1 * score_decay", "items"),
}


SCRIPT = """
import json, os, sys, torch
from accelerate.utils import gather_object
from datasets import load_from_disk
from rlhf_losses import RewardConfig, RewardTrainer

class Counting(RewardTrainer):
    passes = []

    def training_step(self, model, inputs, *others):
        self.passes.append(len(inputs["passes"]))
        return super().training_step(model, inputs, *others)

model, runs = sys.argv[1], json.loads(sys.argv[2])
backend = {"ddp_backend": "gloo"} if "RANK" in os.environ else {}
for run in runs:
    Counting.passes = []
    trainer = Counting(
        model,
        RewardConfig(
            max_steps=2, logging_steps=1, save_strategy="no", report_to="none",
            bf16=False, gradient_checkpointing=False, use_cpu=True, disable_tqdm=True,
            learning_rate=1e-3, **backend, **run["settings"],
        ),
        train_dataset=load_from_disk(run["data"]),
        loss=run["loss"],
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
"""Ends a process immediately: a normal exit sometimes aborts while threads of torch are running."""


def trained_in_processes(model: str, folder: Path, processes: int, runs: list[dict[str, Any]]) -> list[dict]:
    """Train several runs, and return for each the log, the sum of each weight, and the passes per process and step.

    A run has data, a loss and settings. All runs use the same processes, because a start takes long; with one process,
    they run in the process of the tests.
    """
    written = []
    for number, run in enumerate(runs):
        place = str(folder / f"{number}-{processes}")
        run["data"].save_to_disk(f"{place}-data")
        written.append(run | {"data": f"{place}-data", "settings": {"output_dir": place, **run["settings"]}})
    if processes == 1:
        (folder / "alone.py").write_text(SCRIPT)
        return results_in(printed_by(folder / "alone.py", model, json.dumps(written)))
    return results_in(printed_by_processes(SCRIPT, folder, processes, model, json.dumps(written)))


def run_in_processes(code: str, folder: Path, processes: int, *arguments: str) -> dict:
    """Run a script in several connected processes, and return what it prints after RESULT."""
    return results_in(printed_by_processes(code, folder, processes, *arguments))[0]


def printed_by_processes(code: str, folder: Path, processes: int, *arguments: str) -> str:
    """Run a script, which imports torch, in several connected processes, and return their output."""
    script = folder / "script.py"
    script.write_text(code + END)
    return printed_by_forks(script, processes, *arguments)


def results_in(printed: str) -> list[dict]:
    """Return the JSON after each RESULT."""
    return [json.loads(line[6:]) for line in printed.splitlines() if line.startswith("RESULT")]
