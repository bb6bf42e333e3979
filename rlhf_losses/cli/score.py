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

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.scorer_arguments import CONVERTER, load_scorer, reading_parser, rows_of
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.data.segmentation import join_segments
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, OutputExistsError
from rlhf_losses.feedback import Steps
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring import Estimator, RewardModelMetadata, Scorer

logger = logging.getLogger(__name__)

WHOLE = ("text", "messages")
"""Columns that hold a text or a conversation without a prompt beside it."""

ANSWERS = ("chosen", "rejected", "completion", "completions")
"""Columns that hold one answer, or several, to the column `prompt`."""


Numbers = dict[str, Any]
"""What is told of one text: its score and perhaps an estimate, or no score and the problem."""


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
    parser.add_argument("--converter", help=CONVERTER)
    parser.add_argument("--estimate", help="tell this too of each whole text, like laplace; see rlhf-losses fit")
    args = parser.parse(argv)
    rows = convert_dataset(rows_of(args), args.converter, "texts", plugins)
    require_texts(rows.column_names, args.dataset)
    if args.output:
        require_new(Path(args.output))
    scorer = load_scorer(args.model, batch_size=args.batch_size, device=args.device)
    estimator = scorer.estimator(args.estimate, plugins) if args.estimate else None
    with output(args.output) as lines, tqdm(total=len(rows), unit=" rows", disable=None) as bar:
        left_out = 0
        for first in range(0, len(rows), args.batch_size):
            chunk = rows.select(range(first, min(first + args.batch_size, len(rows))))
            for place, numbers in scored(scorer, estimator, chunk, first):
                left_out += numbers["score"] is None
                print(json.dumps(place.told() | numbers, ensure_ascii=False), file=lines)
            bar.update(len(chunk))
    if left_out:
        logger.warning("Texts without a score: %d. Their lines say why under 'problem'.", left_out)


def require_texts(columns: Sequence[str], name: str) -> None:
    """Raise `FeedbackMismatchError` unless some column holds texts."""
    if not set(columns) & {*WHOLE, *ANSWERS}:
        raise FeedbackMismatchError(
            f"'{name}' has the columns {', '.join(columns)}, and none of them holds texts to score. Rename one to "
            "text or messages, or give answers to a prompt: completion, completions, or chosen and rejected."
        )


def require_new(file: Path) -> None:
    """Raise `OutputExistsError` for a file that is there, and `CommandLineError` for one in a folder that is not."""
    if file.exists():
        raise OutputExistsError(f"The file '{file}' exists already. Choose another one: --output FILE.")
    if not file.parent.is_dir():
        raise CommandLineError(
            f"There is no folder '{file.parent}' for the scores. Make it, or choose another: --output FILE."
        )


@contextlib.contextmanager
def output(file: str | None) -> Iterator[TextIO]:
    """Open the file to write to, or stdout."""
    if file is None:
        yield sys.stdout
        return
    with open(file, "w", encoding="utf-8") as opened:
        yield opened


def scored(
    scorer: Scorer, estimator: Estimator | None, rows: Iterable[Any], first: int
) -> Iterator[tuple[Place, Numbers]]:
    """Score the texts of some rows; a text that cannot be scored comes with the reason."""
    texts = [text for number, row in enumerate(rows, first) for text in texts_of(row, number, scorer.metadata)]
    try:
        yield from zip_places(texts, score_all(scorer, estimator, texts))
    except InvalidFeedbackError:
        # One text is too long, or the like. Score them one by one to find it, and keep the rest.
        for text in texts:
            yield from one_by_one(scorer, estimator, text)


def zip_places(texts: Sequence[Text], scores: Sequence[list[Numbers]]) -> list[tuple[Place, Numbers]]:
    """Put what was found beside the place of its text or step."""
    return [pair for text, values in zip(texts, scores, strict=True) for pair in zip(text.places, values, strict=True)]


def one_by_one(scorer: Scorer, estimator: Estimator | None, text: Text) -> Iterator[tuple[Place, Numbers]]:
    """Score one text, or say why it cannot be scored."""
    try:
        yield from zip_places([text], score_all(scorer, estimator, [text]))
    except InvalidFeedbackError as error:
        yield from ((place, {"score": None, "problem": str(error)}) for place in text.places)


def score_all(scorer: Scorer, estimator: Estimator | None, texts: Sequence[Text]) -> list[list[Numbers]]:
    """Return the scores of each text: one, or one a step where its steps are given and the model reads steps.

    Beside the score of a whole text stands its estimate, if there is a wish for one.
    """
    for text in texts:
        if not (text.answer.prompt or any(text.answer.parts)):
            raise InvalidFeedbackError("The text is empty, so there is nothing to score. Give one, or a prompt.")
    whole = [text.answer for text in texts if not text.stepwise]
    asked = [answer.prompt for answer in whole], [answer.parts[0] for answer in whole]
    if estimator is None:
        ends = iter([{"score": one} for one in scorer(*asked)])  # type: ignore[arg-type]
    else:
        found = zip(*estimator.with_scores(*asked), strict=True)  # type: ignore[arg-type]
        ends = iter([{"score": score, estimator.__name__: estimate} for score, estimate in found])
    steps = iter(scorer.score_answers([text.answer for text in texts if text.stepwise]))
    return [[{"score": one} for one in next(steps)] if text.stepwise else [next(ends)] for text in texts]


def texts_of(row: Mapping[str, Any], number: int, model: RewardModelMetadata) -> Iterator[Text]:
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
