"""Findings: sentences about a run, an evaluation or a dataset, each with the numbers that it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means for the reader."""

    PROBLEM = "Problem"
    GOOD = "Good"
    NOTE = "Note"


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
    """Return findings with their subject.

    Args:
        subject: name of the run, the evaluation or the dataset.
        findings: the findings.
    """
    return [Finding(one.severity, one.text, subject) for one in findings]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the problems first, or with a sentence that there are none.

    Args:
        findings: the findings.

    Examples:
        >>> [one.text for one in in_order([note("Rises."), problem("NaN.")])]
        ['NaN.', 'Rises.']
        >>> [one.text for one in in_order([note("Rises.")])]
        ['These numbers show no problem.', 'Rises.']
    """
    found = sorted(findings, key=lambda one: list(Severity).index(one.severity))
    has_problem = bool(found) and found[0].severity is Severity.PROBLEM
    return found if has_problem else [good("These numbers show no problem."), *found]
