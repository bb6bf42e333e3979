"""A dataset before training: does the loss read what it holds, are its values possible, does it fit the model?"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

from datasets import Dataset, IterableDataset

from rlhf_losses.data.rows import RowReader, feedback_types_in_row, tokenized
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, RlhfLossesError
from rlhf_losses.feedback import (
    FEEDBACK_TYPES,
    IMPLICIT_TYPES,
    Feedback,
    Lengths,
    Mixed,
    Pairs,
    Rankings,
    feedback_types_in_columns,
    find_source_type,
)
from rlhf_losses.feedback.base import Messages, Row
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import Loss
from rlhf_losses.losses.indifference import is_regularizer
from rlhf_losses.transforms.estimate import ScoreEstimate

logger = logging.getLogger(__name__)

Overlong = Literal["drop", "truncate_prompt", "error"]
AnyDataset: TypeAlias = Dataset | IterableDataset

PREPARED = ("text_ids", "score_text", "score_position", "score_of", "score_length", "kinds", "prompt_share", "length")
"""The columns that `prepare` adds and a batch is made of."""

VALUES = (
    "margin",
    "weight",
    "preference",
    "tie",
    "attributes",
    "ranks",
    "rating",
    "ratings",
    "label",
    "labels",
    "votes",
    "ties",
    "chosen_steps",
    "rejected_steps",
    "completion_steps",
)
"""The columns that hold what people said; a batch needs them beside the prepared ones."""


@dataclass(frozen=True)
class Limit:
    """The longest text in tokens, where that limit comes from, and what happens to longer ones."""

    tokens: int | None
    source: str
    overlong: Overlong = "drop"


def column_names(dataset: AnyDataset) -> list[str]:
    """Return the columns of a dataset, reading its first row if a stream does not know them."""
    if dataset.column_names is not None:
        return list(dataset.column_names)
    return list(next(iter(dataset), {}))


def required_feedback_types(loss: Loss, columns: list[str]) -> tuple[type[Feedback], ...]:
    """Return the kinds of feedback that the terms of `loss` are read from, or raise `FeedbackMismatchError`."""
    held = feedback_types_in_columns(columns)
    demanding = [term.loss for term in loss.terms if term.loss.feedback_type not in IMPLICIT_TYPES]
    sources = []
    for term in demanding:
        source = find_source_type(term.feedback_type, held)
        if source is None:
            raise FeedbackMismatchError(_mismatch(term, columns, held))
        sources.append(source)
    if not held:
        raise FeedbackMismatchError(_mismatch(loss, columns, held))
    told_by_texts = [Lengths] if any(term.loss.feedback_type is Lengths for term in loss.terms) else []
    return tuple(dict.fromkeys([*(sources or held), *told_by_texts]))


def group_ratings(dataset: AnyDataset, loss: Loss | ScoreEstimate, name: str = "data") -> AnyDataset:
    """Gather rated answers by prompt where the loss compares them; a prompt with one answer compares nothing."""
    columns = column_names(dataset)
    rated_singly = {"prompt", "completion", "rating"} <= set(columns) and "ratings" not in columns
    read = [loss.feedback_type] if isinstance(loss, ScoreEstimate) else [term.loss.feedback_type for term in loss.terms]
    if not rated_singly or not {Rankings, Pairs} & set(read) or len(feedback_types_in_columns(columns)) > 1:
        return dataset
    if isinstance(dataset, IterableDataset):
        raise FeedbackMismatchError(
            f"{loss} compares the answers to one prompt, but this stream holds one rated answer a row. "
            "Load the data without streaming, or give rows with completions and ratings."
        )
    lists: dict[str, dict[str, Any]] = {}
    for row in dataset:
        one = lists.setdefault(_key(row["prompt"]), {"prompt": row["prompt"], "completions": [], "ratings": []})
        one["completions"].append(row["completion"])
        one["ratings"].append(row["rating"])
    several = [one for one in lists.values() if len(one["ratings"]) > 1]
    logger.info("%s: %d rated answers are read as %d lists, one a prompt.", name, len(dataset), len(several))
    if len(several) < len(lists):
        logger.warning(
            "%s: prompts with one rated answer (%d), which %s cannot compare with another, are left out.",
            name, len(lists) - len(several), loss,
        )  # fmt: skip
    if not several:
        raise FeedbackMismatchError(
            f"{loss} compares the answers to one prompt, but every prompt of {name} has one rated answer. "
            "Take a loss that reads Ratings, like squared_error."
        )
    return Dataset.from_list(several)


def check_dataset(dataset: AnyDataset, loss: Loss, name: str = "data") -> None:
    """Raise for an empty dataset, unfit columns, impossible values and empty texts, naming the row."""
    kinds = required_feedback_types(loss, column_names(dataset))
    stream = isinstance(dataset, IterableDataset)
    rows: Iterable[Row] = islice(dataset, 1) if stream else dataset
    feedback, blank = [], 0
    for number, row in enumerate(rows):
        held = feedback_types_in_row(row, kinds)
        with _naming_row(number, name):
            feedback.append(Mixed.from_row_with(row, held))
            blank += _blank_answers(row, held)
    if not feedback:
        raise InvalidFeedbackError(f"The dataset {name} is empty, so there is nothing to learn. Give one with rows.")
    if blank:
        logger.warning("%s: empty answers (%d) are scored as their prompt and the end of the text.", name, blank)
    loss.check(Mixed.concatenate([*(kind.concatenate([]) for kind in kinds), *feedback]))


def prepare(dataset: AnyDataset, reader: RowReader, limit: Limit, name: str = "data") -> AnyDataset:
    """Tokenize a dataset for `Collator`, and report every row that is left out."""
    longest = limit.tokens if limit.overlong == "truncate_prompt" else None
    if isinstance(dataset, IterableDataset):
        encoded = dataset.map(_encode, fn_kwargs={"reader": reader, "longest": longest})
        return encoded.filter(lambda row: bool(row["text_ids"]) and _fits(row, limit, name))
    encoded = dataset.map(_encode, fn_kwargs={"reader": reader, "longest": longest}, desc=f"Tokenizing {name}")
    lengths = [max((len(ids) for ids in texts), default=0) for texts in encoded["text_ids"]]
    kept = [i for i, length in enumerate(lengths) if 0 < length <= (limit.tokens or length)]
    _report(lengths, limit, name)
    if not any(lengths):
        raise InvalidFeedbackError(
            f"No row of {name} holds what the loss reads: in each a column of {_kinds(reader)} is null. "
            "Complete the rows, or take a loss that reads other columns."
        )
    if not kept:
        raise InvalidFeedbackError(
            f"No row of {name} is left: {len(lengths)} of {len(lengths)} do not fit in {limit.tokens} tokens "
            f"({limit.source}). Keep the end of the prompts with --overlong truncate_prompt, or raise the limit."
        )
    return encoded if len(kept) == len(encoded) else encoded.select(kept)


def _kinds(reader: RowReader) -> str:
    return " and ".join(kind.__name__ for kind in reader.kinds)


def share_prompts(dataset: AnyDataset) -> AnyDataset:
    """Add `prompt_share`, 1 ÷ the number of rows with the same prompt, so that every prompt weighs the same."""
    if isinstance(dataset, IterableDataset):
        raise FeedbackMismatchError(
            "average_over='prompts' counts the rows of each prompt, which a stream does not know beforehand. "
            "Load the data without streaming, or take average_over='items'."
        )
    keys = [_prompt_key(row) for row in dataset]
    counts = Counter(keys)
    return dataset.add_column("prompt_share", [1.0 / counts[key] for key in keys])


def _encode(row: Mapping[str, Any], reader: RowReader, longest: int | None) -> dict[str, Any]:
    return reader.encode(row, longest)


@contextmanager
def _naming_row(number: int, name: str) -> Iterator[None]:
    try:
        yield
    except RlhfLossesError as error:
        raise type(error)(f"Row {number} of {name}: {error}") from None


def _blank_answers(row: Row, kinds: tuple[type[Feedback], ...]) -> int:
    """Count answers of no text after a prompt that has some; refuse texts and steps of nothing at all."""
    answers = [] if tokenized(row) else [answer for kind in kinds for answer in kind.answers(row)]
    blank = [answer for answer in answers if any(_is_blank(part) for part in answer.parts)]
    for answer in blank:
        if len(answer.parts) > 1 or _is_blank(answer.prompt):
            what = "A step" if len(answer.parts) > 1 else "A text"
            raise InvalidFeedbackError(
                f"{what} is empty, so there is nothing to score. Drop the row, or give the text."
            )
    return len(blank)


def _is_blank(content: str | Messages | None) -> bool:
    if isinstance(content, list):
        content = "".join(str(message.get("content") or "") for message in content)
    # JSON may hold an answer like true or 4, which is written as the text that it is printed as.
    return content is None or not str(content).strip()


def _fits(row: Mapping[str, Any], limit: Limit, name: str) -> bool:
    length = max(len(ids) for ids in row["text_ids"])
    fits = length <= (limit.tokens or length)
    if not fits:
        _report([length], limit, name)
    return fits


def _report(lengths: list[int], limit: Limit, name: str) -> None:
    empty = sum(length == 0 for length in lengths)
    if empty:
        logger.warning(
            "%s: %d of %d rows hold nothing that the loss reads; they are left out.", name, empty, len(lengths)
        )
    long = sum(limit.tokens is not None and length > limit.tokens for length in lengths)
    if not long:
        return
    told = (
        f"{name}: {long} of {len(lengths)} rows hold a text longer than {limit.tokens} tokens ({limit.source}); "
        f"the longest has {max(lengths)}."
    )
    if limit.overlong == "error":
        raise InvalidFeedbackError(
            f"{told} Drop them with --overlong drop, or cut prompts with --overlong truncate_prompt."
        )
    logger.warning("%s They are left out.%s", told, _advice(limit))


def _advice(limit: Limit) -> str:
    if limit.overlong == "truncate_prompt":
        return " Their answers alone are too long."
    return " To keep the end of their prompts: --overlong truncate_prompt."


def _mismatch(loss: Loss, columns: list[str], held: tuple[type[Feedback], ...]) -> str:
    # A loss that reads any feedback is not the reason, and `evaluate` takes one that nobody named.
    begun = "This" if loss.feedback_type in IMPLICIT_TYPES else f"{loss} reads {loss.feedback_type.__name__}, but this"
    told = f"{begun} dataset has the columns {', '.join(columns) or '(none)'}, so it holds "
    if not held:
        ways = "; ".join(" + ".join(kind.columns[0]) for kind in FEEDBACK_TYPES)
        return (
            f"{told}no feedback that is known. Rename the columns to one of: {ways} (each with prompt). "
            "In Python, rlhf_losses.convert_dataset reads the layouts of well-known datasets."
        )
    entries = [entry for kind in held for entry in loss_registry().for_feedback(kind)]
    fitting = list(dict.fromkeys(entry.name for entry in entries if not is_regularizer(entry.loss())))
    names = " and ".join(kind.__name__ for kind in held)
    return f"{told}{names}. Losses for {names}: {', '.join(fitting)}."


def _prompt_key(row: Mapping[str, Any]) -> str:
    if row.get("prompt") is not None:
        return _key(row["prompt"])
    first, last = min(row["text_ids"]), max(row["text_ids"])
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return _key(first[:shared])


def _key(prompt: Any) -> str:
    return json.dumps(prompt, sort_keys=True)
