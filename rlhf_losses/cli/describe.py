"""`rlhf-losses describe`: the documentation of a loss, or of each loss of a sum."""

import textwrap
from collections.abc import Iterator
from dataclasses import fields

from rich.console import Console
from rich.text import Text

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.docstring import Docstring, parse_docstring
from rlhf_losses.cli.latex import inline_to_unicode, latex_to_unicode
from rlhf_losses.cli.list_losses import convertible_types
from rlhf_losses.feedback import IMPLICIT_TYPES, Feedback
from rlhf_losses.hooks import LossRegistry, loss_registry
from rlhf_losses.hooks.contracts import LossClass
from rlhf_losses.losses import AnyLoss, Loss, NamedObjective, WeightedSum
from rlhf_losses.losses.options import format_option

INDENT = "    "


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses describe", description="Show formula, options, references and examples of a loss."
    )
    parser.add_argument("loss", help="name or expression, e.g. 'bradley_terry + 0.01 * centering'")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print formula, options, feedback type, properties, references and examples."""
    args = build_parser().parse(argv)
    losses = loss_registry(plugins)
    console = Console()
    for text in describe(losses.parse(args.loss), losses):
        console.print(text, soft_wrap=True)


def describe(loss: AnyLoss, losses: LossRegistry) -> Iterator[Text]:
    """Return the documentation of a loss; of a sum, that of each summand.

    Args:
        loss: the loss or objective.
        losses: registry with the plugin of each loss.
    """
    if isinstance(loss, WeightedSum):
        yield Text(f"Weighted sum: {loss}\n", style="bold")
        for number, summand in enumerate(loss.summands):
            yield from [Text()] * bool(number)
            yield from describe_loss(str(summand), summand.expression, losses)
    else:
        assert isinstance(loss, Loss | NamedObjective)
        yield from describe_loss(str(loss), loss, losses)


def describe_loss(title: str, loss: LossClass, losses: LossRegistry) -> Iterator[Text]:
    """Return the documentation of one loss: title, text and formula, then the sections."""
    docstring = parse_docstring(type(loss))
    entry = losses.entries[loss.name()]
    yield Text(title, style="bold")
    yield Text(inline_to_unicode(docstring.summary))
    if docstring.formula:
        yield Text(f"\n{INDENT}{latex_to_unicode(docstring.formula)}")
    if docstring.text:
        yield Text(f"\n{inline_to_unicode(docstring.text)}")
    if isinstance(loss, NamedObjective):
        yield Text(f"\nEquals {loss.expand()}.")
    sections = {
        "Options": describe_options(loss, docstring),
        "Feedback": describe_feedback(type(loss), docstring),
        "Properties": ", ".join(loss.active_properties().words()) or "none",
        **{name: inline_to_unicode(text) for name, text in docstring.sections.items() if name != "Feedback"},
        "Plugin": f"{entry.plugin} {entry.version}",
    }
    for name, text in sections.items():
        if text:
            yield Text.assemble("\n", (name, "bold"), "\n", textwrap.indent(text, INDENT))


def describe_options(loss: LossClass, docstring: Docstring) -> str:
    """Return one entry per option: name, default value and description."""
    lines = []
    for option in fields(loss):
        description = inline_to_unicode(docstring.arguments.get(option.name, "")).replace("\n", f"\n{INDENT}")
        lines.append(f"{option.name} (default {format_option(option.default)})" + (description and f": {description}"))
    return "\n".join(lines)


def describe_feedback(cls: type[LossClass], docstring: Docstring) -> str:
    """Return the feedback types that a loss accepts, and the columns of its own type."""
    own, others = cls.feedback_type, convertible_types(cls)
    name = "Any." if own in IMPLICIT_TYPES else f"{own.__name__}."
    lines = [inline_to_unicode(docstring.sections.get("Feedback", name))]
    if own not in IMPLICIT_TYPES:
        lines.append(f"Columns: {describe_columns(own)}.")
    if others:
        lines.append(f"Also accepted, by conversion: {', '.join(others)}.")
    return "\n".join(lines)


def describe_columns(feedback_type: type[Feedback]) -> str:
    """Return the dataset columns of a feedback type.

    Examples:
        >>> from rlhf_losses.feedback import Labels
        >>> describe_columns(Labels)
        'completion, label; optional: prompt'
    """
    alternatives = " or ".join(", ".join(columns) for columns in feedback_type.columns)
    return "; optional: ".join(filter(None, [alternatives, ", ".join(feedback_type.optional_columns)]))
