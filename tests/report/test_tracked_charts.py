"""Charts of a run in TensorBoard and Trackio."""

from types import SimpleNamespace

import pytest
from transformers import TrainingArguments
from transformers.integrations import TensorBoardCallback, TrackioCallback
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerControl, TrainerState

from rlhf_losses.report.charts import Chart, Trace
from rlhf_losses.report.tracked_charts import TrackedCharts, _pixels

pytest.importorskip("matplotlib")


def test_tensorboard_gets_the_charts_with_the_last_log(tmp_path):
    pytest.importorskip("tensorboard", reason="needs TensorBoard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    args = TrainingArguments(str(tmp_path), report_to="none")
    writer = SummaryWriter(str(tmp_path))
    handler = CallbackHandler([DefaultFlowCallback(), TensorBoardCallback(writer)], None, None, None, None)
    handler.add_callback(TrackedCharts(handler))
    rows = [{"step": step, "reward": step / 2, "kl_per_completion": step / 4} for step in (1, 2, 3)]
    state = TrainerState(global_step=3, log_history=rows, is_world_process_zero=True)
    for logs in (rows[-1], {"train_runtime": 1.0}):
        handler.on_log(args, state, TrainerControl(), logs)
    writer.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    titles = {"Reward", "KL to the reference per completion", "Reward against √KL"}
    assert {f"report/{title}" for title in titles} == set(found.Tags()["images"])
    (image,) = found.Images("report/Reward against √KL")
    assert (image.step, image.encoded_image_string[:4]) == (3, b"\x89PNG")


@pytest.mark.thorough
def test_trackio_gets_the_charts_with_the_last_log(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    pytest.importorskip("trackio", reason="needs Trackio")
    args = TrainingArguments(str(tmp_path), report_to="none", project="runs")
    handler = CallbackHandler([DefaultFlowCallback(), TrackioCallback()], None, None, None, None)
    handler.add_callback(TrackedCharts(handler))
    rows = [{"step": step, "reward": step / 2} for step in (1, 2, 3)]
    state = TrainerState(global_step=3, log_history=rows, is_world_process_zero=True)
    handler.on_train_begin(args, state, TrainerControl())
    handler.on_log(args, state, TrainerControl(), {"train_runtime": 1.0})
    handler.on_train_end(args, state, TrainerControl())
    (image,) = (tmp_path / "media").rglob("*.png")
    assert image.read_bytes()[:4] == b"\x89PNG"


def test_without_a_tracker_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr("rlhf_losses.report.tracked_charts.draw", lambda _charts: pytest.fail("drawn"))
    handler = SimpleNamespace(callbacks=[])
    state = TrainerState(log_history=[{"step": 1, "loss": 1.0}], is_world_process_zero=True)
    TrackedCharts(handler).on_log(SimpleNamespace(output_dir="."), state, TrainerControl(), {"train_runtime": 1.0})


def test_pixels_of_a_chart():
    pixels = _pixels(Chart("t", [Trace("a", [1.0, 2.0], [3.0, 4.0])], "x", "y"))
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert len({tuple(one) for one in pixels.reshape(-1, 3).tolist()}) > 10
