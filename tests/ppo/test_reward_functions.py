"""Reward functions with rewards inside completions, and the scorers inside reward functions."""

import asyncio
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ppo_runs import byte_tokenizer
from tiny_llama import tiny_classifier

from rlhf_losses.data.chat_messages import content_text
from rlhf_losses.errors import InvalidFeedbackError, InvalidSettingError, NonFiniteError, UnsupportedModelError
from rlhf_losses.ppo.reward_functions import (
    StepMeanRewards,
    StepRewards,
    TokenRewardFunction,
    check_rewards,
    find_scorers,
    load_reward_functions,
    require_finite_scores,
    standardize_scorers,
)
from rlhf_losses.scoring import Ensemble, RewardModelMetadata, Scorer
from rlhf_losses.scoring.answer_encoder import AnswerEncoder


class Letters:
    """A tokenizer with one token per letter and the special token 0."""

    def decode(self, ids, **_):
        return "".join(chr(number) for number in ids if number)


class Lengths(Scorer):
    """A scorer whose score of a step is its length."""

    def __init__(self, segmentation):
        self.metadata = RewardModelMetadata(loss="", feedback_types=[], segmentation=segmentation)
        self.encoder = AnswerEncoder(byte_tokenizer(), self.metadata, None, None, "drop")
        self.__name__ = "lengths"
        self.transforms = None

    def score_answers(self, answers):
        return [[float(len(content_text(part))) for part in answer.parts] for answer in answers]


def ids_of(text, eos=True):
    return [ord(letter) for letter in text] + [0] * eos


def assigned(row):
    """Return the rewards of a row by token index."""
    return {index: reward for index, reward in enumerate(row) if not math.isnan(reward)}


TEXT = "Go on. Stop!  The end."


@pytest.mark.parametrize("eos", [True, False])
def test_step_rewards_are_at_the_last_token_of_each_step(eos):
    rewards = StepRewards(Lengths("sentences"))
    assert rewards(["Say it. "], [TEXT]) == [float(len(TEXT))]
    (row,) = rewards.token_rewards([ids_of(TEXT, eos)], Letters())
    assert assigned(row) == {
        TEXT.index(".") : len("Go on. "),
        TEXT.index("!") : len("Stop!  "),
        len(TEXT) - 1 + eos: len("The end."),
    }  # fmt: skip


def test_step_rewards_add_up_to_the_logged_reward():
    rewards = StepRewards(Lengths("sentences"))
    texts = [TEXT, "One.", "", "Two. Three"]
    scores = rewards([""] * 4, texts)
    rows = rewards.token_rewards([ids_of(text) for text in texts], Letters())
    assert [sum(assigned(row).values()) for row in rows] == scores


def test_step_mean_rewards_are_step_rewards_divided_by_their_number():
    full, mean = StepRewards(Lengths("sentences")), StepMeanRewards(Lengths("sentences"))
    (sum_of_steps,), (mean_of_steps,) = full([""], [TEXT]), mean([""], [TEXT])
    rows = [rewards.token_rewards([ids_of(TEXT)], Letters())[0] for rewards in (full, mean)]
    assert mean_of_steps == pytest.approx(sum_of_steps / 3)
    assert assigned(rows[1]) == pytest.approx({index: score / 3 for index, score in assigned(rows[0]).items()})


def test_steps_of_a_conversation_are_those_of_its_last_message():
    rewards = StepRewards(Lengths("sentences"))
    prompt, answer = [{"role": "user", "content": "Say it."}], [{"role": "assistant", "content": "Go on. Stop!"}]
    rewards([prompt], [answer])
    (row,) = rewards.token_rewards([ids_of("Go on. Stop!")], Letters())
    assert assigned(row) == {5: 7.0, 12: 5.0}


@pytest.mark.parametrize("text", ["  Go on. Stop!", "\n\nGo on. Stop!\n", "Go on. Stop!  ", " \n"])
def test_white_space_at_the_edges_of_a_completion_is_no_step(text):
    rewards = StepRewards(Lengths("sentences"))
    (total,) = rewards([""], [text])
    (row,) = rewards.token_rewards([ids_of(text)], Letters())
    ends = [index for index, letter in enumerate(text) if letter == "."] + [len(text)]
    assert list(assigned(row)) == ends
    assert sum(assigned(row).values()) == total == len(text)


def test_steps_are_found_if_decoding_has_other_white_space():
    rewards = StepRewards(Lengths("sentences"))
    rewards([""], ["Go on. Stop!"])
    (row,) = rewards.token_rewards([ids_of(" Go on.  Stop!\n")], Letters())
    assert list(assigned(row)) == [6, 15]


def test_steps_that_are_not_in_the_tokens_are_refused():
    rewards = StepRewards(Lengths("sentences"))
    rewards([""], ["Go on. Stop!"])
    with pytest.raises(InvalidFeedbackError, match=r"do not contain its steps.*use the scorer itself"):
        rewards.token_rewards([ids_of("Something else.")], Letters())


def test_scorer_of_whole_texts_needs_an_explicit_segmentation():
    with pytest.raises(
        UnsupportedModelError, match=r"'lengths' was trained on whole texts.*segmentation=\"sentences\""
    ):
        StepRewards(Lengths(None))
    scorer = Lengths(None)
    assert StepRewards(scorer, "sentences")([""], ["Go on. Stop!"]) == [12.0]
    assert scorer.metadata.segmentation is None


def test_function_can_return_a_reward_for_each_token():
    def alternate(completion_ids, **_):
        return [[1.0 if index % 2 else math.nan for index in range(len(ids))] for ids in completion_ids]

    rewards = TokenRewardFunction(alternate)
    assert rewards.__name__ == "alternate"
    assert rewards([""], ["abcde"], completion_ids=[[1, 2, 3, 4, 5]]) == [2.0]
    assert [assigned(row) for row in rewards.token_rewards([[1, 2, 3, 4, 5]], Letters())] == [{1: 1.0, 3: 1.0}]


def test_wrong_number_of_token_rewards_is_refused():
    rewards = TokenRewardFunction(lambda **_: [[1.0, 2.0]])
    rewards([""], ["abc"])
    with pytest.raises(InvalidFeedbackError, match=r"2 rewards for a completion of 3.*one number for each"):
        rewards.token_rewards([[1, 2, 3]], Letters())


class FixedScores(Lengths):
    """A scorer that returns given scores for the steps of a completion."""

    def __init__(self, scores, segmentation="sentences"):
        super().__init__(segmentation)
        self.scores = scores

    def score_answers(self, answers):
        return [self.scores[: len(answer.parts)] for answer in answers]


three = st.lists(st.floats(-100, 100), min_size=3, max_size=3)


@given(st.lists(three, min_size=1, max_size=4), st.sampled_from([0.0, 0.5, 2.0]))
def test_ensemble_combines_the_scores_of_each_step(member_scores, weight):
    columns = list(zip(*member_scores, strict=True))
    means = [sum(column) / len(column) for column in columns]
    stds = [
        (sum((x - mean) ** 2 for x in column) / len(column)) ** 0.5 for column, mean in zip(columns, means, strict=True)
    ]
    for combine, expected in {
        "mean": means,
        "minimum": [min(column) for column in columns],
        f"mean - {weight} * std": [mean - weight * std for mean, std in zip(means, stds, strict=True)],
    }.items():
        rewards, logged = StepRewards(Ensemble([FixedScores(scores) for scores in member_scores], combine)), {}
        total = rewards(["", ""], [TEXT, "One."], log_metric=logged.__setitem__)
        close = {"rel": 1e-4, "abs": 1e-3}
        assert total == [pytest.approx(sum(expected), **close), pytest.approx(expected[0], **close)]
        rows = rewards.token_rewards([ids_of(TEXT), ids_of("One.")], Letters())
        indices = [TEXT.index("."), TEXT.index("!"), len(TEXT)]
        assert assigned(rows[0]) == pytest.approx(dict(zip(indices, expected, strict=True)), **close)
        assert assigned(rows[1]) == pytest.approx({4: expected[0]}, **close)
        assert logged == {"ensemble/std": pytest.approx((sum(stds) + stds[0]) / 4, **close)}


def test_ensemble_of_step_reward_models_gives_combined_step_rewards():
    tokenizer, metadata = byte_tokenizer(), RewardModelMetadata("", [], segmentation="sentences")
    models = [tiny_classifier(seed, vocab_size=len(tokenizer)) for seed in (1, 2)]
    scorers = [Scorer(model, tokenizer, metadata) for model in models]
    rewards, texts = StepRewards(Ensemble(scorers, "minimum")), ["Go on. Stop!", "The end"]
    sums = rewards(["a", "bcd"], texts)
    ids = [tokenizer(text)["input_ids"] for text in texts]
    rows = rewards.token_rewards([[*ids[0], tokenizer.eos_token_id], ids[1]], tokenizer)
    steps = zip(*(scorer.score_steps("a", ["Go on. ", "Stop!"]) for scorer in scorers), strict=True)
    first, second = map(min, steps)
    last = min(scorer.score_steps("bcd", ["The end"])[0] for scorer in scorers)
    assert assigned(rows[0]) == pytest.approx({5: first, 12: second}, abs=1e-5)
    assert assigned(rows[1]) == pytest.approx({6: last}, abs=1e-5)
    assert sums == pytest.approx([first + second, last], abs=1e-5)


def test_minimum_over_steps_differs_from_minimum_over_texts():
    members = [FixedScores([1.0, -5.0]), FixedScores([-2.0, 3.0])]
    over_steps, over_texts = (
        StepRewards(Ensemble(members, "minimum")),
        Ensemble([StepRewards(member) for member in members], "minimum"),
    )
    assert over_steps([""], ["Go on. Stop!"]) == [-2.0 - 5.0]
    assert over_texts([""], ["Go on. Stop!"]) == [min(1.0 - 5.0, -2.0 + 3.0)]


def test_ensemble_with_different_segmentations_is_refused():
    members = [FixedScores([1.0, 2.0]), FixedScores([3.0], "paragraphs")]
    with pytest.raises(
        InvalidSettingError, match=r"different segmentations \(.*\).*no common steps.*the same segmentation"
    ):
        StepRewards(Ensemble(members))
    assert StepRewards(Ensemble([*members[:1], FixedScores([3.0, 4.0], "lines")]), "sentences")(
        [""], ["Go on. No."]
    ) == [5.0]


def test_ensemble_with_a_plain_function_has_no_step_scores():
    def short(completions, **_):
        return [-float(len(text)) for text in completions]

    with pytest.raises(UnsupportedModelError, match=r"'short' is a function.*one score per completion.*Use a Scorer"):
        StepRewards(Ensemble([Lengths("sentences"), short]))


def length(completions, **_):
    return [float(len(text)) for text in completions]


def test_scorers_inside_other_reward_functions_are_found():
    steps, member, single = Lengths("sentences"), Lengths(None), Lengths(None)
    functions = [length, StepRewards(steps), Ensemble([length, member]), single, TokenRewardFunction(length)]
    copied, *others = find_scorers(functions)
    assert copied.metadata == steps.metadata
    assert others == [member, single]


def test_scorers_inside_other_reward_functions_are_standardized():
    fitted = Lengths("sentences")
    reference = {"standardize": {"mean": 2.0, "std": 4.0}}
    fitted.metadata = RewardModelMetadata("", [], segmentation="sentences", transforms=reference)
    functions = [length, StepRewards(fitted), Ensemble([fitted])]
    plain, steps, ensemble = standardize_scorers(functions)
    assert plain is length
    assert str(steps.scorer.transforms) == "standardize"
    assert str(ensemble.members[0].transforms) == "standardize"
    assert functions[1].scorer.transforms is functions[2].members[0].transforms is None


def test_reference_normalization_without_a_scorer_is_refused():
    with pytest.raises(InvalidSettingError, match=r"'reference' needs a Scorer.*Choose 'running'"):
        standardize_scorers(length)


def test_reference_normalization_needs_reference_samples():
    with pytest.raises(UnsupportedModelError, match="fit_reference"):
        standardize_scorers([Lengths(None)])


# Values of reward functions


TEXTS = {"prompts": ["a", "b"], "completions": ["c", "d"]}


@pytest.mark.parametrize(
    ("rewards", "problem"),
    [
        ([0.5, math.nan], "returned nan for completion 1, 'd'"),
        ([-math.inf, 0.5], "returned -inf for completion 0"),
        ([1e39, 0.5], "returned 1e[+]39 for completion 0"),
        ([10**400, 0.5], "returned inf for completion 0"),
        (["0.5", 0.5], "returned '0.5', which is no number, for completion 0"),
        ([[0.5], [0.5]], "no number"),
        ([1j, 0.5], "no number"),
        ([0.5], "returned 1 rewards for 2 completions"),
        (None, "returned None, which is no list"),
        ("ab", "returned 'ab', which is no list"),
    ],
)
def test_a_value_that_is_no_finite_number_is_recorded_with_its_completion(rewards, problem):
    def function(**_):
        return rewards

    async def coroutine(**_):
        return rewards

    failures = []
    assert check_rewards(function, 7, failures)(**TEXTS) == [0.0, 0.0]
    assert asyncio.run(check_rewards(coroutine, 7, failures)(**TEXTS)) == [0.0, 0.0]
    for failure, name in zip(failures, ("function", "coroutine"), strict=True):
        with pytest.raises((NonFiniteError, InvalidFeedbackError), match=f"Step 7: .*'{name}' .*{problem}"):
            raise failure


@pytest.mark.parametrize("rewards", [torch.tensor([1.0, 2.0]), np.array([1.0, 2.0]), [True, 2], iter([1, 2.0])])
def test_numbers_of_other_libraries_are_rewards(rewards):
    failures = []
    assert check_rewards(lambda **_: rewards, 1, failures)(**TEXTS) == [1.0, 2.0]
    assert not failures


def test_a_reward_model_with_infinite_scores_or_nan_weights_is_named():
    model, function = tiny_classifier(), len
    rewards = torch.tensor([[1.0, math.nan], [1.0, 2.0]])
    require_finite_scores(rewards, [model, function], ["rm", "length"], 3)  # NaN of a function is no reward
    with pytest.raises(NonFiniteError, match=r"Step 3: .*'rm' is nan for completion 0"):
        require_finite_scores(rewards, [function, model], ["length", "rm"], 3)
    model.score.weight.data[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"score\.weight"):
        load_reward_functions([model], torch.device("cpu"), trust_remote_code=False)
