"""Structure of the package: file names, import cycles and docstrings."""

import ast
import logging
import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import griffe
import pytest

import rlhf_losses

PACKAGE = Path(rlhf_losses.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
SHARED_NAMES = {"__init__.py", "base.py", "config.py", "trainer.py"}
"""File names that several folders can have."""


def module_name(file: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): tree for file, tree in TREES.items()}


def imported_modules(tree: ast.AST) -> set[str]:
    """Return the modules of the package that a file imports, also for type checking only."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full_name = f"{node.module}.{alias.name}"
                found.add(full_name if full_name in MODULES else node.module)
    return found & set(MODULES)


def find_cycle(imports: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, or an empty list."""
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return []
        cycle = next((found for other in sorted(imports[name]) if (found := visit(other, [*path, name]))), [])
        finished.add(name)
        return cycle

    return next((cycle for name in sorted(imports) if (cycle := visit(name, []))), [])


def docstrings(tree: ast.AST) -> list[str]:
    """Return all docstrings of a file."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [text for node in ast.walk(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node))]


def test_file_names_are_unique():
    names = Counter(file.name for file in FILES if file.name not in SHARED_NAMES)
    assert not [name for name, count in names.items() if count > 1]


def test_modules_do_not_import_each_other_in_a_cycle():
    assert not find_cycle({name: imported_modules(tree) for name, tree in MODULES.items()})


def test_a_cycle_is_found():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_docstring(name):
    assert ast.get_docstring(MODULES[name])


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_have_no_restructured_text(name):
    roles = [
        match for text in docstrings(MODULES[name]) for match in re.findall(r":\w+:`[^`]*`|^\.\. \w+::", text, re.M)
    ]
    assert not roles


@pytest.fixture(scope="module")
def documented():
    """Return the package as griffe parses it from its source."""
    return griffe.load("rlhf_losses", search_paths=[str(PACKAGE.parent)], docstring_parser="google")


def public_objects(module):
    """Yield public functions and classes with their public methods."""
    for member in module.members.values():
        if member.is_alias or not member.is_public:
            continue
        if member.is_module or member.is_class:
            yield from public_objects(member)
        if member.is_function or member.is_class:
            yield member


def is_override(method):
    """Return whether a base class defines the method, or is outside of the package."""
    if not method.parent.is_class or method.name.startswith("__"):
        return method.parent.is_class
    bases = method.parent.mro()
    own_bases = [base for base in method.parent.bases if str(base).partition("[")[0] not in ("ABC", "Generic")]
    return any(method.name in base.members for base in bases) or len(own_bases) > len(bases)


def test_public_functions_classes_and_methods_have_docstrings(documented):
    assert not [one.path for one in public_objects(documented) if not one.docstring and not is_override(one)]


@contextmanager
def griffe_warnings():
    """Collect warnings of griffe."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("griffe")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


def test_docstrings_are_parsed_without_warnings(documented):
    with griffe_warnings() as found:
        for one in public_objects(documented):
            if one.docstring:
                one.docstring.parse("google")
    assert not found


def test_an_undocumented_type_and_an_unknown_argument_are_found():
    code = 'def f(a: int):\n    """Add.\n\n    Args:\n        b: number.\n    """\n'
    with griffe_warnings() as found:
        griffe.visit("module", filepath=None, code=code)["f"].docstring.parse("google")
    assert any("'b' does not appear" in message for message in found)


def test_numbers_with_fixed_decimals_have_no_negative_zero():
    """A share or a change of -1e-9 is 0.0, not -0.0, in every message and table: the format has the letter z."""
    specs = [
        (file.name, part.value)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None
        for part in ast.walk(node.format_spec)
        if isinstance(part, ast.Constant) and re.search(r"\.\d+[f%]$", str(part.value))
    ]
    assert len(specs) > 50
    assert not [one for one in specs if "z" not in one[1]]
