"""Rows of a dataset to read: those that contradict each other; and the lengths of compared answers."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from datasets import Dataset

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.read_columns import source_rows_of
from rlhf_losses.data.rows import feedback_types_in_row, tokenized_pair
from rlhf_losses.feedback import Feedback, feedback_types_in_columns
from rlhf_losses.feedback.base import Text
from rlhf_losses.inspection.annotations import AnnotatedTexts, FloatVector, collect_annotations
from rlhf_losses.inspection.comparisons import LABEL_THRESHOLD, Comparisons, comparisons_in

Sides: TypeAlias = tuple[int, int]
"""Ids of the texts of a comparison, or of a text and `LABEL_THRESHOLD`."""


@dataclass(frozen=True)
class Contradiction:
    """Rows with the same texts and opposite annotations.

    Attributes:
        rows: numbers of the rows in which the first answer is better, or its label positive.
        opposite_rows: numbers of the rows in which the second answer is better, or the label negative.
        prompt: the prompt, or None.
        answers: the two answers, or the one with a label; of an answer in steps the last step.
    """

    rows: tuple[int, ...]
    opposite_rows: tuple[int, ...]
    prompt: Text | None
    answers: tuple[Text, ...]


@dataclass(frozen=True, eq=False)
class AnnotatedExamples:
    """What a reader looks at in a dataset.

    Attributes:
        contradictions: contradictory rows, as far as their texts are known.
        better_lengths: characters of the better answer of each comparison.
        worse_lengths: characters of the worse one.
    """

    contradictions: tuple[Contradiction, ...]
    better_lengths: FloatVector
    worse_lengths: FloatVector


def annotated_examples(dataset: Dataset, limit: int, rows: Sequence[int] | None = None) -> AnnotatedExamples:
    """Return the contradictory rows of a dataset and the lengths of compared answers.

    Args:
        dataset: a dataset with the columns of this library.
        limit: largest number of contradictory pairs of answers.
        rows: indices of the rows to use, all of which are valid; by default all.

    Examples:
        >>> texts = {"prompt": ["q", "q"], "chosen": ["yes", "no"], "rejected": ["no", "yes"]}
        >>> annotated_examples(Dataset.from_dict(texts), limit=5).contradictions
        (Contradiction(rows=(0,), opposite_rows=(1,), prompt='q', answers=('yes', 'no')),)
    """
    dataset = dataset if rows is None else dataset.select(rows)
    names = source_rows_of(dataset, range(len(dataset)) if rows is None else rows)
    types = feedback_types_in_columns(dataset.column_names)
    texts = collect_annotations(dataset, types)
    parts = [comparisons_in(part) for part in texts.feedback.parts if len(part)]
    compared = [one for one in parts if one is not None]
    lengths = np.concatenate([np.empty((2, 0)), *(_lengths(texts, one) for one in compared)], axis=1)
    found = [
        replace(one, rows=_named(one.rows, names), opposite_rows=_named(one.opposite_rows, names))
        for part in compared
        for one in _contradictions(dataset, types, texts, part)
    ]
    return AnnotatedExamples(tuple(found[:limit]), lengths[0], lengths[1])


def _named(rows: Sequence[int], names: Sequence[int]) -> tuple[int, ...]:
    return tuple(names[row] for row in rows)


def _lengths(texts: AnnotatedTexts, comparisons: Comparisons) -> FloatVector:
    """Return the lengths of the better and of the worse answers, without ties and labels."""
    kept = comparisons.select((comparisons.second != LABEL_THRESHOLD) & (comparisons.direction != 0))
    first, second = texts.answer_length[kept.first], texts.answer_length[kept.second]
    lengths: FloatVector = np.where(kept.direction > 0, [first, second], [second, first])
    return lengths[:, ~np.isnan(lengths).any(0)]


def _contradictions(
    dataset: Dataset, types: Sequence[type[Feedback]], texts: AnnotatedTexts, comparisons: Comparisons
) -> Iterator[Contradiction]:
    starts = np.searchsorted(texts.row, np.arange(len(texts.row_keys)))
    preferring: dict[Sides, dict[int, Sides]] = defaultdict(dict)
    for first, second, direction in zip(
        comparisons.first.tolist(), comparisons.second.tolist(), comparisons.direction.tolist(), strict=True
    ):
        sides = int(texts.text[first]), LABEL_THRESHOLD if second == LABEL_THRESHOLD else int(texts.text[second])
        if direction and sides[0] != sides[1]:  # two equal texts do not contradict each other
            preferring[sides if direction > 0 else (sides[1], sides[0])][int(texts.row[first])] = first, second
    for (better, worse), rows in preferring.items():
        opposite = preferring.get((worse, better), {})
        row, positions = next(iter(rows.items()))
        if not opposite or next(iter(opposite)) < row or tokenized_pair(dataset[row]):
            continue
        answers = [
            (answer.prompt, part)
            for one in feedback_types_in_row(dataset[row], types)
            for answer in row_answers(dataset[row], one)
            for part in answer.parts
        ]
        places = [position - starts[row] for position in positions if position != LABEL_THRESHOLD]
        better_first = places if texts.text[positions[0]] == better else places[::-1]
        shown = tuple(answers[place][1] for place in better_first)
        yield Contradiction(tuple(rows), tuple(opposite), answers[places[0]][0], shown)
