"""Findings: sentences about a run, an evaluation or a dataset, each with the numbers that it rests on."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
        is_consequence: whether other problems are its cause, if there are any; such findings come after them.
    """

    severity: Severity
    text: str
    subject: str = ""
    is_consequence: bool = False

    @property
    def headline(self) -> str:
        """What it is about: the words before the first colon, or the first sentence.

        Examples:
            >>> problem("Not finite: loss is NaN.").headline, problem("The reward falls from 2.5 to 1. Why?").headline
            ('Not finite', 'The reward falls from 2.5 to 1')
        """
        return re.split(r"[.:;](?:\s|$)", self.text, maxsplit=1)[0]


def problem(text: str) -> Finding:
    """Return a finding that is a problem."""
    return Finding(Severity.PROBLEM, text)


def consequence(text: str) -> Finding:
    """Return a finding that is a problem, and comes after those that can be its cause."""
    return Finding(Severity.PROBLEM, text, is_consequence=True)


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
    return [replace(one, subject=subject) for one in findings]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the problems first, causes before consequences, or with a sentence that there are none.

    Without problems this is good news only if something else is.

    Args:
        findings: the findings.

    Examples:
        >>> [one.text for one in in_order([note("Rises."), problem("NaN.")])]
        ['NaN.', 'Rises.']
        >>> [one.text for one in in_order([note("Rises.")])]
        ['These numbers show no problem.', 'Rises.']
        >>> in_order([])[0].text
        'Not judged: no rule applies to these numbers.'
    """
    found = sorted(findings, key=lambda one: (list(Severity).index(one.severity), one.is_consequence))
    if not found:
        return [note("Not judged: no rule applies to these numbers.")]
    if found[0].severity is Severity.PROBLEM:
        return found
    none = good if found[0].severity is Severity.GOOD else note
    return [none(NO_PROBLEM), *found]


NO_PROBLEM = "These numbers show no problem."

HEADLINES = 3
"""Number of problems that a verdict names."""


def verdict(findings: Sequence[Finding]) -> str:
    """Return the problems in one line, the main one first.

    Args:
        findings: the findings, in order.

    Examples:
        >>> verdict(in_order([consequence("Too certain: 0.2."), problem("Length bias: 0.6."), note("Rises.")]))
        'Length bias; Too certain'
        >>> verdict(in_order([note("Rises.")])), verdict(in_order([]))
        ('no problem found', 'not judged')
    """
    if [one.headline for one in findings] == ["Not judged"]:
        return "not judged"
    if findings and findings[0] == good(NO_PROBLEM):
        return "good, no problem found"
    names = list(dict.fromkeys(one.headline for one in findings if one.severity is Severity.PROBLEM))
    more = f"; {len(names) - HEADLINES} more" if len(names) > HEADLINES else ""
    return "; ".join(names[:HEADLINES]) + more or "no problem found"
