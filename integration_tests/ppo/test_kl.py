"""The KL penalty in training: estimators, adaptive coefficient, early stopping."""

import pytest
from ppo_runs import length, steps, trained

pytestmark = pytest.mark.upstream


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_objective_uses_the_chosen_kl_estimator(make_trainer, peaked_policy, estimator):
    changes = {"kl_estimator": estimator, "beta": 0.3, "learning_rate": 1e-2, "max_steps": 4}
    trainer = trained(make_trainer(model=peaked_policy, changes=changes))
    for entry in steps(trainer):
        expected = entry["reward"] - entry["kl_coefficient"] * entry["kl_per_completion"]
        assert entry["objective/rlhf_reward"] == pytest.approx(expected, abs=1e-5)
        assert entry["kl_per_completion"] == pytest.approx(entry["kl"] * entry["completions/mean_length"], rel=1e-4)
    assert steps(trainer)[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert steps(trainer)[-1]["kl"] > 1e-3


def test_adaptive_coefficient_increases_above_the_target_and_decreases_below(make_trainer, peaked_policy):
    changes = {"kl_horizon": 8, "beta": 0.1, "learning_rate": 1e-2, "max_steps": 5, "score_normalization": "none"}
    far = trained(make_trainer(model=peaked_policy, changes=changes | {"kl_target": 1e-6}))
    near = trained(make_trainer(model=peaked_policy, changes=changes | {"kl_target": 1e6}))
    coefficients = [[entry["kl_coefficient"] for entry in steps(trainer)] for trainer in (far, near)]
    assert coefficients[0][0] == coefficients[1][0] == pytest.approx(0.1)
    assert coefficients[0][1] == pytest.approx(0.1 * (1 - 0.2 * 4 / 8))  # at first, the policy is its reference
    assert coefficients[0][-1] > coefficients[0][1]
    assert coefficients[1] == pytest.approx([0.1 * (1 - 0.2 * 4 / 8) ** step for step in range(5)])


def test_evaluation_does_not_change_the_coefficient(make_trainer, prompts):
    trainer = trained(
        make_trainer(eval_dataset=prompts.select(range(4)), changes={"kl_target": 1.0, "kl_horizon": 8, "max_steps": 1})
    )
    coefficient = trainer.beta
    trainer.evaluate()
    assert trainer.beta == coefficient != 0.05


def test_rollout_is_discarded_beyond_the_kl_limit(make_trainer, peaked_policy):
    rollouts = []

    def count(completion_ids, **_):
        rollouts.append(completion_ids)
        return length(completion_ids)

    changes = {"num_iterations": 4, "max_steps": 4, "learning_rate": 3e-2, "score_normalization": "none"}
    trained(make_trainer(count, model=peaked_policy, changes=changes))
    assert len(rollouts) == 1
    rollouts.clear()
    trainer = trained(make_trainer(count, model=peaked_policy, changes=changes | {"early_stop_kl": 1e-3}))
    assert len(rollouts) > 1
    assert any(entry["approx_kl"] > 1e-3 for entry in steps(trainer))
