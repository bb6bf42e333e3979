"""The code of the documentation runs: the tutorial from its first to its last block, and the blocks of other pages."""

import inspect
import re
import shlex
import shutil
from pathlib import Path

import pytest
from run_script import printed_by
from thorough_cases import with_thorough

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TUTORIAL = ("reward-model", "trust", "policy")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and content of the blocks of Python and of shell commands of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run_python(code: str, page: Path, namespace: dict) -> None:
    """Run a block in the namespace of its page."""
    exec(compile(code, str(page.relative_to(ROOT)), "exec"), namespace)


# PPO takes longest, and the tests of the README run it too.
@pytest.mark.parametrize("parts", with_thorough([TUTORIAL[:2]], [(TUTORIAL,)]), ids=" ".join)
def test_the_tutorial_runs_word_for_word(parts, done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part in parts:
        page, namespace = DOCS / "tutorial" / f"{part}.md", {}
        for language, code in blocks(page):
            if language == "python":
                run_python(code, page, namespace)
                continue
            for line in code.replace("\\\n", " ").strip().splitlines():
                program, *words = shlex.split(line)
                if program == "python":
                    printed_by(ROOT / "examples" / words[0], *words[1:])
                    continue
                assert program == "rlhf-losses"
                done(*words)


ELSEWHERE = {"use-your-data", "write-a-plugin", "hooks", "serve"}
"""Pages whose blocks other tests run."""

PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.parent.name not in ("tutorial", "losses")
    and page.stem not in ELSEWHERE
    and any(language == "python" for language, _ in blocks(page))
]
SLOW = [DOCS / "ppo.md"]


def arguments_of(function) -> tuple[str, ...]:
    """Return the names of the arguments of a function."""
    return tuple(inspect.signature(function).parameters)


@pytest.fixture(scope="module")
def project(tmp_path_factory, language_model, trained, pairs) -> Path:
    """Return a folder with the files that the pages use: a language model, a reward model, an adapter and pairs."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(language_model, folder / "my-model")
    trained.save_model(folder / "reward" / "checkpoint-500")
    trained.save_merged(folder / "reward")
    pairs.to_json(folder / "pairs.jsonl")
    pairs.select_columns("prompt").select(range(4)).to_json(folder / "prompts.jsonl")
    return folder


@pytest.mark.parametrize(
    "page", with_thorough([page for page in PAGES if page not in SLOW], SLOW), ids=lambda page: page.stem
)
def test_the_python_blocks_of_a_page_run_in_their_order(page, project, monkeypatch):
    monkeypatch.chdir(project)
    namespace: dict = {}
    for language, code in blocks(page):
        if language == "python":
            run_python(code, page, namespace)
    for name in [name for name in namespace if name.startswith("test_")]:
        given = (
            {"provided_loss": namespace["SquaredHinge"]()} if "provided_loss" in arguments_of(namespace[name]) else {}
        )
        namespace[name](**given)


def test_the_snippet_of_a_loss_trains(project, monkeypatch):
    monkeypatch.chdir(project)
    page = DOCS / "reference" / "losses" / "rao_kupper.md"
    code = next(code for language, code in blocks(page) if language == "python")
    namespace: dict = {}
    run_python(code.replace("bf16=False", 'bf16=False, report_to="none"'), page, namespace)
    assert namespace["trainer"].state.global_step == 3
