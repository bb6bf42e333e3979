"""Words in a column of labels are the labels that they say, in tables, JSON and Python."""

import json

import pytest
from datasets import Dataset

from rlhf_losses import load_rows, parse_loss
from rlhf_losses.data.dataset import check_dataset
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Labels


@pytest.mark.parametrize(
    ("good", "bad"), [("yes", "No"), ("👍", "👎🏿"), ("Thumbs up", "thumbs_down"), ("1", "-1"), ("TRUE", "0")]
)
def test_words_are_labels(tmp_path, good, bad):
    (tmp_path / "sheet.csv").write_text(f"prompt,completion,label\np,a,{good}\np,b,{bad}\np,c,\n", encoding="utf-8")
    rows = load_rows(str(tmp_path / "sheet.csv"))
    labels = [Labels.from_row(row).labels.item() for row in rows if row["label"] is not None]
    assert [label > 0 for label in labels] == [True, False]


def test_words_in_json_are_labels(tmp_path):
    rows = [{"prompt": "p", "completion": "a", "label": label} for label in ("up", "down")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for dataset in (load_rows(str(tmp_path / "rows.jsonl")), Dataset.from_list(rows)):
        assert [Labels.from_row(row).labels.item() for row in dataset] == [1.0, 0.0]
        check_dataset(dataset, parse_loss("cross_entropy"))


def test_other_words_are_refused(tmp_path):
    (tmp_path / "sheet.csv").write_text("prompt,completion,label\np,a,maybe\n")
    with pytest.raises(InvalidFeedbackError, match=r"'maybe', which is not a label. Write true or false, yes or no"):
        load_rows(str(tmp_path / "sheet.csv"))
