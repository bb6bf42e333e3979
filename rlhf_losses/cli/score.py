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
from rlhf_losses.scoring import Description, Scorer

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


@dataclass(frozen=True)
class Text:
    """One text to be scored, and its place; with `stepwise`, a place for each of its steps."""

    places: list[Place]
    answer: Answer
    stepwise: bool = False


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
    texts = [text for number, row in enumerate(rows, first) for text in texts_of(row, number, scorer.description)]
    try:
        yield from zip_places(texts, score_all(scorer, texts))
    except InvalidFeedback:
        # One text is too long, or the like. Score them one by one to find it, and keep the rest.
        for text in texts:
            yield from one_by_one(scorer, text)


def zip_places(texts: Sequence[Text], scores: Sequence[list[float]]) -> list[tuple[Place, float, None]]:
    """Put each score beside the place of its text or step."""
    pairs = [pair for text, values in zip(texts, scores, strict=True) for pair in zip(text.places, values, strict=True)]
    return [(place, score, None) for place, score in pairs]


def one_by_one(scorer: Scorer, text: Text) -> Iterator[tuple[Place, float | None, str | None]]:
    """Score one text, or say why it cannot be scored."""
    try:
        yield from zip_places([text], score_all(scorer, [text]))
    except InvalidFeedback as error:
        yield from ((place, None, str(error)) for place in text.places)


def score_all(scorer: Scorer, texts: Sequence[Text]) -> list[list[float]]:
    """Return the scores of each text: one, or one a step where its steps are given and the model reads steps."""
    for text in texts:
        if not (text.answer.prompt or any(text.answer.parts)):
            raise InvalidFeedback("The text is empty, so there is nothing to score. Give one, or a prompt.")
    whole = [text.answer for text in texts if not text.stepwise]
    ends = iter(scorer([answer.prompt for answer in whole], [answer.parts[0] for answer in whole]))  # type: ignore[misc]
    steps = iter(scorer.score_answers([text.answer for text in texts if text.stepwise]))
    return [next(steps) if text.stepwise else [next(ends)] for text in texts]


def texts_of(row: Mapping[str, Any], number: int, model: Description) -> Iterator[Text]:
    """Return every text of a row and where it stands; steps are apart if the model reads them."""
    held = {column: row[column] for column in (*WHOLE, *ANSWERS) if row.get(column) is not None}
    several = held.pop("completions", [])
    for column, value in held.items():
        yield Text([Place(number, column)], Answer(None if column in WHOLE else row.get("prompt"), (value,)))
    places = [Place(number, "completions", index) for index in range(len(several))]
    if not places:
        return
    if row.get("labels") is None:
        for place, value in zip(places, several, strict=True):
            yield Text([place], Answer(row.get("prompt"), (value,)))
    elif model.segmentation is not None:
        yield Text(places, Steps.answers(row)[0], stepwise=True)
    else:
        joined = "".join(join_segments(several, model.separator))
        yield Text([Place(number, "completions")], Answer(row.get("prompt"), (joined,)))
