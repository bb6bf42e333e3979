"""`rlhf-losses list`."""

import json

import pytest

from rlhf_losses.cli.list_losses import feedback_type_name, find_feedback_type, plain_summary
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES
from rlhf_losses.hooks import loss_registry


def listed(cli, *argv):
    result = cli("list", "--json", *argv)
    assert result.code == 0
    return {row["name"]: row for row in json.loads(result.out)}


def test_json_lists_the_whole_registry(cli):
    assert list(listed(cli)) == list(loss_registry())


def test_the_table_has_one_line_per_loss(cli):
    head, *lines = cli("list").out.splitlines()
    assert head.split() == ["LOSS", "FEEDBACK", "DESCRIPTION"]
    assert [line.split()[0] for line in lines] == list(loss_registry())


def test_each_loss_has_its_feedback_type_and_the_convertible_types(cli):
    rows = listed(cli)
    assert rows["bradley_terry"]["feedback_type"] == "Pairs"
    assert set(rows["bradley_terry"]["convertible_types"]) == {"Rankings", "Ratings", "Votes"}
    assert rows["score_decay"]["feedback_type"] == "any"
    assert rows["segment_hinge"]["convertible_types"] == []


def test_each_loss_has_properties_options_references_and_plugin(cli):
    row = listed(cli)["hinge"]
    assert "shift invariant" in row["properties"]
    assert row["plugin"] == "built-in"
    assert row["version"]
    assert row["options"]["power"]["default"] == 1.0
    assert "2" in row["options"]["power"]["domain"]
    assert row["options"]["power"]["description"]
    assert row["references"].startswith("Joachims (2002)")
    assert row["summary"].endswith(".")


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES)
def test_a_feedback_type_filters_the_list(cli, feedback_type):
    expected = {
        name
        for name, loss in loss_registry().items()
        if loss.feedback_type in IMPLICIT_TYPES or feedback_type.is_convertible_to(loss.feedback_type)
    }
    assert set(listed(cli, "--feedback", feedback_type.__name__.lower())) == expected


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES)
@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda name: name.removesuffix("s"), lambda name: f" {name} "])
def test_names_of_feedback_types_ignore_case_and_number(feedback_type, spell):
    assert find_feedback_type(spell(feedback_type.__name__)) is feedback_type


def test_built_in_losses_have_references_and_domains_of_options(cli):
    for row in listed(cli).values():
        if row["plugin"] == "built-in":
            assert "https://" in row["references"]
            assert all(option["domain"] != "not declared" for option in row["options"].values())


@pytest.mark.parametrize("columns", ["40", "200"])
def test_the_table_has_100_columns_at_most_and_no_description_is_cut(cli, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = cli("list").out.splitlines()
    assert len(lines) == 1 + len(loss_registry())
    assert max(map(len, lines)) <= 100
    for line, (name, cls) in zip(lines[1:], loss_registry().items(), strict=True):
        assert line.split(maxsplit=2) == [name, feedback_type_name(cls), plain_summary(cls)]
        assert line.endswith(".")
