"""Reading a command line: what cannot be read is told in one message, without a page of usage."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rlhf_losses.errors import RlhfLossesError, did_you_mean


class CommandLineError(RlhfLossesError, ValueError):
    """An argument of the command line that cannot be used."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises `CommandLineError` where argparse prints its usage and exits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        raise CommandLineError(f"{message.rstrip('.')}. Run `{self.prog} --help` to see every argument.")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse, and refuse what is left over."""
        known, left = self.parse_known_args(argv)
        self.refuse(left)
        return known

    def refuse(self, left: Sequence[str], where: str = "") -> None:
        """Raise `CommandLineError` for the first of the arguments that nothing has read."""
        if not left:
            return
        unknown = next((word for word in left if word.startswith("--")), left[0]).split("=")[0]
        if not unknown.startswith("-"):
            raise CommandLineError(
                f"It is unclear what '{unknown}'{where} is for. Put texts with spaces in quotes; "
                f"`{self.prog} --help` shows every argument."
            )
        nearest = did_you_mean(unknown, self.options())
        raise CommandLineError(
            f"There is no argument '{unknown}'{where}.{nearest} `{self.prog} --help` shows every argument."
        )

    def options(self) -> list[str]:
        """Return every flag, in the spelling with underscores."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        return [flag for flag in flags if flag.startswith("--") and "-" not in flag[2:]]


def plugin_files(argv: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Split `--plugin FILE`, which may stand anywhere and more than once, from the other arguments.

    >>> plugin_files(["list", "--plugin", "focal.py", "--json"])
    (('focal.py',), ['list', '--json'])
    """
    parser = ArgumentParser(prog="rlhf-losses", add_help=False)
    parser.add_argument("--plugin", action="append", default=[])
    found, rest = parser.parse_known_args(list(argv))
    return tuple(found.plugin), rest
