"""The text of a loss: it parses back, and nothing else is read."""

from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidLossError, UnknownNameError
from rlhf_losses.hooks import loss_registry, parse_loss
from rlhf_losses.losses import BradleyTerry, PairwiseLoss, PlackettLuce, bradley_terry, centering, hinge, parse
from rlhf_losses.losses.options import Counts, Learnable, LossesOfLists, Numbers, Words

LOSSES = [loss() for loss in loss_registry().values()]

weights = st.floats(0, 1e6, allow_subnormal=False) | st.integers(0, 1000)


def options(field):
    """Draw a value from the domain of an option; options of plugins without one take small numbers."""
    match field.metadata.get("domain"):
        case Counts(least, or_all):
            return st.integers(least, 1000) | (st.none() if or_all else st.nothing())
        case Words(words):
            return st.sampled_from(words)
        case LossesOfLists():
            return st.sampled_from([bradley_terry, hinge, BradleyTerry(temperature=2.0), PlackettLuce(top=1)])
        case Learnable(low):
            return st.just("learned") | st.floats(low, 1e6, allow_subnormal=False)
        case Numbers(low, high, above, below):
            return st.floats(low, min(high, 1e6), exclude_min=above, exclude_max=below, allow_subnormal=False)
    return st.floats(2**-20, 0.49)


@st.composite
def losses(draw):
    """Draw a loss, with some of its options changed."""
    loss = draw(st.sampled_from(LOSSES))
    return replace(loss, **{f.name: draw(options(f)) for f in fields(loss) if draw(st.booleans())})


sums = st.recursive(
    losses(),
    lambda inner: st.builds(lambda a, b: a + b, inner, inner) | st.builds(lambda w, a: w * a, weights, inner),
    max_leaves=6,
)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_the_text_of_every_loss_parses_back(loss):
    assert parse_loss(str(loss)) == loss


@given(sums)
def test_the_text_of_every_sum_parses_back(loss):
    back = parse_loss(str(loss))
    assert back == loss
    assert str(back) == str(loss)


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("bradley_terry", bradley_terry),
        ("  bradley_terry  ", bradley_terry),
        ("bradley_terry()", bradley_terry),
        ("(bradley_terry)", bradley_terry),
        ("bradley_terry(label_smoothing=0.1)", BradleyTerry(label_smoothing=0.1)),
        ("bradley_terry + 0.01 * centering", bradley_terry + 0.01 * centering),
        ("bradley_terry+0.01*centering", bradley_terry + 0.01 * centering),
        ("bradley_terry + centering*1e-2", bradley_terry + 0.01 * centering),
        ("2 * (bradley_terry + 0.5 * (centering + hinge))", 2 * bradley_terry + centering + hinge),
        ("0.5 * 0.5 * hinge", None),
        ("hinge * 2 * 3", 6 * hinge),
    ],
)
def test_ordinary_arithmetic_is_read(text, loss):
    if loss is None:
        # Numbers are not multiplied with each other: brackets say what is meant.
        with pytest.raises(InvalidLossError):
            parse_loss(text)
    else:
        assert parse_loss(text) == loss


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "# nothing",
        "1",
        "'bradley_terry'",
        "bradley_terry - centering",
        "bradley_terry - 0.01 * centering",
        "-bradley_terry",
        "+bradley_terry",
        "bradley_terry / 2",
        "bradley_terry ** 2",
        "bradley_terry @ centering",
        "bradley_terry * centering",
        "bradley_terry +",
        "bradley_terry centering",
        "bradley_terry, centering",
        "[bradley_terry]",
        "bradley_terry.temperature",
        "bradley_terry.__class__",
        "().__class__.__bases__",
        "losses.bradley_terry",
        "bradley_terry[0]",
        "lambda: bradley_terry",
        "(lambda: bradley_terry)()",
        "bradley_terry if True else hinge",
        "bradley_terry or hinge",
        "bradley_terry == hinge",
        "(loss := bradley_terry)",
        "[loss for loss in (bradley_terry,)]",
        "f'{bradley_terry}'",
        "__import__('os').system('true')",
        "bradley_terry(0.1)",
        "bradley_terry(*[0.1])",
        "bradley_terry(**{'label_smoothing': 0.1})",
        "bradley_terry(label_smoothing=0.1, label_smoothing=0.2)",
        "bradley_terry(label_smoothing=1/10)",
        "bradley_terry(label_smoothing=[0.1])",
        "bradley_terry(label_smoothing=hinge)",
        "bradley_terry(label_smoothing=nan)",
        "bradley_terry(label_smoothing=0.1j)",
        "bradley_terry()()",
        "True * bradley_terry",
        "None * bradley_terry",
        "1j * bradley_terry",
        "bradley_terry\nhinge",
        "bradley_terry; hinge",
        "import os",
        "bradley_terry\0",
        "(" * 900 + "bradley_terry" + ")" * 900,
        "2*(" * 400 + "hinge" + ")" * 400,
        "-" * 1900 + "1 * hinge",
        "9" * 400 + " * hinge",
    ],
    ids=lambda text: repr(text[:40]),
)
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidLossError, match="Write sums of losses with number weights"):
        parse_loss(text)


def test_a_huge_text_is_refused_before_it_is_parsed():
    with pytest.raises(InvalidLossError, match=r"A loss of 3500 characters arrived\. Write at most 2000\."):
        parse_loss("hinge +" * 500)


@pytest.mark.parametrize("text", ["-1 * centering", "bradley_terry + -0.5 * centering", "1e999 * centering"])
def test_a_weight_that_would_reward_mistakes_is_refused(text):
    with pytest.raises(InvalidLossError, match="write a number from 0"):
        parse_loss(text)


@pytest.mark.parametrize("option", ["0.5", "-0.1", "1e999", "True", "'0.1'", "None"])
def test_an_option_out_of_range_is_refused(option):
    with pytest.raises(InvalidLossError, match=r"from 0 to below 0\.5"):
        parse_loss(f"bradley_terry(label_smoothing={option})")


def test_an_unknown_loss_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"No loss is called 'bradly_terry'\. Did you mean 'bradley_terry'\?"):
        parse_loss("hinge + bradly_terry")


def test_a_name_that_is_like_no_other_is_answered_with_the_command_that_lists_all():
    with pytest.raises(UnknownNameError, match=r"'xyzzy'\. Run `rlhf-losses list` to see all of them\."):
        parse_loss("xyzzy")


def test_an_unknown_option_is_answered_with_the_nearest_and_with_all():
    with pytest.raises(UnknownNameError) as caught:
        parse_loss("bradley_terry(label_smothing=0.1)")
    assert str(caught.value) == (
        "bradley_terry has no option 'label_smothing'. Did you mean 'label_smoothing'? "
        "It has label_smoothing, temperature."
    )


def test_a_loss_without_options_says_so():
    with pytest.raises(UnknownNameError, match=r"centering has no option 'coefficient'\. It has no options\."):
        parse_loss("centering(coefficient=2)")


def test_what_a_plugin_says_about_its_options_is_passed_on():
    @dataclass(frozen=True)
    class Moody(PairwiseLoss):
        """Accepts no mood at all."""

        mood: float = 0.0

        def __post_init__(self):
            if self.mood:
                raise ValueError("mood must be nothing")

        def per_pair(self, score_difference):
            return score_difference

    with pytest.raises(InvalidLossError, match="moody refuses its options: mood must be nothing"):
        parse("moody(mood=1.0)", {"moody": Moody})


def test_text_options_keep_their_quotes():
    @dataclass(frozen=True)
    class Named(PairwiseLoss):
        """Has a text for an option."""

        title: str = "plain"
        loud: bool = False

        def per_pair(self, score_difference):
            return score_difference

    loss = Named(title='it\'s "here"', loud=True)
    assert parse(str(loss), {"named": Named}) == loss


@pytest.mark.parametrize("option", ["0", "-1", "1.5", "True", "'all'"])
def test_a_count_is_whole_and_none_means_all(option):
    with pytest.raises(InvalidLossError, match="a whole number from 1, or None for all"):
        parse_loss(f"plackett_luce(top={option})")
    assert parse_loss("plackett_luce(top=None)") == parse_loss("plackett_luce")
    assert str(parse_loss("plackett_luce(top=3)")) == "plackett_luce(top=3)"


def test_a_word_that_is_not_offered_is_refused_with_those_that_are():
    with pytest.raises(InvalidLossError, match="It must be 'exponential' or 'linear'"):
        parse_loss("lambda_ndcg(gain='square')")
    assert str(parse_loss("lambda_ndcg(gain='linear')")) == "lambda_ndcg(gain='linear')"
