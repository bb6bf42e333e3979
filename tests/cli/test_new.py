"""`rlhf-losses new` writes packages whose own tests pass, and refuses names that would not work."""

import ast
import tomllib
from pathlib import Path

import pytest

import rlhf_losses
from rlhf_losses.cli.new import REGISTRIES
from rlhf_losses.cli.plugin_package import IMPORTED, LONGEST, PluginPackage
from rlhf_losses.hooks.registry import _load_plugins

pytest_plugins = ["pytester"]

NAMES = {"loss": "wide_margin", "converter": "our_data", "transform": "l2_squash"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def install(folder: Path) -> str:
    """Write the metadata that pip writes for a package in its folder, and return the folder."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    ((name, module),) = project["entry-points"]["rlhf_losses"].items()
    (about / "entry_points.txt").write_text(f"[rlhf_losses]\n{name} = {module}\n", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_the_tests_of_a_new_package_pass(done, pytester, here, monkeypatch, kind):
    package = PluginPackage(kind, NAMES[kind])
    assert f"pip install -e {package.distribution}\n" in done("new", kind, package.name).out
    if kind == "loss":
        pytester.runpytest_inprocess("-p", "no:cacheprovider", package.distribution).stdout.fnmatch_lines(
            ["*Install this package first: pip install -e .*"]
        )
    monkeypatch.syspath_prepend(install(here / package.distribution))
    _load_plugins.cache_clear()
    # One case of each contract: the others run in the environment of integration_tests/test_plugins_install.py.
    options = ("-W", "error", "-p", "no:cacheprovider", "--doctest-modules", "-k", "not contract or 1.0 or converter")
    tested = pytester.runpytest_inprocess(*options, package.distribution)
    _load_plugins.cache_clear()
    outcomes = tested.parseoutcomes()
    assert set(outcomes) <= {"passed", "deselected"}
    assert outcomes["passed"] >= 3


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_package_has_a_module_a_test_and_a_page(done, here, kind):
    name = NAMES[kind]
    done("new", kind, name, "--output_dir", here / "plugins/new")
    files = {file.name: file.read_text(encoding="utf-8") for file in (here / "plugins/new").iterdir()}
    assert set(files) == {"pyproject.toml", "README.md", f"rlhf_losses_{name}.py", f"test_{name}.py"}
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["dependencies"][0] == "rlhf-losses>=" + ".".join(rlhf_losses.__version__.split(".")[:2])
    assert project["entry-points"]["rlhf_losses"] == {name: f"rlhf_losses_{name}"}
    assert f"# {project['name']}\n" in files["README.md"]
    assert ("$$" in files["README.md"]) is (kind != "converter")
    assert "{{" not in "".join(files.values())


@pytest.mark.parametrize("kind", REGISTRIES)
def test_no_line_is_longer_than_120_characters_with_a_name_of_usual_length(kind):
    lines = [line for text in PluginPackage(kind, "length_aware_hinge").files().values() for line in text.splitlines()]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("kind", REGISTRIES)
def test_classes_that_the_templates_import_are_reserved(kind):
    package = PluginPackage(kind, NAMES[kind])
    for name, text in package.files().items():
        if name.endswith(".py"):
            imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
            classes = {alias.name for node in imports for alias in node.names if alias.name[0].isupper()}
            assert classes <= {*rlhf_losses.__all__, *IMPORTED, package.class_name}


@pytest.mark.parametrize(
    ("kind", "name", "problem", "remedy"),
    [
        ("loss", "squared-hinge", "The name is 'squared-hinge', but", "Write for example squared_hinge."),
        ("loss", "SquaredHinge", "The name is 'SquaredHinge', but", "Write for example squared_hinge."),
        ("loss", "squared__hinge", "joined by single underscores", "Write for example squared_hinge."),
        ("loss", "_hinge", "joined by single underscores", "Write for example hinge."),
        ("loss", "3d", "words of the letters a to z", "Write for example d."),
        ("loss", "größe", "words of the letters a to z", "Write for example"),
        ("loss", "../hinge", "words of the letters a to z", "Write for example hinge."),
        ("loss", "", "The name is ''", "Write for example squared_hinge."),
        ("loss", "n" * (LONGEST + 1), f"at most {LONGEST} characters", "Write for example squared_hinge."),
        ("loss", "lambda", "is a keyword of Python", "Choose my_lambda"),
        ("transform", "if", "is a keyword of Python", "Choose my_if"),
        ("loss", "a_b", "would be AB, whose name in strings is 'ab'", "Write that name"),
        ("converter", "set_2", "would be Set2, whose name in strings is 'set2'", "Write that name"),
        ("loss", "test_margin", "would be TestMargin, which pytest takes for", "Choose my_test_margin"),
        ("loss", "pairs", "would be Pairs, which would hide", "Choose my_pairs"),
        ("converter", "tensor", "would be Tensor, which would hide", "Choose my_tensor"),
        ("transform", "value_error", "would be ValueError, which would hide", "Choose my_value_error"),
        ("loss", "bradley_terry", "There is a loss 'bradley_terry' already (plugin built-in", "Choose another name"),
        ("converter", "hh_rlhf", "There is a converter 'hh_rlhf' already", "for example my_hh_rlhf"),
        ("transform", "clip", "There is a transform 'clip' already", "for example my_clip"),
        ("estimate", "spread", "'estimate' is not a kind of plugin", "Choose one of: loss, converter, transform."),
        ("los", "spread", "Did you mean 'loss'?", "Choose one of"),
    ],
)
def test_names_that_would_not_work_are_refused(cli, here, kind, name, problem, remedy):
    result = cli("new", kind, name)
    assert result.code == 2
    assert problem in result.err
    assert remedy in result.err
    assert not list(here.iterdir())


def test_the_name_of_a_built_in_converter_is_free_for_a_transform(done, here):
    done("new", "transform", "hh_rlhf")
    assert (here / "rlhf-losses-hh-rlhf").is_dir()


def test_the_name_of_a_plugin_file_is_taken(cli, done, here):
    done("new", "loss", "wide_margin")
    file = here / "rlhf-losses-wide-margin/rlhf_losses_wide_margin.py"
    result = cli("--plugin", file, "new", "loss", "wide_margin", "--output_dir", here / "other")
    assert result.code == 2
    assert "There is a loss 'wide_margin' already (plugin rlhf_losses_wide_margin file)" in result.err


def test_the_name_of_an_installed_plugin_of_another_kind_is_taken(cli, done, here, monkeypatch):
    done("new", "transform", "wide_margin")
    monkeypatch.syspath_prepend(install(here / "rlhf-losses-wide-margin"))
    result = cli("new", "loss", "wide_margin")
    assert result.code == 2
    assert "A plugin 'wide_margin' (rlhf-losses-wide-margin 0.1.0) is installed" in result.err
    assert "pip uninstall rlhf-losses-wide-margin" in result.err


@pytest.mark.parametrize("existing", ["file", "link", "folder"])
def test_nothing_that_exists_is_overwritten(cli, here, existing):
    if existing == "file":
        (here / "new").write_text("kept")
    elif existing == "link":
        (here / "new").symlink_to(here / "nowhere")
    else:
        (here / "new").mkdir()
        (here / "new/README.md").write_text("kept")
    result = cli("new", "loss", "wide_margin", "--output_dir", "new")
    assert result.code == 2
    assert "'new' exists, and nothing is overwritten. Choose another folder" in result.err
    assert not (here / "nowhere").exists()
    assert [file.read_text() for file in here.rglob("*") if file.is_file()] in ([], ["kept"])


def test_an_empty_folder_is_used(done, here):
    (here / "new").mkdir()
    done("new", "loss", "wide_margin", "--output_dir", "new")
    assert (here / "new/pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("", "names no folder"),
        ("  ", "names no folder"),
        ("file/new", "Not a directory"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused(cli, here, folder, problem):
    (here / "file").write_text("kept")
    result = cli("new", "loss", "wide_margin", "--output_dir", folder)
    assert result.code == 2
    assert problem in result.err
    assert [file.name for file in here.iterdir()] == ["file"]
