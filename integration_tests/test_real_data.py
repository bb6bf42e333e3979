"""Real feedback, if it lies beside the project: every file is inspected, and trains from the command line."""

import json
from pathlib import Path

import pytest

from rlhf_losses.cli.main import main

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = sorted(DATA.glob("*/*.jsonl"))

pytestmark = pytest.mark.skipif(not FILES, reason="the real data are not part of the project")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_file_of_real_feedback_is_inspected(file, capsys):
    assert main(["inspect", "--dataset", str(file), "--json"]) == 0
    answered = capsys.readouterr()
    found = json.loads(answered.out)
    assert found["rows"] == file.read_bytes().count(b"\n")
    assert found["losses"]
    assert ": read as native (" in answered.err
    for kind in found["feedback"].values():
        ceiling = kind.get("accuracy_ceiling")
        assert ceiling is None or 0.5 <= ceiling <= 1.0
        assert (kind.get("agreement_ceiling") or 0.0) <= (ceiling or 1.0)


def test_annotators_who_differ_bound_the_agreement(capsys):
    main(["inspect", "--dataset", str(DATA / "pandalm" / "votes.train.jsonl"), "--json"])
    votes = json.loads(capsys.readouterr().out)["feedback"]["Votes"]
    assert votes["contradictory"] > 0
    assert votes["agreement_of_two_annotators"] < votes["agreement_ceiling"] < 1.0
