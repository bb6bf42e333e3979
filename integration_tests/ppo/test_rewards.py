"""What a rollout is paid: step by step, by ensembles, standardised, and less where EOS is missing."""

import copy
import math

import pytest
import torch
from ppo_runs import length, share_of_high_tokens, steps, trained

from rlhf_losses.errors import InvalidSettingError, UnsupportedModelError
from rlhf_losses.ppo import Ensemble, StepRewards, TokenRewardFunction
from rlhf_losses.scoring import RewardModelMetadata, Scorer, StandardizedScorer, fit_reference

PROMPTS = [{"prompt": "a"}, {"prompt": "bcd"}]
TEXTS = ["Go on. Stop!", "The end"]


@pytest.fixture
def speaking(make_trainer, tokenizer):
    """Return a trainer whose policy says `TEXTS`: the first ends with EOS, the second is cut off."""

    def make(reward_funcs, **changes):
        plain = {"beta": 0.0, "gamma": 1.0, "lam": 1.0, "whiten_advantages": False, "max_completion_length": 16}
        trainer = make_trainer(reward_funcs, changes=plain | changes)
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
        ids[0].append(tokenizer.eos_token_id)
        trainer._generate_single_turn = lambda *_: (ids, None)
        return trainer

    return make


def returns(trainer):
    rollout = trainer._generate_and_score_completions([dict(row) for row in PROMPTS])
    return rollout["returns"], rollout["completion_mask"].bool(), rollout


def test_scores_of_steps_are_paid_at_the_ends_of_the_steps(speaking, reward_model, tokenizer):
    scorer = Scorer(reward_model, tokenizer, RewardModelMetadata("segment_hinge", ["Steps"], segmentation="sentences"))
    got, mask, rollout = returns(speaking(StepRewards(scorer)))
    first, second = scorer.score_steps("a", ["Go on. ", "Stop!"])
    (last,) = scorer.score_steps("bcd", ["The end"])
    expected = torch.zeros_like(got)
    expected[0, :13], expected[0, :6] = second, first + second
    expected[1, :7] = last
    torch.testing.assert_close(got, torch.where(mask, expected, 0.0), rtol=1e-4, atol=1e-5)
    assert rollout["values"].abs().sum() > 0  # the critic is a copy of the scorer inside


def test_an_ensemble_of_reward_models_of_steps_pays_the_combined_score_of_each_step(speaking, reward_model, tokenizer):
    how = RewardModelMetadata("segment_hinge", ["Steps"], segmentation="sentences")
    other = copy.deepcopy(reward_model)
    other.score.weight.data.neg_()
    scorers = [Scorer(reward_model, tokenizer, how), Scorer(other, tokenizer, how)]
    trainer = speaking(StepRewards(Ensemble(scorers, "minimum")))
    got, mask, _ = returns(trainer)
    opinions = [torch.tensor(scorer.score_steps("a", ["Go on. ", "Stop!"])) for scorer in scorers]
    first, second = torch.minimum(*opinions)
    (last,) = torch.minimum(*(torch.tensor(scorer.score_steps("bcd", ["The end"])) for scorer in scorers))
    expected = torch.zeros_like(got)
    expected[0, :13], expected[0, :6] = second, first + second
    expected[1, :7] = last
    torch.testing.assert_close(got, torch.where(mask, expected, 0.0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trainer.critic.head.weight, reward_model.score.weight)


def test_a_function_can_pay_every_token(speaking):
    def one_each(completion_ids, **_):
        return [[1.0] * len(ids) for ids in completion_ids]

    got, mask, _ = returns(speaking(TokenRewardFunction(one_each)))
    to_come = mask.flip(1).cumsum(1).flip(1).float()
    torch.testing.assert_close(got, torch.where(mask, to_come, 0.0))


def test_a_completion_without_eos_pays_for_it(speaking):
    got, *_ = returns(speaking(length, missing_eos_penalty=2.5))
    assert got[:, 0].tolist() == [13.0, 7.0 - 2.5]
    got, *_ = returns(speaking(length, missing_eos_score=-1.0))
    assert got[:, 0].tolist() == [13.0, -1.0]


def test_with_one_token_for_padding_and_end_the_score_is_paid_at_the_end(make_trainer, other_tokenizer):
    other_tokenizer.pad_token = other_tokenizer.eos_token
    end = other_tokenizer.eos_token_id
    assert other_tokenizer.pad_token_id == end
    changes = {"beta": 0.0, "gamma": 1.0, "lam": 0.0, "whiten_advantages": False, "missing_eos_penalty": 100.0}
    trainer = make_trainer(length, changes=changes, processing_class=other_tokenizer)
    trainer._generate_single_turn = lambda *_: ([[72, 105, end], [72, 105, 106, 107, end]], None)
    got, mask, _ = returns(trainer)  # with lambda 0 and values of 0, the return of a token is its reward
    assert mask.sum(1).tolist() == [3, 5]
    assert got.tolist() == [[0.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 5.0]]


def test_a_completion_that_was_cut_off_earns_what_the_critic_expects_of_its_rest(speaking):
    trainer = speaking(length, bootstrap_truncated=True)
    trainer.critic.head.weight.data.normal_()
    got, _, rollout = returns(trainer)
    ids, attention = (
        torch.cat([rollout[f"prompt_{what}"], rollout[f"completion_{what}"]], 1) for what in ("ids", "mask")
    )
    everywhere = trainer.critic(ids, attention, length=rollout["completion_ids"].shape[1])
    assert got[:, 0].tolist() == pytest.approx([13.0, 7.0 + everywhere[1, 7].item()], abs=1e-4)
    assert everywhere[1, 7].abs() > 1e-3


def test_an_ensemble_pays_and_logs_how_far_its_members_disagree(make_trainer):
    ensemble = Ensemble([share_of_high_tokens, length], "minimum")
    trainer = trained(make_trainer(ensemble, changes={"max_steps": 2}))
    for entry in steps(trainer):
        assert 0 <= entry["rewards/minimum_of_2/mean"] <= 1
        assert entry["ensemble/std"] > 1


def test_a_critic_starts_from_a_scorer_inside_an_ensemble(make_trainer, reward_model, tokenizer):
    trainer = make_trainer(Ensemble([length, Scorer(reward_model, tokenizer)]))
    torch.testing.assert_close(trainer.critic.head.weight, reward_model.score.weight)


def test_running_normalisation_takes_the_scale_out_of_the_scores(make_trainer):
    def large(completion_ids, **_):
        return [1000 + 50 * share for share in share_of_high_tokens(completion_ids)]

    changes = {"score_normalization": "running", "beta": 0.0, "max_steps": 3, "learning_rate": 1e-3}
    plain = trained(make_trainer(changes=changes))
    scaled = trained(make_trainer(large, changes=changes))
    for ours, theirs in zip(steps(scaled), steps(plain), strict=True):
        assert ours["reward"] > 1000
        assert ours["objective"] == pytest.approx(theirs["objective"], abs=1e-2)
    assert steps(plain)[0]["objective"] == pytest.approx(0, abs=1e-6)


def test_scores_standardised_to_reference_samples_are_paid_and_expected(
    make_trainer, reward_model, tokenizer, tmp_path
):
    scorer = Scorer(reward_model, tokenizer)
    samples = ["a", "bb", "ccc", "dddd"], [TEXTS[0], TEXTS[1], "Yes.", "No"]
    with pytest.raises(UnsupportedModelError, match=r"fitted to no reference samples.*fit_reference\(scorer"):
        make_trainer(scorer, changes={"score_normalization": "reference"})
    fit_reference(scorer, *samples, folder=tmp_path)
    assert RewardModelMetadata.load(tmp_path) == scorer.metadata
    standard = torch.tensor(StandardizedScorer(scorer)(*samples))
    torch.testing.assert_close(standard.mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(standard.std(correction=0), torch.tensor(1.0), rtol=1e-4, atol=1e-4)

    trainer = make_trainer(scorer, changes={"score_normalization": "reference"})
    (function,) = trainer.reward_funcs
    assert function(*samples) == pytest.approx(standard.tolist())
    ids = torch.tensor([tokenizer(samples[0][0] + samples[1][0])["input_ids"]])
    with torch.no_grad():
        value = trainer.critic(ids, torch.ones_like(ids), length=1)[0, -1].item()
        raw = reward_model(ids).logits.item()
    assert value == pytest.approx((raw - function.mean) / function.std, abs=1e-3)


@pytest.mark.parametrize("by", ["mean", "minimum", "sum", "soft_minimum"])
def test_whole_texts_are_standardised_whatever_is_made_of_their_steps(reward_model, tokenizer, by):
    scorer = Scorer(reward_model, tokenizer, RewardModelMetadata("", [], segmentation="sentences", aggregate=by))
    samples = ["a"] * 4, ["One.", "One. Two.", "Yes. No. So.", "A long one. And more."]
    fit_reference(scorer, *samples)
    standard = torch.tensor(StandardizedScorer(scorer)(*samples), dtype=torch.float64)
    assert standard.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert standard.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)


def test_scorers_inside_others_are_standardised_and_a_function_alone_cannot_be(make_trainer, reward_model, tokenizer):
    scorer = Scorer(reward_model, tokenizer, RewardModelMetadata("", [], segmentation="sentences"))
    with pytest.raises(InvalidSettingError, match=r"only a Scorer can be fitted.*Choose 'running'"):
        make_trainer(length, changes={"score_normalization": "reference"})
    fit_reference(scorer, ["a", "bb", "ccc"], [*TEXTS, "Yes."])
    functions = [length, StepRewards(scorer), Ensemble([scorer])]
    trainer = make_trainer(functions, changes={"score_normalization": "reference"})
    plain, steps_, ensemble = trainer.reward_funcs
    assert plain is length
    assert isinstance(steps_.scorer, StandardizedScorer)
    assert isinstance(ensemble.members[0], StandardizedScorer)
    assert type(functions[1].scorer) is Scorer


def test_whitened_rewards_and_clipped_scores_train(make_trainer):
    trainer = trained(make_trainer(length, changes={"whiten_rewards": True, "score_clip": 2.0, "max_steps": 2}))
    assert all(math.isfinite(entry["loss"]) for entry in steps(trainer))
    assert steps(trainer)[0]["objective"] == pytest.approx(2.0, abs=0.01)
