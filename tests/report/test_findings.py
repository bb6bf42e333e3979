"""Findings: each rule fires on its fault, and not on the same run without it."""

import json

import numpy as np
import pytest
from scored_datasets import pair, scored_data

from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.report.evaluation_findings import evaluation_findings
from rlhf_losses.report.findings import Severity
from rlhf_losses.report.json_logs import parse_json_log
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
    "Large updates: 50%": {"clip_ratio/region_mean": 0.5 + 0 * STEPS},
    "Critic": {"value/explained_variance": -STEPS / 100},
    "The value loss grows": {"loss/value": STEPS / 2},
    "Equal rewards": {"frac_reward_zero_std": 0.8 + 0 * STEPS},
    "The standard deviation of the reward falls": {"reward_std": 1.001 - STEPS / 100},
    "Not finite": {"entropy": np.where(STEPS == 50, np.nan, 2.0)},
}
MODEL_FAULTS = {
    "Overfitted": {"eval_loss": 0.6 + np.abs(STEPS - 30) / 100},
    "Gap": {"accuracy": 0.5 + STEPS / 220},
    "Nothing is learned": {"loss": 0.693 + 0 * STEPS, "eval_loss": 0.693 + 0 * STEPS, "accuracy": 0.5 + 0 * STEPS},
}


def problems(metrics: dict) -> list[str]:
    rows = [{"step": int(step), **{n: float(v[i]) for n, v in metrics.items()}} for i, step in enumerate(STEPS)]
    log = RunLog.of(parse_json_log(json.dumps(rows)))
    return [one.text for one in run_findings(Run("run", None, log)) if one.severity is Severity.PROBLEM]


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


def of_pairs(differences, lengths=None, rows=None) -> list[str]:
    """Return the problems of an evaluation with these score differences."""
    words = [(2, 2)] * len(differences) if lengths is None else lengths
    rows = rows or [
        pair(f"prompt {n}", f"{'aye ' * better}{n}", f"{'nay ' * worse}{n}") for n, (better, worse) in enumerate(words)
    ]
    scores = [score for one in differences for score in (float(one), 0.0)]
    found = Evaluation.of(scored_data(rows, scores), DroppedRows(given=len(rows)), {}, False)
    folder = EvaluationFolder(None, found.to_dict(), found.rows)
    return [one.text for one in evaluation_findings(folder) if one.severity is Severity.PROBLEM]


LOGITS = np.random.default_rng(0).exponential(2.0, 400)
CALIBRATED = np.where(np.random.default_rng(1).random(400) < 1 / (1 + np.exp(-LOGITS)), LOGITS, -LOGITS)


def starts(texts: list[str]) -> list[str]:
    return [text.split(":")[0] for text in texts]


def test_evaluations():
    assert of_pairs(CALIBRATED) == []
    assert starts(of_pairs(5 * CALIBRATED)) == ["Too certain"]
    assert starts(of_pairs(-CALIBRATED)) == ["Worse than guessing", "Too certain"]
    assert "Equal scores" in starts(of_pairs(np.where(np.arange(400) % 10, CALIBRATED, 0.0)))
    chance = np.where(np.arange(400) % 2, 0.1, -0.1)
    assert starts(of_pairs(chance)) == ["Not clearly better than a constant"]


def test_a_model_of_the_length():
    lengths = [(9, 2) if n % 3 else (2, 9) for n in range(300)]
    found = of_pairs([better - worse for better, worse in lengths], lengths)
    assert {"Length bias", "No better than length"} <= set(starts(found))


def test_contradictory_annotations():
    rows = [pair(f"prompt {n // 4}", *(("yes", "no") if n % 4 else ("no", "yes"))) for n in range(200)]
    found = of_pairs([2.0 if n % 4 else -2.0 for n in range(200)], rows=rows)
    assert "Contradictory annotations" in starts(found)
    assert "75.0 %" in next(text for text in found if text.startswith("Contradictory"))
