"""The defaults of PPO do not depend on the scale and the offset of the reward."""

import pytest
import torch
from ppo_runs import length, share_of_high_tokens, steps, trained, weights
from thorough_cases import with_thorough

from rlhf_losses.ppo.rollout import Rollout
from rlhf_losses.scoring import Scorer

pytestmark = pytest.mark.upstream


def affine(reward, scale, offset):
    def affine_reward(**columns):
        return [scale * one + offset for one in reward(**columns)]

    return affine_reward


@pytest.mark.parametrize(("scale", "offset"), with_thorough([(100.0, 0.0)], [(1.0, 50.0), (0.01, -3.0)]))
def test_scale_and_offset_of_the_reward_do_not_change_the_policy(make_trainer, peaked_policy, scale, offset):
    changes = {"learning_rate": 1e-3, "max_steps": 3}
    plain = trained(make_trainer(model=peaked_policy, changes=changes))
    other = trained(make_trainer(affine(share_of_high_tokens, scale, offset), model=peaked_policy, changes=changes))
    for name, weight in weights(other.model).items():  # a gradient near 0 can have the other sign by rounding
        assert (weight - plain.model.get_parameter(name)).abs().mean() < 1e-2 * changes["learning_rate"], name
    for ours, theirs in zip(steps(other), steps(plain), strict=True):
        assert ours["reward"] == pytest.approx(scale * theirs["reward"] + offset, rel=1e-5)
        assert ours["kl_coefficient"] == pytest.approx(scale * theirs["kl_coefficient"], rel=1e-3)
        expected = scale * theirs["objective/rlhf_reward"] + offset
        assert ours["objective/rlhf_reward"] == pytest.approx(expected, rel=1e-3)
        assert ours["loss/value"] == pytest.approx(theirs["loss/value"], rel=1e-2)
    # The test can fail: without normalization, the price of the KL and the value loss depend on the scale.
    raw = changes | {"score_normalization": "none"}
    plain, other = (
        trained(make_trainer(reward, model=peaked_policy, changes=raw))
        for reward in (share_of_high_tokens, affine(share_of_high_tokens, scale, offset))
    )
    assert steps(other)[0]["loss/value"] != pytest.approx(steps(plain)[0]["loss/value"], rel=0.1)


def test_initial_values_are_fitted_to_the_first_rollout(make_trainer, reward_model, tokenizer):
    trainer = make_trainer(Scorer(reward_model, tokenizer), changes={"beta": 0.0, "reward_weights": [7.0]})
    assert trainer.critic.head.weight.abs().sum() > 0
    trainer.model.train()
    prompts = [{"prompt": f"{text}{number}"} for text in ("a", "bcd", "e", "Say it.") for number in range(4)]
    rollouts = [trainer._generate_and_score_completions(prompts) for _ in range(2)]
    for number, data in enumerate(rollouts):
        rollout = Rollout.view(data)
        values, returns = (one[rollout.action_mask] for one in (rollout.values, rollout.returns))
        errors = returns - values
        is_fitted = number == 0  # the second rollout does not change the critic
        assert (errors.mean().abs().item() < 1e-5) == is_fitted
        assert ((errors * values).mean().abs().item() < 1e-4) == is_fitted


def test_equal_rewards_train_nothing_but_the_kl(make_trainer):
    trainer = trained(make_trainer(length, changes={"max_steps": 2, "learning_rate": 1e-2, "beta": 0.0}))
    assert all(entry["reward"] == 8 for entry in steps(trainer))
    assert all(entry["loss/value"] == pytest.approx(0, abs=1e-8) for entry in steps(trainer))


def test_reward_functions_are_told_which_completions_were_cut_off(make_trainer, tokenizer):
    received = []

    def reward(completions, completion_cut_off=None, **_):
        received.append(completion_cut_off)
        return [0.0] * len(completions)

    end = tokenizer.eos_token_id
    for with_eos in (True, False):
        trainer = make_trainer(reward, changes={"score_truncated_with_eos": with_eos})
        trainer._generate_single_turn = lambda *_: ([[72, end], [72, 105]], None)
        trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "bcd"}])
    assert received == [None, [False, True]]


def test_a_scorer_reads_no_eos_after_a_completion_that_was_cut_off(reward_model, tokenizer):
    scorer = Scorer(reward_model, tokenizer)
    prompts, completions = ["Say it.", "Say it."], [" Go on", " Go on"]
    ended, cut = scorer.encoder.encode_completions(prompts, completions, {"completion_cut_off": [False, True]})
    assert ended.ids == [*cut.ids, tokenizer.eos_token_id]
    scores = scorer(prompts, completions, completion_cut_off=[False, True])
    ids = torch.tensor([cut.ids])
    assert scores[1] == pytest.approx(reward_model(ids).logits.item(), abs=1e-5)
    assert scores[0] != pytest.approx(scores[1], abs=1e-5)
