"""Errors say what arrived, why that cannot work, and what to type next."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from rlhf_losses import errors

PACKAGE = Path(errors.__file__).parent
CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
}

NEXT_STEPS = (
    "add|choose|complete|copy|define|did|drop|give|join|keep|leave|load|make|mend|name|pass|put|raise|rename|replace|"
    "rescale|resume|return|run|save|set|shorten|split|take|train|uninstall|use|write"
)
# A step stands at the start of a sentence or of a clause, or is an option to type; some messages end in a list to
# choose from.
STEP = re.compile(
    rf"(?:[.;:,] |\}} |For ratings )(?:{NEXT_STEPS})\b|--[a-z_]+ \S|are: \{{\}}\.$|\{{\}}$", re.IGNORECASE
)


def template(node: ast.expr) -> str | None:
    """Return a message with `{}` where values are put in, or nothing if it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def messages() -> dict[str, str]:
    """Return every message that is written where it is raised, by its place."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES and node.args:
                text = template(node.args[0])
                if text is not None:
                    found[f"{file.relative_to(PACKAGE)}:{node.lineno}"] = text
    return found


MESSAGES = messages()


@pytest.mark.parametrize("place", MESSAGES)
def test_every_message_says_what_to_do_next(place):
    assert STEP.search(MESSAGES[place]), MESSAGES[place]


@pytest.mark.parametrize(
    "text", ["Rankings are wrong.", "No loss is called '{}'.", "{} got {}, which is bad.", "Taken."]
)
def test_a_message_without_a_next_step_would_be_found(text):
    assert not STEP.search(text)


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    drawn = re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__)
    assert {name for name, _ in drawn} | {"RlhfLossesError"} == set(CLASSES)
    for name, other_base in drawn:
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        assert bases == ["RlhfLossesError", *([other_base] if other_base else [])]


def test_every_error_of_ours_is_caught_by_one_name():
    for kind in CLASSES.values():
        assert issubclass(kind, errors.RlhfLossesError)


def test_the_nearest_name_is_offered_and_a_far_one_is_not():
    known = ["hinge", "bradley_terry"]
    assert errors.did_you_mean("bradly_tery", known) == " Did you mean 'bradley_terry'?"
    assert errors.did_you_mean("xyzzy", known) == ""
