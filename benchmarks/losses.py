"""What a loss costs beside the model that is trained with it, and how losses of lists grow with the list.

    python benchmarks/losses.py            # measures, prints two tables, and writes results/losses.csv

Every time is that of a forward and a backward pass, the best of several. A loss is priced on the small rows that
`check_loss` takes, over and over until the batch is full; the model runs over texts of one length in tokens, and its
time is taken for as many texts as the rows have. For the growth, a batch has 8,192 answers in lists of one length, so
that a list costs in proportion to its length where the loss is linear; the exponent is fitted to the longest four.
"""

import csv
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import trl
from measure import environment
from workloads import grouped, make_model

from rlhf_losses.feedback import Feedback, Rankings, Steps, StepwiseRankings
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import Loss, bradley_terry, pqm
from rlhf_losses.testing.examples import batches_for, join

MODELS = ("tiny", "16M")
LENGTHS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
QUADRATIC = ("accumulated_pairs", "lambda_ndcg", "bradley_terry")
"""Compare every two answers of a list: what a difference of scores costs is no sum of what each score costs."""

COLUMNS = ("loss", "rows", "length", "items", "texts", "microseconds_an_item", *(f"share_of_{m}" for m in MODELS),
           "exponent")  # fmt: skip


@dataclass
class Settings:
    """What to measure."""

    rows: int = field(default=16, metadata={"help": "Rows of a batch, for the cost beside the model."})
    tokens: int = field(default=128, metadata={"help": "Tokens of a text."})
    answers: int = field(default=8192, metadata={"help": "Answers of a batch, for the growth with the list."})
    longest: int = field(default=1024, metadata={"help": "Length of the longest lists."})
    repeats: int = field(default=20, metadata={"help": "Runs, of which the fastest counts."})
    model_repeats: int = field(default=3, metadata={"help": "The same for models."})
    output: str = field(default="benchmarks/results/losses.csv", metadata={"help": "Where the numbers go."})


def main() -> None:
    """Measure, print the tables, and write them."""
    (settings,) = trl.TrlParser([Settings]).parse_args_and_config()
    machine = environment()
    print(machine)
    rows = [*beside_the_model(settings), *growth(settings)]
    Path(settings.output).parent.mkdir(parents=True, exist_ok=True)
    with open(settings.output, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*COLUMNS, "machine"))
        writer.writeheader()
        writer.writerows(row | {"machine": machine} for row in rows)


def beside_the_model(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield what every loss costs on a batch of rows, and its share of the model's time on their texts."""
    a_text = {size: seconds_a_text(size, settings) for size in MODELS}
    told = ", ".join(f"{size} {seconds * 1e3:.3g} ms" for size, seconds in a_text.items())
    print(f"\n{settings.rows} rows; a text of {settings.tokens} tokens takes the model: {told}\n")
    print("| loss | items | texts | µs an item |" + "".join(f" share of {size} |" for size in MODELS))
    print("|---" * (4 + len(MODELS)) + "|")
    for loss in (kind() for kind in provide_losses()):
        feedback = join(list(itertools.islice(itertools.cycle(batches_for(loss)[0]), settings.rows)))
        seconds = seconds_of(loss, feedback, settings.repeats)
        texts, items = texts_of(feedback), items_of(loss, feedback)
        shares = {size: seconds / (texts * each) for size, each in a_text.items()}
        print(
            f"| `{loss}` | {items} | {texts} | {seconds / items * 1e6:.1f} | "
            + " ".join(f"{share:.3%} |" for share in shares.values()),
            flush=True,
        )
        yield {
            "loss": str(loss), "rows": settings.rows, "items": items, "texts": texts,
            "microseconds_an_item": seconds / items * 1e6, **{f"share_of_{size}": shares[size] for size in MODELS},
        }  # fmt: skip


def growth(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield what a list of each length costs, every loss of lists in turn, and those that price pairs or steps."""
    lengths = [length for length in LENGTHS if length <= settings.longest]
    losses = [*(kind() for kind in provide_losses() if kind.feedback_type is Rankings), bradley_terry, pqm]
    print(f"\nµs a list, {settings.answers:,} answers a batch\n")
    print("| loss |" + "".join(f" {length} |" for length in lengths) + " exponent | |")
    print("|---" * (3 + len(lengths)) + "|")
    for loss in losses:
        kind = Steps if loss.feedback_type is Steps else Rankings
        rows = [_grown(loss, lists_of(kind, max(1, settings.answers // n), n), n, settings.repeats) for n in lengths]
        costs = [row["microseconds_an_item"] for row in rows]
        slope = exponent(lengths[-4:], costs[-4:])
        print(
            f"| `{loss}` |" + "".join(f" {cost:.3g} |" for cost in costs) + f" {slope:.2f} | "
            f"{'every two answers are compared' if loss.name() in QUADRATIC else ''} |",
            flush=True,
        )
        yield from (row | {"exponent": round(slope, 2)} for row in rows)


def _grown(loss: Loss, feedback: Rankings | Steps, length: int, repeats: int) -> dict[str, Any]:
    assert feedback.sizes is not None
    lists = len(feedback.sizes)
    return {
        "loss": str(loss), "rows": lists, "length": length, "items": lists, "texts": lists * length,
        "microseconds_an_item": seconds_of(loss, feedback, repeats) / lists * 1e6,
    }  # fmt: skip


def exponent(lengths: Sequence[int], costs: Sequence[float]) -> float:
    """Return the slope of log cost against log length, by least squares."""
    x, y = [math.log(length) for length in lengths], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else math.nan


def seconds_of(loss: Loss, feedback: Feedback, repeats: int) -> float:
    """Return the time of one forward and backward pass of a loss."""
    scores = torch.randn(feedback.score_count(), device=device(), requires_grad=True)
    feedback = feedback.to(device())

    def step() -> None:
        loss(scores, feedback).backward()

    return fastest(step, repeats)


def seconds_a_text(size: str, settings: Settings, texts: int = 8) -> float:
    """Return the time of a forward and backward pass of a model, divided by the number of texts."""
    workload = grouped(1, 8, 2, 8)
    model = make_model(size, workload.tokenizer).to(device()).train()
    tokens = torch.randint(2, len(workload.tokenizer), (texts, settings.tokens), device=device())
    mask = torch.ones_like(tokens)

    def step() -> None:
        model(input_ids=tokens, attention_mask=mask).logits.square().mean().backward()
        model.zero_grad()

    return fastest(step, settings.model_repeats) / texts


def lists_of(kind: type[Feedback], lists: int, length: int) -> Rankings | Steps:
    """Return rankings in a random order with ties, or steps of which most are right, in lists of one length."""
    count, sizes = lists * length, torch.full((lists,), length)
    if kind is Steps:
        return Steps(torch.arange(count), (torch.rand(count) < 0.8).float(), sizes)
    return Rankings(torch.arange(count), torch.randint(1, length + 1, (count,)), sizes)


def texts_of(feedback: Feedback) -> int:
    """Return the number of texts, each of which the model reads once, however many scores it has."""
    if isinstance(feedback, Steps) and feedback.sizes is not None:
        return len(feedback.sizes)
    return len(feedback.counts) if isinstance(feedback, StepwiseRankings) else feedback.score_count()


def items_of(loss: Loss, feedback: Feedback) -> int:
    """Return the number of items of the first term."""
    return len(loss.terms[0].loss.per_item_loss(torch.zeros(feedback.score_count()), feedback))


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest run, after one that is not measured."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


def device() -> str:
    """Return where to measure."""
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
