"""Times of the phases of a PPO run."""

from collections import defaultdict

import pytest

from rlhf_losses.ppo.phase_timer import PhaseTimer


def test_time_belongs_to_the_innermost_phase():
    clock, log, lines = iter([0.0, 1.0, 3.0, 7.0, 8.0, 10.0]), defaultdict(list), []
    timer = PhaseTimer(log, lines.append, lambda: next(clock))
    timer.on_step_begin()  # 0: update
    with timer.phase("rollout"), timer.phase("generation"):  # 1: rollout, 3: generation
        pass  # 7: rollout again
    timer.on_step_end()  # 8: update until 10
    assert log == {"time/update": [0.3], "time/rollout": [0.3], "time/generation": [0.4]}
    assert sum(share for (share,) in log.values()) == pytest.approx(1)
    timer.on_train_end()
    assert lines[1].split() == ["generation", "40.0%", "4.00", "s"]


def test_nothing_is_measured_outside_of_steps():
    timer = PhaseTimer(defaultdict(list), lambda _: None)
    with timer.phase("generation"):
        pass
    assert not timer.total
    assert not timer.log
