"""What a demo leaves behind: a table for people, `results.json` for programs, and a picture of the run."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rlhf_losses.sandbox.outcome import Outcome

RESULTS, PICTURE, STEPS = "results.json", "progress.png", "progress.csv"
HEADER = ("loss", "accuracy", "gold before → after", "gain, 95 % interval", "KL", "seconds")


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one line an outcome, in aligned columns."""
    lines = [HEADER, *map(_cells, outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([rows[0], "  ".join("─" * width for width in widths), *rows[1:]])


def stories(outcome: Outcome) -> str:
    """Return a few completions of the policy, before and after."""
    return "\n\n".join(
        f"{one['prompt']}\n  before: {one['before']}\n  after:  {one['after']}" for one in outcome.completions
    )


def write_results(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write `results.json`: a list with one object a loss."""
    text = json.dumps([outcome.to_json() for outcome in outcomes], indent=2, ensure_ascii=False)
    (folder / RESULTS).write_text(text + "\n", encoding="utf-8")


def write_steps(outcome: Outcome, folder: Path) -> None:
    """Write proxy reward, gold and KL of each step, as numbers and as a picture."""
    rows = [asdict(step) for step in outcome.steps]
    with (folder / STEPS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(outcome, folder / PICTURE)


def draw(outcome: Outcome, file: Path) -> None:
    """Draw proxy reward, gold and KL over the steps of PPO, one below the other."""
    from matplotlib.figure import Figure

    curves = (
        ("proxy", "proxy reward\n(score of the reward model)", "tab:blue"),
        ("gold", "gold reward\n(known, −1 to 1)", "tab:green"),
        ("kl", "KL to the reference\n(nats a completion)", "tab:red"),
    )
    figure = Figure(figsize=(7, 7.5), layout="constrained")
    panels = figure.subplots(len(curves), 1, sharex=True)
    for panel, (name, label, colour) in zip(panels, curves, strict=True):
        panel.plot([s.step for s in outcome.steps], [getattr(s, name) for s in outcome.steps], color=colour)
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("optimizer step")
    figure.suptitle(f"PPO on a reward model trained with {outcome.loss}", fontsize=11)
    figure.savefig(file, dpi=120)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    low, high = outcome.gold_gain_ci
    return (
        outcome.loss,
        f"{outcome.accuracy:.2f}",
        f"{outcome.gold_before:+.2f} → {outcome.gold_after:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        f"{outcome.kl:.1f}",
        f"{outcome.seconds:.0f}",
    )
