"""`rlhf-losses demo`: the whole RLHF loop on a synthetic task, without downloads."""

import sys
import time
from pathlib import Path

import datasets
import torch
import transformers

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.report_argument import requested_report, write_report
from rlhf_losses.cli.tables import render_table
from rlhf_losses.cli.training_runs import refuse_earlier_run, require_writable
from rlhf_losses.errors import OutputExistsError
from rlhf_losses.hooks import LossRegistry, loss_registry
from rlhf_losses.hooks.installed_plugins import BUILT_IN
from rlhf_losses.losses import AnyLoss
from rlhf_losses.report.report_file import REPORT_FILE
from rlhf_losses.sandbox import Sample, build_synthetic_task, feedback_for
from rlhf_losses.sandbox.demo_report import demo_report
from rlhf_losses.sandbox.loop import run_loop
from rlhf_losses.sandbox.results import (
    RESULTS_FILE,
    LoopResult,
    format_completions,
    results_table,
    write_results,
    write_steps,
)

DEFAULT_FOLDER = "rlhf-losses-demo"
ALL = "all"
EXAMPLE = Sample("Once there was a fox.", [" They danced and sang.", " They cried."])


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Train a reward model and a policy on the synthetic task, and print the results."""
    args = build_parser().parse(argv)
    losses = select_losses(args.loss, loss_registry(plugins))
    folder = Path(args.output_dir) if args.output_dir else new_folder(Path(DEFAULT_FOLDER))
    refuse_existing_results(folder)
    report = requested_report(args.report, str(folder), "demo")
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)  # faster for tensors of this size
    start = time.perf_counter()
    log(f"Synthetic task with seed {args.seed}: pretraining a tiny language model on stories …")
    task = build_synthetic_task(args.seed)
    results: list[LoopResult] = []
    for loss in losses:
        subfolder = folder if len(losses) == 1 else folder / folder_name(loss)
        subfolder.mkdir(parents=True, exist_ok=True)
        results.append(run_loop(task, loss, subfolder, log))
        write_steps(results[-1], subfolder)
        write_results(results, folder)
    print(f"\n{render_table(results_table(results))}\n")
    if len(results) == 1:
        print(f"{format_completions(results[0])}\n")
    content = "one folder per loss" if len(results) > 1 else "reward_model, policy"
    print(f"Finished in {time.perf_counter() - start:z.0f} s. {folder} contains {RESULTS_FILE}, {content}.")
    if report is not None:
        write_report(demo_report(results), report)


def select_losses(text: str, losses: LossRegistry) -> list[AnyLoss]:
    """Return the losses to train.

    Args:
        text: string form of a loss, or `all` for all built-in losses; a regularizer is added to `bradley_terry`.
        losses: registry of losses.

    Raises:
        FeedbackMismatchError: there is no simulated feedback for the loss.

    Examples:
        >>> "bradley_terry + 0.01 * score_decay" in map(str, select_losses("all", loss_registry()))
        True
    """
    if text == ALL:
        names = [entry.name for entry in losses.entries.values() if entry.plugin == BUILT_IN]
        return [
            losses.parse(name if losses[name]().uses_labels else f"bradley_terry + 0.01 * {name}") for name in names
        ]
    loss = losses.parse(text)
    feedback_for(loss, [EXAMPLE])  # raises before the task is built
    return [loss]


def new_folder(requested: Path) -> Path:
    """Return a folder that does not exist: the requested one, or one with a number appended."""
    numbered = (requested.with_name(f"{requested.name}-{number}") for number in range(2, 10_000))
    return next(folder for folder in (requested, *numbered) if not folder.exists())


def folder_name(loss: AnyLoss) -> str:
    """Return the string form of a loss without spaces, as the name of a folder.

    Examples:
        >>> from rlhf_losses.losses import bradley_terry, centering
        >>> folder_name(bradley_terry + 0.01 * centering)
        'bradley_terry+0.01*centering'
    """
    return str(loss).replace(" ", "")


def refuse_existing_results(folder: Path) -> None:
    """Raise `OutputExistsError` if a folder contains an earlier demo or run."""
    require_writable(folder)
    refuse_earlier_run(str(folder))
    if (folder / RESULTS_FILE).exists():
        raise OutputExistsError(
            f"The folder '{folder}' contains the results of an earlier demo, which would be overwritten. "
            "Use another folder: --output_dir DIR."
        )


def log(text: str) -> None:
    """Print progress to stderr; stdout has only results."""
    print(text, file=sys.stderr, flush=True)


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses demo",
        description="Train a reward model (LoRA, any loss), and PPO on its scores, on a synthetic task with a known "
        "gold reward.",
    )
    parser.add_argument(
        "--loss", default="bradley_terry", help="loss, or 'all' for all built-in losses (default: bradley_terry)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the task and of the training (default: 0)")
    parser.add_argument(
        "--output_dir",
        help=f"folder for models, {RESULTS_FILE} and {REPORT_FILE} (default: {DEFAULT_FOLDER}, numbered)",
    )
    parser.add_argument("--report", action="store_true", default=True, help=f"write {REPORT_FILE} (the default)")
    parser.add_argument("--no_report", dest="report", action="store_false", help=f"do not write {REPORT_FILE}")
    return parser
