"""A hook exists only if a page documents it, a test calls it and a plugin uses it."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from plugin_code import HOOK

from rlhf_losses.hooks import catalogue, specs
from rlhf_losses.testing import check_loss

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/hooks.md").read_text(encoding="utf-8")
DEFINED = {
    node.name: node for node in ast.walk(ast.parse(inspect.getsource(specs))) if isinstance(node, ast.FunctionDef)
}


def signature(hook: ast.FunctionDef) -> str:
    """Return the `def` line of a hook, as it stands in the source."""
    return f"def {hook.name}({ast.unparse(hook.args)}) -> {ast.unparse(hook.returns)}"


def test_every_function_of_specs_is_a_hook_that_returns_things():
    assert DEFINED
    for name in DEFINED:
        assert re.fullmatch(r"provide_[a-z]+s", name)
        assert getattr(vars(specs)[name], "rlhf_losses_spec", None) is not None


@pytest.mark.parametrize("name", DEFINED)
def test_every_hook_is_documented_with_its_exact_signature(name):
    assert f"\n## {name}\n\n```python\n{signature(DEFINED[name])}\n```\n" in PAGE


def test_no_hook_is_documented_that_does_not_exist():
    assert set(re.findall(r"^## (provide_\w+)", PAGE, re.MULTILINE)) == set(DEFINED)


@pytest.mark.parametrize("name", DEFINED)
def test_every_hook_says_when_it_is_called_and_shows_an_example(name):
    said = ast.get_docstring(DEFINED[name])
    assert "Called once" in said
    assert "@hookimpl" in said


@pytest.mark.parametrize("name", DEFINED)
def test_every_hook_is_called_in_a_test_and_used_by_a_plugin(name):
    assert f"def {name}(" in HOOK
    plugins = [file.read_text(encoding="utf-8") for file in ROOT.glob("plugins/*/rlhf_losses_*.py")]
    assert any(re.search(rf"@hookimpl\ndef {name}\(", code) for code in plugins)


def test_the_plugin_of_the_page_keeps_the_contract(tmp_path):
    example = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[-1]
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    entries = catalogue([tmp_path / "example.py"]).entries.values()
    (entry,) = [entry for entry in entries if entry.plugin == "example"]
    check_loss(entry.loss())


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", PAGE))
def test_links_of_the_page_lead_somewhere(link):
    assert (ROOT / "docs/reference" / link).exists()


@pytest.mark.parametrize("file", sorted(ROOT.glob("plugins/*/rlhf_losses_*.py")), ids=lambda path: path.stem)
def test_plugins_import_the_front_door_and_nothing_behind_it(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        for module in modules if isinstance(node, ast.Import | ast.ImportFrom) else []:
            assert not (module or "").startswith("rlhf_losses.") or module == "rlhf_losses.testing"
