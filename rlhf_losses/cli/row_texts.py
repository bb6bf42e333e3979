"""The texts of a row for `rlhf-losses score`, for every format that training and evaluation read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_losses.data.answers import complete_answers
from rlhf_losses.data.chat_messages import is_blank
from rlhf_losses.data.rows import tokenized_pair
from rlhf_losses.data.segmentation import join_segments
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Answer
from rlhf_losses.scoring import RewardModelMetadata, Scorer

WHOLE_COLUMNS = ("text", "messages")
"""Columns that contain a whole text or a whole conversation."""

ANSWER_COLUMNS = ("chosen", "rejected", "completion")
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
        column: name of the column.
        index: index in the list of the column, or None if the column contains one text.
        step: index of the step in the answer, where each answer of the list has steps.
    """

    row: int
    column: str
    index: int | None = None
    step: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        optional = {"index": self.index, "step": self.step}
        of_list = {name: value for name, value in optional.items() if value is not None}
        return {"row": self.row, "column": self.column, **of_list}


@dataclass(frozen=True)
class RowText:
    """One text to score.

    Attributes:
        locations: its location; of a stepwise text, the location of each step.
        source: the text as a prompt and parts, or its tokens.
        stepwise: whether each step has a score.
    """

    locations: list[Location]
    source: Answer | Encoded
    stepwise: bool = False


def row_texts(row: Mapping[str, Any], number: int, metadata: RewardModelMetadata) -> list[RowText]:
    """Return all texts of a row. Steps have separate scores if the model was trained on steps.

    Args:
        row: row of a dataset.
        number: index of the row.
        metadata: metadata of the reward model.

    Raises:
        InvalidFeedbackError: a text has no tokens.
    """
    pair = zip(TOKEN_COLUMNS, tokenized_pair(row), strict=False)
    tokens = [RowText([Location(number, column)], text) for column, text in pair]
    return [*tokens, *_answers(row, number, metadata)]


def encode_text(scorer: Scorer, text: RowText, row: Mapping[str, Any]) -> Encoded:
    """Return the tokens of a text.

    Args:
        scorer: the reward model.
        text: a text of the row.
        row: the row, with arguments of the chat template.

    Raises:
        InvalidFeedbackError: the text is null, empty or too long, or the chat template refuses it.
    """
    if isinstance(text.source, Encoded):
        return scorer.require_fit(text.source)
    (answer,) = complete_answers([text.source], row)
    if is_blank(answer.prompt) and all(map(is_blank, answer.parts)):
        raise InvalidFeedbackError("The text is empty, so it has no score. Fill it, or add a prompt.")
    return scorer.encode(answer if text.stepwise else scorer.split_steps(answer))


def _answers(row: Mapping[str, Any], number: int, metadata: RewardModelMetadata) -> Iterator[RowText]:
    prompt = row.get("prompt")
    for column in (*WHOLE_COLUMNS, *ANSWER_COLUMNS):
        if row.get(column) is not None:
            answer = Answer(None if column in WHOLE_COLUMNS else prompt, (row[column],))
            yield RowText([Location(number, column)], answer)
    for column in STEP_COLUMNS:
        yield from _steps(row, Location(number, column), row.get(column) or [], metadata)
    completions = row.get("completions") or []
    if row.get("labels") is not None:
        yield from _steps(row, Location(number, "completions"), completions, metadata)
    else:
        for index, completion in enumerate(completions):
            yield RowText([Location(number, "completions", index)], Answer(prompt, (completion,)))
    for index, steps in enumerate(row.get("completion_steps") or []):
        yield from _steps(row, Location(number, "completion_steps", index), steps, metadata)


def _steps(
    row: Mapping[str, Any], location: Location, steps: Sequence[str], metadata: RewardModelMetadata
) -> Iterator[RowText]:
    if not steps:
        return
    if metadata.segmentation is None:
        joined = "".join(join_segments([str(step) for step in steps], metadata.separator))
        yield RowText([location], Answer(row.get("prompt"), (joined,)))
        return
    locations = [
        Location(location.row, location.column, index)
        if location.index is None
        else Location(location.row, location.column, location.index, index)
        for index in range(len(steps))
    ]
    yield RowText(locations, Answer(row.get("prompt"), tuple(steps)), stepwise=True)
