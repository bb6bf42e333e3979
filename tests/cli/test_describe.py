"""`rlhf-losses describe`."""

from dataclasses import fields

import pytest

from rlhf_losses.cli.docstring import plain, read_docstring
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses.options import written


def described(cli, *argv):
    answered = cli("describe", *argv)
    assert answered.code == 0
    return answered.out


@pytest.mark.parametrize("name", loss_registry())
def test_every_loss_is_described_without_marks_of_restructured_text(cli, name):
    told = described(cli, name)
    assert not [mark for mark in (".. ", "::", ":math:", "``") if mark in told]


@pytest.mark.parametrize("name", loss_registry())
def test_every_option_is_told_with_its_default(cli, name):
    told = described(cli, name)
    assert all(f"{f.name} (default {written(f.default)})" in told for f in fields(loss_registry()[name]))


@pytest.mark.parametrize("name", loss_registry())
def test_every_loss_tells_what_it_reads_claims_and_where_it_comes_from(cli, name):
    told = described(cli, name)
    assert all(f"\n{section}\n    " in told for section in ("Feedback", "LossProperty", "From"))


def test_the_description_of_bradley_terry_holds_everything(cli):
    told = described(cli, "bradley_terry")
    assert told.startswith("bradley_terry\n=============\nNegative log-likelihood that")
    assert r"    -\log \sigma\left(\frac{s_\text{chosen} - s_\text{rejected} - m}{T}\right)" in told
    assert "Columns of Pairs: chosen, rejected" in told
    assert "Also reads Rankings, Ratings, Votes, as Pairs." in told
    assert "shift invariant" in told
    assert "\nReference\n    Bradley & Terry (1952)" in told
    assert "\nExample\n    >>> " in told


def test_a_sum_is_described_term_by_term(cli):
    told = described(cli, "bradley_terry + 0.01*centering")
    assert told.startswith("A sum: bradley_terry + 0.01 * centering\n")
    assert "\nbradley_terry\n=====" in told
    assert "\n0.01 * centering\n=====" in told


def test_a_named_sum_tells_what_it_stands_for(cli):
    assert "Stands for bradley_terry + 0.5 * centering." in described(cli, "centered_bradley_terry(coefficient=0.5)")


class OneSentence:
    """Only a sentence."""


class TwoFormulas:
    """A sentence.

    .. math::

        a + b \\
        = c

    A :math:`second` paragraph with ``code``.

    Options:
        `a`: first.
        `b`: second.
    """


def test_a_docstring_may_be_one_sentence():
    doc = read_docstring(OneSentence)
    assert (doc.text, doc.formula, doc.sections) == ("Only a sentence.", "", {})


def test_a_formula_may_have_several_lines_and_text_after_it():
    doc = read_docstring(TwoFormulas)
    assert doc.formula.splitlines()[0].startswith("a + b")
    assert doc.formula.splitlines()[-1] == "= c"
    assert doc.text == "A sentence.\n\nA second paragraph with `code`."
    assert doc.sections == {"Options": "`a`: first.\n`b`: second."}


def test_plain_text_keeps_inner_indents():
    assert plain(["    a", "      b"]) == "a\n  b"
