"""The argument `--keep`: columns of the data that are copied into the output."""

from collections.abc import Collection, Sequence

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.errors import did_you_mean


def add_keep_argument(parser: ArgumentParser, into: str) -> None:
    """Add the argument for columns to copy.

    Args:
        parser: the parser.
        into: where they are copied, for `--help`.
    """
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="COLUMN",
        help=f"copy a column, e.g. id, {into}; repeatable",
    )


def require_columns_to_keep(names: Sequence[str], columns: Sequence[str], taken: Collection[str | None]) -> None:
    """Raise `CommandLineError` unless a dataset has some columns, and the output has no other keys of their names.

    Args:
        names: columns to copy.
        columns: columns of the dataset.
        taken: names with another meaning in the output.
    """
    for name in names:
        if name not in columns:
            raise CommandLineError(
                f"--keep {name} is no column of the data, which have {', '.join(columns)}."
                f"{did_you_mean(name, columns)} Name one of these."
            )
        if name in taken:
            raise CommandLineError(
                f"--keep {name} would replace the key '{name}' of the output, which has another meaning. Rename the "
                f"column: add my_{name}={name} to --columns, and write --keep my_{name}."
            )
