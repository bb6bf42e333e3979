"""Imports: what importing the package loads, and the public names."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

import rlhf_losses

PACKAGE = Path(rlhf_losses.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {str(file.relative_to(PACKAGE)): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def imported_after(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter has imported after `code`."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_does_not_import_torch():
    assert not {"torch", "trl", "transformers"} & imported_after("import rlhf_losses")


def test_losses_are_imported_without_trainers():
    imported = imported_after("from rlhf_losses import bradley_terry, Pairs, parse_loss; parse_loss('hinge')")
    assert "torch" in imported
    assert not {"trl", "transformers", "datasets", "peft"} & imported


def test_check_loss_does_not_import_hypothesis():
    imported = imported_after(
        "from rlhf_losses import hinge; from rlhf_losses.testing import check_loss; check_loss(hinge)"
    )
    assert not {"hypothesis", "trl", "transformers"} & imported


def test_only_the_strategies_import_hypothesis():
    using = [
        name for name, tree in TREES.items() if "hypothesis" in {module.partition(".")[0] for module in modules(tree)}
    ]
    assert using == ["testing/strategies.py"]


def test_public_names_are_sorted_and_can_be_imported():
    assert dir(rlhf_losses) == sorted(rlhf_losses.__all__)
    assert not [name for name in rlhf_losses.__all__ if not hasattr(rlhf_losses, name)]
    with pytest.raises(AttributeError, match="xyzzy"):
        _ = rlhf_losses.xyzzy


def test_the_version_is_that_of_the_distribution():
    assert rlhf_losses.__version__ == version("rlhf-losses")


def test_type_checkers_find_all_public_names():
    """A stub exports only names that it imports `as` themselves."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    exported = [name.asname for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(exported) == rlhf_losses.__all__


def test_the_package_can_be_imported_from_a_zip_file(tmp_path):
    with ZipFile(tmp_path / "package.zip", "w") as package:
        for file in [*FILES, PACKAGE / "__init__.pyi"]:
            package.write(file, file.relative_to(PACKAGE.parent))
    script = f"import sys; sys.path.insert(0, {package.filename!r}); import rlhf_losses"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; print(rlhf_losses.__file__, rlhf_losses.bradley_terry)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "package.zip/rlhf_losses/__init__.py"), "bradley_terry"]


@pytest.mark.parametrize("name", TREES)
def test_annotations_are_not_postponed(name):
    """jaxtyping checks annotations at run time."""
    assert "__future__" not in modules(TREES[name])


@pytest.mark.parametrize("name", [name for name in TREES if name != "__init__.py"])
def test_modules_do_not_import_from_the_top_level(name):
    imported = {
        alias.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and node.module == "rlhf_losses"
        for alias in node.names
    }
    assert not imported & set(rlhf_losses.__all__)


def modules(tree: ast.AST) -> set[str]:
    """Return the modules that a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
