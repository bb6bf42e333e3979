"""Findings: each rule fires on its fault, and not on the same run without it."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from scored_datasets import pair, scored_data

from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.hooks import loss_registry
from rlhf_losses.messages.percentages import percent
from rlhf_losses.report.dataset_sections import InspectedDataset, dataset_findings, feedback_tables, length_charts
from rlhf_losses.report.evaluation_charts import difference_histogram, histogram
from rlhf_losses.report.evaluation_findings import LARGE_CALIBRATION_ERROR, differing_accuracies, evaluation_findings
from rlhf_losses.report.evaluation_sections import ceiling_notes, metrics_table
from rlhf_losses.report.findings import Severity
from rlhf_losses.report.json_logs import parse_json_log
from rlhf_losses.report.page import Name, Share
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_charts import LEARNING, POLICY, charts
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_findings import run_findings
from rlhf_losses.report.run_log import RunLog

STEPS = np.arange(1, 101)
HEALTHY_POLICY = {
    "reward": STEPS / 100, "objective/rlhf_reward": STEPS / 200, "kl_per_completion": STEPS / 50,
    "reward_std": 1 + 0 * STEPS, "entropy": 2 - STEPS / 200,
    "completions/clipped_ratio": 0.1 + 0 * STEPS, "approx_kl": 0.01 + 0 * STEPS,
    "clip_ratio/region_mean": 0.1 + 0 * STEPS, "value/explained_variance": STEPS / 200, "loss/value": 2 - STEPS / 100,
    "frac_reward_zero_std": 0.1 + 0 * STEPS,
}  # fmt: skip
"""Metrics of a PPO run without faults."""

HEALTHY_MODEL = {
    "loss": 0.7 - STEPS / 200, "eval_loss": 0.72 - STEPS / 250, "accuracy": 0.5 + STEPS / 300,
    "eval_accuracy": 0.5 + STEPS / 350, "margin": STEPS / 50,
}  # fmt: skip
"""Metrics of a reward model without faults."""

POLICY_FAULTS = {
    "The reward falls": {"reward": -STEPS / 100},
    "The reward less the KL penalty falls": {"objective/rlhf_reward": -STEPS / 100},
    "The reward on held-out prompts falls": {"held_out_reward": -STEPS / 100},
    "Large KL": {"kl_per_completion": STEPS / 5},
    "Negative KL": {"kl_per_completion": -STEPS / 50},
    "The entropy falls": {"entropy": 2 - STEPS / 55},
    "Truncated": {"completions/clipped_ratio": STEPS / 100},
    "Large updates: the KL": {"approx_kl": 0.2 + 0 * STEPS},
    "Large updates: 50.0 %": {"clip_ratio/region_mean": 0.5 + 0 * STEPS},
    "Critic": {"value/explained_variance": -STEPS / 100},
    "The value loss grows": {"loss/value": STEPS / 2},
    "Equal rewards": {"frac_reward_zero_std": 0.8 + 0 * STEPS},
    "The standard deviation of the reward falls": {"reward_std": np.maximum(1.001 - STEPS / 50, 0.001)},
    "Not finite": {"entropy": np.where(STEPS == 50, np.nan, 2.0)},
}
MODEL_FAULTS = {
    "Overfitted": {"eval_loss": 0.6 + np.abs(STEPS - 30) / 100},
    "Lower accuracy on held-out data": {"accuracy": 0.5 + STEPS / 220},
    "Nothing is learned": {"loss": 0.693 + 0 * STEPS, "eval_loss": 0.693 + 0 * STEPS, "accuracy": 0.5 + 0 * STEPS},
}


def run_of(metrics: dict) -> Run:
    rows = [{"step": int(step), **{n: float(v[i]) for n, v in metrics.items()}} for i, step in enumerate(STEPS)]
    return Run("run", None, RunLog.of(parse_json_log(json.dumps(rows))))


def problems(metrics: dict) -> list[str]:
    return [one.text for one in run_findings(run_of(metrics)) if one.severity is Severity.PROBLEM]


def run_notes(metrics: dict) -> str:
    return " ".join(one.text for one in run_findings(run_of(metrics)) if one.severity is Severity.NOTE)


@pytest.mark.parametrize("healthy", [HEALTHY_POLICY, HEALTHY_MODEL])
def test_healthy_runs_have_no_problem(healthy):
    assert problems(healthy) == []


@pytest.mark.parametrize("fault", [*POLICY_FAULTS, *MODEL_FAULTS])
def test_a_fault_is_the_only_problem(fault):
    healthy, changed = (HEALTHY_POLICY, POLICY_FAULTS) if fault in POLICY_FAULTS else (HEALTHY_MODEL, MODEL_FAULTS)
    (text,) = problems({**healthy, **changed[fault]})
    assert text.startswith(fault)


def test_noise_is_no_change():
    noise = np.random.default_rng(0).normal(size=100)
    assert problems({**HEALTHY_POLICY, "reward": noise, "objective/rlhf_reward": noise}) == []


def test_a_rise_of_the_held_out_loss_is_not_silent():
    losses = {"loss": 0.3 - STEPS / 1000, "eval_loss": np.where(STEPS < 100, 0.08, 0.097)}
    assert "from 0.08 at step 1 to 0.097 at the end" in run_notes({**HEALTHY_MODEL, **losses})


def test_numbers_of_a_finding_say_that_they_are_means():
    accuracy = HEALTHY_MODEL["accuracy"]
    first, last = (percent(part.mean()) for part in (accuracy[:20], accuracy[-20:]))
    ends = f"from {first} to {last} (means of the first and the last 20 logs)"
    text = run_notes(HEALTHY_MODEL)
    assert ends in text
    assert f"the last held-out (during training) one is {percent(HEALTHY_MODEL['eval_accuracy'][-1])}" in text


def test_many_epochs():
    assert "each row 40 times" in run_notes({**HEALTHY_MODEL, "epoch": STEPS * 0.4})
    assert "Many epochs" not in run_notes({**HEALTHY_MODEL, "epoch": STEPS * 0.02})


def test_two_held_out_accuracies_are_explained():
    run = run_of({**HEALTHY_MODEL, "eval_accuracy": 0.95 + 0 * STEPS})
    (found,) = differing_accuracies(run, folder_of([1.0, 1.0, 1.0, -1.0] * 100))
    assert "95.0 % held-out (during training), and 75.0 %" in found.text
    assert not list(differing_accuracies(run, folder_of([1.0] * 19 * 20 + [-1.0] * 20)))


def of_pairs(differences, lengths=None, rows=None, severity=Severity.PROBLEM) -> list[str]:
    """Return the problems of an evaluation with these score differences."""
    found = evaluation_findings(folder_of(differences, lengths, rows))
    return [one.text for one in found if one.severity is severity]


def folder_of(differences, lengths=None, rows=None) -> EvaluationFolder:
    """Return an evaluation with these score differences."""
    words = [(2, 2)] * len(differences) if lengths is None else lengths
    rows = rows or [
        pair(f"prompt {n}", f"{'aye ' * better}{n}", f"{'nay ' * worse}{n}") for n, (better, worse) in enumerate(words)
    ]
    scores = [score for one in differences for score in (float(one), 0.0)]
    accuracy = {"accuracy": float((1 + np.sign(differences)).mean() / 2)}
    found = Evaluation.of(scored_data(rows, scores), DroppedRows(given=len(rows)), accuracy, False)
    return EvaluationFolder(Path("test"), found.to_dict(), found.rows)


LOGITS = np.random.default_rng(0).exponential(2.0, 400)
CALIBRATED = np.where(np.random.default_rng(1).random(400) < 1 / (1 + np.exp(-LOGITS)), LOGITS, -LOGITS)


def starts(texts: list[str]) -> list[str]:
    return [text.split(":")[0] for text in texts]


def test_evaluations():
    assert of_pairs(CALIBRATED) == []
    assert starts(of_pairs(5 * CALIBRATED)) == ["Too certain"]
    assert starts(of_pairs(-CALIBRATED)) == ["Worse than guessing", "Too certain"]
    few = folder_of(CALIBRATED[:12])  # an error that a calibrated model has by chance
    found = few.metrics["agreements"][0]["calibration"]
    assert LARGE_CALIBRATION_ERROR < found["calibration_error"] < found["error_by_chance"]
    assert not any("calibration" in one.text for one in evaluation_findings(few))
    assert "Equal scores" in starts(of_pairs(np.where(np.arange(400) % 10, CALIBRATED, 0.0)))
    copies = [pair(f"prompt {n}", "yes", "yes" if n % 10 == 0 else "no") for n in range(400)]
    found = starts(of_pairs(np.where(np.arange(400) % 10, CALIBRATED, 0.0), rows=copies))
    assert "Equal answers" in found
    assert "Equal scores" not in found
    chance = np.where(np.arange(400) % 2, 0.1, -0.1)
    assert starts(of_pairs(chance)) == ["At chance"]


@pytest.mark.parametrize(("sign", "start"), [(1, []), (0, ["At chance"]), (-1, ["Worse than a constant"])])
def test_ratings(sign, start):
    rows = [{"prompt": f"prompt {n}", "completion": "yes", "rating": float(n % 7)} for n in range(60)]
    noise = np.random.default_rng(0).normal(size=60)
    scores = [sign * row["rating"] + one for row, one in zip(rows, noise, strict=True)]
    found = Evaluation.of(scored_data(rows, scores), DroppedRows(given=60), {}, False)
    folder = EvaluationFolder(Path("test"), found.to_dict(), found.rows)
    assert starts([one.text for one in evaluation_findings(folder) if one.severity is Severity.PROBLEM]) == start


def test_a_correlation_over_prompts_is_no_verdict_on_a_model_of_differences():
    numbers = np.random.default_rng(0).integers(1, 6, 60).astype(float)
    rows = [{"prompt": f"prompt {n // 2}", "completion": f"{n}", "rating": numbers[n]} for n in range(60)]
    scores = [numbers[n] - 100.0 * numbers[n // 2 * 2 :][:2].sum() for n in range(60)]  # right within each prompt
    for differences, start in ((True, "Across prompts"), (False, "Worse than a constant")):
        found = Evaluation.of(scored_data(rows, scores), DroppedRows(given=60), {}, False, None, differences)
        folder = EvaluationFolder(Path("test"), found.to_dict(), found.rows)
        texts = [one.text for one in evaluation_findings(folder)]
        assert any(text.startswith("Better than guessing: 100.0 %") for text in texts)
        assert any(text.startswith(start) for text in texts)
        assert ("not comparable" in found.note_on_ratings) == differences


def test_without_rules_there_is_no_good_news():
    suite = EvaluationFolder(Path("suite"), {"suite": "llmbar", "scores": {"Natural": {"value": 0.5}}}, ())
    report = Report(evaluations=[suite])
    assert [one.severity for one in report.findings] == [Severity.NOTE]
    assert "<title>Report: not judged (evaluation suite)</title>" in report.render()


def test_a_model_of_the_length():
    lengths = [(9, 2) if n % 3 else (2, 9) for n in range(300)]
    found = of_pairs([better - worse for better, worse in lengths], lengths)
    assert {"Length bias", "No better than length"} <= set(starts(found))
    bias = next(text for text in found if text.startswith("Length bias"))
    assert "right in 100.0 % of 200 pairs; where the shorter one is, in 0.0 % of 100 pairs" in bias


def test_at_chance_the_length_is_no_problem():
    lengths = [(9, 2) if n % 2 else (2, 9) for n in range(300)]
    differences = [(better - worse) / 100 for better, worse in lengths]
    assert starts(of_pairs(differences, lengths)) == ["At chance"]
    (text,) = (one for one in of_pairs(differences, lengths, severity=Severity.NOTE) if "length bias" in one)
    assert text.startswith("At chance")
    assert "differ by 0.07 in the median" in text


def test_one_long_text_does_not_squeeze_a_histogram():
    ordinary = np.arange(100.0)
    chart = histogram("h", {"a": np.append(ordinary, 30_000.0), "b": ordinary}, "characters")
    assert max(trace.x[-1] for trace in chart.traces) < 300
    assert [sum(trace.y) for trace in chart.traces] == [101, 100]
    assert chart.note.startswith("1 value is outside of 0 to ")
    assert histogram("h", {"a": ordinary}, "characters").note == ""


@pytest.mark.parametrize(
    ("longer", "rows", "severity"), [(32, 62, Severity.NOTE), (500, 1000, Severity.GOOD), (700, 1000, Severity.PROBLEM)]
)
def test_the_length_of_data_is_judged_by_its_interval(longer, rows, severity):
    texts = [("longer", "short") if n < longer else ("short", "longer") for n in range(rows)]
    data = Dataset.from_list([pair(f"prompt {n}", f"{a} {n}", f"{b} {n}") for n, (a, b) in enumerate(texts)])
    found = list(dataset_findings(InspectedDataset.of(data, loss_registry(), "data")))
    (length,) = (one for one in found if "the longer answer, in characters, is preferred" in one.text)
    assert length.severity is severity
    assert percent(longer / rows) in length.text
    assert any(one.text.startswith(f"Few rows: {rows}") for one in found) == (rows < 200)


def test_contradictory_annotations():
    rows = [pair(f"prompt {n // 4}", *(("yes", "no") if n % 4 else ("no", "yes"))) for n in range(200)]
    found = of_pairs([2.0 if n % 4 else -2.0 for n in range(200)], rows=rows)
    assert "Contradictory annotations" in starts(found)
    assert "75.0 %" in next(text for text in found if text.startswith("Contradictory"))


def test_the_only_term_of_a_loss_is_no_second_line():
    loss = {"loss": HEALTHY_MODEL["loss"], "loss/bradley_terry": HEALTHY_MODEL["loss"]}
    (chart,) = charts([run_of(loss)], LEARNING)
    assert [one.name for one in chart.traces if one.listed] == ["loss"]
    (chart,) = charts([run_of({**loss, "loss/centering": 0 * STEPS})], LEARNING)
    assert {one.name for one in chart.traces} == {"loss", "loss/centering"}


def test_equal_metrics_share_a_line():
    rewards = {"reward": STEPS / 100, "objective/rlhf_reward": STEPS / 100}
    (chart,) = charts([run_of(rewards)], POLICY)
    assert [one.name.splitlines() for one in chart.traces if one.listed] == [["reward =", "objective/rlhf_reward"]]


def test_equal_lengths_and_scores_are_no_bar_of_a_difference():
    texts = [("longer", "short")] * 3 + [("short", "longer")] * 2 + [("equal", "alike")]
    data = Dataset.from_list([pair(f"prompt {n}", *both) for n, both in enumerate(texts)])
    chart = length_charts(InspectedDataset.of(data, loss_registry(), "data"))[1]
    assert {one.name: sum(one.y) for one in chart.traces} == {
        "longer answer is better": 3,
        "shorter answer is better": 2,
    }
    assert "1 pairs of equal lengths are left out" in chart.note
    (chart,) = difference_histogram(folder_of([1.0, 0.0, -1.0, -2.0]))
    assert {one.name: sum(one.y) for one in chart.traces} == {"ranked right": 1, "ranked wrong": 2}


def test_metrics_have_plain_names_and_an_unknown_ceiling():
    table = metrics_table([folder_of([1.0, 1.0, 1.0, -1.0] * 25)])
    cells = {row[0].key if isinstance(row[0], Name) else row[0]: row for row in table.rows}
    assert cells["accuracy"][1] == Share(0.75)
    assert cells["accuracy_ceiling"][:2] == [Name("accuracy ceiling", "accuracy_ceiling"), "unknown"]
    assert table.numeric == [False, True, False]
    contradictory = [pair("1?", "a", "b"), pair("1?", "b", "a"), pair("2?", "c", "d")]
    found = Evaluation.of(scored_data(contradictory, [1.0, 0.0] * 3), DroppedRows(given=3), {}, False)
    (text,) = ceiling_notes([EvaluationFolder(Path("a"), found.to_dict(), found.rows)] * 2)
    assert "1 of 2 different comparisons were annotated several times" in text


@pytest.mark.parametrize(("annotated", "limit"), [(1, "unknown (nothing was annotated twice)"), (2, "100.0 %")])
def test_a_limit_is_unknown_if_nothing_was_annotated_twice(annotated, limit):
    rows = [{**pair(f"prompt {n}", "yes", "no"), "annotator": one} for n in range(20) for one in range(annotated)]
    data = InspectedDataset.of(Dataset.from_list(rows), loss_registry(), "data")
    (table,) = feedback_tables([data])
    values = dict(table.rows)
    assert values["best accuracy in evaluate"].startswith(limit)
