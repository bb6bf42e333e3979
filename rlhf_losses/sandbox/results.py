"""Results of the RLHF loop: a table, `results.json`, and the curves of the PPO run as CSV."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from rlhf_losses.evaluation.output_folder import EvaluationFolder

RESULTS_FILE, STEPS_FILE = "results.json", "progress.csv"
_REPORTED = ("loss", "accuracy", "gold_before", "gold_after", "gold_gain_ci", "kl", "seconds", "seed")
_HEADER = ("loss", "accuracy", "gold before → after", "gain, 95 % interval", "KL", "seconds")


@dataclass(frozen=True)
class PPOStep:
    """Metrics of one logged step of PPO.

    Attributes:
        step: index of the optimizer step, from 1.
        proxy: mean score of the reward model.
        gold: mean gold reward.
        kl: KL divergence to the reference model, in nats per completion.
    """

    step: int
    proxy: float
    gold: float
    kl: float


class CompletionPair(NamedTuple):
    """Completions of one prompt before and after the training of the policy, and their gold rewards."""

    prompt: str
    before: str
    after: str
    gold_before: float | None = None
    gold_after: float | None = None


@dataclass(frozen=True)
class LoopResult:
    """Result of the RLHF loop with one loss.

    Attributes:
        loss: string form of the loss.
        accuracy: accuracy of the reward model on held-out pairs, with the gold reward as the truth.
        gold_before: mean gold reward over held-out prompts before PPO.
        gold_after: mean gold reward over held-out prompts after PPO.
        gold_gain_ci: 95 % confidence interval of the gain, over held-out prompts.
        kl: KL divergence of the policy to the reference model, in nats per completion.
        seconds: duration of the loop.
        seed: seed of the task.
        steps: metrics of the steps of PPO.
        completions: examples before and after PPO.
        evaluation: evaluation of the reward model on held-out lists.
        folder: folder with the reward model, the policy and their logs.
    """

    loss: str
    accuracy: float
    gold_before: float
    gold_after: float
    gold_gain_ci: tuple[float, float]
    kl: float
    seconds: float
    seed: int
    steps: Sequence[PPOStep] = field(default=(), repr=False)
    completions: Sequence[CompletionPair] = field(default=(), repr=False)
    evaluation: EvaluationFolder | None = field(default=None, repr=False)
    folder: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the result, without steps and completions."""
        return {name: getattr(self, name) for name in _REPORTED} | {"gold_gain_ci": list(self.gold_gain_ci)}


def results_table(results: Sequence[LoopResult]) -> Table:
    """Return a table with one line per result."""
    table = Table(*_HEADER, box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for result in results:
        table.add_row(*map(Text, _cells(result)))
    return table


def format_completions(result: LoopResult) -> str:
    """Return the examples of completions before and after PPO as text."""
    return "\n\n".join(f"{pair.prompt}\n  before: {pair.before}\n  after:  {pair.after}" for pair in result.completions)


def write_results(results: Sequence[LoopResult], folder: Path) -> None:
    """Write `results.json`: a list with one object per result."""
    text = json.dumps([result.to_dict() for result in results], indent=2, ensure_ascii=False)
    (folder / RESULTS_FILE).write_text(text + "\n", encoding="utf-8")


def write_steps(result: LoopResult, folder: Path) -> None:
    """Write the metrics of each step as `progress.csv`."""
    rows = [asdict(step) for step in result.steps]
    with (folder / STEPS_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _cells(result: LoopResult) -> tuple[str, ...]:
    low, high = result.gold_gain_ci
    return (
        result.loss,
        f"{result.accuracy:z.2f}",
        f"{result.gold_before:+z.2f} → {result.gold_after:+z.2f}",
        f"{low:+z.2f} to {high:+z.2f}",
        f"{result.kl:z.1f}",
        f"{result.seconds:z.0f}",
    )
