"""The string form of losses parses back, and no other string is accepted."""

from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidLossError, UnknownNameError
from rlhf_losses.hooks import loss_registry, parse_loss
from rlhf_losses.losses import (
    Aggregated,
    BradleyTerry,
    CenteredBradleyTerry,
    Hinge,
    NamedObjective,
    PairwiseLoss,
    PlackettLuce,
    RaoKupper,
    bradley_terry,
    centering,
    eurus,
    hinge,
    options,
    parse,
)
from rlhf_losses.losses.options import Choice, Integer, Interval, LearnableNumber, NamedWeights
from rlhf_losses.losses.stepwise.aggregated import RankingLosses

LOSSES = [loss() for loss in loss_registry().values()]

weights = st.floats(0, 1e3, allow_subnormal=False) | st.integers(0, 1000)  # weights of sums are products of these


def values_of(field):
    """Draw a value from the domain of an option; options of plugins without one take small numbers."""
    match field.metadata.get("domain"):
        case Integer(low, or_none):
            return st.integers(low, 1000) | (st.none() if or_none else st.nothing())
        case Choice(choices):
            return st.sampled_from(choices)
        case RankingLosses():
            return st.sampled_from([bradley_terry, hinge, BradleyTerry(temperature=2.0), PlackettLuce(top=1)])
        case NamedWeights():
            return st.sampled_from(["quality=1", "helpfulness=0.7, verbosity=-0.2"])
        case LearnableNumber(low):
            return st.just("learned") | st.floats(low, 1e6, allow_subnormal=False)
        case Interval(low, high, exclude_low, exclude_high):
            bounds = {"exclude_min": exclude_low, "exclude_max": exclude_high}
            return st.floats(low, min(high, 1e6), **bounds, allow_subnormal=False)
    return st.floats(2**-20, 0.49)


@st.composite
def losses(draw):
    """Draw a loss, with some of its options changed."""
    loss = draw(st.sampled_from(LOSSES))
    return replace(loss, **{f.name: draw(values_of(f)) for f in fields(loss) if draw(st.booleans())})


sums = st.recursive(
    losses(),
    lambda inner: st.builds(lambda a, b: a + b, inner, inner) | st.builds(lambda w, a: w * a, weights, inner),
    max_leaves=6,
)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_the_string_form_of_every_loss_parses_back(loss):
    assert parse_loss(str(loss)) == loss
    assert isinstance(parse_loss(str(loss)), type(loss))


@pytest.mark.parametrize(
    "loss",
    [
        BradleyTerry(label_smoothing=0.1, temperature=2.0),
        PlackettLuce(top=3),
        RaoKupper(tie_width=0.5),
        Aggregated(of=Hinge(margin=2.0), by="minimum"),
        CenteredBradleyTerry(coefficient=0.5),
        eurus,
        bradley_terry + 0.01 * centering,
        hinge + 2 * CenteredBradleyTerry(coefficient=0.5),
        0.5 * eurus,
        0 * hinge + eurus + 1e-20 * centering,
        eurus.as_objective(),
    ],
    ids=str,
)
def test_losses_objectives_and_named_objectives_parse_back_to_equal_objects(loss):
    parsed = parse_loss(str(loss))
    if loss == eurus.as_objective():  # a sum of one summand of weight 1 has the string form of the summand
        assert (parsed, parsed.as_objective().terms) == (eurus, loss.terms)
    else:
        assert parsed == loss
        assert hash(parsed) == hash(loss)
        assert isinstance(parsed, NamedObjective) == isinstance(loss, NamedObjective)


@given(sums)
def test_the_string_form_of_every_sum_parses_back(loss):
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
def test_sums_and_weights_are_parsed(text, loss):
    if loss is None:
        # A product of two numbers needs parentheses.
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
def test_any_other_string_is_refused(text):
    with pytest.raises(InvalidLossError, match=r"not a valid loss.*Write a sum of losses"):
        parse_loss(text)


def test_a_long_string_is_refused_before_it_is_parsed():
    with pytest.raises(InvalidLossError, match=r"3500 characters.*limit is 2000.*Shorten"):
        parse_loss("hinge +" * 500)


@pytest.mark.parametrize("text", ["-1 * centering", "bradley_terry + -0.5 * centering", "1e999 * centering"])
def test_a_negative_or_infinite_weight_is_refused(text):
    with pytest.raises(InvalidLossError, match=r"weight (-1.0|-0.5|inf).*at least 0"):
        parse_loss(text)


@pytest.mark.parametrize("option", ["0.5", "-0.1", "1e999", "True", "'0.1'", "None"])
def test_an_option_out_of_range_is_refused(option):
    with pytest.raises(InvalidLossError, match=r"label_smoothing=.*a number in \[0, 0\.5\).*Write for example"):
        parse_loss(f"bradley_terry(label_smoothing={option})")


def test_the_message_for_an_unknown_loss_has_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"'bradly_terry'\. Did you mean 'bradley_terry'\?"):
        parse_loss("hinge + bradly_terry")


def test_the_message_for_an_unknown_loss_has_the_command_that_lists_all():
    with pytest.raises(UnknownNameError, match=r"'xyzzy'.*Run 'rlhf-losses list'"):
        parse_loss("xyzzy")


def test_the_message_for_an_unknown_option_has_the_nearest_and_all_options():
    with pytest.raises(UnknownNameError, match=r"'label_smothing'.*'label_smoothing'\?.*label_smoothing, temperature"):
        parse_loss("bradley_terry(label_smothing=0.1)")


def test_the_message_for_a_loss_without_options_states_that_it_has_none():
    with pytest.raises(UnknownNameError, match=r"centering has no option 'coefficient'\. It has no options"):
        parse_loss("centering(coefficient=2)")


def test_the_message_of_a_plugin_about_its_options_is_passed_on():
    @dataclass(frozen=True)
    class Refusing(PairwiseLoss):
        """Refuses its option."""

        size: float = 0.0

        def __post_init__(self):
            if self.size:
                raise ValueError("size must be 0")

        def per_pair(self, score_difference):
            return score_difference

    with pytest.raises(InvalidLossError, match="refusing received invalid options: size must be 0"):
        parse("refusing(size=1.0)", {"refusing": Refusing})


def test_string_options_keep_their_quotes():
    @dataclass(frozen=True)
    class Named(PairwiseLoss):
        """Has a string as option."""

        title: str = "plain"
        loud: bool = False

        def per_pair(self, score_difference):
            return score_difference

    loss = Named(title='it\'s "here"', loud=True)
    assert parse(str(loss), {"named": Named}) == loss


@pytest.mark.parametrize("option", ["0", "-1", "1.5", "True", "'all'"])
def test_an_integer_option_may_accept_none(option):
    with pytest.raises(InvalidLossError, match="an integer of at least 1, or None for all"):
        parse_loss(f"plackett_luce(top={option})")
    assert parse_loss("plackett_luce(top=None)") == parse_loss("plackett_luce")
    assert str(parse_loss("plackett_luce(top=3)")) == "plackett_luce(top=3)"


def test_a_choice_that_does_not_exist_is_refused_with_all_choices():
    with pytest.raises(InvalidLossError, match=r"gain='square'.*must be 'exponential' or 'linear'"):
        parse_loss("lambda_ndcg(gain='square')")
    assert str(parse_loss("lambda_ndcg(gain='linear')")) == "lambda_ndcg(gain='linear')"


@pytest.mark.parametrize(
    ("domain", "inside", "outside", "text"),
    [
        (options.Interval(0.0), [0, 1e300], [-1, float("nan"), float("inf"), True, "1"], "finite number of at least 0"),
        (options.Interval(0.0, exclude_low=True), [1e-300], [0, 0.0], "finite number greater than 0"),
        (options.Interval(0.0, 0.5, exclude_high=True), [0, 0.49], [0.5], "a number in [0, 0.5)"),
        (options.Integer(2), [2, 3], [1, 2.0, None, True], "an integer of at least 2"),
        (options.LearnableNumber(0.1), ["learned", 0.1], ["trained", 0.0], "at least 0.1, or 'learned'"),
        (options.NamedWeights(), ["a=1", "a=1, b=-2"], ["a", "a=1, a=2", "a=0", 1.0, None], "distinct names"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_domains_of_options_accept_their_values_and_describe_them(domain, inside, outside, text):
    assert all(domain.accepts(value) for value in inside)
    assert not any(domain.accepts(value) for value in outside)
    assert text in str(domain)
