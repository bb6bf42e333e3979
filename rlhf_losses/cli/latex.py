"""LaTeX formulas as Unicode text for terminals."""

import functools
import re
from typing import Any

from pylatexenc.latex2text import (
    EnvironmentTextSpec,
    LatexNodes2Text,
    MacroTextSpec,
    SpecialsTextSpec,
    get_default_latex_context_db,
)
from pylatexenc.latexwalker import LatexGroupNode, LatexWalker
from pylatexenc.latexwalker import get_default_latex_context_db as get_parser_context
from pylatexenc.macrospec import std_macro

_FRACTIONS = ("frac", "tfrac", "dfrac")
_SPACING = (
    (r"(?<=log)\s*\ue003([^\ue003\ue004]*)\ue004", r" (\1)"),
    (r"[\ue003\ue004]", ""),
    (r"√\((\w)\)", r"√\1"),
    (r"[ ,]*\ue002[ ,]*", "; "),
    (r":\s*,", ":"),
    (r"(?<=[^\W_])(?=log|exp)|(?<=log|exp)(?=[^\W_]|[∑√])", " "),
    (r"\s+", " "),
    (r"\s+(?=[),;])|(?<=\()\s+", ""),
)
"""Patterns and replacements: parentheses around a fraction after a logarithm, a semicolon for wide spaces between
formulas, one space around function names, none inside parentheses."""
_PARENTHESES = str.maketrans({"{": "(", "}": ")", "\ue000": "{", "\ue001": "}"})
"""Braces of groups become parentheses; the private characters stand for braces that are part of the formula."""
_EXPONENT = re.compile(r"\^(\d+)(?![\d.])")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Exponents that are numbers become superscripts; letters have no complete set of superscripts in Unicode."""
_INLINE = re.compile(r"\$([^$]+)\$")


def latex_to_unicode(formula: str) -> str:
    r"""Return a formula as one line of text.

    Args:
        formula: LaTeX in math mode, without dollar signs.

    Examples:
        >>> latex_to_unicode(r"-\log \sigma\left(\frac{s_\text{chosen} - s_\text{rejected} - m}{T}\right)")
        '-log σ((s_chosen - s_rejected - m)/T)'
    """
    nodes, _, _ = LatexWalker(formula, latex_context=_parser_context()).get_latex_nodes()
    text: str = _converter().nodelist_to_text(nodes).translate(_PARENTHESES)
    for pattern, replacement in _SPACING:
        text = re.sub(pattern, replacement, text)
    return _EXPONENT.sub(lambda found: found[1].translate(_SUPERSCRIPTS), text.strip())


def inline_to_unicode(text: str) -> str:
    r"""Return a text with its inline formulas, written between dollar signs, as Unicode.

    Examples:
        >>> inline_to_unicode(r"the weight $\lambda$")
        'the weight λ'
    """
    return _INLINE.sub(lambda found: latex_to_unicode(found[1]), text)


def _operand(text: str) -> str:
    text = text.strip()
    return text if re.fullmatch(r"\w*(\([^()]*\))?|\|[^|]*\|", text) else f"({text})"


def _argument(converter: Any, node: Any, index: int) -> str:
    argument = node.nodeargd.argnlist[index]
    text: str = converter.nodelist_to_text(argument.nodelist if argument.isNodeType(LatexGroupNode) else [argument])
    return text


def _first_argument(node: Any, l2tobj: Any) -> str:
    return _argument(l2tobj, node, 0)


def _fraction(node: Any, l2tobj: Any) -> str:
    return "\ue003" + "/".join(_operand(_argument(l2tobj, node, index)) for index in (0, 1)) + "\ue004 "


def _root(node: Any, l2tobj: Any) -> str:
    """Return a root; its degree, if it has one, comes before the sign in parentheses."""
    degree = "" if node.nodeargd.argnlist[0] is None else _argument(l2tobj, node, 0).strip("[]")
    return f"{degree.translate(_SUPERSCRIPTS) if degree.isdecimal() else degree}√({_argument(l2tobj, node, 1)})"


def _brace(node: Any, l2tobj: Any) -> str:
    return f"({_argument(l2tobj, node, 0)})"


def _binomial(node: Any, l2tobj: Any) -> str:
    return f"binom({_argument(l2tobj, node, 0)}, {_argument(l2tobj, node, 1)})"


def _cases(node: Any, l2tobj: Any) -> str:
    return f"\ue000 {l2tobj.nodelist_to_text(node.nodelist)} \ue001"


@functools.cache
def _parser_context() -> Any:
    context = get_parser_context()
    macros = [std_macro("operatorname", "{"), *(std_macro(name, "{{") for name in (*_FRACTIONS, "binom"))]
    macros += [std_macro("sqrt", "[{"), std_macro("underbrace", "{"), std_macro("overbrace", "{")]
    context.add_context_category("formulas", macros=macros, prepend=True)
    return context


@functools.cache
def _converter() -> Any:
    context = get_default_latex_context_db()
    replacements = {
        "binom": _binomial,
        "operatorname": _first_argument,
        "sqrt": _root,
        "underbrace": _brace,
        "overbrace": _brace,
        "|": "‖",
        "parallel": " ‖ ",
        "Vert": "‖",
        "lVert": "‖",
        "rVert": "‖",
        "\\": "; ",
        "quad": "\ue002",
        "qquad": "\ue002",
        "pm": "±",
        "geq": " ≥ ",
        "ge": " ≥ ",
        "{": "\ue000",
        "}": "\ue001",
    } | dict.fromkeys(_FRACTIONS, _fraction)
    context.add_context_category(
        "formulas",
        macros=[MacroTextSpec(name, simplify_repl=replacement) for name, replacement in replacements.items()],
        environments=[EnvironmentTextSpec("cases", simplify_repl=_cases)],
        specials=[SpecialsTextSpec("&", ", ")],
        prepend=True,
    )
    return LatexNodes2Text(
        latex_context=context,
        strict_latex_spaces="based-on-source",
        keep_braced_groups=True,
        keep_braced_groups_minlen=2,
    )
