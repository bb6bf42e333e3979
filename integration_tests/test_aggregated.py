"""Comparisons of whole answers train a model of steps, and the scorer aggregates steps as the loss does."""

import json

import pytest
from datasets import Dataset
from thorough_cases import with_thorough

from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer

PAIRS = [
    {
        "prompt": f"What is {i} + {i}? ",
        "chosen_steps": [f"We add {i}. ", f"We get {2 * i}."],
        "rejected_steps": ["No idea. ", "None. ", "Sorry."][: 1 + i % 3],
    }
    for i in range(8)
]
LISTS = [
    {
        "prompt": f"What is {i} + {i}? ",
        "completion_steps": [[f"It is {2 * i}."], ["We guess. ", "No idea."], ["Sorry."]],
        "ranks": [1, 2, 2],
    }
    for i in range(8)
]


@pytest.mark.parametrize(
    ("loss", "rows"),
    with_thorough(
        [("aggregated(by='minimum')", PAIRS), ("aggregated(of=plackett_luce, by='sum')", LISTS)],
        [
            ("aggregated", PAIRS),
            ("aggregated(by='soft_minimum', temperature=0.5)", LISTS),
            ("aggregated(of=rao_kupper)", LISTS),
        ],
    ),
)
def test_a_scorer_aggregates_the_scores_of_steps_as_the_loss_does(language_model, settings, tmp_path, loss, rows):
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), Dataset.from_list(rows), loss=loss)
    trainer.train()
    assert {"accuracy", "margin"} <= {key for entry in trainer.state.log_history for key in entry}
    folder = trainer.save_merged(tmp_path / "merged")
    saved = json.loads((folder / "reward_model.json").read_text())
    assert saved["segmentation"] == "sentences"
    assert saved["aggregate"] == (loss.partition("by='")[2].partition("'")[0] or "mean")

    scorer = Scorer.from_pretrained(folder)
    steps = ["No idea. ", "None. ", "Sorry."]
    parts = scorer.score_steps("What is 1 + 1? ", steps)
    (whole,) = scorer(["What is 1 + 1? "], ["".join(steps)])
    lowest, mean = min(parts), sum(parts) / len(parts)
    expected = {"mean": mean, "sum": sum(parts), "minimum": lowest}
    if saved["aggregate"] in expected:
        assert whole == pytest.approx(expected[saved["aggregate"]], abs=1e-5)
    else:
        assert lowest - 1e-6 <= whole <= mean + 1e-6
    measured = evaluate(scorer, Dataset.from_list(rows), trainer.loss)
    assert {"accuracy", "loss"} <= measured.keys()
