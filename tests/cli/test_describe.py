"""`rlhf-losses describe`."""

import re
from dataclasses import fields

import pytest

from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses.options import format_option


def describe(cli, *argv):
    result = cli("describe", *argv)
    assert result.code == 0
    return result.out


@pytest.mark.parametrize("name", loss_registry())
def test_the_description_of_a_loss_has_no_latex_and_no_restructured_text(cli, name):
    before_examples = describe(cli, name).partition("\nExamples\n")[0]
    assert not re.search(r"\\\w|\$|^\.\. |::|:math:|``", before_examples, re.MULTILINE)


@pytest.mark.parametrize("name", loss_registry())
def test_all_options_are_described_with_their_defaults(cli, name):
    text = describe(cli, name)
    assert all(f"{f.name} (default {format_option(f.default)}): " in text for f in fields(loss_registry()[name]))


@pytest.mark.parametrize("name", loss_registry())
def test_the_description_has_all_sections(cli, name):
    text = describe(cli, name)
    assert all(
        f"\n{section}\n    " in text for section in ("Feedback", "Properties", "References", "Examples", "Plugin")
    )


def test_the_description_of_bradley_terry_is_complete(cli):
    text = describe(cli, "bradley_terry")
    assert text.startswith("bradley_terry\nNegative log-likelihood that")
    assert "    -log σ((s_chosen - s_rejected - m)/T)\n" in text
    assert "Columns: chosen, rejected" in text
    assert "Also accepted, by conversion: Rankings, Ratings, Votes." in text
    assert "shift invariant" in text
    assert "\nReferences\n    Bradley & Terry (1952)" in text
    assert "\nExamples\n    >>> " in text
    assert "\nPlugin\n    built-in" in text


def test_the_properties_are_those_of_the_options(cli):
    assert "monotone" in describe(cli, "bradley_terry")
    properties = describe(cli, "bradley_terry(label_smoothing=0.1)").partition("\nProperties\n")[2].partition("\n\n")[0]
    assert "monotone" not in properties


def test_a_sum_is_described_term_by_term(cli):
    text = describe(cli, "bradley_terry + 0.01*centering")
    assert text.startswith("Weighted sum: bradley_terry + 0.01 * centering\n")
    assert "\nbradley_terry\n" in text
    assert "\n0.01 * centering\n" in text


def test_a_named_objective_is_described_with_its_sum(cli):
    assert "Equals bradley_terry + 0.5 * centering." in describe(cli, "centered_bradley_terry(coefficient=0.5)")


def test_markup_in_a_plugin_docstring_is_printed_as_it_is(cli, tmp_path):
    file = tmp_path / "marked.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from rlhf_losses import PairwiseLoss, hookimpl\n\n"
        "@dataclass(frozen=True)\n"
        "class Marked(PairwiseLoss):\n"
        '    """Loss in [0, 1] with [bold]text[/bold]."""\n'
        "    def per_pair(self, score_difference):\n"
        "        return score_difference.sigmoid()\n\n"
        "@hookimpl\n"
        "def provide_losses():\n"
        "    return [Marked]\n"
    )
    assert "Loss in [0, 1] with [bold]text[/bold]." in describe(cli, "marked", "--plugin", file)
