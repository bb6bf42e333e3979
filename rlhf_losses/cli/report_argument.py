"""The argument `--report` of commands that have results to show."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_losses.checks.optional_packages import REPORT_PACKAGES, require_packages
from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.report.report_file import REPORT_FILE, Report, require_replaceable


@dataclass
class ReportArguments:
    """The argument of training commands."""

    report: bool = field(default=False, metadata={"help": f"Write {REPORT_FILE} into --output_dir."})


def add_report_argument(parser: ArgumentParser, place: str) -> None:
    """Add the argument to a parser.

    Args:
        parser: the parser.
        place: where the report is written, for the help.
    """
    parser.add_argument("--report", action="store_true", help=f"write {REPORT_FILE} {place}")


def requested_report(wanted: bool, output_dir: str | None, command: str) -> Path | None:
    """Return the file of the report of a command, or None if none is wanted.

    Args:
        wanted: value of `--report`.
        output_dir: folder of the results; None for the current folder.
        command: name of the command, for messages.

    Raises:
        MissingPackageError: a package that reports need is not installed.
        OutputExistsError: the file exists and is no report.
    """
    if not wanted:
        return None
    require_packages(REPORT_PACKAGES, f"rlhf-losses {command} --report")
    file = Path(output_dir or "") / REPORT_FILE
    require_replaceable(file)
    return file


def write_report(report: Report, file: Path, to_stderr: bool = False) -> None:
    """Write a report and print its place.

    Args:
        report: the report.
        file: its file.
        to_stderr: whether stdout has other results, such as JSON.
    """
    report.write(file)
    print(f"{file} has the report. Open it in a browser.", file=sys.stderr if to_stderr else sys.stdout)
