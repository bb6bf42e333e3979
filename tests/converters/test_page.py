"""The page on dataset formats lists every converter, and its examples run."""

import re
from pathlib import Path

import pytest

from rlhf_losses.hooks.builtins import provide_dataset_converters

PAGE = (Path(__file__).parents[2] / "docs/how-to/use-your-data.md").read_text(encoding="utf-8")


def test_the_page_lists_every_built_in_converter():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [
        converter.name() for converter in provide_dataset_converters()
    ]


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_of_the_page_run(example):
    exec(compile(example, "use-your-data.md", "exec"), {})
