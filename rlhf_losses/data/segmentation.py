"""Segments of a text: how given ones are joined, and how a text without marks is cut again."""

import re
from collections.abc import Sequence
from itertools import pairwise

SPLITTERS = {
    "paragraphs": re.compile(r"\n\s*\n\s*"),
    "lines": re.compile(r"\n\s*"),
    "sentences": re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+"),
}
"""Ways to cut a text into segments, the coarsest first; each match ends one segment and belongs to it."""


def join_segments(segments: Sequence[str], separator: str = "\n") -> list[str]:
    """Return the segments as they stand in the text: `separator` goes where no white space parts two of them.

    >>> join_segments(["First. ", "Second.", "Third."])
    ['First. ', 'Second.\\n', 'Third.']
    """
    followers = [*segments[1:], " "]
    return [
        segment if segment[-1:].isspace() or after[:1].isspace() else segment + separator
        for segment, after in zip(segments, followers, strict=True)
    ]


def split_segments(text: str, how: str) -> list[str]:
    """ForwardPassSplitter a text into segments that add up to it.

    >>> split_segments("A cat sat. It slept!  The end.", "sentences")
    ['A cat sat. ', 'It slept!  ', 'The end.']
    """
    ends = [match.end() for match in SPLITTERS[how].finditer(text)]
    cuts = [0, *(end for end in ends if end < len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if end > start] or [text]


def find_splitter(answers: Sequence[Sequence[str]]) -> str:
    """Return the way of cutting that finds the number of given segments in most answers, the coarsest of equals.

    >>> find_splitter([["One.\\n", "Two. Three."], ["Four.\\n", "Five."]])
    'lines'
    """

    def agreement(how: str) -> int:
        return sum(len(split_segments("".join(parts), how)) == len(parts) for parts in answers)

    return max(SPLITTERS, key=agreement)
