"""TensorBoard's event files."""

from pathlib import Path

from rlhf_losses.checks.optional_packages import require_packages
from rlhf_losses.errors import UnreadableDatasetError, first_line
from rlhf_losses.report.log_rows import LogRow, LogRows

EVENT_FILE = "tfevents"
"""Part of the name of every event file."""


def read_event_file(path: Path) -> LogRows:
    """Return the scalars of an event file as rows.

    Args:
        path: the file.

    Raises:
        UnreadableDatasetError: the file is no event file.
        MissingPackageError: TensorBoard is not installed.
    """
    require_packages(["tensorboard"], "Reading TensorBoard's event files", extra="tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    rows: list[LogRow] = []
    others = 0
    try:
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor) if value.HasField("tensor") else None
                if array is not None and array.ndim == 0 and array.dtype.kind == "f":
                    rows.append({"step": event.step, value.tag: float(array)})
                else:
                    others += 1
    except Exception as error:  # the loader raises errors of protobuf and of its own
        raise UnreadableDatasetError(
            f"'{path}' is no event file of TensorBoard: {first_line(error)}. Name a file of a SummaryWriter."
        ) from error
    return LogRows(tuple(rows), others)
