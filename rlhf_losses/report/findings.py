"""Findings: sentences about a run, an evaluation or a dataset, each with the numbers that it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means for the reader."""

    PROBLEM = "Problem"
    NOTE = "Note"
    GOOD = "Good"


@dataclass(frozen=True)
class Finding:
    """A sentence with the numbers that it rests on.

    Attributes:
        severity: whether it is a problem.
        text: the sentences.
        subject: name of the run, the evaluation or the dataset.
    """

    severity: Severity
    text: str
    subject: str = ""


def problem(text: str) -> Finding:
    """Return a finding that is a problem."""
    return Finding(Severity.PROBLEM, text)


def note(text: str) -> Finding:
    """Return a finding that can matter."""
    return Finding(Severity.NOTE, text)


def good(text: str) -> Finding:
    """Return a finding of something that works."""
    return Finding(Severity.GOOD, text)


def about(subject: str, findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with their subject, problems first.

    Args:
        subject: name of the run, the evaluation or the dataset.
        findings: the findings.

    Examples:
        >>> [str(one.severity) for one in about("run", [good("Rises."), problem("NaN.")])]
        ['Problem', 'Good']
    """
    found = [Finding(one.severity, one.text, subject) for one in findings]
    return sorted(found, key=lambda one: list(Severity).index(one.severity))
