"""Run time of each loss compared to a model, and of listwise losses over the length of the list.

    python -m benchmarks.losses.runtime            # two tables, and results/losses/runtime.csv
    python -m benchmarks.losses.runtime --draw     # the tables from the CSV file

Each time is the shortest of several forward and backward passes. The feedback of a loss is the rows of `check_loss`,
repeated until the batch is full. The model computes texts of one length, and its time is that of as many texts as the
rows have. In the second table a batch has 8,192 answers in lists of one length. The exponent is the slope of the
logarithm of the time per list over that of the length, for the four longest lists.

The tables are on the page docs/choosing-a-loss.md, where docs/generate_losses.py writes them from the CSV file.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._lib.measurement import device, environment, min_seconds
from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import print_markdown
from benchmarks._lib.workloads import lists_of_fixed_length, make_reward_model
from rlhf_losses.feedback import Feedback, Rankings, Steps, StepwiseRankings
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import AnyLoss, bradley_terry, pqm
from rlhf_losses.testing.examples import example_batches_for, join

MODELS = ("tiny", "16M")
LENGTHS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
QUADRATIC = ("accumulated_pairs", "lambda_ndcg", "bradley_terry")
"""Losses that compare every two answers of a list."""


def main() -> None:
    """Measure, print the tables, and save the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, default=16, help="rows of a batch in the first table")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of a text")
    parser.add_argument("--answers", type=int, default=8192, help="answers of a batch in the second table")
    parser.add_argument("--longest", type=int, default=1024, help="length of the longest lists")
    parser.add_argument("--repeats", type=int, default=20, help="measured passes of a loss")
    parser.add_argument("--model_repeats", type=int, default=3, help="measured passes of a model")
    add_study_arguments(parser, "losses")
    args = parser.parse_args()
    torch.manual_seed(0)
    run_study("runtime", args, lambda: measure_all(args), report, num_threads=None)


def measure_all(args: argparse.Namespace) -> Iterator[Rows]:
    """Yield the rows of each loss."""
    machine = {"machine": environment()}
    model_seconds = {size: seconds_per_text(size, args) for size in MODELS}
    for cls in provide_losses():
        yield [compared_to_models(cls(), model_seconds, args) | machine]
    lengths = [length for length in LENGTHS if length <= args.longest]
    listwise = [cls() for cls in provide_losses() if cls.feedback_type is Rankings]
    for loss in [*listwise, bradley_terry, pqm]:
        yield [row | machine for row in over_lengths(loss, lengths, args)]


def compared_to_models(loss: AnyLoss, model_seconds: dict[str, float], args: argparse.Namespace) -> dict[str, Any]:
    """Return the time of a loss per item, and its share of the time of each model."""
    feedback = join(list(itertools.islice(itertools.cycle(example_batches_for(loss)[0]), args.rows)))
    seconds = loss_seconds(loss, feedback, args.repeats)
    texts, items = num_texts(feedback), num_items(loss, feedback)
    return {
        "loss": str(loss),
        "rows": args.rows,
        "length": math.nan,
        "items": items,
        "texts": texts,
        "microseconds_per_item": seconds / items * 1e6,
        **{f"share_of_{size}": seconds / (texts * per_text) for size, per_text in model_seconds.items()},
        "exponent": math.nan,
    }


def over_lengths(loss: AnyLoss, lengths: list[int], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the time of a loss per list for each length of the lists."""
    feedback_type = Steps if loss.feedback_type is Steps else Rankings
    batches = {length: random_lists(feedback_type, max(1, args.answers // length), length) for length in lengths}
    seconds = {length: loss_seconds(loss, batch, args.repeats) / len(batch.sizes) for length, batch in batches.items()}
    exponent = round(fit_exponent(lengths[-4:], [seconds[length] for length in lengths[-4:]]), 2)
    for length, batch in batches.items():
        lists = len(batch.sizes)
        counts = {"loss": str(loss), "rows": lists, "length": length, "items": lists, "texts": lists * length}
        yield counts | {"microseconds_per_item": seconds[length] * 1e6, "exponent": exponent}


def report(results: pd.DataFrame) -> None:
    """Print both tables."""
    compared, by_length = results[results.length.isna()], results[results.length.notna()]
    print(f"\n{compared.rows.iloc[0]} rows; shares of the time of a model\n")
    print_markdown(
        ["loss", "items", "texts", "µs per item", *(f"share of {size}" for size in MODELS)],
        (_model_cells(row) for row in compared.itertuples(index=False)),
    )
    print("\nµs per list, over the length of the list\n")
    lengths = by_length.length.drop_duplicates().astype(int).tolist()
    print_markdown(
        ["loss", *map(str, lengths), "exponent", ""],
        (_length_cells(loss, of_loss) for loss, of_loss in by_length.groupby("loss", sort=False)),
    )


def _model_cells(row: Any) -> list[object]:
    shares = [f"{getattr(row, f'share_of_{size}'):.3%}" for size in MODELS]
    return [f"`{row.loss}`", row.items, row.texts, f"{row.microseconds_per_item:.1f}", *shares]


def _length_cells(loss: str, results: pd.DataFrame) -> list[object]:
    times = [f"{value:.3g}" for value in results.microseconds_per_item]
    note = "compares every two answers" if loss in QUADRATIC else ""
    return [f"`{loss}`", *times, f"{results.exponent.iloc[0]:.2f}", note]


def fit_exponent(lengths: list[int], seconds: list[float]) -> float:
    """Return the slope of the logarithm of the time over that of the length, by least squares.

    Examples:
        >>> round(fit_exponent([2, 4, 8], [12.0, 48.0, 192.0]), 6)
        2.0
    """
    return float(np.polyfit(np.log(lengths), np.log(seconds), 1)[0]) if len(lengths) > 1 else math.nan


def loss_seconds(loss: AnyLoss, feedback: Feedback, repeats: int) -> float:
    """Return the time of a forward and backward pass of a loss."""
    scores = torch.randn(feedback.score_count(), device=device(), requires_grad=True)
    feedback = feedback.to(device())
    return min_seconds(lambda: loss(scores, feedback).backward(), repeats)


def seconds_per_text(size: str, args: argparse.Namespace, texts: int = 8) -> float:
    """Return the time of a forward and backward pass of a model, divided by the number of texts."""
    workload = lists_of_fixed_length(1, 8, 2, 8)
    model = make_reward_model(size, workload.tokenizer).to(device()).train()
    tokens = torch.randint(2, len(workload.tokenizer), (texts, args.tokens), device=device())
    mask = torch.ones_like(tokens)

    def step() -> None:
        model(input_ids=tokens, attention_mask=mask).logits.square().mean().backward()
        model.zero_grad()

    return min_seconds(step, args.model_repeats) / texts


def random_lists(feedback_type: type[Feedback], lists: int, length: int) -> Rankings | Steps:
    """Return random rankings with ties, or random steps of which most are right, in lists of one length."""
    count, sizes = lists * length, torch.full((lists,), length)
    if feedback_type is Steps:
        return Steps(torch.arange(count), (torch.rand(count) < 0.8).float(), sizes)
    return Rankings(torch.arange(count), torch.randint(1, length + 1, (count,)), sizes)


def num_texts(feedback: Feedback) -> int:
    """Return the number of texts that the model computes."""
    if isinstance(feedback, Steps) and feedback.sizes is not None:
        return len(feedback.sizes)
    return len(feedback.counts) if isinstance(feedback, StepwiseRankings) else feedback.score_count()


def num_items(loss: AnyLoss, feedback: Feedback) -> int:
    """Return the number of items of the first term."""
    return len(loss.as_objective().terms[0].loss.per_item_loss(torch.zeros(feedback.score_count()), feedback))


if __name__ == "__main__":
    main()
