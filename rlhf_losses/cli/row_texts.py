"""The texts of a row for `rlhf-losses score`, for every format that training and evaluation read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlhf_losses.converters.compared_answers import SIDES
from rlhf_losses.data.answers import complete_answers
from rlhf_losses.data.chat_messages import is_blank
from rlhf_losses.data.rows import tokenized_pair
from rlhf_losses.data.segmentation import join_segments
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidFeedbackError, shown
from rlhf_losses.feedback import Answer
from rlhf_losses.feedback.row_values import read_list
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, source_row
from rlhf_losses.scoring import RewardModelMetadata, Scorer

WHOLE_COLUMNS = ("text", "messages")
"""Columns that contain a whole text or a whole conversation."""

ANSWER_COLUMNS = ("chosen", "rejected", *SIDES, "completion")
"""Columns that contain one answer to the column `prompt`."""

STEP_COLUMNS = ("chosen_steps", "rejected_steps")
"""Columns that contain the steps of one answer."""

LIST_COLUMNS = ("completions", "completion_steps")
"""Columns that contain several answers; with the column `labels`, `completions` contains the steps of one answer."""

TOKEN_COLUMNS = ("chosen_ids", "rejected_ids")
"""Columns that contain the tokens of a text."""

TEXT_COLUMNS = (*WHOLE_COLUMNS, *ANSWER_COLUMNS, *STEP_COLUMNS, *LIST_COLUMNS, *TOKEN_COLUMNS)


@dataclass(frozen=True)
class Location:
    """Location of a text in the dataset.

    Attributes:
        row: index of the row.
        column: name of the column; empty for a row without texts.
        index: index in the list of the column, or None if the column contains one text.
        step: index of the step in the answer, where each answer of the list has steps.
        item: index among the items that a converter makes of the row, if there are several.
    """

    row: int
    column: str = ""
    index: int | None = None
    step: int | None = None
    item: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        optional = {"item": self.item, "column": self.column or None, "index": self.index, "step": self.step}
        return {"row": self.row, **{name: value for name, value in optional.items() if value is not None}}


@dataclass(frozen=True)
class RowText:
    """One text to score.

    Attributes:
        locations: its location; of a stepwise text, the location of each step.
        source: the text as a prompt and parts, or its tokens; None if it is null.
        stepwise: whether each step has a score.
    """

    locations: list[Location]
    source: Answer | Encoded | None
    stepwise: bool = False


def row_texts(row: Mapping[str, Any], number: int, metadata: RewardModelMetadata) -> list[RowText]:
    """Return all texts of a row. Steps have separate scores if the model was trained on steps.

    Args:
        row: row of a dataset.
        number: index of the row.
        metadata: metadata of the reward model.

    Raises:
        InvalidFeedbackError: the row has no texts, a text has no tokens, or a column of lists contains no list.
    """
    here = Location(source_row(row, number), item=row.get(SOURCE_ITEM))
    pair = zip(TOKEN_COLUMNS, tokenized_pair(row), strict=False)
    tokens = [RowText([replace(here, column=column)], text) for column, text in pair]
    found = [*tokens, *_whole_answers(row, here), *_lists(row, here, metadata)]
    if not found:
        columns = ", ".join(column for column in TEXT_COLUMNS if column in row)
        raise InvalidFeedbackError(f"The row has no text: the columns {columns} are null. Add a text.")
    return found


def encode_text(scorer: Scorer, text: RowText, row: Mapping[str, Any]) -> Encoded:
    """Return the tokens of a text.

    Args:
        scorer: the reward model.
        text: a text of the row.
        row: the row, with arguments of the chat template.

    Raises:
        InvalidFeedbackError: the text is null, empty or too long, or the chat template refuses it.
    """
    if text.source is None:
        raise InvalidFeedbackError("The text is null, so it has no score. Add the text.")
    if isinstance(text.source, Encoded):
        return scorer.encoder.require_fit(text.source)
    (answer,) = complete_answers([text.source], row)
    if is_blank(answer.prompt) and all(map(is_blank, answer.parts)):
        raise InvalidFeedbackError("The text is empty, so it has no score. Fill it, or add a prompt.")
    return scorer.encoder.encode(answer if text.stepwise else scorer.encoder.split_steps(answer))


def _whole_answers(row: Mapping[str, Any], here: Location) -> Iterator[RowText]:
    """Return the texts of columns with one text each."""
    for columns in (*((column,) for column in WHOLE_COLUMNS), ("chosen", "rejected"), SIDES, ("completion",)):
        for column in _of_row(columns, row):
            answer = Answer(None if column in WHOLE_COLUMNS else row.get("prompt"), (row[column],))
            yield RowText([replace(here, column=column)], None if row[column] is None else answer)


def _lists(row: Mapping[str, Any], here: Location, metadata: RewardModelMetadata) -> Iterator[RowText]:
    """Return the texts of columns with lists: of steps, of answers, and of answers in steps."""
    for column in _of_row(STEP_COLUMNS, row):
        yield from _steps(row, replace(here, column=column), row[column], metadata)
    completions = replace(here, column="completions")
    if row.get("labels") is not None:
        yield from _steps(row, completions, row.get("completions"), metadata)
    elif row.get("completions") is not None:
        for index, completion in enumerate(read_list(row, "completions")):
            source = None if completion is None else Answer(row.get("prompt"), (completion,))
            yield RowText([replace(completions, index=index)], source)
    if row.get("completion_steps") is not None:
        for index, steps in enumerate(read_list(row, "completion_steps")):
            yield from _steps(row, replace(here, column="completion_steps", index=index), steps, metadata)


def _of_row(columns: Sequence[str], row: Mapping[str, Any]) -> list[str]:
    """Return the columns that a row has, if one of them is not null."""
    present = [column for column in columns if column in row]
    return present if any(row[column] is not None for column in present) else []


def _steps(row: Mapping[str, Any], location: Location, steps: Any, metadata: RewardModelMetadata) -> Iterator[RowText]:
    parts = tuple(read_list({location.column: [] if steps is None else steps}, location.column))
    if not parts:
        yield RowText([location], None)
        return
    if metadata.segmentation is None:
        yield RowText([location], Answer(row.get("prompt"), _joined(parts, location.column, metadata.separator)))
        return
    locations = [
        replace(location, index=index) if location.index is None else replace(location, step=index)
        for index in range(len(parts))
    ]
    yield RowText(locations, Answer(row.get("prompt"), parts), stepwise=True)


def _joined(steps: tuple[Any, ...], column: str, separator: str) -> tuple[Any, ...]:
    """Return steps as one text; steps with null, which have no score, are returned unchanged."""
    if any(step is None for step in steps):
        return steps
    other = next((step for step in steps if not isinstance(step, str)), None)
    if other is not None:
        raise InvalidFeedbackError(
            f"Column '{column}' has the step {shown(other)}, which is not a text, so it cannot be joined to the other "
            "steps. Write each step as a text."
        )
    return ("".join(join_segments(list(steps), separator)),)
