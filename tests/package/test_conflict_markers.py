"""Tracked files contain no conflict markers of a merge."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKERS = tuple(sign * 7 for sign in "<|=>")


def tracked_files() -> list[Path]:
    """Return the files that git tracks, or none without git."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [ROOT / name for name in done.stdout.split("\0") if name]


def conflict_markers(text: str) -> list[str]:
    """Return the lines that a merge writes around the two sides of a conflict."""
    return [line for line in text.splitlines() if line.split(" ", 1)[0] in MARKERS]


def test_no_file_has_conflict_markers():
    files = tracked_files()
    if not files:
        pytest.skip("there is no git repository")
    texts = {file: file.read_text(encoding="utf-8", errors="ignore") for file in files if file.is_file()}
    found = {str(file.relative_to(ROOT)): conflict_markers(text) for file, text in texts.items()}
    assert not {file: lines for file, lines in found.items() if lines}, "Resolve the conflicts in these files."


@pytest.mark.parametrize("sign", "<|=>")
def test_conflict_markers_are_found(sign):
    assert conflict_markers(f"before\n{sign * 7}\nafter\n{sign * 7} main\n") == [sign * 7, f"{sign * 7} main"]
    assert not conflict_markers(f"{sign * 3}\n{sign * 8}\n  {sign * 7}\n")
