"""The parts of a Google-style docstring: text, formula, arguments and further sections."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass

import griffe

_FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts.

    Attributes:
        summary: first paragraph.
        formula: content of the first `$$...$$` block, in LaTeX; empty without one.
        text: other paragraphs before the sections.
        arguments: description of each argument, by name.
        sections: text of each other section, by title, for example `References` and `Examples`.
    """

    summary: str
    formula: str
    text: str
    arguments: Mapping[str, str]
    sections: Mapping[str, str]


def parse_docstring(cls: type) -> Docstring:
    """Return the parts of the docstring of a class.

    Args:
        cls: a class with a docstring in Google style.

    Examples:
        >>> from rlhf_losses.losses import ScoreDecay
        >>> parse_docstring(ScoreDecay).formula
        's^2'
    """
    paragraphs: list[str] = []
    arguments: dict[str, str] = {}
    sections: dict[str, str] = {}
    for section in griffe.Docstring(inspect.getdoc(cls) or "").parse("google", warnings=False):
        match section:
            case griffe.DocstringSectionText(value=text):
                paragraphs.append(text)
            case griffe.DocstringSectionParameters(value=parameters):
                arguments |= {parameter.name: parameter.description for parameter in parameters}
            case griffe.DocstringSectionExamples(value=blocks):
                sections["Examples"] = "\n\n".join(text for _, text in blocks)
            case griffe.DocstringSectionAdmonition(title=title, value=admonition):
                sections[title or ""] = admonition.contents
    text = "\n\n".join(paragraphs)
    formula = _FORMULA.search(text)
    summary, _, rest = _FORMULA.sub("", text, count=1).strip().partition("\n\n")
    return Docstring(
        summary=summary,
        formula=" ".join(formula[1].split()) if formula else "",
        text=re.sub(r"\n{3,}", "\n\n", rest).strip(),
        arguments=arguments,
        sections=sections,
    )
