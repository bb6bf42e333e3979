"""All texts of a dataset, with their feedback over one vector of score positions."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.batches import BATCH_SIZE, row_batches
from rlhf_losses.data.rows import feedback_types_in_row, join_feedback, tokenized_pair
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
    feedback: list[Mixed] = []
    texts: list[_Text] = []
    text_counts: list[int] = []
    row_keys: list[bytes] = []
    annotators: list[Any] = []
    for numbers, batch in row_batches(rows, "Reading"):
        types = [feedback_types_in_row(row, feedback_types) for row in batch]
        of_rows = [_texts_of_row(row, found) for row, found in zip(batch, types, strict=True)]
        text_counts += map(len, of_rows)
        feedback.append(Mixed.from_rows(batch, types, text_counts[numbers.start :]))
        texts += chain.from_iterable(of_rows)
        annotators += [None if annotator_column is None else row.get(annotator_column) for row in batch]
        row_keys += [
            _key({name: value for name, value in row.items() if name in read and value is not None}) for row in batch
        ]
    counts_of_batches = [sum(text_counts[start : start + BATCH_SIZE]) for start in range(0, len(row_keys), BATCH_SIZE)]
    return AnnotatedTexts(
        feedback=join_feedback(feedback, counts_of_batches, feedback_types),
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


def _texts_of_row(row: Row, feedback_types: Sequence[type[Feedback]]) -> list[_Text]:
    """Return the texts of a row in the order of its score positions."""
    return [text for feedback_type in feedback_types for text in _texts(row, feedback_type)]


def _texts(row: Row, feedback_type: type[Feedback]) -> list[_Text]:
    encoded = tokenized_pair(row)
    if encoded:
        return [_Text(_key(("tokens", text.ids)), _key(("prompt", None))) for text in encoded]
    texts: list[_Text] = []
    prompt: tuple[Any, ...] = ()
    for answer in row_answers(row, feedback_type):
        if prompt != (answer.prompt, answer.system, answer.template):  # most answers of a row share it
            prompt = (answer.prompt, answer.system, answer.template)
            prompt_key = _key(("prompt", prompt))
            prompt_length = UNKNOWN if answer.prompt is None else count_characters(answer.prompt)
        texts += _texts_of_answer(answer, prompt_key, prompt_length)
    return texts


def _texts_of_answer(answer: Answer, prompt_key: bytes, prompt_length: float) -> Iterator[_Text]:
    parts = answer.parts
    lengths = [count_characters(part) for part in parts]
    for end in range(1, len(parts) + 1):
        yield _Text(
            key=_key(("text", prompt_key.hex(), parts[:end])),
            prompt_key=prompt_key,
            prompt_length=prompt_length,
            answer_length=sum(lengths[:end]),
            step_length=lengths[end - 1] if len(lengths) > 1 else UNKNOWN,
            is_answer_end=end == len(lengths),
        )


_JSON = json.JSONEncoder(sort_keys=True, default=str)


def _key(value: Any) -> bytes:
    """Return a hash of a JSON value."""
    return hashlib.blake2b(_JSON.encode(value).encode(), digest_size=12).digest()


def _ids(keys: Sequence[bytes]) -> IntVector:
    """Return consecutive integers for the keys, the same for equal keys."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)
