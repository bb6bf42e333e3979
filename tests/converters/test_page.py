"""The page on dataset formats lists every converter, and its examples run."""

import re
from pathlib import Path

import pytest

from rlhf_losses.feedback import FEEDBACK_TYPES
from rlhf_losses.hooks.builtins import provide_dataset_converters

PAGE = (Path(__file__).parents[2] / "docs/how-to/use-your-data.md").read_text(encoding="utf-8")


def test_the_page_lists_every_built_in_converter():
    table = PAGE.partition("## Dataset formats")[2]
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


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_of_the_page_run(example):
    exec(compile(example, "use-your-data.md", "exec"), {})
