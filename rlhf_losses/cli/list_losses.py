"""`rlhf-losses list`: all losses, built-in and from plugins."""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from rich.table import Table

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.docstring import parse_docstring
from rlhf_losses.cli.latex import inline_to_unicode
from rlhf_losses.cli.tables import make_table, render_table, shorten_columns
from rlhf_losses.errors import UnknownNameError, did_you_mean
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES, Feedback
from rlhf_losses.hooks import LossRegistry, RegistryEntry, loss_registry
from rlhf_losses.hooks.contracts import LossClass
from rlhf_losses.hooks.installed_plugins import BUILT_IN
from rlhf_losses.losses.options import Expression

WIDTH = 100
"""Width of the table in characters, on a terminal and in a pipe."""

Entry = RegistryEntry[LossClass]


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(prog="rlhf-losses list", description="List all losses, built-in and from plugins.")
    parser.add_argument(
        "--feedback", metavar="TYPE", help="list only losses that accept this feedback type, e.g. pairs"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array with all details")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the losses as a table or as JSON."""
    args = build_parser().parse(argv)
    entries = filter_entries(loss_registry(plugins), args.feedback)
    if args.json:
        print(json.dumps([summarize(one) for one in entries], indent=2))
    else:
        print(render_table(table(entries), width=WIDTH))


def filter_entries(losses: LossRegistry, feedback_type: str | None) -> list[Entry]:
    """Return the losses that accept a type of feedback, or all losses.

    Args:
        losses: registry of losses.
        feedback_type: name of the type, see `find_feedback_type`.
    """
    if feedback_type is None:
        return list(losses.entries.values())
    return losses.for_feedback(find_feedback_type(feedback_type))


def find_feedback_type(name: str) -> type[Feedback]:
    """Return the feedback type with a name, in singular or plural.

    Raises:
        UnknownNameError: there is no such type.

    Examples:
        >>> find_feedback_type("Pair").__name__
        'Pairs'
    """
    known = {one.__name__.lower(): one for one in FEEDBACK_TYPES}
    requested = name.strip().lower()
    for spelling in (requested, f"{requested}s"):
        if spelling in known:
            return known[spelling]
    raise UnknownNameError(
        f"Unknown feedback type '{name}'.{did_you_mean(requested, known)} Choose one of: {', '.join(known)}."
    )


def summarize(entry: Entry) -> dict[str, Any]:
    """Return the details of one loss as JSON data."""
    docstring = parse_docstring(entry.cls)
    return {
        "name": entry.name,
        "feedback_type": feedback_type_name(entry.cls),
        "convertible_types": convertible_types(entry.cls),
        "properties": entry.cls().active_properties().words(),
        "options": {
            option.name: {
                "default": str(option.default) if isinstance(option.default, Expression) else option.default,
                "domain": str(option.metadata.get("domain", "not declared")),
                "description": " ".join(docstring.arguments.get(option.name, "").split()),
            }
            for option in fields(entry.cls)
        },
        "references": " ".join(docstring.sections.get("References", "").split()),
        "plugin": entry.plugin,
        "version": entry.version,
        "summary": plain_summary(entry.cls),
    }


def feedback_type_name(cls: type[LossClass]) -> str:
    """Return the feedback type of a loss; `any` for a regularizer."""
    return "any" if cls.feedback_type in IMPLICIT_TYPES else cls.feedback_type.__name__


def convertible_types(cls: type[LossClass]) -> list[str]:
    """Return the other feedback types that a loss accepts, because they convert to its own type."""
    own = cls.feedback_type
    if own in IMPLICIT_TYPES:
        return []
    return [one.__name__ for one in FEEDBACK_TYPES if one is not own and one.is_convertible_to(own)]


def plain_summary(cls: type[LossClass]) -> str:
    """Return the first paragraph of the documentation of a loss as plain text in one line."""
    return inline_to_unicode(" ".join(parse_docstring(cls).summary.split())).replace("`", "")


def table(entries: Iterable[Entry]) -> Table:
    """Return one line per loss; the plugin of a loss that is not built in is in brackets."""
    rows = [
        (
            entry.name,
            feedback_type_name(entry.cls),
            plain_summary(entry.cls) if entry.plugin == BUILT_IN else f"[{entry.plugin}] {plain_summary(entry.cls)}",
        )
        for entry in entries
    ]
    made = make_table(rows, header=("LOSS", "FEEDBACK", "DESCRIPTION"))
    shorten_columns(made, (2,))
    return made
