"""Columns with the ids of annotators."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from datasets import Dataset, IterableDataset

from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW
from rlhf_losses.files.column_values import sampled_values
from rlhf_losses.files.verdict_columns import Evidence, verdict_evidence, words_of

_WHO = (
    r"(annotator|(crowd[ _-]?)?worker|turker|rater|labell?er|judge|evaluator|coder|reviewer|assessor|grader)"
    r"([ _-]?(id|name|e?mail|initials|code|no))?"
)
_BY = r"(annotated|rated|labell?ed|judged|evaluated|reviewed|assessed|graded|scored)[ _-]?by"
_NAMES = re.compile(f"{_WHO}|{_BY}", re.IGNORECASE)

OTHER_WORDS = frozenset(
    ("model", "source", "dataset", "subset", "split", "lang", "language", "locale", "country", "category", "class",
     "type", "kind", "domain", "topic", "task", "tag", "status", "date", "day", "month", "time", "version", "channel",
     "product", "group", "role", "system", "prompt", "answer", "response", "reply", "question", "winner", "label",
     "reason", "comment", "difficulty", "level", "gender", "file", "url")
)  # fmt: skip
"""Words in the names of columns whose values often repeat, and which are no annotators."""

LONGEST, SHARE = 40, 0.5
"""Largest number of characters of an id, and of different ids per row, in a column that could have annotators."""


def find_annotator_column(columns: Iterable[str]) -> str | None:
    """Return the first column whose name says that it has the ids of annotators; `annotator` comes first.

    Examples:
        >>> find_annotator_column(["prompt", "chosen", "rejected", "worker_id"])
        'worker_id'
        >>> find_annotator_column(["reviewed_by", "annotator"]), find_annotator_column(["prompt", "judgement"])
        ('annotator', None)
    """
    found = [name for name in columns if _NAMES.fullmatch(name)]
    return min(found, key=lambda name: not name.lower().startswith("annotator"), default=None)


def possible_annotator_columns(dataset: Dataset | IterableDataset) -> tuple[str, ...]:
    """Return the columns that are not read and could have the ids of annotators: a few short texts that repeat.

    Args:
        dataset: a dataset or a stream.

    Examples:
        >>> rows = {"chosen": ["a", "b", "c", "d"], "checker": ["Ann", "Bo", "Ann", "Bo"], "language": ["en"] * 4}
        >>> possible_annotator_columns(Dataset.from_dict(rows))
        ('checker',)
    """
    names = list(dataset.column_names or next(iter(dataset), {}))
    unread = [name for name in names if name not in (*COLUMNS, SOURCE_ROW, SOURCE_ITEM)]
    values = sampled_values(dataset, [name for name in unread if not OTHER_WORDS & set(words_of(name))])
    return tuple(name for name, of_column in values.items() if _could_be_annotators(name, of_column))


def _could_be_annotators(name: str, values: Sequence[Any]) -> bool:
    filled = [value for value in values if value not in (None, "")]
    if not all(isinstance(value, str) and len(value) <= LONGEST for value in filled):
        return False
    return 2 <= len(set(filled)) <= SHARE * len(filled) and verdict_evidence(name, filled) is Evidence.NONE
