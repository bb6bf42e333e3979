"""The files of `examples/hand_over` are valid for the configurations of the systems, where their sources are given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "hand_over_configurations.py"


@pytest.mark.thorough
def test_the_systems_accept_the_files():
    folder = os.environ.get("HAND_OVER_PACKAGES")
    if folder is None:
        pytest.skip(f"HAND_OVER_PACKAGES names no folder with the sources of the systems, see {SCRIPT.name}")
    subprocess.run([os.environ.get("HAND_OVER_PYTHON", sys.executable), SCRIPT, folder], check=True)
