"""Damages of the files of the newest checkpoint, each file and each kind of damage once.

    python -m benchmarks.reliability.damages

A run with two checkpoints continues after each damage, from the newest whole checkpoint, and then from the path of the
damaged one, with and without the manifest, as in checkpoints of earlier versions. `exact` are the runs that end with
the weights and logs of an undamaged run, `refused` those with an error of this package, `silent` those that end with
other weights or logs, and `traceback` those with any other error. The last two are faults.

The table is on the page docs/reliability.md.
"""

import os
import pickle
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.reliability_cases import CASES, Case, outcome
from benchmarks._lib.study import argument_parser
from benchmarks._lib.tables import print_markdown
from rlhf_losses.checkpoints.manifest import MANIFEST
from rlhf_losses.errors import RlhfLossesError

OUTCOMES = ("exact", "refused", "silent", "traceback")
EXECUTED = "executed"


class _Code:
    """An object that executes code when it is loaded with pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (EXECUTED,)


def _flip_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[random.Random(0).randrange(len(content))] ^= 16
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "truncated": lambda file: os.truncate(file, file.stat().st_size // 2),
    "bit flipped": _flip_bit,
    "emptied": lambda file: os.truncate(file, 0),
    "text": lambda file: file.write_text("not a state file"),
    "another object": lambda file: torch.save([1, 2, 3], file),
    "code": lambda file: file.write_bytes(pickle.dumps(_Code())),
}
"""Kinds of damage."""

STATE_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "model.safetensors")
STATE_FILES = (*STATE_FILES, "adapter_model.safetensors", "log_state_0.pt", "ppo_state_0.pt")
"""Files from which a run resumes; without a manifest, a changed bit in them cannot be found."""


def continued(trainer: Any, resume: str | bool, expected: Any) -> str:
    """Return one of `OUTCOMES` for a run that continues.

    Args:
        trainer: a trainer.
        resume: `resume_from_checkpoint`.
        expected: result of an undamaged run.
    """
    try:
        trainer.train(resume)
    except RlhfLossesError:
        return "refused"
    except Exception as error:
        print(f"  {type(error).__name__}: {error}")
        return "traceback"
    return "exact" if outcome(trainer) == expected else "silent"


def quiet_trainer(case: Case, folder: Path) -> Any:
    """Return a trainer of a case that prints no logs."""
    trainer = case.make(folder)
    trainer.remove_callback(PrinterCallback)
    return trainer


def damages(checkpoint: Path, manifest: bool) -> Iterator[tuple[str, str]]:
    """Yield each file and each kind of damage.

    Args:
        checkpoint: an undamaged checkpoint.
        manifest: whether the checkpoint keeps its manifest.
    """
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        name = file.relative_to(checkpoint).as_posix()
        for kind in DAMAGES:
            found = kind not in ("bit flipped",) and name in STATE_FILES
            optional = kind == "missing" and name.startswith("log_state")
            if manifest or (found and not optional):
                yield name, kind


def count_outcomes(case: Case, folder: Path, sample: int | None) -> Iterator[tuple[str, Counter[str]]]:
    """Yield the outcomes of one case for each way to resume.

    Args:
        case: the case.
        folder: a folder for all runs.
        sample: number of damages of each way, drawn at random; None for all.
    """
    whole = folder / "whole" / "run"
    trainer = quiet_trainer(case, whole)
    trainer.train()
    expected = outcome(trainer)
    newest = sorted(whole.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[-1].name
    for way in ("newest whole", "path", "path, no manifest"):
        counts: Counter[str] = Counter()
        run, refused_trainer = folder / "damaged", None
        found = list(damages(whole / newest, manifest="no manifest" not in way))
        for name, kind in found if sample is None else random.Random(0).sample(found, min(sample, len(found))):
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(whole, run)
            DAMAGES[kind](run / newest / name)
            if "no manifest" in way:
                (run / newest / MANIFEST).unlink()
            trainer = refused_trainer or quiet_trainer(case, run)
            result = continued(trainer, True if way == "newest whole" else str(run / newest), expected)
            refused_trainer = trainer if result == "refused" else None
            if result in OUTCOMES[2:]:
                print(f"{case.name}, {way}: {name} {kind}: {result}", flush=True)
            counts[result] += 1
        yield way, counts


def _rows(cases: Iterable[Case], sample: int | None) -> Iterator[tuple[object, ...]]:
    """Yield the counts of each case and each way to resume as soon as they are known, and then those of all."""
    total = Counter[str]()
    for case in cases:
        shortened = Case(case.name, partial(case.make, max_steps=4, save_total_limit=None, logging_steps=3))
        with tempfile.TemporaryDirectory() as folder:
            for way, counts in count_outcomes(shortened, Path(folder), sample):
                yield case.name, way, counts.total(), *(counts[one] for one in OUTCOMES)
                total += counts
    yield "all", "", total.total(), *(total[one] for one in OUTCOMES)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    names = [case.name for case in CASES if case.processes == 1]
    parser.add_argument("--cases", nargs="+", choices=names, default=["LoRA", "full", "PPO"])
    parser.add_argument("--sample", type=int, help="number of damages of each way to resume; by default all")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cases = [one for one in CASES if one.name in args.cases]
    print_markdown(["run", "resumed from", "damages", *OUTCOMES], _rows(cases, args.sample), text_columns=2)
    assert not Path(EXECUTED).exists(), "a state file has executed code"


if __name__ == "__main__":
    main()
