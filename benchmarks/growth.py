"""AttentionOptions time and memory of one training step grow with the prompt, the number of answers, and the tokens of a batch.

python benchmarks/growth.py            # measures, writes results/growth.csv, and draws results/growth.png from it
python benchmarks/growth.py --draw     # draws only

A batch is one pass in every layout. The tokens of a batch are those of its texts, whatever the layout; the column
`tokens` has those that the layout computes. A point is the median of its repeats, after a step that is not measured.
"""

import csv
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import trl
from measure import environment, measuring
from workloads import SIZES, Workload, grouped, make_model

from rlhf_losses.layouts import LayoutName, PaddedLayout, choose_layout
from rlhf_losses.models.scores import score_batch

PANELS = {
    "prompt": "tokens of the prompt\n(2 answers of 64 tokens)",
    "answers": "answers to a prompt\n(512 tokens, and 64 an answer)",
    "tokens": "tokens of a batch\n(prompts of 256 with 4 answers of 64)",
}
MEASURED = {"seconds": "seconds a step", "memory_mib": "memory of a step, MiB"}
LAYOUTS: dict[LayoutName, str] = {"padded": "o", "packed": "s", "prefix_shared": "^"}
COLUMNS = ("varied", "value", "layout", "seconds", "memory_mib", "tokens")


@dataclass
class Settings:
    """What to measure."""

    size: str = field(default="16M", metadata={"help": f"Size of the model: {', '.join(SIZES)}."})
    repeats: int = field(default=3, metadata={"help": "Measured steps a point."})
    points: int | None = field(default=None, metadata={"help": "Measure only the first so many points of a panel."})
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
            for row in measure(settings):
                print(*row, flush=True)
                writer.writerow(row)
    draw(table, table.with_suffix(".png"))


def measure(settings: Settings) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table: a step of each layout on each workload."""
    for varied, value, workload in cases(settings.points):
        for name in LAYOUTS:
            step, tokens = _step(workload, settings.size, name)
            step()
            taken = [_timed(step) for _ in range(settings.repeats)]
            seconds, memory = (statistics.median(found) for found in zip(*taken, strict=True))
            yield varied, value, name, round(seconds, 4), round(memory, 1), tokens


def cases(points: int | None) -> Iterator[tuple[str, int, Workload]]:
    """Yield what is varied, its value, and the workload."""
    for length in (64, 128, 256, 512, 1024, 2048, 4096)[:points]:
        yield "prompt", length, grouped(1, length, 2, 64)
    for count in (2, 4, 8, 16, 32)[:points]:
        yield "answers", count, grouped(1, 512, count, 64)
    for count in (1, 2, 4, 8, 16)[:points]:
        workload = grouped(count, 256, 4, 64)
        yield "tokens", sum(map(len, _tokenized(workload))), workload


def draw(table: Path, picture: Path) -> None:
    """Draw the table: seconds above, memory below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained", sharex="col", sharey="row")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
    for column, varied in enumerate(PANELS):
        for line, measured in enumerate(MEASURED):
            _draw_panel(axes[line][column], [row for row in rows if row["varied"] == varied], measured)
        axes[1][column].set_xlabel(PANELS[varied])
    for line, label in enumerate(MEASURED.values()):
        axes[line][0].set_ylabel(label)
    axes[0][0].legend()
    figure.savefig(picture, dpi=120)


def _draw_panel(axis: Any, rows: list[dict[str, str]], measured: str) -> None:
    for name, marker in LAYOUTS.items():
        chosen = [row for row in rows if row["layout"] == name]
        values = [int(row["value"]) for row in chosen]
        axis.plot(values, [float(row[measured]) for row in chosen], marker=marker, label=name)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(values, [f"{value:,}" for value in values])
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.grid(alpha=0.3)


def _timed(step: Callable[[], None]) -> tuple[float, float]:
    with measuring() as one:
        step()
    return one.seconds, one.memory


def _tokenized(workload: Workload) -> list[list[int]]:
    return [workload.tokenizer(text)["input_ids"] for text in workload.texts()]


def _step(workload: Workload, size: str, name: LayoutName) -> tuple[Callable[[], None], int]:
    model = make_model(size, workload.tokenizer).train()
    layout = choose_layout(model, PaddedLayout(workload.tokenizer.pad_token_id), name)
    texts = _tokenized(workload)

    def step() -> None:
        batch = layout.lay_out(texts, range(len(texts)), [len(text) - 1 for text in texts])
        score_batch(model, batch).square().mean().backward()
        model.zero_grad()

    return step, layout.size(texts)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
