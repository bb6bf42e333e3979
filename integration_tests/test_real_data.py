"""Real feedback, if present next to the project: every file is inspected, and trains from the command line."""

import json
from pathlib import Path

import pytest
from thorough_cases import every_nth, with_thorough

SHARED = Path(__file__).parents[2] / "shared"
DATA = SHARED / "data"
STORIES = SHARED / "models" / "TinyStories-656K"
FILES = sorted(DATA.glob("*/*.jsonl"))
USUAL = FILES[::3]
TO_TRAIN_ON = [
    file for file in FILES if ".train." in file.name or not file.with_name(file.name.replace("test", "train")).exists()
]

CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{{ eos_token }}"
FAST = (
    "--max_steps 1 --per_device_train_batch_size 4 --disable_tqdm true --no_gradient_checkpointing "
    "--save_strategy no --report_to none"
)

pytestmark = pytest.mark.skipif(not FILES, reason="the real data are not part of the project")


@pytest.mark.parametrize(
    "file",
    with_thorough(USUAL, sorted(set(FILES) - set(USUAL))),
    ids=lambda file: f"{file.parent.name}/{file.stem}",
)
def test_every_file_of_real_feedback_is_inspected(done, file):
    answered = done("inspect", "--dataset", file, "--json")
    found = json.loads(answered.out)
    assert found["rows"] == file.read_bytes().count(b"\n")
    assert found["losses"]
    assert ": read as native (" in answered.err
    for statistics in found["feedback"].values():
        ceiling = statistics.get("accuracy_ceiling")
        assert ceiling is None or 0.5 <= ceiling <= 1.0
        assert (statistics.get("agreement_ceiling") or 0.0) <= (ceiling or 1.0)


def test_annotators_of_a_row_disagree_and_those_of_equal_rows_are_unknown(done):
    answered = done("inspect", "--dataset", DATA / "pandalm" / "votes.train.jsonl", "--json")
    found = json.loads(answered.out)
    votes = found["feedback"]["Votes"]
    assert votes["contradictory"] > 0
    assert 0.5 < votes["agreement_of_two_annotators"] < 1.0
    assert votes["unknown_annotators"] == (votes["agreement_ceiling"] is None)
    assert votes["unknown_annotators"] >= (found["duplicate_rows"] > 0)


@pytest.mark.parametrize("file", every_nth(TO_TRAIN_ON, 2), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_compatible_loss_trains_on_a_file(done, file, tmp_path):
    (tmp_path / "chat.jinja").write_text(CHAT)
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:8]))
    found = json.loads(done("inspect", "--dataset", rows, "--json").out)
    losses, regularizers = found["losses"], found["regularizers"]
    assert losses
    for name, loss in {"one": losses[0], "all": " + ".join(losses + regularizers)}.items():
        data = ["--dataset", rows, "--overlong", "truncate_prompt"]
        model = ["--model", STORIES, "--chat_template_path", tmp_path / "chat.jinja"]
        done("train", *model, *data, "--loss", loss, "--output_dir", tmp_path / name, *FAST.split())
