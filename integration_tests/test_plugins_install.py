"""Plugins are installed from wheels into a new environment and found by their entry points."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# One worker builds the wheels and the environment.
pytestmark = pytest.mark.xdist_group("plugins")

PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
FOCAL = ROOT / "plugins/rlhf-losses-focal"
# Nothing is imported from the checkout.
ENVIRONMENT_VARIABLES = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
    "HF_HUB_OFFLINE": "1"
}

PRINT_FOCAL = """
import importlib.metadata, json, rlhf_losses
from rlhf_losses import loss_registry, parse_loss
entry = loss_registry().entries["focal"]
print(json.dumps({
    "imported": rlhf_losses.__file__,
    "plugin": entry.plugin,
    "version": entry.version,
    "text": str(parse_loss("focal(focus=1.0) + 0.01 * centering")),
}))
"""

PRINT_ALL = f"""{PRINT_FOCAL}
from rlhf_losses.hooks.installed_plugins import BUILT_IN
from rlhf_losses.hooks.manager import build_manager
manager = build_manager()
used = {{
    caller.name: sorted(one.plugin_name for one in caller.get_hookimpls() if one.plugin_name != BUILT_IN)
    for caller in vars(manager.hook).values()
}}
print(json.dumps(used, sort_keys=True))
"""


class Environment:
    """A new virtual environment that can also import the libraries of the running one."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.site = next(folder.glob("lib/python*/site-packages"))
        # A .pth file adds folders without the .pth files in them, so an editable checkout is not imported.
        libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (self.site / "libraries.pth").write_text("\n".join(libraries))

    def run(self, *command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess:
        """Run a program of this environment."""
        program, *words = map(str, command)
        return subprocess.run(
            [self.folder / "bin" / program, *words],
            cwd=cwd or self.folder,
            env=ENVIRONMENT_VARIABLES,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, *wheels: Path) -> None:
        """Install wheels without dependencies, even if the running environment has them."""
        options = ("--no-deps", "--no-index", "--ignore-installed")
        pip("--python", self.folder / "bin/python", "install", *options, *wheels)


def pip(*words: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Build a wheel of the project and of each plugin."""
    built = {}
    for source in (ROOT, *PLUGINS):
        folder = tmp_path_factory.mktemp("wheels")
        pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source)
        (built[source],) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheels: dict[Path, Path]) -> Environment:
    """Return an environment with the project and every plugin, which no test changes."""
    environment = Environment(tmp_path_factory.mktemp("plugins") / "environment")
    environment.install(*wheels.values())
    return environment


def test_installed_plugins_are_found_by_their_entry_points(environment):
    done = environment.run("python", "-c", PRINT_ALL)
    assert done.returncode == 0, done.stderr
    found, hooks = map(json.loads, done.stdout.splitlines())
    assert Path(found["imported"]).is_relative_to(environment.site)
    assert (found["plugin"], found["version"]) == ("focal", "0.1.0")
    assert found["text"] == "focal(focus=1.0) + 0.01 * centering"
    assert hooks == {
        "provide_dataset_converters": ["webgpt"],
        "provide_losses": ["focal", "quantile"],
        "provide_score_estimates": ["laplace"],
        "provide_score_transforms": [],
    }


@pytest.mark.thorough
def test_the_command_line_lists_installed_plugins(environment):
    done = environment.run("rlhf-losses", "list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {"focal", "quantile", "bradley_terry"} <= set(rows)
    assert rows["quantile"]["options"]["level"]["domain"] == "a number in (0, 1)"


def test_without_its_entry_point_a_plugin_is_not_found(tmp_path, wheels):
    environment = Environment(tmp_path / "environment")
    environment.install(wheels[ROOT], wheels[FOCAL])
    (points,) = environment.site.glob("rlhf_losses_focal-*.dist-info/entry_points.txt")
    points.unlink()
    done = environment.run("python", "-c", PRINT_FOCAL)
    assert done.returncode != 0
    assert "KeyError: 'focal'" in done.stderr


@pytest.mark.thorough
def test_the_tests_of_the_installed_plugins_pass(environment, tmp_path):
    for file in sorted(ROOT.glob("plugins/*/test_*.py")):
        shutil.copy(file, tmp_path)
    options = ("-W", "error", "-p", "no:cacheprovider")
    done = environment.run("python", "-m", "pytest", "-q", *options, ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_contains_only_the_package(wheels, tmp_path):
    shutil.unpack_archive(wheels[ROOT], tmp_path, format="zip")
    (about,) = tmp_path.glob("*.dist-info")
    assert {path.name for path in tmp_path.iterdir()} == {"rlhf_losses", about.name}
    tracked = {file.relative_to(ROOT) for file in (ROOT / "rlhf_losses").rglob("*") if file.suffix != ".pyc"}
    assert {file.relative_to(tmp_path) for file in (tmp_path / "rlhf_losses").rglob("*")} == {
        file for file in tracked if file.name != "__pycache__"
    }
    assert (tmp_path / "rlhf_losses/cli/plugin_templates/loss/module.py.jinja").is_file()
    assert (tmp_path / "rlhf_losses/py.typed").is_file()
    assert (about / "licenses/LICENSE").is_file()


def test_the_source_archive_has_every_file_that_git_tracks(tmp_path):
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("there is no git repository")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    tracked = {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}
    assert tracked - names == set()


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_the_wheel_of_a_plugin_contains_no_tests(plugin, wheels, tmp_path):
    shutil.unpack_archive(wheels[plugin], tmp_path, format="zip")
    assert [path.name for path in tmp_path.glob("*.py")] == [plugin.name.replace("-", "_") + ".py"]


@pytest.mark.thorough
def test_new_packages_are_installed_editable_and_their_tests_pass(tmp_path, wheels):
    environment = Environment(tmp_path / "environment")
    environment.install(wheels[ROOT])
    for kind, name in (("loss", "wide_margin"), ("converter", "our_data"), ("transform", "squash")):
        done = environment.run("rlhf-losses", "new", kind, name)
        assert done.returncode == 0, done.stderr
        folder = environment.folder / f"rlhf-losses-{name.replace('_', '-')}"
        python = ("--python", environment.folder / "bin/python")
        pip(*python, "install", "--no-deps", "--no-index", "--no-build-isolation", "-e", folder)
        done = environment.run("python", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    done = environment.run("rlhf-losses", "describe", "wide_margin(margin=2.0)")
    assert "wide_margin 0.1.0" in done.stdout, done.stderr
