"""Datasets before training: checks without a model, grouping of ratings, tokenization, and weights of prompts."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, TypeAlias

from datasets import Dataset, IterableDataset
from torch.utils.data import get_worker_info

from rlhf_losses.converters.compared_answers import SIDES
from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.batches import BatchEncoder, at_row, locate_errors, map_rows, row_batches
from rlhf_losses.data.chat_messages import is_blank
from rlhf_losses.data.rating_groups import json_key
from rlhf_losses.data.read_columns import with_read_columns
from rlhf_losses.data.row_lengths import (
    LengthLimit,
    RowLengths,
    report_dropped,
    usable_rows,
)
from rlhf_losses.data.row_schema import require_valid_row
from rlhf_losses.data.rows import (
    FEEDBACK_TYPE_BY_NAME,
    PREPARED_COLUMNS,
    EncodedRow,
    FeedbackTypes,
    RowEncoder,
    feedback_types_in_row,
    tokenized_pair,
)
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.data.text_problems import TextProblems, answers_of
from rlhf_losses.data.unread_verdict import find_unread_verdict
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, RlhfLossesError
from rlhf_losses.feedback import (
    FEEDBACK_TYPES,
    IMPLICIT_TYPES,
    Feedback,
    Lengths,
    Mixed,
    Pairs,
    feedback_types_in_columns,
    find_source_type,
)
from rlhf_losses.feedback.base import Answer, Row
from rlhf_losses.feedback.source_rows import SHOWN_ROWS, source_row, source_rows
from rlhf_losses.files.column_values import sampled_values
from rlhf_losses.files.columns import renaming
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.suggested_columns import suggest_columns
from rlhf_losses.hooks import converter_registry, loss_registry
from rlhf_losses.losses import AnyLoss
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

AnyDataset: TypeAlias = Dataset | IterableDataset

RowCheck: TypeAlias = Callable[[list[Row]], object]
"""A function that raises an error for rows of which one is invalid."""


def column_names(dataset: AnyDataset) -> list[str]:
    """Return the columns of a dataset; a stream without column names is read up to its first row."""
    require_dataset(dataset)
    if dataset.column_names is not None:
        return list(dataset.column_names)
    return list(next(iter(dataset), {}))


def required_feedback_types(loss: AnyLoss, columns: Sequence[str], rows: AnyDataset | None = None) -> FeedbackTypes:
    """Return the feedback types in the columns that the terms of a loss use.

    A term uses its own feedback type, or a type that converts to it. A loss of regularizers alone uses every type.

    Args:
        loss: a loss or an objective.
        columns: columns of the dataset.
        rows: the dataset, whose values improve the suggestion in the message.

    Raises:
        FeedbackMismatchError: the columns have no feedback that one of the terms can use.
    """
    found = feedback_types_in_columns(columns)
    losses = [term.loss for term in loss.as_objective().terms]
    sources = []
    for term in losses:
        if term.feedback_type in IMPLICIT_TYPES:
            continue
        source = find_source_type(term.feedback_type, found)
        if source is None:
            requirement = f"{term} needs {term.feedback_type.__name__}, but this"
            usable = [one for one in FEEDBACK_TYPES if find_source_type(term.feedback_type, [one])]
            raise FeedbackMismatchError(f"{requirement} {_describe_columns(columns, found, rows, usable)}")
        sources.append(source)
    if not found:
        raise FeedbackMismatchError(f"This {_describe_columns(columns, found, rows)}")
    lengths = [Lengths] if any(term.feedback_type is Lengths for term in losses) else []
    return tuple(dict.fromkeys([*(sources or found), *lengths]))


def check_dataset(dataset: AnyDataset, loss: AnyLoss, name: str = "data") -> TextProblems:
    """Check the rows of a dataset without a model; of a stream, the first row, see `prepare`.

    Rows in which a text may be missing, and a column of winners that is not read, are logged.

    Args:
        dataset: a dataset or a stream.
        loss: a loss or an objective.
        name: name of the dataset in messages.

    Returns:
        The rows that are used although a text may be missing in them.

    Raises:
        FeedbackMismatchError: the columns have no feedback that the loss can use.
        InvalidFeedbackError: no rows, an invalid value, or an empty text; the message contains the index of the row.
    """
    try:
        problems = require_valid_rows(dataset, loss, name)
    except InvalidFeedbackError as error:
        raise type(error)(f"{error}{_describe_invalid_rows(dataset, loss, name)}") from None
    problems.warn(name)
    if verdict := find_unread_verdict(dataset):
        logger.warning("%s: %s", name, verdict.describe())
    return problems


def require_valid_rows(dataset: AnyDataset, loss: AnyLoss, name: str = "data") -> TextProblems:
    """Check the rows of a dataset as `check_dataset` does, and log nothing.

    Args:
        dataset: a dataset or a stream.
        loss: a loss or an objective.
        name: name of the dataset in messages.
    """
    feedback_types = required_feedback_types(loss, column_names(dataset), dataset)
    rows: Iterable[Row] = islice(dataset, 1) if isinstance(dataset, IterableDataset) else with_read_columns(dataset)
    feedback, problems = [], []
    for numbers, batch in row_batches(rows, f"Checking {name}"):
        found, answers = at_row(partial(_check_rows, feedback_types=feedback_types, loss=loss), batch, numbers, name)
        feedback.append(found)
        problems.append(TextProblems.of(answers, source_rows(batch, numbers)))
    if not feedback:
        raise InvalidFeedbackError(f"The dataset {name} is empty, so there is nothing to learn. Give one with rows.")
    _check_values(feedback, loss, feedback_types)
    return TextProblems.joined_parts(problems)


def find_invalid_rows(dataset: Dataset, name: str = "data") -> dict[int, str]:
    """Return the message about each row with an invalid value or an empty text, by index.

    Args:
        dataset: a dataset with columns of feedback types.
        name: name of the dataset beside the progress bar.

    Examples:
        >>> list(find_invalid_rows(Dataset.from_dict({"completion": ["4", None], "label": [1, 0]})))
        [1]
    """
    check = partial(_check_rows, feedback_types=feedback_types_in_columns(dataset.column_names), loss=None)
    return _invalid_rows(dataset, check, name)


def _invalid_rows(dataset: Dataset, check: RowCheck, name: str) -> dict[int, str]:
    """Return the message of a check about each row that it refuses, by index."""
    found: dict[int, str] = {}
    for numbers, batch in row_batches(with_read_columns(dataset), f"Checking {name}"):
        try:
            check(batch)
        except RlhfLossesError:
            problems = (_problem(check, row) for row in batch)
            found |= {number: problem for number, problem in zip(numbers, problems, strict=True) if problem}
    return found


def _describe_invalid_rows(dataset: AnyDataset, loss: AnyLoss, name: str) -> str:
    """Return how many rows are invalid for a loss, and which ones, if there are several; nothing for a stream."""
    if not isinstance(dataset, Dataset):
        return ""
    feedback_types = required_feedback_types(loss, dataset.column_names, dataset)
    found = list(_invalid_rows(dataset, partial(_check_rows, feedback_types=feedback_types, loss=loss), name))
    if len(found) < 2:
        return ""
    shown = ", ".join(str(source_row(dataset[number], number)) for number in found[:SHOWN_ROWS])
    more = f" and {len(found) - SHOWN_ROWS} more" if len(found) > SHOWN_ROWS else ""
    return f" {len(found)} rows are invalid: {shown}{more}."


def _problem(check: RowCheck, row: Row) -> str | None:
    try:
        check([row])
    except RlhfLossesError as error:
        return str(error)
    return None


def prepare(
    dataset: AnyDataset,
    encoder: RowEncoder,
    limit: LengthLimit,
    name: str = "data",
    loss: AnyLoss | None = None,
    num_proc: int | None = None,
) -> AnyDataset:
    """Tokenize the rows of a dataset, and drop rows that are too long or have none of the feedback types.

    The rows of a stream are checked as by `check_dataset`, reported and tokenized when they are read. The number of a
    row in a message is its position among the rows that a process reads.

    Args:
        dataset: a dataset or a stream.
        encoder: tokenizes one row.
        limit: largest number of tokens, and the treatment of longer texts.
        name: name of the dataset in messages.
        loss: loss with which the rows of a stream are checked.
        num_proc: number of processes that tokenize a dataset; by default only the threads of the tokenizer.

    Returns:
        The dataset with the columns of `EncodedRow`, and without those that training does not read.

    Raises:
        InvalidFeedbackError: no row remains, or a text is too long and `limit.overlong` is `"error"`. Reading a stream
            raises it for an invalid row.
    """
    max_length = limit.tokens if limit.overlong == "truncate_prompt" else None
    dataset = _without_prepared_columns(with_read_columns(dataset))
    if isinstance(dataset, IterableDataset):
        stream = _Stream(encoder, limit, max_length, name, loss)
        return dataset.map(stream.encode, with_indices=True).filter(stream.is_usable)
    encoded = map_rows(dataset, BatchEncoder(encoder, max_length, name), f"Tokenizing {name}", num_proc)
    lengths = RowLengths(
        numbers=encoded["row_number"][:],
        longest=encoded["length"][:],
        removed=encoded["removed"][:],
        without_prompt=encoded["length_without_prompt"][:],
        texts=lambda index: len(encoded[index]["text_ids"]),
    )
    kept = usable_rows(lengths, limit, encoder.feedback_types, name)
    return encoded if len(kept) == len(encoded) else encoded.select(kept)


def _without_prepared_columns(dataset: AnyDataset) -> AnyDataset:
    """Return a dataset without columns of the user that have the names of the columns of `EncodedRow`."""
    taken = [name for name in column_names(dataset) if name in PREPARED_COLUMNS]
    return dataset.remove_columns(taken) if taken else dataset


def add_prompt_weights(dataset: AnyDataset) -> AnyDataset:
    """Add the column `prompt_weight`, 1 / number of rows with the same prompt.

    Args:
        dataset: a tokenized dataset.

    Raises:
        FeedbackMismatchError: a stream, whose rows cannot be counted beforehand.
    """
    if isinstance(dataset, IterableDataset):
        raise FeedbackMismatchError(
            "average_over='prompts' counts the rows of each prompt, but the rows of a stream cannot be counted before "
            "training. Load the data without streaming, or use average_over='items'."
        )
    keys = [_prompt_key(row) for row in dataset]
    counts = Counter(keys)
    return dataset.add_column("prompt_weight", [1.0 / counts[key] for key in keys])


@dataclass(frozen=True)
class _Stream:
    """Checks and tokenizes the rows of a stream one by one; `prepare` describes the arguments."""

    encoder: RowEncoder
    limit: LengthLimit
    max_length: int | None
    name: str
    loss: AnyLoss | None

    def encode(self, row: Row, number: int) -> EncodedRow:
        """Return a tokenized row."""
        feedback_types = self.encoder.feedback_types
        number = source_row(row, number)
        with locate_errors(number, self._part_name):
            feedback, answers = _check_rows([row], feedback_types, self.loss)
            if self.loss is not None:
                _check_values([feedback], self.loss, feedback_types)
            encoded = self.encoder.encode(row, self.max_length, number)
        TextProblems.of(answers, [number]).warn(self._part_name)
        return encoded

    def is_usable(self, row: EncodedRow) -> bool:
        """Return whether a tokenized row is kept; others are reported."""
        lengths = RowLengths(
            [row["row_number"]],
            [row["length"]],
            [row["removed"]],
            [row["length_without_prompt"]],
            texts=lambda _: len(row["text_ids"]),
        )
        report_dropped(lengths, self.limit, f"Row {row['row_number']} of {self._part_name}")
        return row["length"] > 0 and not self.limit.exceeded_by(row["length"])

    @property
    def _part_name(self) -> str:
        """Name of the rows that are counted: those of one worker of the data loader."""
        worker = get_worker_info()
        return self.name if worker is None else f"{self.name} in worker {worker.id} of the data loader"


def _check_values(feedback: Sequence[Mixed], loss: AnyLoss, feedback_types: FeedbackTypes) -> None:
    # Checks depend on values only, so positions need no shift.
    loss.check(Mixed.concatenate([*(feedback_type.concatenate([]) for feedback_type in feedback_types), *feedback]))


def _check_rows(
    rows: Sequence[Row], feedback_types: FeedbackTypes, loss: AnyLoss | None
) -> tuple[Mixed, list[list[Answer]]]:
    """Return the feedback of rows, and the answers of each row."""
    for row in rows:
        require_valid_row(row, feedback_types)
    types = [feedback_types_in_row(row, feedback_types) for row in rows]
    if loss is not None:
        for row, found in zip(rows, types, strict=True):
            require_columns(row, found, loss)
    feedback = Mixed.from_rows(rows, types)
    answers = [answers_of(row, found) for row, found in zip(rows, types, strict=True)]
    for answer in chain.from_iterable(answers):
        _require_text(answer)
    return feedback, answers


def require_columns(row: Row, feedback_types: FeedbackTypes, loss: AnyLoss) -> None:
    """Raise `InvalidFeedbackError` if a row has no value in a column that a term of a loss needs in every row.

    Args:
        row: a row of a dataset.
        feedback_types: feedback types of the row.
        loss: the loss.

    Examples:
        >>> from rlhf_losses import ordinal_preference
        >>> require_columns({"chosen": "4", "rejected": "5", "margin": 0}, [Pairs], ordinal_preference)
    """
    for one in (term.loss for term in loss.as_objective().terms if term.loss.feedback_type in feedback_types):
        missing = next((column for column in one.required_columns if row.get(column) is None), None)
        if missing is not None:
            raise InvalidFeedbackError(
                f"Column '{missing}' is null or missing, but {one} needs it in every row: any default would be a "
                "statement about the answers. Add the value, drop the rows without one, or use another loss."
            )


def _require_text(answer: Answer) -> None:
    """Raise `InvalidFeedbackError` for an empty step, and for an empty answer without a prompt."""
    if any(map(is_blank, answer.parts)) and (len(answer.parts) > 1 or is_blank(answer.prompt)):
        what = "A step" if len(answer.parts) > 1 else "A text"
        raise InvalidFeedbackError(f"{what} is empty, so there is nothing to score. Drop the row, or add the text.")


def _describe_columns(
    columns: Sequence[str], found: FeedbackTypes, rows: AnyDataset | None, usable: Sequence[type[Feedback]] = ()
) -> str:
    """Return the second half of an error: the feedback in the columns, and what fits it or the types of a loss."""
    listed = f"dataset has the columns {', '.join(columns) or '(none)'}, which hold"
    if not found and (converters := _converters_of(columns)):
        name = " or ".join(converters)
        remedy = setting("converter", converters[0], python="rlhf_losses.convert_dataset(dataset)")
        return f"{listed} the format of {name}, which has to be converted. Use {remedy}."
    if not found and set(SIDES) <= set(columns):
        return (
            f"{listed} two answers without a winner, so nothing can be learned from them. Add the column winner. The "
            "answers can be scored as they are, with rlhf-losses score."
        )
    if not found:
        values = {name: [] for name in columns} | ({} if rows is None else sampled_values(rows, columns))
        usable = usable or FEEDBACK_TYPES
        alternatives = "; ".join(" + ".join(feedback_type.columns[0]) for feedback_type in usable)
        compared = " or to response_a + response_b + winner for two answers of which one is better;"
        return (
            f"{listed} no known feedback. Rename the columns to one of: {alternatives} (each with prompt);"
            f"{compared if Pairs in usable else ''} for example with "
            f"{renaming(suggest_columns(values, usable), python='rlhf_losses.rename_columns')}. Columns named "
            f"{', '.join(_further_columns())} are read, too. Well-known "
            f"formats are converted with {setting('converter', 'NAME', python='rlhf_losses.convert_dataset')}, and "
            f"others with a converter in {setting('plugin', 'FILE.py', python='plugin_files')}."
        )
    entries = [entry for feedback_type in found for entry in loss_registry().for_feedback(feedback_type)]
    fitting = list(dict.fromkeys(entry.name for entry in entries if entry.cls().uses_labels))
    names = " and ".join(feedback_type.__name__ for feedback_type in found)
    return f"{listed} {names}. Losses for {names}: {', '.join(fitting)}."


def _converters_of(columns: Sequence[str]) -> list[str]:
    """Return the converters that read some columns."""
    found = converter_registry().values()
    return [one.name() for one in found if any(set(names) <= set(columns) for names in one.columns if names)]


def _further_columns() -> list[str]:
    """Return the names of optional columns of feedback types, and one for the ids of annotators."""
    optional = dict.fromkeys(column for feedback_type in FEEDBACK_TYPES for column in feedback_type.optional_columns)
    return [*(column for column in optional if column != "prompt"), "annotator"]


def _prompt_key(row: Mapping[str, Any]) -> str:
    """Return a key of the prompt; for a row without a prompt, of the tokens that its texts have in common."""
    names = () if tokenized_pair(row) else row["feedback_types"]
    prompts = [answer.prompt for name in names for answer in row_answers(row, FEEDBACK_TYPE_BY_NAME[name])]
    if prompts and prompts[0] is not None:
        return json_key([prompts[0], {name: row[name] for name in TEMPLATE_COLUMNS if row.get(name) is not None}])
    first, last = min(row["text_ids"]), max(row["text_ids"])
    differences = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return json_key(first[: next(differences, min(len(first), len(last)))])
