"""`rlhf-losses demo`: the whole loop in the sandbox, with nothing to download."""

import argparse
import sys
import time
from pathlib import Path

import datasets
import torch
import transformers

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.training_runs import refuse_earlier_run, require_writable
from rlhf_losses.errors import OutputExistsError
from rlhf_losses.hooks import LossRegistry, loss_registry
from rlhf_losses.hooks.manager import BUILT_IN
from rlhf_losses.losses import Loss
from rlhf_losses.losses.indifference import is_regularizer
from rlhf_losses.sandbox import Sample, build_world, feedback_for
from rlhf_losses.sandbox.loop import run_loop
from rlhf_losses.sandbox.outcome import Outcome
from rlhf_losses.sandbox.results import PICTURE, RESULTS, stories, table, write_results, write_steps

FOLDER = "rlhf-losses-demo"
ALL = "all"
EXAMPLE = Sample("Once there was a fox.", [" They danced and sang.", " They cried."])


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Train a reward model and a policy in the sandbox, and show what came of it."""
    args = _parser().parse(argv)
    losses = chosen_losses(args.loss, loss_registry(plugins))
    folder = Path(args.output_dir) if args.output_dir else free_folder(Path(FOLDER))
    refuse_used(folder)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)  # tensors this small take longer to share out than to compute
    start = time.perf_counter()
    say(f"A sandbox from seed {args.seed}: a tiny language model learns to write stories …")
    world = build_world(args.seed)
    outcomes: list[Outcome] = []
    for loss in losses:
        place = folder if len(losses) == 1 else folder / folder_name(loss)
        place.mkdir(parents=True, exist_ok=True)
        outcomes.append(run_loop(world, loss, place, say))
        write_steps(outcomes[-1], place)
        write_results(outcomes, folder)
    print(f"\n{table(outcomes)}\n")
    if len(outcomes) == 1:
        print(f"{stories(outcomes[0])}\n")
    where = "one folder a loss" if len(outcomes) > 1 else f"reward_model, policy, {PICTURE}"
    print(f"{time.perf_counter() - start:.0f} s in all. In {folder}: {RESULTS}, {where}.")


def chosen_losses(wish: str, known: LossRegistry) -> list[Loss]:
    """Return the loss of an expression, or for `all` every built-in one, added to bradley_terry if it teaches nothing.

    >>> "bradley_terry + 0.01 * score_decay" in map(str, chosen_losses("all", loss_registry()))
    True
    """
    if wish == ALL:
        names = [entry.name for entry in known.entries.values() if entry.plugin == BUILT_IN]
        single = {name: known.parse(name) for name in names}
        return [
            known.parse(f"bradley_terry + 0.01 * {name}") if is_regularizer(loss) else loss
            for name, loss in single.items()
        ]
    loss = known.parse(wish)
    feedback_for(loss, [EXAMPLE])  # refuses a loss that the sandbox has no feedback for, before anything is built
    return [loss]


def free_folder(wish: Path) -> Path:
    """Return the wished folder, or the first with a number that is not there yet."""
    names = (wish if number == 1 else wish.with_name(f"{wish.name}-{number}") for number in range(1, 10_000))
    return next(folder for folder in names if not folder.exists())


def folder_name(loss: Loss) -> str:
    """Return the text of a loss as the name of a folder.

    >>> from rlhf_losses.losses import bradley_terry, centering
    >>> folder_name(bradley_terry + 0.01 * centering)
    'bradley_terry+0.01*centering'
    """
    return str(loss).replace(" ", "")


def refuse_used(folder: Path) -> None:
    """Raise `OutputExistsError` if the folder holds an earlier demo or run."""
    require_writable(folder)
    refuse_earlier_run(str(folder))
    if (folder / RESULTS).exists():
        raise OutputExistsError(
            f"The folder '{folder}' holds the results of an earlier demo, which would be lost. "
            "Name another: --output_dir DIR."
        )


def say(text: str) -> None:
    """Tell how far it is, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="rlhf-losses demo",
        description="A reward model (LoRA, any loss) and PPO on its scores, in a sandbox with a known gold reward.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--loss", default="bradley_terry", help="an expression, or 'all' for every built-in loss")
    parser.add_argument("--seed", type=int, default=0, help="of the sandbox and of both trainings")
    parser.add_argument("--output_dir", help=f"where models, {RESULTS} and {PICTURE} go (default: {FOLDER}, numbered)")
    return parser
