"""Every code block of the README runs."""

import importlib.util
import json
import re
import shlex
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from run_script import printed_by

from rlhf_losses.sandbox.results import CompletionPair, LoopResult, format_completions
from rlhf_losses.testing import check_loss

ROOT = Path(__file__).parents[1]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
INSTALLS = [block for block in CONSOLE if block.startswith("pip")]
MODEL, DATASET = re.search(r'model="(.*?)".*?load_dataset\("(.*?)"', PYTHON[0], re.DOTALL).groups()
COMMANDS = [line for block in CONSOLE if block not in INSTALLS for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, language_model, pairs) -> Path:
    """Return a folder with the files that the examples of the README use; names on the Hub are folders in it."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(language_model, folder / MODEL)
    (folder / DATASET).mkdir(parents=True)
    pairs.to_json(folder / DATASET / "train.jsonl")
    pairs.to_json(folder / "pairs.jsonl")
    pairs.to_json(folder / "heldout.jsonl")
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in pairs["prompt"]))
    return folder


def test_the_readme_fits_on_one_screen_of_two_columns():
    assert len(README.splitlines()) <= 90


@pytest.mark.parametrize("block", INSTALLS)
def test_the_commands_that_install_name_files_and_tools_that_exist(block):
    install, then = block.strip().split(" && ")
    words = shlex.split(install)
    assert (ROOT / words[words.index("-c") + 1]).is_file()
    assert {"rlhf-losses demo": ROOT / "pyproject.toml", "tox": ROOT / "tox.ini"}[then].is_file()
    assert words[-1] in (".[report]", "tox")


def test_the_commands_run_in_their_order(done, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for line in COMMANDS:
        words = shlex.split(line)
        assert words[0] == "rlhf-losses"
        done(*words[1:])
    assert len((folder / "scores.jsonl").read_text().splitlines()) == 32
    assert (folder / "policy").is_dir()


def test_the_first_python_block_trains_and_scores(folder):
    (folder / "first.py").write_text(PYTHON[0], encoding="utf-8")
    (score,) = json.loads(printed_by(folder / "first.py", cwd=folder).splitlines()[-1])
    assert isinstance(score, float)
    assert list(folder.glob("**/*-Reward/model.safetensors"))


def test_the_completions_are_printed_as_the_demo_does():
    (block,) = re.findall(r"```text\n(.*?)\n```", README, re.DOTALL)
    completions = CompletionPair(*re.findall(r"^(?: +\w+: +)?(.*)$", block, re.MULTILINE))
    result = LoopResult("bradley_terry", 0.99, -0.14, 0.96, (1.02, 1.18), kl=4.4, seconds=60, seed=0)
    assert format_completions(replace(result, completions=[completions])) == block


def test_the_loss_of_the_readme_is_a_plugin_that_keeps_the_contract(folder):
    from rlhf_losses import loss_registry
    from rlhf_losses.testing import check_loss

    (folder / "focal.py").write_text(PYTHON[1], encoding="utf-8")
    check_loss(loss_registry(plugin_files=[folder / "focal.py"]).parse("focal(focus=1.0)"))


@pytest.mark.parametrize("name", re.findall(r"`([a-z_]+)`", README.split("| you have")[1].split("Add regularizers")[0]))
def test_the_table_names_losses_and_columns_that_exist(name):
    from rlhf_losses import loss_registry
    from rlhf_losses.feedback import FEEDBACK_TYPES

    columns = {
        column
        for feedback_type in FEEDBACK_TYPES
        for alternative in feedback_type.columns
        for column in (*alternative, *feedback_type.optional_columns)
    }
    assert name in loss_registry() or name in columns


def test_links_work_on_pypi_and_have_a_target():
    links = re.findall(r"\]\(([^)#]+)", README)
    assert not [link for link in links if not link.startswith("https://")]
    paths = [path for link in links for path in re.findall(rf"{REPOSITORY}/(?:blob|tree)/main/(.*)", link)]
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_commands_of_the_readme_are_those_of_the_continuous_integration():
    assert INSTALLS[-1].strip() == (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1]


def test_the_plugin_page_is_a_plugin(tmp_path, monkeypatch):
    """The page's module is a loss, and its test passes."""
    page = (ROOT / "docs/how-to/write-a-plugin.md").read_text(encoding="utf-8")
    module, test, listwise, learning = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "squared_hinge.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict = {}
    exec(compile(test, "test_squared_hinge.py", "exec"), namespace)
    namespace["test_squared_hinge_keeps_the_contract"]()
    assert importlib.util.find_spec("squared_hinge") is not None
    (tmp_path / "listwise.py").write_text(listwise, encoding="utf-8")
    check_loss(importlib.import_module("listwise").MeanOfTheBest())
    (tmp_path / "temperature.py").write_text(learning, encoding="utf-8")
    check_loss(importlib.import_module("temperature").TemperatureBradleyTerry())
