"""What a report shows of a path: runs, an evaluation or a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, RlhfLossesError
from rlhf_losses.messages.printed_commands import printed_command
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_files import Run, read_runs

if TYPE_CHECKING:  # a report of runs alone does not wait until torch is imported
    from rlhf_losses.report.dataset_sections import InspectedDataset

EVALUATION_FILES = ("metrics.json", "scores.jsonl")
"""Files of a folder that `rlhf-losses evaluate` has written."""

TEXT_COLUMNS = {"prompt", "chosen", "rejected", "completion", "completions", "messages", "response", "question", "text"}
"""Columns that data have and logs have not."""

MOST_COLUMNS = 12
"""Largest number of columns in a message."""


def read_report(paths: Sequence[Path], plugins: Sequence[str] = ()) -> Report:
    """Read runs, evaluations and datasets.

    Args:
        paths: folders of runs or of evaluations, logs, or files of data.
        plugins: Python files with further losses and converters.

    Raises:
        UnreadableDatasetError: a path has neither a log nor an evaluation nor data.
    """
    runs: list[Run] = []
    datasets: list[InspectedDataset] = []
    evaluations = [path for path in paths if all((path / name).is_file() for name in EVALUATION_FILES)]
    for path in (path for path in paths if path not in evaluations):
        found, reason = _runs(path)
        is_log = found and not any(map(_has_texts, found))
        dataset, problem = (None, None) if is_log else _dataset(path, plugins)
        if dataset is not None:
            datasets.append(dataset)
        elif problem is not None and isinstance(reason, InvalidFeedbackError):
            raise problem
        elif reason is not None:
            raise reason
        else:
            runs += found
    if not evaluations:
        return Report(runs, datasets=datasets)
    from rlhf_losses.evaluation.output_folder import read_evaluation

    return Report(runs, [read_evaluation(path) for path in evaluations], datasets)


def _runs(path: Path) -> tuple[list[Run], RlhfLossesError | None]:
    """Return the runs of a path, or why there are none."""
    try:
        return read_runs(path), None
    except RlhfLossesError as error:
        return [], error


def _has_texts(run: Run) -> bool:
    return not TEXT_COLUMNS.isdisjoint(run.log.texts)


def _dataset(path: Path, plugins: Sequence[str]) -> "tuple[InspectedDataset | None, InvalidFeedbackError | None]":
    """Return the dataset of a path, or an error about its columns if they are unknown."""
    from datasets import Dataset

    from rlhf_losses.data import convert_dataset
    from rlhf_losses.files.splits import load_rows
    from rlhf_losses.hooks import loss_registry
    from rlhf_losses.report.dataset_sections import InspectedDataset

    if not path.exists():
        return None, None
    names: Sequence[str] = ()
    try:
        loaded = load_rows(str(path), None, None, {})
        names = loaded.column_names or ()
        rows = convert_dataset(loaded, None, str(path), plugins)
        assert isinstance(rows, Dataset)
        return InspectedDataset.of(rows, loss_registry(plugins), path.name), None
    except FeedbackMismatchError:
        return None, _neither_log_nor_data(path, names)
    except RlhfLossesError:
        return None, None


def _neither_log_nor_data(path: Path, columns: Sequence[str]) -> InvalidFeedbackError:
    shown = ", ".join(columns[:MOST_COLUMNS]) + (", …" if len(columns) > MOST_COLUMNS else "")
    return InvalidFeedbackError(
        f"'{path}' has the columns {shown}, so it is neither a log of a run nor data. A log has names such as step, "
        "loss and reward, and data have columns such as prompt, chosen and rejected. Name another file, or rename the "
        f"columns of data; '{printed_command('inspect', '--dataset', path)}' says how."
    )
