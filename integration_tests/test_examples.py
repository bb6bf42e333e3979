"""Every numbered example runs, offline, and prints what it promises."""

from pathlib import Path

import pytest
from scripts import printed_by

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
PRINTS = {
    "01_pairs": "'kind'",
    "02_segments": "They danced and sang.",
    "03_lists": "every prompt counts the same: held-out accuracy",
    "04_combined_loss": "loss/segment_hinge",
    "05_write_a_loss": "trained with squared_hinge(margin=2.0) + 0.01 * centering",
    "06_grpo_with_the_scorer": "mean score of the first step",
    "07_full_loop": "gold of the first completions",
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(example, tmp_path):
    assert PRINTS[example.stem] in printed_by(example, cwd=tmp_path)
