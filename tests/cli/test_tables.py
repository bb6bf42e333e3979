"""Tables on stdout."""

import re

import pytest

from rlhf_losses.cli.tables import key_value_table, make_table, render_table, shorten_columns


def test_markup_in_cells_is_not_interpreted():
    assert render_table(make_table([["[bold]a[/bold]", "[x]", ":smile:"]])) == "[bold]a[/bold]  [x]  :smile:"


def test_columns_can_be_aligned_at_the_right():
    assert render_table(make_table([["a", "1"], ["b", "100"]], header=["N", "VALUE"], right=[1])).splitlines() == [
        "N  VALUE",
        "a      1",
        "b    100",
    ]


def test_lines_have_no_spaces_at_the_end():
    assert not re.search(r" $", render_table(make_table([["a", "bbb"], ["a", "b"]])), re.MULTILINE)


def test_a_table_in_a_pipe_has_any_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert render_table(make_table([["a" * 300, "b" * 300]])) == f"{'a' * 300}  {'b' * 300}"


@pytest.mark.parametrize("width", [20, 30])
def test_only_selected_columns_are_shortened(width):
    table = make_table([["name", "long text " * 10], ["n", "short"]])
    shorten_columns(table, [1])
    first, second = render_table(table, width=width).splitlines()
    assert first.startswith("name  long")
    assert first.endswith("…")
    assert len(first) <= width
    assert second == "n     short"


def test_keys_and_values_are_two_columns():
    assert render_table(key_value_table({"rows": 8, "duplicate rows": 0})) == "rows            8\nduplicate rows  0"
