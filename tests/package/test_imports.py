"""What is imported when, and what is never written."""

import ast
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import rlhf_losses

PACKAGE = Path(rlhf_losses.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {str(file.relative_to(PACKAGE)): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def imported_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh Python holds after `code`."""
    look = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_front_door_opens_without_torch():
    assert not {"torch", "trl", "transformers"} & imported_after("import rlhf_losses")


def test_a_loss_can_be_had_without_trainers():
    seen = imported_after("from rlhf_losses import bradley_terry, Pairs, parse_loss; parse_loss('hinge')")
    assert "torch" in seen
    assert not {"trl", "transformers", "datasets", "peft"} & seen


def test_a_loss_can_be_checked_without_hypothesis():
    seen = imported_after(
        "from rlhf_losses import hinge; from rlhf_losses.testing import check_loss; check_loss(hinge)"
    )
    assert not {"hypothesis", "trl", "transformers"} & seen


def test_only_the_strategies_import_hypothesis():
    using = [
        name for name, tree in TREES.items() if "hypothesis" in {module.partition(".")[0] for module in modules(tree)}
    ]
    assert using == ["testing/strategies.py"]


def test_the_names_at_the_front_door_are_sorted_and_lead_home():
    assert dir(rlhf_losses) == sorted(rlhf_losses.__all__)
    assert not [name for name in rlhf_losses.__all__ if not hasattr(rlhf_losses, name)]
    with pytest.raises(AttributeError, match="xyzzy"):
        _ = rlhf_losses.xyzzy


def test_type_checkers_see_every_name_at_the_front_door():
    """A stub passes on only what it imports as its own name, and what is imported twice has no one home."""
    door = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    shown = [name.asname for node in door.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(shown) == rlhf_losses.__all__


def test_the_front_door_opens_in_a_zip_file(tmp_path):
    with ZipFile(tmp_path / "package.zip", "w") as package:
        for file in [*FILES, PACKAGE / "__init__.pyi"]:
            package.write(file, file.relative_to(PACKAGE.parent))
    look = f"import sys; sys.path.insert(0, {package.filename!r}); import rlhf_losses"
    done = subprocess.run(
        [sys.executable, "-c", f"{look}; print(rlhf_losses.__file__, rlhf_losses.bradley_terry)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "package.zip/rlhf_losses/__init__.py"), "bradley_terry"]


@pytest.mark.parametrize("name", TREES)
def test_annotations_stay_real(name):
    assert "__future__" not in modules(TREES[name])


@pytest.mark.parametrize("name", [name for name in TREES if name != "__init__.py"])
def test_rooms_never_use_the_front_door(name):
    taken = {
        alias.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and node.module == "rlhf_losses"
        for alias in node.names
    }
    assert not taken & set(rlhf_losses.__all__)


@pytest.mark.parametrize("name", TREES)
def test_every_module_says_what_it_is_for(name):
    assert ast.get_docstring(TREES[name])


def modules(tree: ast.AST) -> set[str]:
    """Return the modules that a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
