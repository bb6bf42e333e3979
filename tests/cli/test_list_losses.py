"""`rlhf-losses list`."""

import json

import pytest

from rlhf_losses.cli.list_losses import kind_called
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES
from rlhf_losses.hooks import loss_registry


def listed(cli, *argv):
    answered = cli("list", "--json", *argv)
    assert answered.code == 0
    return {row["name"]: row for row in json.loads(answered.out)}


def test_json_lists_the_whole_catalogue(cli):
    assert list(listed(cli)) == list(loss_registry())


def test_the_table_has_one_line_a_loss_under_its_head(cli):
    head, *lines = cli("list").out.splitlines()
    assert head.split() == ["NAME", "READS", "ALSO", "READS", "CLAIMS", "FROM"]
    assert [line.split()[0] for line in lines] == list(loss_registry())


def test_each_loss_tells_its_kind_and_the_kinds_above_it(cli):
    rows = listed(cli)
    assert rows["bradley_terry"]["reads"] == "Pairs"
    assert set(rows["bradley_terry"]["also_reads"]) == {"Rankings", "Ratings", "Votes"}
    assert rows["score_decay"]["reads"] == "any"
    assert rows["segment_hinge"]["also_reads"] == []


def test_each_loss_tells_its_claims_its_plugin_and_a_sentence(cli):
    row = listed(cli)["hinge"]
    assert "shift invariant" in row["properties"]
    assert row["plugin"] == "built-in"
    assert row["version"]
    assert row["options"]["power"] == {"default": 1.0, "domain": "a finite number from 1 to 2"}
    assert row["source"].startswith("Joachims (2002)")
    assert row["summary"] == "Shortfall of the score_difference, or its square."


@pytest.mark.parametrize("kind", FEEDBACK_TYPES)
def test_a_kind_of_feedback_filters_the_list(cli, kind):
    wanted = {
        name
        for name, loss in loss_registry().items()
        if loss.feedback_type in IMPLICIT_TYPES or kind.is_convertible_to(loss.feedback_type)
    }
    assert set(listed(cli, "--feedback", kind.__name__.lower())) == wanted


@pytest.mark.parametrize("kind", FEEDBACK_TYPES)
@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda name: name.removesuffix("s"), lambda name: f" {name} "])
def test_kinds_are_found_in_any_case_and_number(kind, spell):
    assert kind_called(spell(kind.__name__)) is kind


def test_every_built_in_loss_tells_its_source_and_the_domain_of_its_options(cli):
    for row in listed(cli).values():
        if row["plugin"] == "built-in":
            assert "https://" in row["source"]
            assert all(option["domain"] != "not declared" for option in row["options"].values())
