"""All texts of a dataset, with their feedback over one vector of score positions."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.rows import feedback_types_in_row, join_feedback, row_feedback, tokenized_pair
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.feedback import Feedback, Mixed
from rlhf_losses.feedback.base import Answer, Messages, Row
from rlhf_losses.inspection.annotator_ids import annotator_ids

FloatVector = NDArray[np.float64]
FloatMatrix = NDArray[np.float64]
IntVector = NDArray[np.int_]
BoolVector = NDArray[np.bool_]

UNKNOWN = float("nan")


@dataclass(frozen=True)
class AnnotatedTexts:
    """Texts of a dataset and the feedback on them.

    A text is a prompt followed by an answer, or by the first steps of an answer. Entry `i` of each vector describes the
    text at score position `i`. Lengths are numbers of characters; they are NaN if the dataset has token ids only.

    Attributes:
        feedback: feedback of all rows.
        text: id of the text; equal texts have equal ids.
        prompt: id of the prompt; equal prompts have equal ids.
        prompt_length: length of the prompt; NaN without a prompt.
        answer_length: length of the answer up to this position.
        step_length: length of the step that ends here; NaN for answers with one part.
        is_answer_end: whether the answer ends here.
        row: index of the row.
        row_keys: one hash per row; rows with equal values in the columns that are read have equal hashes.
        annotator: id of the annotator of each row; negative if unknown, and then another one in each row.
    """

    feedback: Mixed
    text: IntVector
    prompt: IntVector
    prompt_length: FloatVector
    answer_length: FloatVector
    step_length: FloatVector
    is_answer_end: BoolVector
    row: IntVector
    row_keys: tuple[bytes, ...]
    annotator: IntVector


class _Text(NamedTuple):
    key: bytes
    prompt_key: bytes
    prompt_length: float = UNKNOWN
    answer_length: float = UNKNOWN
    step_length: float = UNKNOWN
    is_answer_end: bool = True


def collect_annotations(
    rows: Iterable[Row], feedback_types: Sequence[type[Feedback]], annotator_column: str | None = None
) -> AnnotatedTexts:
    """Return the texts and the feedback of all rows.

    Args:
        rows: rows of a dataset; iterated once.
        feedback_types: feedback types to use.
        annotator_column: name of the column with the ids of annotators.
    """
    read = {*TEMPLATE_COLUMNS, annotator_column}
    for feedback_type in feedback_types:
        read.update(*feedback_type.columns, feedback_type.optional_columns)
    feedback: list[Feedback] = []
    texts: list[_Text] = []
    text_counts: list[int] = []
    row_keys: list[bytes] = []
    annotators: list[Any] = []
    for row in rows:
        of_row = [
            text for feedback_type in feedback_types_in_row(row, feedback_types) for text in _texts(row, feedback_type)
        ]
        feedback.append(row_feedback(row, feedback_types))
        texts += of_row
        text_counts.append(len(of_row))
        annotators.append(None if annotator_column is None else row.get(annotator_column))
        row_keys.append(_key({name: value for name, value in row.items() if name in read and value is not None}))
    return AnnotatedTexts(
        feedback=join_feedback(feedback, text_counts, feedback_types),
        text=_ids([text.key for text in texts]),
        prompt=_ids([text.prompt_key for text in texts]),
        prompt_length=np.array([text.prompt_length for text in texts]),
        answer_length=np.array([text.answer_length for text in texts]),
        step_length=np.array([text.step_length for text in texts]),
        is_answer_end=np.array([text.is_answer_end for text in texts], dtype=bool),
        row=np.repeat(np.arange(len(text_counts)), text_counts),
        row_keys=tuple(row_keys),
        annotator=np.array(annotator_ids(annotators), dtype=int),
    )


def count_characters(content: str | Messages | None) -> int:
    """Return the number of characters, without the tokens that a chat template adds.

    Examples:
        >>> count_characters([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Why not?"}])
        12
    """
    if isinstance(content, list):
        return sum(len(str(message.get("content") or "")) for message in content)
    return 0 if content is None else len(str(content))


def _texts(row: Row, feedback_type: type[Feedback]) -> list[_Text]:
    """Return the texts of a row in the order of its score positions."""
    encoded = tokenized_pair(row)
    if encoded:
        return [_Text(_key(("tokens", text.ids)), _key(("prompt", None))) for text in encoded]
    return [
        text
        for answer in row_answers(row, feedback_type)
        for text in (_text(answer, end) for end in _part_ends(answer))
    ]


def _part_ends(answer: Answer) -> range:
    return range(1, len(answer.parts) + 1)


def _text(answer: Answer, end: int) -> _Text:
    lengths = [count_characters(part) for part in answer.parts]
    prompt = (answer.prompt, answer.system, answer.template)
    return _Text(
        key=_key((prompt, answer.parts[:end])),
        prompt_key=_key(("prompt", prompt)),
        prompt_length=UNKNOWN if answer.prompt is None else count_characters(answer.prompt),
        answer_length=sum(lengths[:end]),
        step_length=lengths[end - 1] if len(lengths) > 1 else UNKNOWN,
        is_answer_end=end == len(lengths),
    )


def _key(value: Any) -> bytes:
    """Return a hash of a JSON value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=12).digest()


def _ids(keys: Sequence[bytes]) -> IntVector:
    """Return consecutive integers for the keys, the same for equal keys."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)
