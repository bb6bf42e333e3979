"""How time and memory of one training step grow with the prompt, the number of answers, and the tokens of a pass.

python benchmarks/growth.py            # measures, writes results/growth.csv, and draws results/growth.png from it
python benchmarks/growth.py --draw     # draws only
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import trl
from measure import environment, measuring
from workloads import SIZES, Workload, grouped, make_model

from rlhf_losses.layouts import LayoutName, PaddedLayout, choose_layout
from rlhf_losses.model import score_batch

PANELS = {
    "prompt": "tokens of the prompt (2 answers of 64)",
    "answers": "answers to a prompt of 512 (64 tokens each)",
    "prompts": "prompts a pass (256 + 4 answers of 64)",
}
COLUMNS = ("varied", "value", "layout", "seconds", "memory_mib", "tokens")


@dataclass
class Settings:
    """What to measure."""

    size: str = field(default="16M", metadata={"help": f"Size of the model: {', '.join(SIZES)}."})
    draw: bool = field(default=False, metadata={"help": "Draw the picture from the CSV that is there."})
    output: str = field(default="benchmarks/results", metadata={"help": "Folder of growth.csv and growth.png."})


def main() -> None:
    """Measure and draw."""
    (settings,) = trl.TrlParser([Settings]).parse_args_and_config()
    table = Path(settings.output) / "growth.csv"
    if not settings.draw:
        print(environment())
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in measure(settings.size):
                print(*row, flush=True)
                writer.writerow(row)
    draw(table, table.with_suffix(".png"))


def measure(size: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table: one step of each layout on each workload, after one that is not measured."""
    cases = [
        *(("prompt", length, grouped(1, length, 2, 64)) for length in (64, 128, 256, 512, 1024, 2048, 4096)),
        *(("answers", count, grouped(1, 512, count, 64)) for count in (2, 4, 8, 16, 32)),
        *(("prompts", count, grouped(count, 256, 4, 64)) for count in (1, 2, 4, 8, 16)),
    ]
    for varied, value, workload in cases:
        names: tuple[LayoutName, ...] = ("padded", "packed", "prefix_shared")
        for name in names:
            step, tokens = _step(workload, size, name)
            step()
            with measuring() as one:
                step()
            yield varied, value, name, round(one.seconds, 4), round(one.memory, 1), tokens


def draw(table: Path, picture: Path) -> None:
    """Draw the table: seconds above, memory below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.5), layout="constrained")
    for column, (varied, label) in enumerate(PANELS.items()):
        for line, measured in enumerate(("seconds", "memory_mib")):
            axis = axes[line][column]
            for name, marker in (("padded", "o"), ("packed", "s"), ("prefix_shared", "^")):
                chosen = [row for row in rows if row["varied"] == varied and row["layout"] == name]
                axis.plot(
                    [int(row["value"]) for row in chosen], [float(row[measured]) for row in chosen],
                    marker=marker, label=name,
                )  # fmt: skip
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xlabel(label)
            axis.set_ylabel("seconds a step" if measured == "seconds" else "memory of a step, MiB")
            axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.savefig(picture, dpi=120)


def _step(workload: Workload, size: str, name: LayoutName) -> tuple[Any, int]:
    model = make_model(size, workload.tokenizer).train()
    layout = choose_layout(model, PaddedLayout(workload.tokenizer.pad_token_id), name)
    texts = [workload.tokenizer(text)["input_ids"] for text in workload.texts()]

    def step() -> None:
        batch = layout.lay_out(texts, range(len(texts)), [len(text) - 1 for text in texts])
        score_batch(model, batch).square().mean().backward()
        model.zero_grad()

    return step, layout.size(texts)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
