"""`rlhf-losses describe`: one loss, or each loss of a sum, in full."""

import re
import textwrap
from dataclasses import fields

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.docstring import Docstring, read_docstring
from rlhf_losses.cli.list_losses import also_reads, reads
from rlhf_losses.feedback import IMPLICIT_TYPES, Feedback
from rlhf_losses.hooks import LossRegistry, loss_registry
from rlhf_losses.losses import Loss, NamedObjective, WeightedSum
from rlhf_losses.losses.options import written


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print what a loss computes, reads, and which properties it has."""
    parser = ArgumentParser(
        prog="rlhf-losses describe", description="Show formula, options, source and example of a loss."
    )
    parser.add_argument("loss", help="a name, or an expression like 'bradley_terry + 0.01 * centering'")
    args = parser.parse(argv)
    losses = loss_registry(plugins)
    print(described(losses.parse(args.loss), losses))


def described(loss: Loss, losses: LossRegistry) -> str:
    """Describe a loss; of a sum, every term."""
    if not isinstance(loss, WeightedSum):
        return one_loss(str(loss), loss, losses)
    return "\n\n".join([f"A sum: {loss}", *(one_loss(str(part), part.loss, losses) for part in loss.parts)])


def one_loss(title: str, loss: Loss, losses: LossRegistry) -> str:
    """Describe one loss under a title."""
    doc = read_docstring(type(loss))
    entry = losses.entries[loss.name()]
    sections = {
        "Options": options(loss, doc),
        "Feedback": feedback(loss, doc),
        "Properties": ", ".join(loss.properties.words()) or "none",
        **{name: text for name, text in doc.sections.items() if name not in ("Options", "Feedback")},
        "From": f"{entry.plugin} {entry.version}",
    }
    formula = [textwrap.indent(doc.formula, "    ")] if doc.formula else []
    stands_for = [f"Stands for {loss.expand()}."] if isinstance(loss, NamedObjective) else []
    body = [f"{name}\n{textwrap.indent(text, '    ')}" for name, text in sections.items() if text]
    return "\n\n".join([f"{title}\n{'=' * len(title)}\n{doc.text}", *formula, *stands_for, *body])


def options(loss: Loss, doc: Docstring) -> str:
    """Return the options with their defaults, and what the docstring says of them."""
    text = doc.sections.get("Options", "")
    silent = []
    for f in fields(loss):
        named = rf"^`{f.name}`"
        if re.search(named, text, flags=re.MULTILINE):
            shown = f"{f.name} (default {written(f.default)})".replace("\\", r"\\")
            text = re.sub(named, shown, text, count=1, flags=re.MULTILINE)
        else:
            silent.append(f"{f.name} (default {written(f.default)})")
    return "\n".join(filter(None, [text, *silent]))


def feedback(loss: Loss, doc: Docstring) -> str:
    """Return the kind of feedback, the columns that hold it, and the kinds that are read as it."""
    above = also_reads(type(loss))
    lines = [
        doc.sections.get("Feedback", "" if loss.feedback_type not in IMPLICIT_TYPES else "Any."),
        columns(loss.feedback_type) if loss.feedback_type not in IMPLICIT_TYPES else "",
        f"Also reads {', '.join(above)}, as {reads(type(loss))}." if above else "",
    ]
    return "\n".join(filter(None, lines))


def columns(kind: type[Feedback]) -> str:
    """Return the columns of a kind of feedback in words."""
    ways = " or ".join(", ".join(way) for way in kind.columns)
    optional = f"; optional: {', '.join(kind.optional_columns)}" if kind.optional_columns else ""
    return f"Columns of {kind.__name__}: {ways}{optional}."
