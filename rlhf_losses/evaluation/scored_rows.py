"""Scored rows: one JSON object per row with its texts, their scores, the annotations and what was right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np

from rlhf_losses.checks.json_types import has_json_type
from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.rows import feedback_types_in_row, tokenized_pair
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.evaluation.intervals import IntVector
from rlhf_losses.evaluation.items import ComparedPairs, Items, LabelledItems, RatedItems
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.feedback.base import Row, Text


@dataclass(frozen=True)
class ScoredRow:
    """A row of a dataset with the scores of its texts.

    Texts are counted from 0 within the row; an answer in steps has one text and one score for each step.

    Attributes:
        row: position of the row in the dataset; of a converted row, of its original row.
        key: hash of the values in the columns that are read.
        prompt: prompt of the answers, or null.
        answers: the answers, or their steps; null for token ids.
        scores: score of each text.
        tokens: number of tokens of the answer up to each score.
        prompt_tokens: number of tokens of the prompt.
        better: text with the better answer of each comparison.
        worse: text with the worse answer of each comparison.
        labelled: texts with a label or a rating.
        labels: label (1 or −1) or rating of each of these texts.
        outcomes: 1 for each comparison or label that the scores agree with, 0.5 for equal scores (or a score of 0),
            otherwise 0; empty for ratings.
        columns: values of further columns.
    """

    row: int
    key: str
    prompt: Text | None
    answers: tuple[Text | None, ...]
    scores: tuple[float, ...]
    tokens: tuple[int, ...]
    prompt_tokens: int
    better: tuple[int, ...] = ()
    worse: tuple[int, ...] = ()
    labelled: tuple[int, ...] = ()
    labels: tuple[float, ...] = ()
    outcomes: tuple[float, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the row of a JSON object.

        Raises:
            InvalidFeedbackError: a value is missing or has another type.
        """
        lists = {"scores": list[float], "outcomes": list[float], "better": list[int], "worse": list[int]}
        lists |= {"answers": list[Any], "tokens": list[int], "labelled": list[int], "labels": list[float]}
        wrong = [name for name, kind in lists.items() if not has_json_type(values.get(name), kind)]
        wrong += [name for name, kind in (("row", int), ("key", str)) if not has_json_type(values.get(name), kind)]
        if wrong:
            raise InvalidFeedbackError(
                f"A scored row has no valid '{wrong[0]}', so it was not written by `rlhf-losses evaluate`. Evaluate "
                "again."
            )
        names = {f.name for f in fields(cls)} & values.keys()
        found: dict[str, Any] = {name: tuple(values[name]) if name in lists else values[name] for name in names}
        return cls(**found)


def scored_rows(data: ScoredData, kinds: Sequence[Items]) -> Iterator[ScoredRow]:
    """Yield the scored rows of a dataset.

    Args:
        data: the scored dataset.
        kinds: its items, by kind.
    """
    starts = np.searchsorted(data.texts.row, np.arange(len(data.rows) + 1))
    scores, tokens = data.values.tolist(), data.answer_tokens.tolist()
    kinds = [_within_rows(data, items) for items in kinds]
    by_kind = [_by_row(items, len(data.rows)) for items in kinds]
    for index, row in enumerate(data.rows):
        start, end = int(starts[index]), int(starts[index + 1])
        prompt, answers = _texts(data, row)
        yield ScoredRow(
            row=int(data.numbers[index]),
            key=data.texts.row_keys[index].hex(),
            prompt=prompt,
            answers=tuple(answers or [None] * (end - start)),
            scores=tuple(scores[start:end]),
            tokens=tuple(tokens[start:end]),
            prompt_tokens=int(data.prompt_tokens[start]) if end > start else 0,
            columns={name: values[index] for name, values in data.columns.items()},
            **_joined(
                [_annotations(items, of_row[index], start) for items, of_row in zip(kinds, by_kind, strict=True)]
            ),
        )


def _within_rows(data: ScoredData, items: Items) -> Items:
    """Return the items without comparisons between answers of different rows."""
    return items.select(data.texts.row[items.worse] == items.row) if isinstance(items, ComparedPairs) else items


def _by_row(items: Items, rows: int) -> list[IntVector]:
    """Return the indices of the items of each row."""
    order = np.argsort(items.row, kind="stable")
    return np.split(order, np.searchsorted(items.row[order], np.arange(1, rows)))


def _texts(data: ScoredData, row: Row) -> tuple[Text | None, list[Text]]:
    """Return the prompt and the parts of the answers of a row, in the order of its scores."""
    if tokenized_pair(row):
        return None, []
    types = feedback_types_in_row(row, [type(part) for part in data.feedback.parts])
    answers = [answer for feedback_type in types for answer in row_answers(row, feedback_type)]
    return answers[0].prompt if answers else None, [part for answer in answers for part in answer.parts]


def _annotations(items: Items, chosen: IntVector, start: int) -> dict[str, list[Any]]:
    if isinstance(items, ComparedPairs):
        return {
            "better": (items.better[chosen] - start).tolist(),
            "worse": (items.worse[chosen] - start).tolist(),
            "outcomes": items.outcome[chosen].tolist(),
        }
    labelled = {"labelled": (items.position[chosen] - start).tolist()}
    if isinstance(items, LabelledItems):
        return {
            **labelled,
            "labels": items.labelled[chosen, 1].tolist(),
            "outcomes": items.outcome[chosen].tolist(),
        }
    assert isinstance(items, RatedItems)
    return {**labelled, "labels": items.rating[chosen].tolist()}


def _joined(parts: Sequence[Mapping[str, list[Any]]]) -> dict[str, tuple[Any, ...]]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: tuple(value for part in parts for value in part.get(name, ())) for name in names}
