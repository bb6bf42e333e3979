"""Rows that are used although a text may be missing in them: empty answers, no prompt, no white space."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.batches import row_batches
from rlhf_losses.data.chat_messages import is_blank
from rlhf_losses.data.joined_texts import meets_without_space
from rlhf_losses.data.rows import FeedbackTypes, feedback_types_in_row, tokenized_pair
from rlhf_losses.errors import counted_from_0
from rlhf_losses.feedback.base import Answer, Row
from rlhf_losses.feedback.source_rows import listed_rows, source_rows

logger = logging.getLogger(__name__)

EMPTY_ANSWERS, MISSING_PROMPTS, NO_WHITE_SPACE = "Empty answers", "Missing prompts", "No white space"


HTML_ENTITIES = "HTML entities"

ENTITY = re.compile("&(?:quot|amp|lt|gt|nbsp|apos|#[0-9]{1,6}|#x[0-9a-fA-F]{1,5});")
"""A character as HTML writes it, which texts of web pages and forms have left over."""

SHARE_OF_JOINTS = 0.9
"""Share of the rows without white space between prompt and answer from which there is a warning."""


@dataclass(frozen=True)
class TextProblems:
    """The rows with each problem, by their numbers in messages.

    Attributes:
        rows: number of rows with answers, except rows of tokens.
        empty_answers: rows with an empty answer to a prompt.
        without_prompt: rows whose prompt is empty or missing, also if no row has one.
        joined: rows in which a prompt and an answer meet without white space.
        example: the text around the first such place.
        with_entities: rows with characters as HTML writes them, such as `&quot;`.
        first_rows: whether these are the first rows of a stream.
    """

    rows: int
    empty_answers: tuple[int, ...]
    without_prompt: tuple[int, ...]
    joined: tuple[int, ...]
    example: str
    with_entities: tuple[int, ...] = ()
    first_rows: bool = False

    @classmethod
    def of(cls, answers: Sequence[Sequence[Answer]], numbers: Sequence[int]) -> "TextProblems":
        """Return the problems of rows.

        Args:
            answers: the answers of each row; none of a row without feedback or with tokens.
            numbers: number of each row in messages.
        """
        rows = [(number, of_row) for number, of_row in zip(numbers, answers, strict=True) if of_row]
        joints = ((number, next(filter(meets_without_space, of_row), None)) for number, of_row in rows)
        joined = {number: answer for number, answer in joints if answer is not None}
        first = next(iter(joined.values()), None)
        return cls(
            rows=len(rows),
            empty_answers=tuple([number for number, of_row in rows if any([_is_empty(one) for one in of_row])]),
            without_prompt=tuple([number for number, of_row in rows if any([_has_no_prompt(one) for one in of_row])]),
            joined=tuple(joined),
            example="" if first is None else f"{str(first.prompt)[-12:]}{str(first.parts[0])[:12]}",
            with_entities=tuple([number for number, of_row in rows if any([_has_entity(one) for one in of_row])]),
        )

    @classmethod
    def joined_parts(cls, parts: Iterable["TextProblems"]) -> "TextProblems":
        """Return the problems of several parts of a dataset."""
        of_parts = list(parts)
        return cls(
            rows=sum(one.rows for one in of_parts),
            empty_answers=tuple(chain.from_iterable(one.empty_answers for one in of_parts)),
            without_prompt=tuple(chain.from_iterable(one.without_prompt for one in of_parts)),
            joined=tuple(chain.from_iterable(one.joined for one in of_parts)),
            example=next((one.example for one in of_parts if one.example), ""),
            with_entities=tuple(chain.from_iterable(one.with_entities for one in of_parts)),
        )

    @property
    def missing_prompts(self) -> tuple[int, ...]:
        """The rows without a prompt where other rows have one; whole texts have none in any row."""
        return self.without_prompt if len(self.without_prompt) < self.rows else ()

    @property
    def are_mostly_joined(self) -> bool:
        """Whether nearly all prompts meet their answers without white space, which is unusual between words."""
        return bool(self.joined) and len(self.joined) >= SHARE_OF_JOINTS * self.rows

    def sentences(self) -> dict[str, str]:
        """Return a description of each problem that there is, by name."""
        found = {
            EMPTY_ANSWERS: self._describe(
                self.empty_answers,
                "an empty answer",
                "It is scored as the prompt followed by the end of the text. Add the answers, or drop the rows.",
            ),
            MISSING_PROMPTS: self._describe(
                self.missing_prompts,
                "no prompt, but other rows have one",
                "The answers are scored without a question. Add the prompts, or drop the rows.",
            ),
            HTML_ENTITIES: self._describe(
                self.with_entities,
                "HTML entities, such as &quot; for a quotation mark",
                "A model reads them as they are written. Decode texts of web pages and forms with html.unescape.",
            ),
            NO_WHITE_SPACE: self._describe_joints(),
        }
        return {name: text for name, text in found.items() if text}

    def warn(self, name: str) -> None:
        """Log the rows with empty answers and without prompts.

        Args:
            name: name of the dataset in messages.
        """
        sentences = self.sentences()
        for problem in (EMPTY_ANSWERS, MISSING_PROMPTS):
            if problem in sentences:
                logger.warning("%s: %s", name, sentences[problem])

    def to_dict(self) -> Mapping[str, object]:
        """Return a part of the JSON object that `rlhf-losses inspect --json` prints."""
        return {
            "joined_rows": len(self.joined),
            "empty_answers": list(self.empty_answers),
            "missing_prompts": list(self.missing_prompts),
            "html_entities": list(self.with_entities),
        }

    def _describe(self, numbers: Sequence[int], what: str, meaning: str) -> str:
        if not numbers:
            return ""
        has = "has" if len(numbers) == 1 else "have"
        which = f"{len(numbers)} of {self.rows} rows" if self.rows > 1 else "1 row"
        return f"{which} {has} {what}: {listed_rows(numbers)}. {meaning} ({counted_from_0(numbers[0])})"

    def _describe_joints(self) -> str:
        if not self.joined:
            return ""
        rows = f"{len(self.joined)} of {'the first ' if self.first_rows else ''}{self.rows} rows"
        return (
            f"Prompt and answer meet without white space in {rows}, as in {self.example!r}. They are joined as they "
            "are: if a space is missing, add it at the beginning of the answers."
        )


def find_text_problems(rows: Iterable[Row], feedback_types: FeedbackTypes) -> TextProblems:
    """Return the problems in the texts of valid rows.

    Args:
        rows: rows of a dataset.
        feedback_types: feedback types whose texts are read.

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> rows = [{"prompt": prompt, "chosen": "4", "rejected": ""} for prompt in ("2 + 2 =", None)]
        >>> found = find_text_problems(rows[:1], [Pairs])
        >>> found.empty_answers, found.missing_prompts, found.joined
        ((0,), (), (0,))
    """
    batches = row_batches(rows, "Reading texts")
    return TextProblems.joined_parts(
        TextProblems.of([answers_of(row, feedback_types) for row in batch], source_rows(batch, numbers))
        for numbers, batch in batches
    )


def answers_of(row: Row, feedback_types: FeedbackTypes) -> list[Answer]:
    """Return the answers of a row to all its feedback, or none if it has tokens.

    Args:
        row: a row of a dataset.
        feedback_types: feedback types whose texts are read.
    """
    types = () if tokenized_pair(row) else feedback_types_in_row(row, feedback_types)
    return [answer for feedback_type in types for answer in row_answers(row, feedback_type)]


def _has_entity(answer: Answer) -> bool:
    return any(isinstance(text, str) and "&" in text and ENTITY.search(text) for text in (answer.prompt, *answer.parts))


def _is_empty(answer: Answer) -> bool:
    return any([is_blank(part) for part in answer.parts])


def _has_no_prompt(answer: Answer) -> bool:
    """Return whether nothing comes before an answer: no prompt, and no message of another role in a conversation."""
    if not is_blank(answer.prompt):
        return False
    messages = [message for part in answer.parts if isinstance(part, list) for message in part]
    return all(message.get("role") == "assistant" for message in messages)
