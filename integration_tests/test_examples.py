"""Every numbered example runs offline; its assertions hold and it prints its result."""

from pathlib import Path

import pytest
from run_script import printed_by
from thorough_cases import with_thorough

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
PRINTED = {
    "01_pairs": "score of the positive story",
    "02_segments": "the good sentence of a held-out story has the higher score in",
    "03_lists": "mean over prompts of the mean over pairs: held-out accuracy",
    "04_combined_loss": "loss/segment_hinge",
    "05_write_a_loss": "trained with squared_hinge(margin=2.0) + 0.01 * centering",
    "06_grpo_with_the_scorer": "mean score in the first step",
    "07_full_loop": "mean gold reward of the first completions",
}


@pytest.mark.parametrize("example", with_thorough(EXAMPLES[:-1], EXAMPLES[-1:]), ids=lambda path: path.stem)
def test_the_example_runs(example, tmp_path):
    output = printed_by(example, cwd=tmp_path)
    assert PRINTED[example.stem] in output
    assert "assert " in example.read_text(encoding="utf-8")
