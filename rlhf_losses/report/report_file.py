"""The report of runs and evaluations as a file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rlhf_losses.errors import OutputExistsError
from rlhf_losses.report.page import GENERATOR, Section, render_page
from rlhf_losses.report.run_files import read_run
from rlhf_losses.report.run_sections import run_sections
from rlhf_losses.setting_names import setting

EVALUATION_FILES = ("metrics.json", "scores.jsonl")
"""Files of a folder that `rlhf-losses evaluate` has written."""


def build_report(paths: Sequence[Path]) -> str:
    """Return a report as HTML.

    Args:
        paths: folders of runs or of evaluations, or logs.

    Raises:
        UnreadableDatasetError: a path has neither a log nor an evaluation.
    """
    evaluations = [path for path in paths if all((path / name).is_file() for name in EVALUATION_FILES)]
    runs = [read_run(path) for path in paths if path not in evaluations]
    sections = [*(_evaluation_sections(evaluations) if evaluations else ()), *(run_sections(runs) if runs else ())]
    names = [*(path.resolve().name for path in evaluations), *(run.name for run in runs)]
    return render_page(f"Report: {', '.join(names)}", sections)


def _evaluation_sections(paths: Sequence[Path]) -> Iterator[Section]:
    # A report of runs alone does not wait until transformers is imported.
    from rlhf_losses.evaluation.output_folder import read_evaluation
    from rlhf_losses.report.evaluation_sections import evaluation_sections

    yield from evaluation_sections([read_evaluation(path) for path in paths])


def require_replaceable(file: Path) -> None:
    """Raise `OutputExistsError` if a file exists that is no report.

    Args:
        file: the file of a new report.
    """
    if not file.exists():
        return
    beginning = file.read_text(encoding="utf-8", errors="replace")[:2000] if file.is_file() else ""
    if f'content="{GENERATOR}"' not in beginning:
        raise OutputExistsError(
            f"'{file}' exists and is no report, so it is not replaced. Choose another file: "
            f"{setting('output', 'FILE')}."
        )
