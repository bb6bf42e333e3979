"""The converter handles the rows that the dataset card documents and refuses other labels."""

import pytest
from datasets import Dataset
from rlhf_losses_shp import StanfordPreferences

from rlhf_losses import InvalidFeedbackError, convert_dataset

ROW = {
    "post_id": "qt3nxl",
    "domain": "askculinary_train",
    "upvote_ratio": 0.98,
    "history": "What is the best way to peel garlic?",
    "c_root_id_A": "hkh25sc",
    "c_root_id_B": "hkh25lp",
    "created_at_utc_A": 1636822112,
    "created_at_utc_B": 1636822110,
    "score_A": 340,
    "score_B": 166,
    "human_ref_A": "Crush it first.",
    "human_ref_B": "Shake it in a jar.",
    "labels": 1,
    "seconds_difference": 2.0,
    "score_ratio": 2.048,
}


@pytest.mark.parametrize(("label", "chosen"), [(1, "Crush it first."), (0, "Shake it in a jar.")])
def test_the_label_selects_the_preferred_comment(label, chosen):
    (pair,) = StanfordPreferences().convert(ROW | {"labels": label})
    assert pair["prompt"][0]["content"] == ROW["history"]
    assert pair["chosen"][0]["content"] == chosen
    assert pair["rejected"][0]["content"] != chosen


def test_another_label_is_refused():
    with pytest.raises(InvalidFeedbackError, match=r"labels is 2.*must be 1.*Fix or drop"):
        StanfordPreferences().convert(ROW | {"labels": 2})


def test_the_installed_plugin_matches_the_dataset():
    (pair,) = convert_dataset(Dataset.from_list([ROW]))
    assert set(pair) == {"prompt", "chosen", "rejected"}
