"""Entry point of the command `rlhf-losses`. `--help` imports no large package."""

import argparse
import contextlib
import importlib
import importlib.metadata
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from rlhf_losses.checks.optional_packages import REPORT_PACKAGES, require_packages
from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError, plugin_files
from rlhf_losses.cli.early_checks import check_names
from rlhf_losses.cli.logging_setup import DEBUG, quiet
from rlhf_losses.cli.signals import Interruption
from rlhf_losses.errors import RlhfLossesError, did_you_mean, shown
from rlhf_losses.messages.printed_commands import plugins_in_use
from rlhf_losses.messages.setting_names import command_flags
from rlhf_losses.processes.launchers import is_first_process, launched_processes

COMMANDS = {
    "list": ("list_losses", "list all losses with their feedback types and properties"),
    "describe": ("describe", "show formula, options, references and examples of a loss"),
    "new": ("new", "write a plugin package: a loss, a converter or a transform"),
    "plugins": ("plugins", "list plugins without importing them, and write a lock file"),
    "inspect": ("inspect", "show statistics of a dataset and the losses that can be trained on it"),
    "train": ("train", "train a reward model with any loss"),
    "score": ("score", "score texts with a reward model, as JSON Lines or a table"),
    "serve": ("serve", "serve reward models over HTTP to RL systems, in their dialects"),
    "fit": ("fit", "fit an uncertainty estimate for a reward model"),
    "evaluate": ("evaluate", "evaluate a reward model on held-out feedback"),
    "compare": ("compare", "compare evaluations of the same data"),
    "report": ("report", "show training runs, evaluations and datasets in one HTML file"),
    "doctor": ("doctor", "check a reward model: batch size, padding, precision, tokenizer, chat template"),
    "ppo": ("ppo", "train a language model with PPO on the scores of reward models"),
    "migrate": ("migrate", "show what becomes of the settings of TRL, OpenRLHF, LLaMA-Factory, axolotl or ms-swift"),
    "demo": ("demo", "run the whole loop on a synthetic task, without downloads"),
}
"""Module of each command in this folder, and its summary."""

OPTIONAL_PACKAGES = {
    "compare": ("report", ("scipy",)),
    "demo": ("report", ("plotly", "scipy")),
    "evaluate": ("report", ("scipy",)),
    "inspect": ("report", ("scipy", "krippendorff")),
    "report": ("report", ("plotly",)),
    "serve": ("serve", ("fastapi", "fastapi_offline", "uvicorn", "prometheus_client", "httpx2")),
}
"""Extra of this package that a command needs, and its packages."""

ONE_PROCESS = ("inspect", "score", "serve", "fit", "evaluate", "compare", "report", "migrate", "demo")
"""Commands that do their work in one process."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the command line without the program; by default that of the process.

    Returns:
        The exit code: 0 for success, 1 if a check of `doctor` fails, 2 for an error in the input, 130 after Ctrl-C, 143
        after SIGTERM.
    """
    try:
        with explained():
            code = run(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
            return code
    except RlhfLossesError as error:
        if os.environ.get(DEBUG):
            raise
        end_progress_bars()
        print(f"rlhf-losses: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        if argv is None:
            end_at_next_signal()
        end_progress_bars()
        if is_first_process() or not str(interrupt):
            print(f"\n{str(interrupt) or 'Interrupted. Output that was written is kept.'}", file=sys.stderr)
        code = interrupt.exit_code if isinstance(interrupt, Interruption) else 130
        if argv is None and isinstance(interrupt, Interruption) and interrupt.at_once:
            exit_at_once(code)
        return code
    except BrokenPipeError:  # the process at the other end of the pipe has exited
        return 0
    finally:
        discard_unwritten_output()


def end_progress_bars() -> None:
    """End the lines of progress bars that an error has left open, so that the message has a line of its own."""
    tqdm = sys.modules.get("tqdm")  # `--help` does not import it
    for bar in [] if tqdm is None else list(tqdm.tqdm._instances):
        bar.close()


def end_at_next_signal() -> None:
    """Let a further signal end this process, in place of an error while the interpreter closes its modules."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def exit_at_once(code: int) -> NoReturn:
    """End this process without waiting for threads that upload, and its processes that load data.

    Args:
        code: the exit code.
    """
    for worker in multiprocessing.active_children():
        worker.kill()
    discard_unwritten_output()
    os._exit(code)


def discard_unwritten_output() -> None:
    """Discard output that cannot be written (a closed pipe, a full disk); the interpreter would try again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Convert errors of the file system, such as a name that is too long or a folder that cannot be read."""
    try:
        yield
    except (RlhfLossesError, BrokenPipeError):
        raise
    except OSError as error:
        if error.strerror is None:
            raise
        place = f" '{shown(str(error.filename))[1:-1]}'" if error.filename else ""
        raise CommandLineError(
            f"The file system refuses{place}: {error.strerror}. Choose another name or place, or correct its "
            f"permissions; {DEBUG}=1 shows the traceback."
        ) from error


def run(argv: list[str]) -> int:
    """Run the command of a command line and return its exit code.

    Args:
        argv: the command line without the program.

    Raises:
        RlhfLossesError: the input is invalid.
    """
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
            f"Unknown command '{name}'.{did_you_mean(name, COMMANDS)} Choose one of: {', '.join(COMMANDS)}."
        )
    extra, packages = OPTIONAL_PACKAGES.get(name, ("", ()))
    require_packages(packages, f"rlhf-losses {name}", extra)
    if "--report" in arguments:
        require_packages(REPORT_PACKAGES, f"rlhf-losses {name} --report")
    if not {"-h", "--help"} & set(arguments):
        if name in ONE_PROCESS:
            require_single_process(name)
        check_names(name, arguments)
    with quiet():
        with loading(name):
            command = importlib.import_module(f"rlhf_losses.cli.{COMMANDS[name][0]}")
        with command_flags(command.build_parser().flags()), plugins_in_use(plugins):
            return int(command.run(arguments, plugins) or 0)


def require_single_process(name: str) -> None:
    """Raise `CommandLineError` if a launcher has started several processes of a command that uses one.

    Args:
        name: name of the command.
    """
    launched = launched_processes()
    if launched is not None:
        raise CommandLineError(
            f"{launched.launcher.name} has started {launched.count} processes ({launched.stated}), but 'rlhf-losses "
            f"{name}' runs in one, and the others would do the same work and write the same file. Run it without the "
            f"launcher, or without the variable: {launched.without} rlhf-losses {name} ..."
        )


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Show on a terminal that a command is being loaded; importing torch and TRL takes seconds."""
    from rich.console import Console

    with Console(stderr=True).status(f"rlhf-losses {name}: loading …"):
        yield


def top_parser() -> ArgumentParser:
    """Return the parser of arguments before the command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    parser = ArgumentParser(
        prog="rlhf-losses",
        usage="rlhf-losses [--plugin FILE] COMMAND ...",
        description="Reward models for TRL with any loss, and PPO on their scores.",
        epilog="\n".join(["commands:", *lines, "", "Run 'rlhf-losses COMMAND --help' for the arguments of a command."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version())
    return parser


def version() -> str:
    """Return the versions of this package and of its main dependencies."""
    names = ("rlhf-losses", "trl", "transformers", "torch")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


if __name__ == "__main__":
    sys.exit(main())
