"""The docstring of a loss as plain text: its sentences, its formula, and its sections."""

import inspect
import re
import textwrap
from dataclasses import dataclass

_HEADING = re.compile(r"^([A-Z]\w+):$")
_ROLE = re.compile(r":\w+:`([^`]*)`")
_DIRECTIVE = re.compile(r"^\.\. (\w+)::\s*(.*)$")


@dataclass(frozen=True)
class Docstring:
    """What a docstring says: `text` above the sections, the `formula` in LaTeX, and the sections by their heading."""

    text: str
    formula: str
    sections: dict[str, str]


def read_docstring(thing: type, within_text: str = r"\1") -> Docstring:
    """Take the docstring of a class apart; `within_text` is how formulas within the text are written.

    >>> from rlhf_losses.losses import ScoreDecay
    >>> read_docstring(ScoreDecay).formula
    's^2'
    """
    blocks: dict[str, list[str]] = {"": []}
    heading = ""
    for line in inspect.getdoc(thing).splitlines():  # type: ignore[union-attr]  # a loss without one is no loss
        found = _HEADING.match(line)
        if found:
            heading = found[1]
            blocks[heading] = []
        else:
            blocks[heading].append(line)
    formula, rest = _split_formula(blocks.pop(""))
    sections = {name: plain(lines, within_text) for name, lines in blocks.items()}
    return Docstring(text=plain(rest, within_text), formula=formula, sections=sections)


def plain(lines: list[str], within_text: str = r"\1") -> str:
    """Return lines without their common indent and without the marks of reStructuredText."""
    without_roles = _ROLE.sub(within_text, textwrap.dedent("\n".join(lines)))
    return re.sub(r"\n{3,}", "\n\n", without_roles.replace("``", "`")).strip()


def _split_formula(lines: list[str]) -> tuple[str, list[str]]:
    """Take every directive out of the text; the content of `math` is the formula."""
    formula, rest, inside = [], [], ""
    for line in lines:
        found = _DIRECTIVE.match(line)
        if found:
            inside, line = found[1], f" {found[2]}"
        elif line and not line[0].isspace():
            inside = ""
        if inside == "math":
            formula.append(line.strip())
        else:
            rest.append(line.strip() if inside else line)
    return "\n".join(filter(None, formula)), rest
