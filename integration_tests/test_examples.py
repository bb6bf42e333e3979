"""Every numbered example runs offline; its assertions hold and it prints its result."""

import re
import runpy
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import pytest
from datasets import Dataset
from run_script import printed_by
from thorough_cases import with_thorough
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_losses import Scorer, load_rows

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
USUAL = [EXAMPLES[0], EXAMPLES[4]]
"""The others train for longer."""

PRINTED = {
    "01_pairs": "score of the positive story",
    "02_segments": "the good sentence of a held-out story has the higher score in",
    "03_lists": "mean over prompts of the mean over pairs: held-out accuracy",
    "04_combined_loss": "loss/segment_hinge",
    "05_write_a_loss": "trained with squared_hinge(margin=2.0) + 0.01 * centering",
    "06_grpo_with_the_scorer": "mean score in the first step",
    "07_full_loop": "mean gold reward of the first completions",
}


@pytest.mark.parametrize(
    "example", with_thorough(USUAL, [one for one in EXAMPLES if one not in USUAL]), ids=lambda path: path.stem
)
def test_the_example_runs(example, tmp_path):
    output = printed_by(example, cwd=tmp_path)
    assert PRINTED[example.stem] in output
    assert "assert " in example.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compared(language_model, trained, pairs, tmp_path_factory) -> Path:
    """Return a folder with two policies, a reward model and prompts, of which each occurs twice."""
    folder = tmp_path_factory.mktemp("compared")
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    policy.lm_head.weight.data *= 30  # another distribution
    policy.save_pretrained(folder / "after")
    AutoTokenizer.from_pretrained(language_model).save_pretrained(folder / "after")
    trained.save_merged(folder / "reward")
    Dataset.from_dict({"question": 2 * pairs["prompt"][:10]}).to_csv(folder / "prompts.csv")
    return folder


def test_two_policies_are_compared_by_score_and_by_a_blind_judge(compared, language_model):
    script = EXAMPLES[0].parent / "compare_policies.py"
    models = ["--before", language_model, "--after", "after", "--reward_model", "reward"]
    data = ["--dataset", "prompts.csv", "--columns", "prompt=question", "--max_completion_length", "6"]
    printed = printed_by(script, *models, *data, cwd=compared)

    rows, key = list(load_rows(compared / "judge.csv")), list(load_rows(compared / "judge_key.csv"))
    assert [row["number"] for row in rows] == [row["number"] for row in key] == list(range(1, 11))
    assert {side["first"] for side in key} == {"before", "after"}
    sides = [{side["first"]: row["first"], side["second"]: row["second"]} for row, side in zip(rows, key, strict=True)]
    scorer = Scorer.from_pretrained(compared / "reward")
    prompts = [row["prompt"] for row in rows]
    scores = {name: scorer(prompts, [side[name] or "" for side in sides]) for name in ("before", "after")}
    differences = [new - old for new, old in zip(scores["after"], scores["before"], strict=True)]
    half = 2.262 * stdev(differences) / sqrt(10)  # quantile of Student's t with 9 degrees of freedom
    found = [float(number) for number in re.findall(r"[-+]\d+\.\d+", printed.split("difference:")[1])[:3]]
    assert found == pytest.approx([mean(differences), mean(differences) - half, mean(differences) + half], abs=2e-3)

    judged = ["first" if side["first"] == "after" else "second" for side in key[:6]] + ["equal", " Equal ", None, None]
    judged[5] = "first" if judged[5] == "second" else "second"
    Dataset.from_list([{**row, "better": word} for row, word in zip(rows, judged, strict=True)]).to_csv(
        compared / "judge.csv", index=False
    )
    counted = printed_by(script, "--judged", "judge.csv", cwd=compared)
    assert "after is better 5 times, before 1 times, equal 2 times" in counted
    assert "0.83" in counted
    with pytest.raises(SystemExit):  # judgments are not overwritten
        printed_by(script, *models, *data, cwd=compared)


def test_a_judge_is_not_asked_about_equal_texts(tmp_path):
    write_table = runpy.run_path(str(EXAMPLES[0].parent / "compare_policies.py"))["write_table"]
    table = tmp_path / "judge.csv"
    assert write_table(table, ["a", "b", "c"], ["x", "y", "z"], ["x", "w", "v"], 0) == 2
    assert {row["prompt"] for row in load_rows(table)} == {"b", "c"}
