"""Each hook is documented, tested and used by a plugin."""

import ast
import inspect
import re
from pathlib import Path

import plugin_code
import pytest
import torch

from rlhf_losses.feedback import Pairs
from rlhf_losses.hooks import builtins, converter_registry, estimate_registry, loss_registry, specs, transform_registry
from rlhf_losses.messages.class_names import snake_case
from rlhf_losses.testing import check_estimate, check_loss, check_transform
from rlhf_losses.transforms import Evidence, ScoredTexts

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/hooks.md").read_text(encoding="utf-8")
HOOKS = {node.name: node for node in ast.walk(ast.parse(inspect.getsource(specs))) if isinstance(node, ast.FunctionDef)}


def signature(hook: ast.FunctionDef) -> str:
    """Return the `def` line of a hook, as in the source."""
    return f"def {hook.name}({ast.unparse(hook.args)}) -> {ast.unparse(hook.returns)}"


def test_all_functions_of_specs_are_hooks():
    assert HOOKS
    for name in HOOKS:
        assert re.fullmatch(r"provide_[a-z_]+s", name)
        assert getattr(vars(specs)[name], "rlhf_losses_spec", None) is not None


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(name):
    assert f"\n## {name}\n\n```python\n{signature(HOOKS[name])}\n```\n" in PAGE


def test_all_documented_hooks_exist():
    assert set(re.findall(r"^## (provide_\w+)", PAGE, re.MULTILINE)) == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_the_docstring_of_a_hook_states_when_it_is_called_and_has_an_example(name):
    docstring = ast.get_docstring(HOOKS[name])
    assert "Called once" in docstring
    assert "@hookimpl" in docstring


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_tested_and_used_by_a_plugin(name):
    assert any(f"def {name}(" in code for code in vars(plugin_code).values() if isinstance(code, str))
    files = [Path(builtins.__file__), *ROOT.glob("plugins/*/rlhf_losses_*.py")]
    assert any(re.search(rf"@hookimpl\ndef {name}\(", file.read_text(encoding="utf-8")) for file in files)


@pytest.fixture
def example(tmp_path):
    """Return a function that writes the example plugin of a hook to a file."""

    def write(hook):
        section = re.search(rf"\n## {hook}\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)[1]
        (tmp_path / "example.py").write_text(re.findall(r"```python\n(.*?)```", section, re.DOTALL)[-1], "utf-8")
        return tmp_path / "example.py"

    return write


def provided(registry):
    """Return the class of the example plugin."""
    (entry,) = [entry for entry in registry.entries.values() if entry.plugin == "example"]
    return entry.cls


def test_the_documented_loss_satisfies_the_contract(example):
    check_loss(provided(loss_registry([example("provide_losses")]))())


def test_the_documented_converter_converts_its_row(example):
    registry = converter_registry([example("provide_dataset_converters")])
    row = {"question": "2 + 2 = ", "better": "4", "worse": "5"}
    assert type(registry.detect(row)) is provided(registry)
    assert registry.detect(row).convert(row) == [{"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5"}]


def test_the_documented_transform_satisfies_the_contract(example):
    check_transform(provided(transform_registry([example("provide_score_transforms")]))())


def test_the_documented_estimate_satisfies_the_contract_and_has_known_values(example):
    estimate = provided(estimate_registry([example("provide_score_estimates")]))()
    check_estimate(estimate)
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [2.0, 3.0]])
    evidence = Evidence(features.sum(1), features, torch.ones(4), Pairs(chosen=[0, 2], rejected=[1, 3]))
    fitted = estimate.fit(iter([evidence, evidence]))
    texts = ScoredTexts(torch.zeros(2), torch.tensor([[1.0, 2.0], [4.0, 6.0]]), torch.ones(2))
    near, far = estimate.predict(texts, fitted).tolist()
    # The mean is (1, 2), and the standard deviation of each coordinate is 1.
    assert (near, far) == pytest.approx((0.0, (3**2 + 4**2) ** 0.5))


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", PAGE))
def test_links_of_the_page_exist(link):
    assert (ROOT / "docs/reference" / link).exists()


@pytest.mark.parametrize("file", sorted(ROOT.glob("plugins/*/rlhf_losses_*.py")), ids=lambda path: path.stem)
def test_plugins_import_only_public_modules(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        for module in modules if isinstance(node, ast.Import | ast.ImportFrom) else []:
            assert not (module or "").startswith("rlhf_losses.") or module == "rlhf_losses.testing"


def test_the_page_lists_the_plugins_of_the_repository_with_what_they_provide():
    page = (ROOT / "docs/how-to/write-a-plugin.md").read_text(encoding="utf-8").partition("\n## Known plugins\n")[2]
    listed = dict(re.findall(r"^\| \[`([\w-]+)`\]\([^)]+\) \| the \w+ `(\w+)` \|", page, re.MULTILINE))
    files = {file.parent.name: file for file in ROOT.glob("plugins/*/rlhf_losses_*.py")}
    assert set(listed) == set(files)
    for plugin, name in listed.items():
        classes = [
            node for node in ast.parse(files[plugin].read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)
        ]
        assert name in [snake_case(cls.name) for cls in classes]
