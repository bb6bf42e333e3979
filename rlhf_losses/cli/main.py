"""Find the command, run it, and tell errors in one message. `--help` imports nothing heavy."""

import argparse
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError, plugin_files
from rlhf_losses.cli.logging_setup import DEBUG, quiet
from rlhf_losses.errors import RlhfLossesError, did_you_mean

COMMANDS = {
    "list": ("list_losses", "every loss: what it reads, its properties, where it comes from"),
    "describe": ("describe", "formula, options, source and example of a loss"),
    "inspect": ("inspect", "what a dataset holds, and which losses read it"),
    "train": ("train", "train a reward model on any loss"),
    "score": ("score", "score texts with a reward model: JSON Lines out"),
    "fit": ("fit", "fit beside the score what a plugin brings, like an uncertainty"),
    "evaluate": ("evaluate", "measure a reward model on held-out feedback"),
    "ppo": ("ppo", "improve a language model against a reward model"),
    "demo": ("demo", "the whole loop in a small world, with nothing to download"),
}
"""Name of a command, its file in this folder, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 refused, 130 interrupted."""
    try:
        return run(list(sys.argv[1:] if argv is None else argv))
    except RlhfLossesError as error:
        if os.environ.get(DEBUG):
            raise
        print(f"rlhf-losses: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'Stopped; what was written so far stays.'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. The interpreter flushes stdout once more as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run(argv: list[str]) -> int:
    """Run the command that `argv` names."""
    plugins, argv = plugin_files(argv)
    parser = top_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    if argv[0].startswith("-"):
        parser.parse(argv)
    name, *arguments = argv
    if name not in COMMANDS:
        raise CommandLineError(
            f"There is no command '{name}'.{did_you_mean(name, COMMANDS)} The commands are: {', '.join(COMMANDS)}."
        )
    with quiet():
        importlib.import_module(f"rlhf_losses.cli.{COMMANDS[name][0]}").run(arguments, plugins)
    sys.stdout.flush()
    return 0


def top_parser() -> ArgumentParser:
    """Return the parser of what stands before the command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    parser = ArgumentParser(
        prog="rlhf-losses",
        usage="rlhf-losses [--plugin FILE] COMMAND ...",
        description="Reward models for TRL with any loss, and the PPO loop that uses their scores.",
        epilog="\n".join(["commands:", *lines, "", "`rlhf-losses COMMAND --help` shows the arguments of one command."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--plugin",
        metavar="FILE",
        help="a Python file that provides losses, adapters or estimates; may be given repeatedly",
    )
    parser.add_argument("--version", action="version", version=version())
    return parser


def version() -> str:
    """Return the versions of this package and of those that it stands on."""
    found = {name: importlib.metadata.version(name) for name in ("rlhf-losses", "trl", "transformers", "torch")}
    return ", ".join(f"{name} {number}" for name, number in found.items())


if __name__ == "__main__":
    sys.exit(main())
