"""The reward functions in examples/serve give the scores of a server, and its files can be read."""

import asyncio
import importlib.util
import json
import subprocess
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "examples/serve"
PROMPT = [{"role": "user", "content": "Once a"}]


@pytest.fixture
def example(make_app, scorer, serve_on_socket, monkeypatch):
    """Return a function that imports an example while a server runs."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    with serve_on_socket(make_app(reward=scorer)) as url:
        monkeypatch.setenv("REWARD_URL", url)
        yield load


def test_the_reward_of_verl_is_the_score(example, scorer):
    compute_score = example("verl_reward").compute_score
    found = asyncio.run(compute_score("data", "fox sang.", "truth", {"prompt": PROMPT}, other=1))
    assert found["score"] == pytest.approx(scorer(prompts=[PROMPT], completions=["fox sang."])[0], abs=1e-5)
    with pytest.raises(ValueError, match="extra_info"):
        asyncio.run(compute_score("data", "fox sang.", "truth", {}))
    with pytest.raises(ValueError, match="context length"):
        asyncio.run(compute_score("data", "fox " * 500, "truth", {"prompt": PROMPT}))


def test_the_reward_of_skyrl_is_the_score(example, scorer):
    pytest.importorskip("skyrl_gym")
    environment = example("skyrl_environment").RewardModelEnv()
    environment.init(PROMPT)
    found = environment.step("fox sang.")
    assert found["done"]
    assert found["reward"] == pytest.approx(scorer(prompts=[PROMPT], completions=["fox sang."])[0], abs=1e-5)


def test_files_of_other_programs_can_be_read():
    for file in FOLDER.glob("*.yaml"):
        assert list(yaml.safe_load_all(file.read_text()))
    for file in FOLDER.glob("*.sh"):
        subprocess.run(["bash", "-n", file], check=True)
    page = (FOLDER / "README.md").read_text()
    files = [file.name for file in FOLDER.iterdir() if file.name not in ("README.md", "__pycache__")]
    assert files
    assert not [name for name in files if f"`{name}`" not in page]


def test_commands_in_the_files_are_those_of_this_version():
    from rlhf_losses.cli.serve import build_parser

    [entry] = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if line.startswith("ENTRYPOINT")]
    [start] = [
        line
        for line in (FOLDER / "rlhf-losses-serve.service").read_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    for words in (json.loads(entry.removeprefix("ENTRYPOINT ")), start.split()):
        build_parser().parse(words[2:])
