"""A hook exists only if a page documents it, a test calls it and a plugin uses it."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import torch
from plugin_code import CONVERTER_HOOK, ESTIMATE_HOOK, HOOK

from rlhf_losses.feedback import Pairs
from rlhf_losses.hooks import loss_registry, specs
from rlhf_losses.hooks.converters import converters
from rlhf_losses.hooks.estimates import estimates
from rlhf_losses.testing import check_loss
from rlhf_losses.transforms.estimate import Evidence

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
    assert f"def {name}(" in HOOK + CONVERTER_HOOK + ESTIMATE_HOOK
    plugins = [file.read_text(encoding="utf-8") for file in ROOT.glob("plugins/*/rlhf_losses_*.py")]
    assert any(re.search(rf"@hookimpl\ndef {name}\(", code) for code in plugins)


@pytest.fixture
def example(tmp_path):
    """Return a file with the plugin that the page shows for a hook."""

    def write(hook):
        section = re.search(rf"\n## {hook}\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)[1]
        (tmp_path / "example.py").write_text(re.findall(r"```python\n(.*?)```", section, re.DOTALL)[-1], "utf-8")
        return tmp_path / "example.py"

    return write


def test_the_loss_of_the_page_keeps_the_contract(example):
    entries = loss_registry([example("provide_losses")]).entries.values()
    (entry,) = [entry for entry in entries if entry.plugin == "example"]
    check_loss(entry.loss())


def test_the_adapter_of_the_page_reads_the_row_that_it_is_for(example):
    known = converters([example("provide_dataset_converters")])
    (name,) = [name for name, plugin in known.plugins.items() if plugin == "example"]
    row = {"question": "2 + 2 = ", "better": "4", "worse": "5"}
    assert known.recognise(row).name() == name
    assert known.recognise(row).read(row) == [{"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5"}]


def test_the_estimate_of_the_page_is_fitted_and_read(example):
    known = estimates([example("provide_score_estimates")])
    (name,) = [name for name, plugin in known.plugins.items() if plugin == "example"]
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [2.0, 3.0]])
    found = Evidence(features, features.sum(1), Pairs(chosen=[0, 2], rejected=[1, 3]))
    estimate = known.parse(name)
    fitted = estimate.fit(iter([found, found]))
    middle, far = estimate.read(torch.tensor([[1.0, 2.0], [4.0, 6.0]]), torch.zeros(2), **fitted).tolist()
    # The mean is (1, 2), and each coordinate is 1 away from it in every vector.
    assert (middle, far) == pytest.approx((0.0, (3**2 + 4**2) ** 0.5))


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", PAGE))
def test_links_of_the_page_lead_somewhere(link):
    assert (ROOT / "docs/reference" / link).exists()


@pytest.mark.parametrize("file", sorted(ROOT.glob("plugins/*/rlhf_losses_*.py")), ids=lambda path: path.stem)
def test_plugins_import_the_front_door_and_nothing_behind_it(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        for module in modules if isinstance(node, ast.Import | ast.ImportFrom) else []:
            assert not (module or "").startswith("rlhf_losses.") or module == "rlhf_losses.testing"
