"""The report of runs, evaluations and datasets as a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_losses.errors import OutputExistsError
from rlhf_losses.report.findings import Finding, about, in_order, verdict
from rlhf_losses.report.page import GENERATOR, Section, render_page
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_findings import run_findings
from rlhf_losses.report.run_sections import run_sections

if TYPE_CHECKING:  # a report of runs alone does not wait until torch is imported
    from rlhf_losses.evaluation.output_folder import EvaluationFolder
    from rlhf_losses.report.dataset_sections import InspectedDataset

REPORT_FILE = "report.html"
"""Name of a report beside the results of a command."""


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        runs: training runs.
        evaluations: evaluations.
        datasets: datasets.
        further: further sections, after the findings.
    """

    runs: Sequence[Run] = ()
    evaluations: Sequence["EvaluationFolder"] = ()
    datasets: Sequence["InspectedDataset"] = ()
    further: Sequence[Section] = ()

    @property
    def names(self) -> list[str]:
        """What it shows, as kinds with names."""
        groups = (("data", self.datasets), ("evaluation", self.evaluations), ("run", self.runs))
        return [_named(kind, one.name) for kind, group in groups for one in group]

    @property
    def findings(self) -> list[Finding]:
        """What the numbers mean, problems first."""
        return in_order(self._findings())

    def render(self) -> str:
        """Return the report as HTML."""
        findings = self.findings
        first = Section("Findings", (), findings=findings)
        title = f"Report: {verdict(findings)} ({', '.join(self.names)})"
        return render_page(title, [first, *self.further, *self._sections()])

    def write(self, file: Path) -> None:
        """Write the report.

        Args:
            file: the file; its folder is made if it does not exist.

        Raises:
            OutputExistsError: the file exists and is no report.
        """
        require_replaceable(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.render(), encoding="utf-8")

    def _findings(self) -> Iterator[Finding]:
        if self.datasets:
            from rlhf_losses.report.dataset_sections import dataset_findings

            for dataset in self.datasets:
                yield from about(_named("data", dataset.name), dataset_findings(dataset))
        if self.evaluations:
            from rlhf_losses.report.evaluation_findings import evaluation_findings

            for evaluation in self.evaluations:
                yield from about(_named("evaluation", evaluation.name), evaluation_findings(evaluation))
        for run in self.runs:
            yield from about(_named("run", run.name), run_findings(run))
        if len(self.runs) == len(self.evaluations) == 1:
            from rlhf_losses.report.evaluation_findings import differing_accuracies

            yield from differing_accuracies(self.runs[0], self.evaluations[0])

    def _sections(self) -> Iterator[Section]:
        if self.evaluations:
            from rlhf_losses.report.evaluation_sections import evaluation_sections

            yield from evaluation_sections(self.evaluations)
        if self.runs:
            yield from run_sections(self.runs)
        if self.evaluations:
            from rlhf_losses.report.evaluation_sections import text_sections

            yield from text_sections(self.evaluations)
        if self.datasets:
            from rlhf_losses.report.dataset_sections import dataset_sections

            yield from dataset_sections(self.datasets)


def _named(kind: str, name: str) -> str:
    """Return a name with its kind, if the name does not have it."""
    return name if kind in name.lower().split() else f"{kind} {name}"


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
            f"'{file}' exists and is no report, so it is not replaced. Move it, or choose another place for the report."
        )
