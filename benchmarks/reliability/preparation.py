"""Rows per second of each stage of the preparation of pairs, and what TRL takes to tokenize the same pairs.

`python -m benchmarks.reliability.preparation --model MODEL --rows 200000` writes pairs of random words to a file. It
reads, checks, hashes and tokenizes them as training does, inspects them, prepares them for `evaluate`, converts them
from transcripts, and tokenizes them with TRL's `RewardTrainer`. `--stream` prints the memory while a stream of the same
rows is read instead.

The table is on the page docs/reliability.md.
"""

import argparse
import json
import logging
import operator
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import trl
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, convert_dataset, prepare
from rlhf_losses.data.special_tokens import configure_special_tokens
from rlhf_losses.feedback import Pairs
from rlhf_losses.files.splits import load_splits
from rlhf_losses.fingerprints.data_content import data_content
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.losses import BradleyTerry, ScoreDecay
from rlhf_losses.scoring import Scorer
from rlhf_losses.scoring.scorable_rows import scorable_rows

WORDS = [
    f"{first}{last}" for first in ("", "s", "tr", "m", "pl", "b") for last in ("and", "ell", "ay", "ing", "un", "at")
]

PROMPT_WORDS, ANSWER_WORDS = (10, 60), (20, 120)
"""Smallest and largest number of words."""

SHORT_WORDS = (1, 5)
"""The same with `--short`."""

NO_LIMIT = LengthLimit(None, "no limit")


def draw_text(generator: random.Random, words: tuple[int, int]) -> str:
    """Return a sentence of random words."""
    return " ".join(generator.choices(WORDS, k=generator.randint(*words))).capitalize() + "."


def write_pairs(path: Path, rows: int, short: bool = False) -> None:
    """Write pairs of random words as JSON Lines."""
    generator = random.Random(0)
    prompt, answer = (SHORT_WORDS, SHORT_WORDS) if short else (PROMPT_WORDS, ANSWER_WORDS)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            row = {
                "prompt": draw_text(generator, prompt),
                "chosen": f" {draw_text(generator, answer)}",
                "rejected": f" {draw_text(generator, answer)}",
            }
            file.write(f"{json.dumps(row)}\n")


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the processes that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(stage: str, rows: int, function: Callable[[], Any]) -> Any:
    """Run a function, and print its rows per second and its times."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = function()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    print(f"{stage:<28} {rows / wall:>10,.0f} rows/s {wall:>8.1f} s {cpu:>8.1f} s of CPU", flush=True)
    return result


def tokenize_with_trl(
    pairs: datasets.Dataset, model: str, tokenizer: PreTrainedTokenizerBase, num_proc: int | None
) -> None:
    """Tokenize pairs as the constructor of TRL's trainer does."""
    with tempfile.TemporaryDirectory() as folder:
        args = trl.RewardConfig(folder, max_length=None, report_to="none", use_cpu=True, dataset_num_proc=num_proc)
        classifier = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
        trl.RewardTrainer(classifier, args, train_dataset=pairs, processing_class=tokenizer)


def prepare_evaluation(scorer: Scorer, pairs: datasets.Dataset) -> None:
    """Check and tokenize pairs as `evaluate` does before it scores them."""
    check_dataset(pairs, ScoreDecay())
    scorable_rows(scorer, pairs, (Pairs,), "data")


def as_transcripts(pairs: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return pairs in the format of HH-RLHF."""
    prompts = [f"\n\nHuman: {prompt}\n\nAssistant:" for prompt in pairs["prompt"]]
    return {name: list(map(operator.add, prompts, pairs[name])) for name in ("chosen", "rejected")}


def memory_mib() -> float:
    """Return the memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def measure_stages(path: Path, rows: int, model: str, num_proc: int) -> None:
    """Print the rows per second of each stage."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    configure_special_tokens(tokenizer)
    encoder = RowEncoder(tokenizer, (Pairs,))
    pairs = measure("read JSON Lines", rows, lambda: load_splits(path)["train"])
    pairs.to_csv(path.with_suffix(".csv"))
    measure("read CSV", rows, lambda: load_splits(path.with_suffix(".csv")))
    measure("check", rows, lambda: check_dataset(pairs, BradleyTerry()))
    measure("hash", rows, lambda: data_content(pairs))
    datasets.enable_caching()
    measure("tokenize", rows, lambda: prepare(pairs, encoder, NO_LIMIT))
    measure("tokenize again (cached)", rows, lambda: prepare(pairs, encoder, NO_LIMIT))
    datasets.disable_caching()
    measure(f"tokenize, {num_proc} processes", rows, lambda: prepare(pairs, encoder, NO_LIMIT, num_proc=num_proc))
    measure("inspect", rows, lambda: inspect_dataset(pairs, loss_registry()))
    scorer = Scorer(AutoModelForSequenceClassification.from_pretrained(model, num_labels=1), tokenizer)
    measure("evaluate, without scores", rows, lambda: prepare_evaluation(scorer, pairs))
    transcripts = pairs.map(as_transcripts, batched=True, remove_columns=["prompt"])
    measure("convert", rows, lambda: convert_dataset(transcripts))
    measure("TRL", rows, lambda: tokenize_with_trl(pairs, model, tokenizer, None))
    measure(f"TRL, {num_proc} processes", rows, lambda: tokenize_with_trl(pairs, model, tokenizer, num_proc))


def measure_stream(path: Path, rows: int, model: str) -> Iterator[tuple[int, float]]:
    """Yield how many rows of a stream were read, and the memory in MiB, ten times."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    configure_special_tokens(tokenizer)
    stream = prepare(load_splits(path, streaming=True)["train"], RowEncoder(tokenizer, (Pairs,)), NO_LIMIT)
    for number, _ in enumerate(stream, 1):
        if number % max(rows // 10, 1) == 0:
            yield number, memory_mib()


def main() -> None:
    """Print the table or the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a small language model with its tokenizer")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--num_proc", type=int, default=2)
    parser.add_argument("--stream", action="store_true", help="read a stream, and print the memory")
    parser.add_argument("--short", action="store_true", help="texts of 1 to 5 words")
    args = parser.parse_args()
    logging.getLogger("rlhf_losses").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder, "cache")  # so that nothing is read from an earlier run
        path = Path(folder, "pairs.jsonl")
        write_pairs(path, args.rows, args.short)
        if not args.stream:
            measure_stages(path, args.rows, args.model, args.num_proc)
            return
        for number, memory in measure_stream(path, args.rows, args.model):
            print(f"{number:>10,} rows {memory:>8.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
