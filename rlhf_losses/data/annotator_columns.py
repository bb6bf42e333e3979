"""Columns with the ids of annotators."""

import re
from collections.abc import Iterable

_NAMES = re.compile(r"(annotator|worker|rater|labell?er|judge|evaluator|coder)([_-]?(id|name))?", re.IGNORECASE)


def find_annotator_column(columns: Iterable[str]) -> str | None:
    """Return the first column whose name says that it has the ids of annotators.

    Examples:
        >>> find_annotator_column(["prompt", "chosen", "rejected", "worker_id"])
        'worker_id'
        >>> find_annotator_column(["prompt", "WorkerId"]), find_annotator_column(["prompt", "judgement"])
        ('WorkerId', None)
    """
    return next((name for name in columns if _NAMES.fullmatch(name)), None)
