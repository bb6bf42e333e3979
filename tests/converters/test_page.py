"""The page on dataset formats lists every converter, and its examples run."""

import re
from pathlib import Path

import pytest

from rlhf_losses import convert_dataset, load_rows
from rlhf_losses.feedback import FEEDBACK_TYPES
from rlhf_losses.hooks import loss_registry
from rlhf_losses.hooks.builtins import provide_dataset_converters
from rlhf_losses.inspection import inspect_dataset

PAGE = (Path(__file__).parents[2] / "docs/how-to/use-your-data.md").read_text(encoding="utf-8")


def test_the_page_lists_every_built_in_converter():
    table = PAGE.partition("## Dataset formats")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [
        converter.name() for converter in provide_dataset_converters()
    ]


def test_the_table_has_every_column_of_every_feedback_type():
    table = PAGE.partition("## All columns")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| (.*) \|(.*)\|$", table, re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", columns + further)) for name, columns, further in rows}
    for feedback_type in FEEDBACK_TYPES:
        kind = re.sub(r"(?<=.)([A-Z])", r" \1", feedback_type.__name__).lower()
        columns = {name for names in feedback_type.columns for name in names} | {*feedback_type.optional_columns}
        assert columns - {"chosen_ids", "rejected_ids"} <= named[kind], kind


@pytest.fixture
def sheet(tmp_path, monkeypatch):
    """Write the sheet of the page into the current folder: two good rows for a ticket, copies and incomplete rows."""
    good = [f"Why {n}?;Because {n}.; Ask {n}. ;{winner};{agent}" for n in range(10) for winner, agent in ("1x", "2y")]
    bad = ["Why?;;No.;1;x", "Why?;Yes.;  ;1;x", ";Yes.;No.;1;x", "Why?;Yes.;No.;;x"]
    lines = ["ticket;reply_1;reply_2;better;agent", *good, *bad, *good[:3]]
    (tmp_path / "tickets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_of_the_page_run(example, sheet):
    exec(compile(example, "use-your-data.md", "exec"), {})


def test_the_script_of_the_page_divides_a_sheet_by_prompts(sheet, capsys):
    script = PAGE.partition("### From the sheet to two files")[2].partition("```python\n")[2].partition("```")[0]
    exec(compile(script, "use-your-data.md", "exec"), {})
    assert "27 rows: 18 for training, 2 held out" in capsys.readouterr().out
    pairs, held_out = (load_rows(f"{name}.csv") for name in ("pairs", "heldout"))
    assert not set(pairs["prompt"]) & set(held_out["prompt"])
    found = inspect_dataset(convert_dataset(pairs), loss_registry())
    assert (found.rows, found.duplicate_rows, found.prompts, found.invalid) == (18, 0, 9, ())
    assert sorted(pairs["response_a"]) == sorted(f" Because {prompt[4:-1]}." for prompt in pairs["prompt"])
    assert sorted(pairs["response_b"]) == sorted(f" Ask {prompt[4:-1]}." for prompt in pairs["prompt"])
