"""The KL penalty: estimated three ways, at a fixed or adapted price, and as a reason to stop."""

import pytest
from ppo_runs import length, steps, trained


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_objective_is_the_score_minus_the_penalty_as_it_is_estimated(make_trainer, decided_policy, estimator):
    changes = {"kl_estimator": estimator, "beta": 0.3, "learning_rate": 1e-2, "max_steps": 4}
    trainer = trained(make_trainer(model=decided_policy, changes=changes))
    for entry in steps(trainer):
        assert entry["objective"] == pytest.approx(entry["reward"] - 0.3 * entry["kl_per_completion"], abs=1e-5)
    assert steps(trainer)[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert steps(trainer)[-1]["kl"] > 1e-3


def test_an_adapted_price_rises_while_the_policy_is_too_far_and_falls_while_it_is_near(make_trainer, decided_policy):
    changes = {"kl_horizon": 8, "beta": 0.1, "learning_rate": 1e-2, "max_steps": 5}
    far = trained(make_trainer(model=decided_policy, changes=changes | {"kl_target": 1e-6}))
    near = trained(make_trainer(model=decided_policy, changes=changes | {"kl_target": 1e6}))
    prices = [[entry["kl_coefficient"] for entry in steps(trainer)] for trainer in (far, near)]
    assert prices[0][0] == prices[1][0] == pytest.approx(0.1)
    assert prices[0][1] == pytest.approx(0.1 * (1 - 0.2 * 4 / 8))  # at first, the policy is its reference
    assert prices[0][-1] > prices[0][1]
    assert prices[1] == pytest.approx([0.1 * (1 - 0.2 * 4 / 8) ** step for step in range(5)])


def test_evaluation_leaves_the_price_alone(make_trainer, prompts):
    trainer = trained(
        make_trainer(eval_dataset=prompts.select(range(4)), changes={"kl_target": 1.0, "kl_horizon": 8, "max_steps": 1})
    )
    price = trainer.beta
    trainer.evaluate()
    assert trainer.beta == price == trainer.coefficient.value != 0.05


def test_a_rollout_is_given_up_once_the_policy_has_moved_too_far(make_trainer, decided_policy):
    rollouts = []

    def count(completion_ids, **_):
        rollouts.append(completion_ids)
        return length(completion_ids)

    changes = {"num_iterations": 4, "max_steps": 4, "learning_rate": 3e-2}
    trained(make_trainer(count, model=decided_policy, changes=changes))
    assert len(rollouts) == 1
    rollouts.clear()
    trainer = trained(make_trainer(count, model=decided_policy, changes=changes | {"early_stop_kl": 1e-3}))
    assert len(rollouts) > 1
    assert any(entry["approx_kl"] > 1e-3 for entry in steps(trainer))
