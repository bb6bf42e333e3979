"""The converter handles the rows that the dataset card documents and refuses scores that contradict each other."""

import pytest
from datasets import Dataset
from rlhf_losses_webgpt import WebgptComparisons

from rlhf_losses import InvalidFeedbackError, convert_dataset

ROW = {
    "question": {"dataset": "triviaqa", "id": "q1", "full_text": "Why is the sky blue?"},
    "quotes_0": {"title": ["Sky"], "extract": ["Air scatters blue light."]},
    "answer_0": "Air scatters blue light [1].",
    "tokens_0": {"prefix": [1], "completion": [2]},
    "score_0": 0.75,
    "quotes_1": {"title": [], "extract": []},
    "answer_1": "It reflects the sea.",
    "tokens_1": {"prefix": [1], "completion": [3]},
    "score_1": -0.75,
}


@pytest.mark.parametrize(("score", "chosen"), [(0.75, ROW["answer_0"]), (-0.25, ROW["answer_1"])])
def test_the_answer_with_the_positive_score_is_chosen(score, chosen):
    (pair,) = WebgptComparisons().convert(ROW | {"score_0": score, "score_1": -score})
    assert pair["prompt"][0]["content"] == "Why is the sky blue?"
    assert pair["chosen"][0]["content"] == chosen
    assert pair["rejected"][0]["content"] != chosen
    assert pair["preference"] == 1.0


def test_two_scores_of_0_are_a_tie():
    (pair,) = WebgptComparisons().convert(ROW | {"score_0": 0.0, "score_1": 0.0})
    assert pair["preference"] == 0.5


@pytest.mark.parametrize("score", [0.5, None])
def test_scores_that_contradict_each_other_are_refused(score):
    with pytest.raises(InvalidFeedbackError, match=r"must be opposite numbers.*Fix or drop"):
        WebgptComparisons().convert(ROW | {"score_1": score})


def test_the_installed_plugin_matches_the_dataset():
    (pair,) = convert_dataset(Dataset.from_list([ROW]))
    assert set(pair) == {"prompt", "chosen", "rejected", "preference"}
