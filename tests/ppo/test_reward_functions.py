"""Rewards of steps are paid at the token that ends each step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidFeedbackError, InvalidSettingError, UnsupportedModelError
from rlhf_losses.ppo import Ensemble
from rlhf_losses.ppo.reward_functions import StepMeanRewards, StepRewards, TokenRewardFunction
from rlhf_losses.scoring import RewardModelMetadata, Scorer


class Letters:
    """A tokenizer of one letter a token, whose token 0 is special."""

    def decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return "".join(chr(number) for number in ids if number)


class Lengths(Scorer):
    """A scorer whose score of a step is its length."""

    def __init__(self, segmentation):
        self.metadata = RewardModelMetadata(loss="", feedback=[], segmentation=segmentation)
        self.__name__ = "lengths"

    def score_answers(self, answers):
        return [[float(len(part)) for part in answer.parts] for answer in answers]


def ids_of(text, eos=True):
    return [ord(letter) for letter in text] + [0] * eos


def paid(row):
    """Return the payments of a row by the place where they are."""
    return {place: amount for place, amount in enumerate(row) if not math.isnan(amount)}


TEXT = "Go on. Stop!  The end."


@pytest.mark.parametrize("eos", [True, False])
def test_each_step_is_paid_where_its_last_letter_stands_and_the_last_one_at_the_last_token(eos):
    rewards = StepRewards(Lengths("sentences"))
    assert rewards(["Say it. "], [TEXT]) == [float(len(TEXT))]
    (row,) = rewards.by_token([ids_of(TEXT, eos)], Letters())
    assert paid(row) == {
        TEXT.index(".") : len("Go on. "),
        TEXT.index("!") : len("Stop!  "),
        len(TEXT) - 1 + eos: len("The end."),
    }  # fmt: skip


def test_what_is_paid_adds_up_to_what_is_logged():
    rewards = StepRewards(Lengths("sentences"))
    texts = [TEXT, "One.", "", "Two. Three"]
    scores = rewards([""] * 4, texts)
    rows = rewards.by_token([ids_of(text) for text in texts], Letters())
    assert [sum(paid(row).values()) for row in rows] == scores


def test_shares_are_those_of_the_mean_at_the_same_places():
    whole, shares = StepRewards(Lengths("sentences")), StepMeanRewards(Lengths("sentences"))
    (in_full,), (mean,) = whole([""], [TEXT]), shares([""], [TEXT])
    rows = [rewards.by_token([ids_of(TEXT)], Letters())[0] for rewards in (whole, shares)]
    assert mean == pytest.approx(in_full / 3)
    assert paid(rows[1]) == pytest.approx({place: score / 3 for place, score in paid(rows[0]).items()})


def test_in_a_conversation_the_steps_of_the_last_message_are_paid():
    rewards = StepRewards(Lengths("sentences"))
    prompt, answer = [{"role": "user", "content": "Say it."}], [{"role": "assistant", "content": "Go on. Stop!"}]
    rewards([prompt], [answer])
    (row,) = rewards.by_token([ids_of("Go on. Stop!")], Letters())
    assert paid(row) == {5: 7.0, 12: 5.0}


def test_steps_of_an_answer_that_is_not_in_the_tokens_are_refused():
    rewards = StepRewards(Lengths("sentences"))
    rewards([""], ["Go on. Stop!"])
    with pytest.raises(
        InvalidFeedbackError, match=r"do not stand in its tokens.*leave --reward_at out, or give the scorer itself"
    ):
        rewards.by_token([ids_of("Something else.")], Letters())


def test_a_scorer_of_whole_texts_is_refused_unless_it_is_told_how_to_cut():
    with pytest.raises(
        UnsupportedModelError, match=r"'lengths' was trained on whole texts.*segmentation=\"sentences\""
    ):
        StepRewards(Lengths(None))
    scorer = Lengths(None)
    assert StepRewards(scorer, "sentences")([""], ["Go on. Stop!"]) == [12.0]
    assert scorer.metadata.segmentation is None


def test_a_function_may_pay_each_token():
    def alternate(completion_ids, **_):
        return [[1.0 if place % 2 else math.nan for place in range(len(ids))] for ids in completion_ids]

    rewards = TokenRewardFunction(alternate)
    assert rewards.__name__ == "alternate"
    assert rewards([""], ["abcde"], completion_ids=[[1, 2, 3, 4, 5]]) == [2.0]
    assert [paid(row) for row in rewards.by_token([[1, 2, 3, 4, 5]], Letters())] == [{1: 1.0, 3: 1.0}]


def test_a_function_that_pays_another_number_of_tokens_is_refused():
    rewards = TokenRewardFunction(lambda **_: [[1.0, 2.0]])
    rewards([""], ["abc"])
    with pytest.raises(InvalidFeedbackError, match=r"paid 2 tokens of a completion of 3.*one number for each"):
        rewards.by_token([[1, 2, 3]], Letters())


class Saying(Lengths):
    """A scorer that gives the steps of a completion these scores."""

    def __init__(self, scores, segmentation="sentences"):
        super().__init__(segmentation)
        self.scores = scores

    def score_answers(self, answers):
        return [self.scores[: len(answer.parts)] for answer in answers]


three = st.lists(st.floats(-100, 100), min_size=3, max_size=3)


@given(st.lists(three, min_size=1, max_size=4), st.sampled_from([0.0, 0.5, 2.0]))
def test_an_ensemble_of_steps_pays_its_formula_at_each_step(opinions, weight):
    columns = list(zip(*opinions, strict=True))
    means = [sum(column) / len(column) for column in columns]
    stds = [
        (sum((x - mean) ** 2 for x in column) / len(column)) ** 0.5 for column, mean in zip(columns, means, strict=True)
    ]
    for combine, expected in {
        "mean": means,
        "minimum": [min(column) for column in columns],
        f"mean - {weight} * std": [mean - weight * std for mean, std in zip(means, stds, strict=True)],
    }.items():
        rewards, logged = StepRewards(Ensemble([Saying(scores) for scores in opinions], combine)), {}
        total = rewards(["", ""], [TEXT, "One."], log_metric=logged.__setitem__)
        close = {"rel": 1e-4, "abs": 1e-3}
        assert total == [pytest.approx(sum(expected), **close), pytest.approx(expected[0], **close)]
        rows = rewards.by_token([ids_of(TEXT), ids_of("One.")], Letters())
        places = [TEXT.index("."), TEXT.index("!"), len(TEXT)]
        assert paid(rows[0]) == pytest.approx(dict(zip(places, expected, strict=True)), **close)
        assert paid(rows[1]) == pytest.approx({4: expected[0]}, **close)
        assert logged == {"ensemble/std": pytest.approx((sum(stds) + stds[0]) / 4, **close)}


def test_an_ensemble_of_steps_is_the_worst_of_each_step_and_not_of_the_whole():
    members = [Saying([1.0, -5.0]), Saying([-2.0, 3.0])]
    by_step, at_the_end = (
        StepRewards(Ensemble(members, "minimum")),
        Ensemble([StepRewards(member) for member in members], "minimum"),
    )
    assert by_step([""], ["Go on. Stop!"]) == [-2.0 - 5.0]
    assert at_the_end([""], ["Go on. Stop!"]) == [min(1.0 - 5.0, -2.0 + 3.0)]


def test_an_ensemble_without_common_steps_is_refused_unless_it_is_told_how_to_cut():
    members = [Saying([1.0, 2.0]), Saying([3.0], "paragraphs")]
    with pytest.raises(
        InvalidSettingError, match=r"cut texts differently \(.*\), so there is no step.*the same --segmentation"
    ):
        StepRewards(Ensemble(members))
    assert StepRewards(Ensemble([*members[:1], Saying([3.0, 4.0], "lines")]), "sentences")([""], ["Go on. No."]) == [
        5.0
    ]


def test_an_ensemble_with_a_function_has_no_scores_of_steps():
    def short(completions, **_):
        return [-float(len(text)) for text in completions]

    with pytest.raises(
        UnsupportedModelError, match=r"'short' is a function, which gives one number a completion.*Give a Scor"
    ):
        StepRewards(Ensemble([Lengths("sentences"), short]))
