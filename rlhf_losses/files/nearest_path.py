"""Suggestions for files and folders that do not exist."""

import difflib
from collections.abc import Iterable
from pathlib import PurePath

SIMILARITY = 0.65
"""Smallest similarity of two names without their suffixes, from 0 to 1."""


def nearest_path(missing: PurePath, known: Iterable[PurePath]) -> str:
    """Return `" Did you mean 'x'?"` with the path whose name is nearest, or an empty string.

    Folders and suffixes are not compared, because they are equal for names that have nothing else in common.

    Args:
        missing: path that does not exist.
        known: paths to choose from.

    Examples:
        >>> nearest_path(PurePath("pair.csv"), [PurePath("one.csv"), PurePath("pairs.jsonl")])
        " Did you mean 'pairs.jsonl'?"
        >>> nearest_path(PurePath("prompts.csv"), [PurePath("empty.csv")])
        ''
    """
    rated = [(_similarity(missing, other), other.suffix == missing.suffix, str(other)) for other in known]
    similarity, _, nearest = max(rated, default=(0.0, False, ""))
    return f" Did you mean '{nearest}'?" if similarity >= SIMILARITY else ""


def _similarity(one: PurePath, other: PurePath) -> float:
    return difflib.SequenceMatcher(None, one.stem.lower(), other.stem.lower()).ratio()
