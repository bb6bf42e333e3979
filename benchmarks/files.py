"""Pairs and lists as plain text, from a file in any layout that the library reads."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice, takewhile
from pathlib import Path
from typing import Any

from workloads import Workload, train_tokenizer

from rlhf_losses.cli.dataset_loading import load_rows
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Pairs, Rankings
from rlhf_losses.feedback.base import Messages, Row
from rlhf_losses.feedback.types import feedback_types_of_row, find_source_type

Compared = tuple[str, list[str], Feedback]
"""A prompt, its answers, and what was said about them."""


def pairs_from(path: str | Path, count: int | None = None) -> Workload:
    """Return the first pairs of a file, those of votes, ratings and rankings among them; ties are left out."""
    return _workload(path, count, _pairs)


def lists_from(path: str | Path, count: int | None = None) -> Workload:
    """Return the first lists of a file; a pair is a list of two."""
    return _workload(path, count, _lists)


def _workload(path: str | Path, count: int | None, read: Callable[[Compared], Iterator[Row]]) -> Workload:
    rows = [dict(row) for row in islice((row for compared in _compared(path) for row in read(compared)), count)]
    if not rows:
        raise InvalidFeedbackError(
            f"'{path}' says of no two answers to one prompt which is better, so nothing can be trained on it here. "
            "Give a file of pairs, votes, rankings, or ratings of several answers a prompt."
        )
    texts = [text for row in rows for text in (row["prompt"], *(row.get("completions") or [row["chosen"]]))]
    return Workload(Path(path).parent.name + "/" + Path(path).name.split(".")[0], rows, train_tokenizer(texts))


def _pairs(compared: Compared) -> Iterator[Row]:
    prompt, answers, feedback = compared
    pairs = feedback.convert_to(Pairs)
    for chosen, rejected, tie in zip(pairs.chosen, pairs.rejected, pairs.outcomes()[1], strict=True):
        if tie < 1:
            yield {"prompt": prompt, "chosen": answers[chosen], "rejected": answers[rejected]}


def _lists(compared: Compared) -> Iterator[Row]:
    prompt, answers, feedback = compared
    if feedback.is_convertible_to(Rankings):
        ranks = feedback.convert_to(Rankings).ranks.tolist()
    else:
        pairs = feedback.convert_to(Pairs)
        second = 1 if pairs.outcomes()[1] == 1 else 2
        ranks = [1 if answer == pairs.chosen else second for answer in range(len(answers))]
    yield {"prompt": prompt, "completions": answers, "ranks": ranks}


def _compared(path: str | Path) -> Iterator[Compared]:
    """Yield what a file says about two answers or more to one prompt."""
    for row in _with_all_ratings(convert_dataset(load_rows(str(path)), name=str(path))):
        kind = find_source_type(Pairs, feedback_types_of_row(row))
        if kind is not None and len(answers := kind.answers(row)) > 1:
            texts = [_text(answer.prompt, *answer.parts) for answer in answers]
            prompt = _text(answers[0].prompt) or _beginning(texts)
            yield prompt, [text.removeprefix(prompt) for text in texts], kind.from_row(row)


def _with_all_ratings(rows: Iterable[Row]) -> Iterator[Row]:
    """Put answers that are rated one a row below their prompt, where the next of the same prompt follow."""
    for (prompt, rated), same in groupby(rows, key=lambda row: (row.get("prompt"), row.get("rating") is not None)):
        if rated:
            together = list(same)
            yield {
                "prompt": prompt, "completions": [row["completion"] for row in together],
                "ratings": [row["rating"] for row in together],
            }  # fmt: skip
        else:
            yield from same


def _text(*parts: str | Messages | None) -> str:
    """Write texts one after the other; of a message its role and its content."""
    return "".join(part if isinstance(part, str) else "".join(map(_message, part or [])) for part in parts)


def _message(message: dict[str, Any]) -> str:
    r"""Write one message.

    >>> _message({"role": "user", "content": "Why?"})
    '\n\nuser: Why?'
    """
    return f"\n\n{message['role']}: {message['content'] or ''}"


def _beginning(texts: list[str]) -> str:
    """Return what texts have in common, up to the last space, so that something is left of each.

    >>> _beginning(["It is so.", "It is not"])
    'It is'
    """
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    common = "".join(letters[0] for letters in same)
    return common[: max(common.rfind(" "), common.rfind("\n"), 0)]
