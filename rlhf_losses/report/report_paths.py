"""What a report shows of a path: a run, an evaluation or a dataset."""

from collections.abc import Sequence
from pathlib import Path

from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_files import read_run

EVALUATION_FILES = ("metrics.json", "scores.jsonl")
"""Files of a folder that `rlhf-losses evaluate` has written."""


def read_report(paths: Sequence[Path]) -> Report:
    """Read runs and evaluations.

    Args:
        paths: folders of runs or of evaluations, or logs.

    Raises:
        UnreadableDatasetError: a path has neither a log nor an evaluation.
    """
    evaluations = [path for path in paths if all((path / name).is_file() for name in EVALUATION_FILES)]
    runs = [read_run(path) for path in paths if path not in evaluations]
    if not evaluations:
        return Report(runs)
    from rlhf_losses.evaluation.output_folder import read_evaluation

    return Report(runs, [read_evaluation(path) for path in evaluations])
