"""Time limits, and where a run that is asked to stop saves its checkpoint."""

from types import SimpleNamespace

import pytest

from rlhf_losses.checkpoints.stopping import StopControl, parse_duration
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.training import RewardConfig

ALONE = SimpleNamespace(world_size=1, logging_strategy="steps", eval_strategy="no")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3h30m", 12_600), ("90m", 5_400), ("45", 45), ("45s", 45), ("1d2h", 93_600), ("1H 5M", 3_900), ("0.5", 0.5)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-5", "3x", "h", "30m3h", "nan", "inf", "3:30", "1.5h", "True", "3h30", "1w", "-5m"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(InvalidSettingError, match=r"stop_after is .*3h30m"):
        parse_duration(text)


def test_the_configuration_refuses_them_and_accepts_a_number(tmp_path):
    with pytest.raises(InvalidSettingError, match="stop_after"):
        RewardConfig(str(tmp_path), stop_after="soon", bf16=False, use_cpu=True)
    assert RewardConfig(str(tmp_path), stop_after=90, bf16=False, use_cpu=True).stop_after == "90"


def new_control():
    names = ("should_save", "should_training_stop", "should_log", "should_evaluate")
    return SimpleNamespace(**dict.fromkeys(names, False))


def state(step, epoch):
    return SimpleNamespace(global_step=step, max_steps=10, epoch=epoch)


def test_a_time_limit_saves_and_stops_after_the_step():
    time = iter([0.0, 59.0, 61.0])
    stop, control = StopControl(60, now=lambda: next(time)), new_control()
    stop.on_step_end(ALONE, state(1, 0.1), control)
    assert not control.should_training_stop
    stop.on_step_end(ALONE, state(2, 0.2), control)
    assert (control.should_save, control.should_training_stop, stop.stopped) == (True, True, True)


def test_a_request_during_a_write_stops_after_it_and_during_an_evaluation_saves():
    stop, control = StopControl(), new_control()
    stop.on_train_begin()
    stop.requested = True
    stop.on_save(ALONE, state(4, 0.4), control)
    assert (control.should_save, control.should_training_stop) == (False, True)
    stop, control = StopControl(), new_control()
    stop.on_train_begin()
    stop.requested = True
    stop.on_evaluate(ALONE, state(4, 0.4), control)
    assert (control.should_save, control.should_training_stop) == (True, True)


def test_at_the_end_of_an_epoch_the_checkpoint_follows_the_log_of_the_epoch():
    per_epoch = SimpleNamespace(world_size=1, logging_strategy="epoch", eval_strategy="no")
    stop, control = StopControl(), new_control()
    control.should_save = True
    stop.on_step_end(per_epoch, state(5, 1.0), control)
    assert not control.should_save
    control.should_log = True
    stop.on_epoch_end(per_epoch, state(5, 1.0), control)
    assert control.should_save
    assert control.should_log


def test_a_stop_in_the_middle_of_an_epoch_is_not_its_end():
    per_epoch = SimpleNamespace(world_size=1, logging_strategy="epoch", eval_strategy="epoch")
    stop, control = StopControl(), new_control()
    stop.requested = True
    stop.on_step_end(per_epoch, state(3, 0.6), control)
    assert control.should_save
    stop.on_save(per_epoch, state(3, 0.6), control)
    control.should_log = control.should_evaluate = control.should_save = True
    stop.on_epoch_end(per_epoch, state(3, 0.6), control)
    assert [control.should_log, control.should_evaluate, control.should_save] == [False] * 3


def test_a_run_that_is_complete_is_not_stopped():
    stop, control = StopControl(), new_control()
    stop.requested = True
    stop.on_step_end(ALONE, state(10, 1.0), control)
    assert not stop.stopped
    assert not control.should_save
