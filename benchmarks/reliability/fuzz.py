"""Random invalid inputs: each must be accepted, or refused with an error of this package.

    python -m benchmarks.reliability.fuzz
    python -m benchmarks.reliability.fuzz --inputs 100000 --seed 41
    python -m benchmarks.reliability.fuzz --reproduce rows:7-12

The inputs are rows, texts for a scorer, losses as strings, command lines, YAML files, data files and files of models,
each a valid one with random changes. An accepted input must give finite numbers. Any other exception is printed once
with its traceback, and with the argument that repeats it.

The table is on the page docs/reliability.md.
"""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks._lib.fuzz_targets import TARGETS, Target
from benchmarks._lib.study import argument_parser
from rlhf_losses.errors import RlhfLossesError

HANG_SECONDS = 10

SHARES = {
    "rows": 0.40,
    "scorer": 0.10,
    "expressions": 0.40,
    "arguments": 0.02,
    "configs": 0.01,
    "data_files": 0.05,
    "model_files": 0.02,
}
"""Share of each target in the inputs."""


class HangError(BaseException):
    """An input took longer than `HANG_SECONDS`."""


@dataclass
class Outcomes:
    """Counts of the outcomes of inputs.

    Attributes:
        counts: number of inputs by target and outcome.
        foreign: for each distinct exception that is not of this package, the first input and the traceback.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    foreign: dict[str, tuple[str, str]] = field(default_factory=dict)

    def total(self, outcome: str) -> int:
        """Return the number of inputs with an outcome."""
        return sum(count for (_, name), count in self.counts.items() if name == outcome)


def fuzz(inputs: int, seed: int, folder: Path, targets: Iterable[str] = tuple(SHARES)) -> Outcomes:
    """Run random inputs of all targets.

    Args:
        inputs: number of inputs.
        seed: seed of the inputs.
        folder: empty folder for files.
        targets: names of the targets; their shares stay the same.
    """
    outcomes = Outcomes()
    for name in targets:
        target = make_target(name, folder)
        for number in range(max(1, round(inputs * SHARES[name]))):
            run_input(target, name, f"{seed}-{number}", outcomes)
    return outcomes


def make_target(name: str, folder: Path) -> Target:
    """Return a target with a folder of its own."""
    own = folder / name
    own.mkdir()
    return TARGETS[name](own)


def run_input(target: Target, name: str, key: str, outcomes: Outcomes) -> None:
    """Run one input and count its outcome.

    Args:
        target: runs an input.
        name: name of the target.
        key: seed of the input.
        outcomes: counts to update.
    """
    try:
        with time_limit(), quiet():
            target(Random(key))
        outcome = "accepted"
    except RlhfLossesError:
        outcome = "refused"
    except HangError as error:
        outcome = "hangs"
        _record(outcomes, f"{name}:{key}", error)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) and not str(error).startswith("fuzz"):
            raise
        outcome = "foreign"
        _record(outcomes, f"{name}:{key}", error)
    outcomes.counts[name, outcome] += 1


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raise `HangError` after `HANG_SECONDS`."""

    def stop(*_: object) -> None:
        raise HangError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard output, warnings and log records."""
    with (
        open(os.devnull, "w") as sink,
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _record(outcomes: Outcomes, source: str, error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "rlhf_losses" in frame.filename] or frames
    place = f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}"
    outcomes.foreign.setdefault(place, (source, "".join(traceback.format_exception(error)[-12:])))


def report(outcomes: Outcomes, seed: int, seconds: float) -> None:
    """Print the counts by target, and each distinct exception that is not of this package."""
    for place, (source, text) in outcomes.foreign.items():
        print(f"\n{place}\n  repeat: python -m benchmarks.reliability.fuzz --reproduce {source}\n{text}")
    print(f"{'target':<12} {'accepted':>9} {'refused':>9} {'foreign':>9} {'hangs':>9}")
    for name in SHARES:
        counts = [outcomes.counts[name, outcome] for outcome in ("accepted", "refused", "foreign", "hangs")]
        print(f"{name:<12} " + " ".join(f"{count:>9}" for count in counts))
    inputs = sum(outcomes.counts.values())
    print(
        f"{inputs} inputs with seed {seed} in {seconds:.0f} s: {outcomes.total('accepted')} accepted, "
        f"{outcomes.total('refused')} refused, {outcomes.total('foreign')} with an exception that is not of this "
        f"package, {outcomes.total('hangs')} longer than {HANG_SECONDS} s"
    )


def reproduce(source: str, folder: Path) -> None:
    """Run one input with its traceback.

    Args:
        source: name of the target and seed of the input.
        folder: empty folder for files.
    """
    name, _, key = source.partition(":")
    with time_limit():
        make_target(name, folder)(Random(key))


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzing; the exit code is 1 if there is an exception that is not of this package."""
    parser = argument_parser(__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, help="seed of the inputs (default: drawn)")
    parser.add_argument("--targets", nargs="+", choices=SHARES, default=list(SHARES), help="targets to run")
    parser.add_argument("--reproduce", metavar="TARGET:SEED", help="run one input, with its traceback")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if args.reproduce:
            reproduce(args.reproduce, Path(folder))
            return 0
        seed = Random().randrange(10**6) if args.seed is None else args.seed
        start = time.perf_counter()
        outcomes = fuzz(args.inputs, seed, Path(folder), args.targets)
        report(outcomes, seed, time.perf_counter() - start)
        return 1 if outcomes.foreign else 0


if __name__ == "__main__":
    sys.exit(main())
