"""Each moment of a step belongs to the innermost phase."""

import pytest

from rlhf_losses.ppo.phase_timer import PhaseTimer


def test_time_belongs_to_the_innermost_phase_and_shares_add_up_to_one():
    clock, recorded, told = iter([0.0, 1.0, 3.0, 7.0, 8.0, 10.0]), [], []
    watch = PhaseTimer(recorded.append, told.append, lambda: next(clock))
    watch.on_step_begin()  # 0: update
    with watch("rollout"), watch("generation"):  # 1: rollout, 3: generation
        pass  # 7: rollout again
    watch.on_step_end()  # 8: update until 10
    assert recorded == [{"time/update": 0.3, "time/rollout": 0.3, "time/generation": 0.4}]
    assert sum(recorded[0].values()) == pytest.approx(1)
    watch.on_train_end()
    assert told[1].split() == ["generation", "40.0%", "4.00", "s"]


def test_outside_of_steps_nothing_is_counted():
    watch = PhaseTimer(lambda _: None, lambda _: None)
    with watch("generation"):
        pass
    assert not watch.step
