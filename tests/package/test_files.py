"""What no file of the project holds."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKERS = tuple(sign * 7 for sign in "<|=>")


def tracked_files() -> list[Path]:
    """Return the files that git knows of; there are none where the tests run without it."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [ROOT / name for name in done.stdout.split("\0") if name]


def left_over(text: str) -> list[str]:
    """Return the lines that a merge writes around the two sides of a conflict."""
    return [line for line in text.splitlines() if line.split(" ", 1)[0] in MARKERS]


def test_no_file_holds_what_a_merge_left_over():
    files = tracked_files()
    if not files:
        pytest.skip("there is no git here")
    texts = {file: file.read_text(encoding="utf-8", errors="ignore") for file in files if file.is_file()}
    found = {str(file.relative_to(ROOT)): left_over(text) for file, text in texts.items() if left_over(text)}
    assert not found, "Finish the merge in these files."


@pytest.mark.parametrize("sign", "<|=>")
def test_what_a_merge_left_over_is_seen(sign):
    assert left_over(f"before\n{sign * 7}\nafter\n{sign * 7} main\n") == [sign * 7, f"{sign * 7} main"]
    assert not left_over(f"{sign * 3}\n{sign * 8}\n  {sign * 7}\n")
