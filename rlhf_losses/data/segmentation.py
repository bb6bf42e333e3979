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
    # White space before the first word belongs to the first step.
    cuts = [0, *(end for end in ends if end < len(text) and text[:end].strip()), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if end > start] or [text]


def locate_segments(segments: Sequence[str], text: str, stop: int | None = None) -> list[int] | None:
    r"""Return the end of each step in a text that contains the steps, up to differences in white space.

    Chat templates and tokenizers remove white space at the edges of a text, and some insert it. A step ends after its
    own white space, as far as the text has it.

    Args:
        segments: the joined steps of an answer, see `join_segments`.
        text: a text that contains the answer; of several occurrences the last one counts.
        stop: index after the last character to search; by default the end of the text.

    Returns:
        For each step, the number of characters of `text` up to its end, or None if the text does not contain them.

    Examples:
        >>> locate_segments([" One.\n", "Two.\n"], "<a>One.\nTwo.</a>")
        [8, 12]
    """
    visible = [index for index, character in enumerate(text[:stop]) if not character.isspace()]
    words = ["".join(segment.split()) for segment in segments]
    at = "".join(text[index] for index in visible).rfind("".join(words))
    if at < 0:
        return None
    ends: list[int] = []
    for segment, word in zip(segments, words, strict=True):
        at += len(word)
        end = visible[at - 1] + 1 if word else (ends[-1] if ends else 0)
        spaces = len(segment) - len(segment.rstrip())
        following = text[end : end + spaces]
        ends.append(end + len(following) - len(following.lstrip()))
    return ends


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
