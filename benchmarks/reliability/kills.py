"""Kills of training runs at random moments, half of them while a checkpoint is written.

    python -m benchmarks.reliability.kills
    python -m benchmarks.reliability.kills --kills 30 --cases LoRA PPO

Each run is killed several times with SIGKILL and started again with `resume_from_checkpoint="auto"`, which is all that
a script on a preempted machine does. It keeps one checkpoint (`save_total_limit=1`). In the table, `during a write` are
the kills that left an unfinished checkpoint, `resumed` those after which the next start continued without an error, and
`identical` those of runs whose final weights and logs are bit for bit those of a run that was not killed.

The table is on the page docs/reliability.md.
"""

import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks._lib.reliability_cases import CASES, Case, Run, unbroken
from benchmarks._lib.study import argument_parser
from benchmarks._lib.tables import print_markdown
from rlhf_losses.checkpoints.manifest import UNFINISHED
from rlhf_losses.checkpoints.rotation import checkpoint_folders

KILLS_PER_RUN = 5


@dataclass
class Counts:
    """Counts of one case.

    Attributes:
        kills: number of kills.
        during_write: kills that left an unfinished checkpoint.
        resumed: kills after which the next start continued.
        identical: kills of runs with the weights and logs of the run that was not killed.
    """

    kills: int = 0
    during_write: int = 0
    resumed: int = 0
    identical: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def is_writing(folder: Path, since: float) -> bool:
    """Return whether a run has an unfinished checkpoint that it began after a time.

    Args:
        folder: output folder of the run.
        since: the time, in seconds since the epoch.
    """
    for one in checkpoint_folders(folder):
        with suppress(FileNotFoundError):
            if (one.path / UNFINISHED).stat().st_mtime >= since:
                return True
    return False


def kill_at_random(run: Run, duration: float, generator: random.Random) -> bool:
    """Kill a run at a random moment of its duration; return whether it was still running.

    Args:
        run: a run that was started.
        duration: seconds of a run that is not killed.
        generator: random numbers.
    """
    time.sleep(generator.uniform(0, duration))
    return _kill(run)


def kill_during_write(run: Run, since: float, generator: random.Random) -> bool:
    """Kill a run while it writes a checkpoint; return whether it was still running.

    Args:
        run: a run that was started.
        since: time of its start, in seconds since the epoch.
        generator: random numbers.
    """
    for _ in range(generator.choice((1, 1, 2))):
        while is_writing(run.folder, since) and run.is_running():
            time.sleep(0.0005)
        while not is_writing(run.folder, since) and run.is_running():
            time.sleep(0.0005)
    time.sleep(generator.uniform(0, 0.03))
    return _kill(run)


def _kill(run: Run) -> bool:
    running = run.is_running()
    run.kill()
    return running and run.result() is None


def killed_run(case: Case, folder: Path, kills: int, expected: object, duration: float, seed: int) -> Counts:
    """Kill one run several times, let it end, and compare the result.

    Args:
        case: the case.
        folder: output folder.
        kills: largest number of kills; a run that ends earlier has fewer.
        expected: result of the run that was not killed.
        duration: its duration in seconds.
        seed: seed of the moments.
    """
    generator, counts, run = random.Random(seed), Counts(), Run(case, folder)
    while counts.kills < kills:
        since = time.time()
        run.start()
        if generator.random() < 0.6:
            alive = kill_during_write(run, since, generator)
        else:
            alive = kill_at_random(run, duration, generator)
        if not alive:
            break
        counts += Counts(1, int(is_writing(folder, since)))
    resumed = True
    if run.result() is None:
        run.start()
        resumed = not any(run.wait())
    failed = run.output_file.read_text().count("Traceback") if run.output_file.exists() else 0
    identical = resumed and run.result() == expected
    if failed or not identical:
        print(
            f"{case.name}, seed {seed}: {failed} errors, identical {identical}\n{run.output_file.read_text()[-2000:]}"
        )
    resumed_kills = max(counts.kills - failed, 0)
    return Counts(counts.kills, counts.during_write, resumed_kills, counts.kills if identical else 0)


def kill_case(case: Case, kills: int, folder: Path, seed: int) -> Counts:
    """Kill runs of one case.

    Args:
        case: the case.
        kills: number of kills.
        folder: a folder for all runs.
        seed: seed of the moments.
    """
    counts = Counts()
    with unbroken(case, folder / "unbroken") as (expected, duration):
        number = 0
        while counts.kills < kills:
            number += 1
            limit = min(KILLS_PER_RUN, kills - counts.kills)
            counts += killed_run(case, folder / f"run-{number}", limit, expected, duration, 1000 * seed + number)
    return counts


def _rows(kills_of_cases: Iterable[tuple[Case, int]], seed: int) -> Iterator[tuple[object, ...]]:
    """Yield the row of each case as soon as it is done, and then that of all."""
    total = Counts()
    for number, (case, kills) in enumerate(kills_of_cases):
        with tempfile.TemporaryDirectory() as folder:
            counts = kill_case(case, kills, Path(folder), seed + number)
        yield case.name, *vars(counts).values()
        total += counts
    yield "all", *vars(total).values()


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--kills", type=int, default=200, help="number of kills, over all cases")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], default=[c.name for c in CASES])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    cases, start = [case for case in CASES if case.name in args.cases], time.perf_counter()
    shares = [args.kills // len(cases) + (number < args.kills % len(cases)) for number in range(len(cases))]
    print_markdown(
        ["run", "kills", "during a write", "resumed", "identical"], _rows(zip(cases, shares, strict=True), args.seed)
    )
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
