"""Pairs and lists as plain text, from a file in any supported dataset format."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._lib.workloads import Workload, train_tokenizer
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Pairs, Rankings
from rlhf_losses.feedback.base import Messages, Row
from rlhf_losses.feedback.types import feedback_types_of_row, find_source_type
from rlhf_losses.files.splits import load_rows


class ComparedAnswers(NamedTuple):
    """Answers to one prompt and the feedback on them."""

    prompt: str
    answers: list[str]
    feedback: Feedback


def pairs_from_file(path: str | Path, count: int | None = None) -> Workload:
    """Return the first pairs of a file, also of votes, ratings and rankings, without ties.

    Args:
        path: a file that `rlhf-losses train --dataset` accepts.
        count: largest number of pairs; by default all.

    Raises:
        InvalidFeedbackError: the file compares no answers.
    """
    return _workload(path, count, _pairs)


def lists_from_file(path: str | Path, count: int | None = None) -> Workload:
    """Return the first lists of a file; a pair is a list of two answers.

    Args:
        path: a file that `rlhf-losses train --dataset` accepts.
        count: largest number of lists; by default all.

    Raises:
        InvalidFeedbackError: the file compares no answers.
    """
    return _workload(path, count, _lists)


def _workload(path: str | Path, count: int | None, rows_of: Callable[[ComparedAnswers], Iterator[Row]]) -> Workload:
    rows = [dict(row) for row in islice((row for compared in _compared(path) for row in rows_of(compared)), count)]
    if not rows:
        raise InvalidFeedbackError(
            f"'{path}' has no two answers to one prompt with a preference, so there is no pair to train on. "
            "Use a file of pairs, votes, rankings, or ratings of several answers to each prompt."
        )
    texts = [text for row in rows for text in (row["prompt"], *(row.get("completions") or [row["chosen"]]))]
    return Workload(Path(path).parent.name + "/" + Path(path).name.split(".")[0], rows, train_tokenizer(texts))


def _pairs(compared: ComparedAnswers) -> Iterator[Row]:
    pairs = compared.feedback.convert_to(Pairs)
    for chosen, rejected, tie in zip(pairs.chosen, pairs.rejected, pairs.outcomes()[1], strict=True):
        if tie < 1:
            answers = {"chosen": compared.answers[chosen], "rejected": compared.answers[rejected]}
            yield {"prompt": compared.prompt, **answers}


def _lists(compared: ComparedAnswers) -> Iterator[Row]:
    if compared.feedback.is_convertible_to(Rankings):
        ranks = compared.feedback.convert_to(Rankings).ranks.tolist()
    else:
        pairs = compared.feedback.convert_to(Pairs)
        rank_of_rejected = 1 if pairs.outcomes()[1] == 1 else 2
        ranks = [1 if answer == pairs.chosen else rank_of_rejected for answer in range(len(compared.answers))]
    yield {"prompt": compared.prompt, "completions": compared.answers, "ranks": ranks}


def _compared(path: str | Path) -> Iterator[ComparedAnswers]:
    """Yield two or more compared answers to one prompt."""
    for row in _group_ratings(convert_dataset(load_rows(str(path)), name=str(path))):
        feedback_type = find_source_type(Pairs, feedback_types_of_row(row))
        if feedback_type is not None and len(answers := feedback_type.answers(row)) > 1:
            texts = [_text(answer.prompt, *answer.parts) for answer in answers]
            prompt = _text(answers[0].prompt) or _common_words(texts)
            yield ComparedAnswers(prompt, [text.removeprefix(prompt) for text in texts], feedback_type.from_row(row))


def _group_ratings(rows: Iterable[Row]) -> Iterator[Row]:
    """Group consecutive rows that have one rated answer and the same prompt."""
    for (prompt, is_rated), group in groupby(rows, key=lambda row: (row.get("prompt"), row.get("rating") is not None)):
        if is_rated:
            members = list(group)
            yield {
                "prompt": prompt,
                "completions": [row["completion"] for row in members],
                "ratings": [row["rating"] for row in members],
            }
        else:
            yield from group


def _text(*parts: str | Messages | None) -> str:
    """Return the concatenation of texts and messages."""
    return "".join(part if isinstance(part, str) else "".join(map(_message_text, part or [])) for part in parts)


def _message_text(message: dict[str, Any]) -> str:
    r"""Return the role and the content of a message.

    >>> _message_text({"role": "user", "content": "Why?"})
    '\n\nuser: Why?'
    """
    return f"\n\n{message['role']}: {message['content'] or ''}"


def _common_words(texts: list[str]) -> str:
    """Return the common beginning of texts, up to the last space, so that no text becomes empty.

    >>> _common_words(["It is so.", "It is not"])
    'It is'
    """
    equal = takewhile(lambda characters: len(set(characters)) == 1, zip(*texts, strict=False))
    common = "".join(characters[0] for characters in equal)
    return common[: max(common.rfind(" "), common.rfind("\n"), 0)]
