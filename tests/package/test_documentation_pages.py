"""Structure of the documentation: navigation, links, commands, messages, generated reference pages."""

import ast
import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml

import rlhf_losses
from rlhf_losses import errors
from rlhf_losses.cli.main import COMMANDS
from rlhf_losses.hooks.builtins import provide_losses

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).with_suffix("").as_posix())


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name Python objects, without these objects."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
CONFIG = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)


def pages_in(nav) -> list[str]:
    """Return the pages of the navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    return [page for one in nav for page in pages_in(next(iter(one.values())) if isinstance(one, dict) else one)]


def test_the_navigation_has_every_page_once():
    listed = pages_in(CONFIG["nav"])
    outside = {"SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert sorted(listed) == sorted({page.relative_to(DOCS).as_posix() for page in PAGES} | outside)


def test_the_navigation_has_the_losses_of_a_kind_in_their_order():
    (losses,) = [one["Losses"] for one in CONFIG["nav"] if "Losses" in one]
    order = [cls.name() for cls in provide_losses()]
    for kind in losses[1:]:
        names = [Path(page).stem for page in pages_in([kind])]
        assert names == sorted(names, key=order.index)


def test_the_site_loads_nothing_from_other_hosts():
    assert CONFIG["theme"]["font"] is False
    assert not any("://" in str(one) for key in ("extra_css", "extra_javascript") for one in CONFIG.get(key, []))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and mkdocs make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title)).strip("-") for title in plain}


@each_page
def test_relative_links_have_a_target_and_an_anchor(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for path, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert target.is_relative_to(ROOT), path
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), f"{path}#{anchor}"


def console_lines(page: Path) -> list[str]:
    """Return the commands of the blocks of shell commands of a page, without prompts and without their output."""
    found = re.findall(r"^```(?:console|bash)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in found for line in block.replace("\\\n", " ").splitlines()]
    return [
        line.removeprefix("$ ") for line in lines if line.startswith(("$ ", *STARTS)) or re.match(r"[A-Z_]+=", line)
    ]


STARTS = ("rlhf-losses ", "python ", "accelerate ", "torchrun ", "mpirun ", "pip ", "srun ")
PLACEHOLDERS = {"ARGUMENTS", "..."}


def words_of_command(line: str) -> list[str] | None:
    """Return the words after the name of this program, however it is started; None for other programs."""
    words = shlex.split(line)
    for index, word in enumerate(words):
        if word == "rlhf-losses" or (word == "rlhf_losses" and words[index - 1] == "-m"):
            return words[index + 1 :]
    return None


@pytest.mark.parametrize(
    ("page", "line"),
    [(page.stem, line) for page in PAGES if page.parent.name != "losses" for line in console_lines(page)],
)
def test_commands_are_valid(page, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("model: my-model\ndataset: pairs.jsonl\nloss: hinge\noutput_dir: reward\n")
    words = words_of_command(line)
    if words is None:
        (module,) = re.findall(r"python -m (benchmarks[\w.]+)", line) or [None]
        (file,) = re.findall(r"python ([\w/]+\.py)", line) or [None]
        assert module is None or (ROOT / f"{module.replace('.', '/')}.py").is_file()
        assert file is None or file == "start.py" or (ROOT / file).is_file() or (ROOT / "examples" / file).is_file()
        assert module or file or line.startswith(("pip ", "srun "))
        return
    while words[:1] == ["--plugin"]:
        words = words[2:]
    command, *arguments = words
    if command == "--version" or PLACEHOLDERS & set(arguments):
        assert command in {"--version", *COMMANDS}
        return
    parser = importlib.import_module(f"rlhf_losses.cli.{COMMANDS[command][0]}").build_parser()
    if arguments[0:1] not in (["--help"], ["--help-all"]):
        (parser.read if hasattr(parser, "read") else parser.parse)(arguments)


def texts_in_the_package() -> str:
    """Return all constant texts of the source, one per line."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in Path(rlhf_losses.__file__).parent.rglob("*.py")]
    constants = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(" ".join(one.split()) for one in constants if isinstance(one, str))


def test_the_messages_on_the_page_about_troubles_exist():
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    quoted = [quote for cell in cells for quote in re.findall(r"`([^`]+)`", cell) if " " in quote and "=" not in quote]
    assert len(quoted) > 12
    texts = texts_in_the_package()
    assert [quote for quote in quoted if quote not in texts and not quote.startswith("Row ")] == []


REFERENCE = runpy.run_path(str(DOCS / "generate_reference.py"))["files"]


def test_the_generated_reference_pages_are_up_to_date():
    for path, text in REFERENCE().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale. Run: python docs/generate_reference.py"


def test_every_public_name_is_on_a_page_of_the_reference():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").rglob("*.md"))
    # The page on errors shows all classes of this module.
    words = {*re.findall(r"\w+", pages), *vars(errors)}
    assert set(rlhf_losses.__all__) <= words
