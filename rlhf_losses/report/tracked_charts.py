"""The charts of a run in TensorBoard and Trackio, when it has ended."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback, TrackioCallback
from transformers.trainer_callback import CallbackHandler

from rlhf_losses.report.charts import Chart
from rlhf_losses.report.log_rows import LogRows
from rlhf_losses.report.pictures import draw
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_log import RunLog
from rlhf_losses.report.run_sections import charts_by_title

END = "train_runtime"
"""Metric of the last log of a run."""

FOLDER = "report"
"""Beginning of the names of the charts."""


class TrackedCharts(TrainerCallback):
    """Add the charts of a report to the trackers of a run, as pictures, with its last log.

    Args:
        handler: handler of the callbacks of the trainer, among which the trackers are.
    """

    def __init__(self, handler: CallbackHandler) -> None:
        self.handler = handler

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """Add the charts if the run has ended and the trackers can show pictures."""
        if END not in (logs or {}) or not state.is_world_process_zero:
            return
        trackers = list(self._trackers())
        if not trackers or importlib.util.find_spec("matplotlib") is None:
            return
        run = Run("run", Path(args.output_dir), RunLog.of(LogRows(tuple(state.log_history))))
        charts = [chart for part in charts_by_title([run]).values() for chart in part]
        for add in trackers:
            add(charts, state.global_step)

    def _trackers(self) -> Iterator[Callable[[Sequence[Chart], int], None]]:
        """Yield a function for each tracker of the run that adds charts to it."""
        for one in self.handler.callbacks:
            if isinstance(one, TensorBoardCallback) and one.tb_writer is not None:
                yield partial(_add_to_tensorboard, one.tb_writer)
            elif isinstance(one, TrackioCallback):
                yield _add_to_trackio


def _add_to_tensorboard(writer: Any, charts: Sequence[Chart], step: int) -> None:
    for chart in charts:
        writer.add_figure(_name(chart), draw([chart]), step)


def _add_to_trackio(charts: Sequence[Chart], step: int) -> None:
    import trackio

    trackio.log({_name(chart): trackio.Image(_pixels(chart)) for chart in charts}, step=step)


def _name(chart: Chart) -> str:
    return f"{FOLDER}/{chart.title}"


def _pixels(chart: Chart) -> NDArray[np.uint8]:
    """Return a chart as an array of shape (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(draw([chart]))  # its methods have no annotations
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
