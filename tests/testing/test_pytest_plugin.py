"""The pytest plugin runs a test for each loss of the installed plugins, and imports torch only for such tests."""

import subprocess
import sys
from pathlib import Path

import pytest
from thorough_cases import with_thorough

from rlhf_losses import pytest_plugin

TEST = """
from rlhf_losses.testing import check_loss

def test_the_losses_of_this_plugin_keep_the_contract(provided_loss):
    check_loss(provided_loss)
"""
FOCAL = Path(__file__).parents[2] / "plugins/rlhf-losses-focal"


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a test in an environment with the plugin rlhf-losses-focal."""
    about = tmp_path / "site/rlhf_losses_focal-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rlhf-losses-focal\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text("[rlhf_losses]\nfocal = rlhf_losses_focal\n")
    (tmp_path / "test_it.py").write_text(TEST)
    code = f"import sys, pytest; sys.path[:0] = [{str(tmp_path / 'site')!r}, {str(FOCAL)!r}]; sys.exit(pytest.main())"

    def call(setting: str) -> subprocess.CompletedProcess:
        loaded = "" if _is_installed() else "-p rlhf_losses.pytest_plugin"
        (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = -v -p no:cacheprovider {loaded}\n{setting}\n")
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "rlhf_losses.pytest_plugin" for point in entry_points(group="pytest11"))


@pytest.mark.parametrize("setting", with_thorough(["rlhf_losses_plugin = focal"], [""]))
def test_each_loss_of_an_installed_plugin_is_tested(run, setting):
    done = run(setting)
    assert done.returncode == 0, done.stdout
    assert "test_the_losses_of_this_plugin_keep_the_contract[focal] PASSED" in done.stdout


def test_an_unknown_plugin_is_refused_with_the_nearest_name(run):
    done = run("rlhf_losses_plugin = vocal")
    assert done.returncode != 0
    assert "Did you mean 'focal'? Choose an installed one: " in done.stdout


def test_pytest_loads_the_plugin_without_torch():
    code = "import sys, rlhf_losses.pytest_plugin; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert pytest_plugin.__doc__
