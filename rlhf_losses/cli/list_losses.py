"""`rlhf-losses list`: every loss, built-in or from a plugin."""

import json
from dataclasses import Field, fields
from typing import Any

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.docstring import read_docstring
from rlhf_losses.errors import UnknownNameError, did_you_mean
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES, Feedback
from rlhf_losses.hooks import LossEntry, LossRegistry, loss_registry
from rlhf_losses.losses import Loss


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the loss_registry as a table or as JSON."""
    parser = ArgumentParser(prog="rlhf-losses list", description="Show every loss, built-in or from a plugin.")
    parser.add_argument("--feedback", metavar="KIND", help="only losses that can read this kind, like pairs")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    args = parser.parse(argv)
    rows = [told(entry) for entry in chosen(loss_registry(plugins), args.feedback)]
    print(json.dumps(rows, indent=2) if args.json else table(rows))


def chosen(losses: LossRegistry, feedback: str | None) -> list[LossEntry]:
    """Return the losses that read a kind of feedback, or all of them."""
    return list(losses.entries.values()) if feedback is None else losses.for_feedback(kind_called(feedback))


def kind_called(name: str) -> type[Feedback]:
    """Return the kind of feedback with that name, in the singular or the plural.

    >>> kind_called("Pair").__name__
    'Pairs'
    """
    known = {kind.__name__.lower(): kind for kind in FEEDBACK_TYPES}
    wanted = name.strip().lower()
    for spelling in (wanted, f"{wanted}s"):
        if spelling in known:
            return known[spelling]
    raise UnknownNameError(
        f"No kind of feedback is called '{name}'.{did_you_mean(wanted, known)} The kinds are: {', '.join(known)}."
    )


def told(entry: LossEntry) -> dict[str, Any]:
    """Return what is to be told of one loss."""
    return {
        "name": entry.name,
        "reads": reads(entry.loss),
        "also_reads": also_reads(entry.loss),
        "properties": entry.loss.properties.words(),
        "options": {f.name: {"default": _plain(f.default), "domain": domain(f)} for f in fields(entry.loss)},
        "source": " ".join(read_docstring(entry.loss).sections.get("Reference", "").split()),
        "plugin": entry.plugin,
        "version": entry.version,
        "summary": (entry.loss.__doc__ or "").strip().splitlines()[0],
    }


def _plain(default: Any) -> Any:
    return str(default) if isinstance(default, Loss) else default


def domain(option: Field[Any]) -> str:
    """Return the values that an option may take, in words."""
    return str(option.metadata.get("domain", "not declared"))


def reads(loss: type[Loss]) -> str:
    """Return the kind that a loss reads; a regularizer reads any."""
    return "any" if loss.feedback_type in IMPLICIT_TYPES else loss.feedback_type.__name__


def also_reads(loss: type[Loss]) -> list[str]:
    """Return the kinds that are read as that of the loss, with what they say beyond it left out."""
    if loss.feedback_type in IMPLICIT_TYPES:
        return []
    return [
        kind.__name__
        for kind in FEEDBACK_TYPES
        if kind.is_convertible_to(loss.feedback_type) and kind is not loss.feedback_type
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the losses in columns."""
    head = ("NAME", "READS", "ALSO READS", "CLAIMS", "FROM")
    cells = [
        (
            row["name"],
            row["reads"],
            ", ".join(row["also_reads"]) or "-",
            ", ".join(row["properties"]) or "-",
            f"{row['plugin']} {row['version']}",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *cells]]
    return "\n".join(line.rstrip() for line in lines)
