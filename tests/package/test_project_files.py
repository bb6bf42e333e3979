"""The files around the package agree with each other: versions, workflows, hooks, news and links."""

import configparser
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
REPOSITORY = PROJECT["project"]["urls"]["Repository"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "docs/stability.md", ROOT / "news/README.md"]
TOX = configparser.ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini", encoding="utf-8")
ENVIRONMENTS = {*(name.partition(":")[2] for name in TOX.sections()), *TOX["tox"]["env_list"].split(", ")}


def jobs():
    """Return the jobs of all workflows, by name."""
    return {name: job for file in WORKFLOWS for name, job in yaml.safe_load(file.read_text("utf-8"))["jobs"].items()}


def commands(job):
    """Return the commands of a job, once for each combination of its matrix that changes them."""
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    for key, values in job.get("strategy", {}).get("matrix", {}).items():
        lines = [line.replace(f"${{{{ matrix.{key} }}}}", value) for line in lines for value in values]
    return lines


def test_the_citation_has_the_version_the_license_and_the_address_of_the_package():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(CITATION)
    assert CITATION["version"] == PROJECT["project"]["version"]
    assert CITATION["license"] == PROJECT["project"]["license"]
    assert CITATION["repository-code"] == REPOSITORY


@pytest.mark.parametrize("file", [*PAGES, *sorted(ROOT.glob(".github/**/*.*"))], ids=lambda file: file.name)
def test_addresses_of_the_project_are_those_of_its_repository(file):
    found = re.findall(r"https://github\.com/[\w-]*rlhf[\w-]*/[\w-]+", file.read_text(encoding="utf-8"))
    assert set(found) <= {REPOSITORY}


def test_the_workflow_runs_the_default_environments_on_every_python_that_the_package_names():
    prefix = "Programming Language :: Python :: "
    named = [one.removeprefix(prefix) for one in PROJECT["project"]["classifiers"] if re.match(rf"{prefix}3\.\d+", one)]
    matrix = jobs()["tests"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert named[0] == PROJECT["project"]["requires-python"].removeprefix(">=")
    assert matrix["environment"] == TOX["tox"]["env_list"].split(", ")


@pytest.mark.parametrize("job", jobs())
def test_workflows_run_environments_that_exist(job):
    found = re.findall(r"tox -e (\S+)", "\n".join(commands(jobs()[job])))
    assert found
    assert set(found) <= ENVIRONMENTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_environments_that_exist(page):
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"tox -e ([\w,]+)", text)) <= ENVIRONMENTS


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_links_of_the_pages_exist(page):
    links = re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_hooks_run_tools_of_the_dependency_groups():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    groups = chain.from_iterable(PROJECT["dependency-groups"][name] for name in ("lint", "types"))
    tools = {re.match(r"[\w-]+", requirement)[0] for requirement in groups}
    assert {hook["entry"].split()[0] for hook in hooks} <= tools
    assert {hook["language"] for hook in hooks} == {"system"}


def test_news_have_a_number_or_words_and_a_kind():
    kinds = [one["directory"] for one in PROJECT["tool"]["towncrier"]["type"]]
    pattern = re.compile(rf"(\d+|\+[a-z0-9-]+)\.({'|'.join(kinds)})\.md")
    files = [file for file in (ROOT / "news").iterdir() if file.name != "README.md"]
    assert not [file.name for file in files if not pattern.fullmatch(file.name)]
    assert all(file.read_text(encoding="utf-8").rstrip().endswith(".") for file in files)
    page = (ROOT / "news/README.md").read_text(encoding="utf-8")
    assert set(kinds) == set(re.findall(r"`([a-z]+)`", page.partition("kinds are")[2].partition(".")[0]))


def test_forms_of_issues_have_questions():
    for file in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")):
        form = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form)
        assert all(part["attributes"]["label"] and part["id"] for part in form["body"])


def test_experimental_folders_are_on_the_page_about_stability():
    page = (ROOT / "docs/stability.md").read_text(encoding="utf-8")
    for folder in (ROOT / "rlhf_losses").rglob("experimental"):
        assert f"`{'.'.join(folder.relative_to(ROOT).parts)}`" in page
