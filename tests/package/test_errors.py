"""Error messages state what was received, why it cannot be used, and a remedy."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from rlhf_losses import errors

PACKAGE = Path(errors.__file__).parent
CLASSES = {
    name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and cls.__module__ == errors.__name__
}
NAMES = {*CLASSES, "CommandLineError"}

STATEMENT = {
    *("a", "all", "an", "any", "both", "each", "every", "it", "its", "no", "none", "one", "such"),
    *("that", "the", "their", "there", "these", "they", "this", "those", "we", "you"),
}
"""First words of statements. A remedy is a request and begins with a verb."""


def template(node: ast.expr) -> str | None:
    """Return a message with `{}` for inserted values, or None if another function builds it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def messages() -> dict[str, str]:
    """Return all messages that are written where an error is raised, by file and line."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES and node.args:
                text = template(node.args[0])
                if text is not None:
                    found[f"{file.relative_to(PACKAGE)}:{node.lineno}"] = text
    return found


def has_remedy(message: str) -> bool:
    """Return whether a message has at least two sentences and the last one is a request.

    An inserted text at the end can contain the remedy.
    """
    text = re.sub(r"\s*\([^()]*\.\)$", "", message.strip())  # a note in parentheses after the remedy
    text = re.sub(r"(?<=[.?!])\{\}", "", text)  # an inserted suggestion, which can be empty
    if text.endswith("{}") or not text:
        return bool(text)
    *before, last = re.split(r"(?<=[.?!])\s+|(?<=\{\})\s+(?=[A-Z])", text)
    first_word = re.match(r"[\w{}]*", last)[0].lower()
    names_an_option = re.search(r"--[a-z_]+ \S", last) is not None
    return bool(before) and (names_an_option or first_word not in STATEMENT)


MESSAGES = messages()


@pytest.mark.parametrize("place", MESSAGES)
def test_every_message_ends_with_a_remedy(place):
    assert has_remedy(MESSAGES[place]), MESSAGES[place]


@pytest.mark.parametrize(
    "text",
    [
        "Rankings are wrong.",
        "Unknown loss '{}'.",
        "Use another loss.",
        "Column '{}' is NaN. The loss needs numbers.",
        "Column '{}' is NaN. There is no remedy.",
        "The model has two labels. It cannot be used.",
    ],
)
def test_a_message_without_a_remedy_is_found(text):
    assert not has_remedy(text)


@pytest.mark.parametrize(
    "text",
    [
        "Column '{}' of row {} is NaN. squared_error needs finite ratings. Fix or drop the row.",
        "Unknown loss '{}'.{} Run 'rlhf-losses list' to see all losses.",
        "'{}' contains a run. {} another folder: --output_dir {}.",
    ],
)
def test_a_message_with_a_remedy_is_accepted(text):
    assert has_remedy(text)


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    documented = re.findall(r"(│   )?[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__)
    assert {name for _, name, _ in documented} | {"RlhfLossesError"} == set(CLASSES)
    parent = "RlhfLossesError"
    for indent, name, other_base in documented:
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        assert bases == [parent if indent else "RlhfLossesError", *([other_base] if other_base else [])]
        parent = parent if indent else name


def test_all_errors_have_one_base_class():
    for cls in CLASSES.values():
        assert issubclass(cls, errors.RlhfLossesError)


def test_only_near_names_are_suggested():
    known = ["hinge", "bradley_terry"]
    assert errors.did_you_mean("bradly_tery", known) == " Did you mean 'bradley_terry'?"
    assert errors.did_you_mean("xyzzy", known) == ""
