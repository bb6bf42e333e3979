"""`rlhf-losses score`: one scalar a text, as JSON Lines."""

import contextlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from rlhf_losses.batching.segments import join_segments
from rlhf_losses.cli.reading import load_scorer, reading_parser, rows_of
from rlhf_losses.errors import FeedbackMismatch, InvalidFeedback, RunExists
from rlhf_losses.feedback import Steps
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring import Scorer

logger = logging.getLogger(__name__)

WHOLE = ("text", "messages")
"""Columns that hold a text or a conversation without a prompt beside it."""

ANSWERS = ("chosen", "rejected", "completion", "completions")
"""Columns that hold one answer, or several, to the column `prompt`."""


@dataclass(frozen=True)
class Place:
    """Where a text stands: the row, the column, and its number if the column holds a list."""

    row: int
    column: str
    index: int | None = None

    def told(self) -> dict[str, Any]:
        """Return what is written about the place."""
        index = {} if self.index is None else {"index": self.index}
        return {"row": self.row, "column": self.column, **index}


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Write one line a text."""
    parser = reading_parser("rlhf-losses score", "Score texts with a reward model and write JSON Lines.")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to stdout")
    args = parser.parse(argv)
    rows = rows_of(args)
    require_texts(rows.column_names, args.dataset)
    if args.output and Path(args.output).exists():
        raise RunExists(f"The file '{args.output}' exists already. Choose another one: --output FILE.")
    scorer = load_scorer(args.model, batch_size=args.batch_size, device=args.device)
    with output(args.output) as lines, tqdm(total=len(rows), unit=" rows", disable=None) as bar:
        left_out = 0
        for first in range(0, len(rows), args.batch_size):
            chunk = rows.select(range(first, min(first + args.batch_size, len(rows))))
            for place, score, problem in scored(scorer, chunk, first):
                left_out += score is None
                told = place.told() | {"score": score} | ({"problem": problem} if problem else {})
                print(json.dumps(told, ensure_ascii=False), file=lines)
            bar.update(len(chunk))
    if left_out:
        logger.warning("%d texts have no score; their lines say why under 'problem'.", left_out)


def require_texts(columns: Sequence[str], name: str) -> None:
    """Raise `FeedbackMismatch` unless some column holds texts."""
    if not set(columns) & {*WHOLE, *ANSWERS}:
        raise FeedbackMismatch(
            f"'{name}' has the columns {', '.join(columns)}, and none of them holds texts to score. Rename one to "
            "text or messages, or give answers to a prompt: completion, completions, or chosen and rejected."
        )


@contextlib.contextmanager
def output(file: str | None) -> Iterator[TextIO]:
    """Open the file to write to, or stdout."""
    if file is None:
        yield sys.stdout
        return
    with open(file, "w", encoding="utf-8") as opened:
        yield opened


def scored(scorer: Scorer, rows: Iterable[Any], first: int) -> Iterator[tuple[Place, float | None, str | None]]:
    """Score the texts of some rows; a text that cannot be scored comes with the reason."""
    steps = scorer.description.segmentation is not None
    found = [one for number, row in enumerate(rows, first) for one in texts(row, number, steps)]
    try:
        scores = score_all(scorer, [answer for _, answer in found])
    except InvalidFeedback:
        # One text is too long, or the like. Score them one by one to find it, and keep the rest.
        for places, answer in found:
            yield from one_by_one(scorer, places, answer)
        return
    for (places, _), values in zip(found, scores, strict=True):
        yield from ((place, value, None) for place, value in zip(places, values, strict=True))


def one_by_one(scorer: Scorer, places: list[Place], answer: Answer) -> Iterator[tuple[Place, float | None, str | None]]:
    """Score one answer, or say why it cannot be scored."""
    try:
        values: Sequence[float | None] = score_all(scorer, [answer])[0]
        problem = None
    except InvalidFeedback as error:
        values, problem = [None] * len(places), str(error)
    yield from ((place, value, problem) for place, value in zip(places, values, strict=True))


def score_all(scorer: Scorer, answers: Sequence[Answer]) -> list[list[float]]:
    """Return the scores of each answer: one at its end, or one a step if its steps are given."""
    for answer in answers:
        if not (answer.prompt or any(answer.parts)):
            raise InvalidFeedback("The text is empty, so there is nothing to score. Give one, or a prompt.")
    whole = [answer for answer in answers if len(answer.parts) == 1]
    ends = iter(scorer([answer.prompt for answer in whole], [answer.parts[0] for answer in whole]))  # type: ignore[misc]
    stepwise = iter(scorer.score_answers([answer for answer in answers if len(answer.parts) > 1]))
    return [[next(ends)] if len(answer.parts) == 1 else next(stepwise) for answer in answers]


def texts(row: Mapping[str, Any], number: int, steps: bool) -> Iterator[tuple[list[Place], Answer]]:
    """Return every text of a row and where it stands; with `steps`, the steps of an answer are scored each."""
    held = {column: row[column] for column in (*WHOLE, *ANSWERS) if row.get(column) is not None}
    several = held.pop("completions", None)
    for column, value in held.items():
        prompt = None if column in WHOLE else row.get("prompt")
        yield [Place(number, column)], Answer(prompt, (value,))
    if several is None:
        return
    places = [Place(number, "completions", index) for index in range(len(several))]
    if row.get("labels") is None:
        yield from (
            ([place], Answer(row.get("prompt"), (value,))) for place, value in zip(places, several, strict=True)
        )
    elif steps:
        yield places, Steps.answers(row)[0]
    else:
        yield [Place(number, "completions")], Answer(row.get("prompt"), ("".join(join_segments(several)),))
