"""Steps of an answer: joining given steps to a text, and splitting a text into steps."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

SEGMENTATIONS: Mapping[str, re.Pattern[str]] = {
    "paragraphs": re.compile(r"\n\s*\n\s*"),
    "lines": re.compile(r"\n\s*"),
    "sentences": re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+"),
}
"""Patterns that end a step, from coarse to fine. The matched characters belong to the step that they end."""


def join_segments(segments: Sequence[str], separator: str = "\n") -> list[str]:
    r"""Append `separator` to every step that no white space separates from the next one.

    Args:
        segments: the steps of one answer, in order.
        separator: string inserted between two steps.

    Returns:
        The steps as they occur in the text; their concatenation is the answer.

    Examples:
        >>> join_segments(["First. ", "Second.", "Third."])
        ['First. ', 'Second.\n', 'Third.']
    """
    followers = [*segments[1:], " "]
    return [
        segment if segment[-1:].isspace() or follower[:1].isspace() else segment + separator
        for segment, follower in zip(segments, followers, strict=True)
    ]


def split_segments(text: str, segmentation: str) -> list[str]:
    """Split a text into steps.

    Args:
        text: an answer.
        segmentation: a key of `SEGMENTATIONS`.

    Returns:
        At least one step; the concatenation of all steps is `text`.

    Examples:
        >>> split_segments("A cat sat. It slept!  The end.", "sentences")
        ['A cat sat. ', 'It slept!  ', 'The end.']
    """
    ends = [match.end() for match in SEGMENTATIONS[segmentation].finditer(text)]
    cuts = [0, *(end for end in ends if end < len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if end > start] or [text]


def infer_segmentation(answers: Sequence[Sequence[str]]) -> str:
    r"""Return the segmentation that reproduces the number of steps of most answers; ties go to the coarsest.

    Args:
        answers: the joined steps of each answer, see `join_segments`.

    Examples:
        >>> infer_segmentation([["One.\n", "Two. Three."], ["Four.\n", "Five."]])
        'lines'
    """

    def matches(segmentation: str) -> int:
        return sum(len(split_segments("".join(steps), segmentation)) == len(steps) for steps in answers)

    return max(SEGMENTATIONS, key=matches)
