"""Everything that the rows of a dataset say, over one vector of texts."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rlhf_losses.data.rows import feedback_types_in_row, tokenized
from rlhf_losses.feedback import Feedback, Mixed
from rlhf_losses.feedback.base import Answer, Messages, Row

Key = bytes

NONE = float("nan")
"""A length where there is no text."""


@dataclass(frozen=True)
class AnnotatedTexts:
    """The feedback of all rows; entry `i` of the vectors is about the text at score position `i`."""

    feedback: Mixed
    text: np.ndarray
    """A number for the text up to this position, prompt included; equal texts have equal numbers."""
    prompt: np.ndarray
    """A number for the prompt."""
    answer_length: np.ndarray
    """Characters of the answer up to this position; not a number where the data hold tokens alone."""
    step_length: np.ndarray
    """The same for the step that ends here; not a number unless the answer has several."""
    ends_answer: np.ndarray
    """Whether the answer ends here."""
    prompt_length: np.ndarray
    """The same for the prompt; not a number where the data have none."""
    row: np.ndarray
    """The row that the text stands in."""
    row_keys: list[Key]


def read(rows: Iterable[Row], kinds: Sequence[type[Feedback]]) -> AnnotatedTexts:
    """Read every row once."""
    numbers: dict[Key, int] = {}
    parts: list[Feedback] = [kind.concatenate([]) for kind in kinds]
    places: list[tuple[float, ...]] = []
    keys = []
    for count, row in enumerate(rows):
        held = feedback_types_in_row(row, kinds)
        said = Mixed.from_row_with(row, held)
        parts.append(said.reindexed(torch.arange(len(places), len(places) + said.score_count())))
        places += [
            (numbers.setdefault(text, len(numbers)), numbers.setdefault(prompt, len(numbers)), *lengths, count)
            for kind in held
            for text, prompt, lengths in _texts(row, kind)
        ]
        keys.append(key({name: value for name, value in row.items() if value is not None}))
    text, prompt, answer, step, ends, before, row_of = np.array(places, dtype=float).reshape(-1, 7).T
    return AnnotatedTexts(
        feedback=Mixed.concatenate(parts),
        text=text.astype(int),
        prompt=prompt.astype(int),
        answer_length=answer,
        step_length=step,
        ends_answer=ends.astype(bool),
        prompt_length=before,
        row=row_of.astype(int),
        row_keys=keys,
    )


def key(value: Any) -> Key:
    """Return a short name for a value, the same for equal values."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=12).digest()


def characters(content: str | Messages | None) -> int:
    """Count the characters that were written, without the marks of a chat template.

    >>> characters([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Why not?"}])
    12
    """
    if isinstance(content, list):
        return sum(len(str(message.get("content") or "")) for message in content)
    return 0 if content is None else len(str(content))


def _texts(row: Row, kind: type[Feedback]) -> list[tuple[Key, Key, tuple[float, ...]]]:
    """Return text, prompt, and what is known of the lengths, in the order of the score positions."""
    encoded = tokenized(row)
    if encoded:
        return [(key(("tokens", text.ids)), key(("prompt", None)), (NONE, NONE, True, NONE)) for text in encoded]
    return [
        (key((answer.prompt, answer.parts[:end])), key(("prompt", answer.prompt)), _lengths(answer, end))
        for answer in kind.answers(row)
        for end in range(1, len(answer.parts) + 1)
    ]


def _lengths(answer: Answer, end: int) -> tuple[float, ...]:
    parts = [characters(part) for part in answer.parts]
    prompt = NONE if answer.prompt is None else characters(answer.prompt)
    return sum(parts[:end]), parts[end - 1] if len(parts) > 1 else NONE, end == len(parts), prompt
