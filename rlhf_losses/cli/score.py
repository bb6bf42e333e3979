"""`rlhf-losses score`: scores of texts as JSON Lines."""

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
from rlhf_losses.cli.scorer_arguments import add_transforms_argument, scorer_parser, selected_rows, selected_scorer
from rlhf_losses.data import convert_dataset
from rlhf_losses.data.segmentation import join_segments
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, OutputExistsError
from rlhf_losses.feedback import Answer, Steps
from rlhf_losses.scoring import Estimator, RewardModelMetadata, Scorer

logger = logging.getLogger(__name__)

TEXT_COLUMNS = ("text", "messages")
"""Columns that contain a whole text or a whole conversation."""

ANSWER_COLUMNS = ("chosen", "rejected", "completion", "completions")
"""Columns that contain one or several answers to the column `prompt`."""

Result = dict[str, Any]
"""Score and estimate of a text, or a score of None and the problem."""


@dataclass(frozen=True)
class Location:
    """Location of a text in the dataset.

    Attributes:
        row: index of the row.
        column: name of the column.
        index: index in the list of the column, or None if the column contains one text.
    """

    row: int
    column: str
    index: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        index = {} if self.index is None else {"index": self.index}
        return {"row": self.row, "column": self.column, **index}


@dataclass(frozen=True)
class Text:
    """One text to score.

    Attributes:
        locations: its location; of a stepwise text, the location of each step.
        answer: the text as a prompt and parts.
        stepwise: whether each step has a score.
    """

    locations: list[Location]
    answer: Answer
    stepwise: bool = False


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Write one line per text."""
    parser = scorer_parser("rlhf-losses score", "Score texts with a reward model and write JSON Lines.")
    parser.add_argument("--output", metavar="FILE", help="output file (default: stdout)")
    add_transforms_argument(parser)
    parser.add_argument("--estimate", help="also write this score estimate, e.g. laplace; see rlhf-losses fit")
    args = parser.parse(argv)
    rows = convert_dataset(selected_rows(args), args.converter, "texts", plugins)
    require_texts(rows.column_names, args.dataset)
    if args.output:
        require_new_file(Path(args.output))
    scorer = selected_scorer(args, plugins)
    estimator = scorer.estimator(args.estimate, plugins) if args.estimate else None
    with open_output(args.output) as file, tqdm(total=len(rows), unit=" rows", disable=None) as progress:
        unscored = 0
        for first in range(0, len(rows), args.batch_size):
            batch = rows.select(range(first, min(first + args.batch_size, len(rows))))
            for location, result in score_rows(scorer, estimator, batch, first):
                unscored += result["score"] is None
                print(json.dumps(location.to_dict() | result, ensure_ascii=False), file=file)
            progress.update(len(batch))
    if unscored:
        logger.warning("Texts without a score: %d. The key 'problem' has the reason.", unscored)


def require_texts(columns: Sequence[str], name: str) -> None:
    """Raise `FeedbackMismatchError` unless a column contains texts.

    Args:
        columns: names of the columns.
        name: name of the dataset, for the message.
    """
    if not set(columns) & {*TEXT_COLUMNS, *ANSWER_COLUMNS}:
        raise FeedbackMismatchError(
            f"'{name}' has the columns {', '.join(columns)}, and none of them contains texts to score. Rename one to "
            "text or messages, or add answers to a prompt: completion, completions, or chosen and rejected."
        )


def require_new_file(file: Path) -> None:
    """Raise `OutputExistsError` if a file exists, and `CommandLineError` if its folder does not exist."""
    if file.exists():
        raise OutputExistsError(f"The file '{file}' exists. Choose another file: --output FILE.")
    if not file.parent.is_dir():
        raise CommandLineError(
            f"There is no folder '{file.parent}' for the scores. Create it, or choose another file: --output FILE."
        )


@contextlib.contextmanager
def open_output(file: str | None) -> Iterator[TextIO]:
    """Open the output file, or stdout."""
    if file is None:
        yield sys.stdout
        return
    with open(file, "w", encoding="utf-8") as opened:
        yield opened


def score_rows(
    scorer: Scorer, estimator: Estimator | None, rows: Iterable[Any], first: int
) -> Iterator[tuple[Location, Result]]:
    """Score the texts of rows. A text that cannot be scored has a problem instead of a score.

    Args:
        scorer: the reward model.
        estimator: a score estimate, or None.
        rows: rows of a dataset.
        first: index of the first row.
    """
    texts = [text for number, row in enumerate(rows, first) for text in texts_of_row(row, number, scorer.metadata)]
    try:
        yield from pair_locations(texts, score_texts(scorer, estimator, texts))
    except InvalidFeedbackError:  # a text is too long or empty; scored one by one, only this text has no score
        for text in texts:
            yield from score_one(scorer, estimator, text)


def score_one(scorer: Scorer, estimator: Estimator | None, text: Text) -> Iterator[tuple[Location, Result]]:
    """Score one text, or return the problem."""
    try:
        yield from pair_locations([text], score_texts(scorer, estimator, [text]))
    except InvalidFeedbackError as error:
        yield from ((location, {"score": None, "problem": str(error)}) for location in text.locations)


def pair_locations(texts: Sequence[Text], results: Sequence[list[Result]]) -> list[tuple[Location, Result]]:
    """Return each result with the location of its text or step."""
    return [
        pair for text, found in zip(texts, results, strict=True) for pair in zip(text.locations, found, strict=True)
    ]


def score_texts(scorer: Scorer, estimator: Estimator | None, texts: Sequence[Text]) -> list[list[Result]]:
    """Return the results of each text: one per step of a stepwise text, otherwise one.

    Args:
        scorer: the reward model.
        estimator: a score estimate for whole texts, or None.
        texts: the texts.

    Raises:
        InvalidFeedbackError: a text is empty or does not fit into the context of the model.
    """
    for text in texts:
        if not (text.answer.prompt or any(text.answer.parts)):
            raise InvalidFeedbackError("The text is empty, so it has no score. Fill it, or add a prompt.")
    whole = [text.answer for text in texts if not text.stepwise]
    prompts: list[Any] = [answer.prompt for answer in whole]
    completions: list[Any] = [answer.parts[0] for answer in whole]
    if estimator is None:
        results = iter([{"score": score} for score in scorer(prompts, completions)])
    else:
        scores_and_estimates = zip(*estimator.with_scores(prompts, completions), strict=True)
        results = iter([{"score": score, estimator.__name__: estimate} for score, estimate in scores_and_estimates])
    steps = iter(scorer.score_answers([text.answer for text in texts if text.stepwise]))
    return [[{"score": score} for score in next(steps)] if text.stepwise else [next(results)] for text in texts]


def texts_of_row(row: Mapping[str, Any], number: int, metadata: RewardModelMetadata) -> Iterator[Text]:
    """Return all texts of a row. Steps are separate if the model was trained on steps.

    Args:
        row: row of a dataset.
        number: index of the row.
        metadata: metadata of the reward model.
    """
    values = {column: row[column] for column in (*TEXT_COLUMNS, *ANSWER_COLUMNS) if row.get(column) is not None}
    completions = values.pop("completions", [])
    for column, value in values.items():
        prompt = None if column in TEXT_COLUMNS else row.get("prompt")
        yield Text([Location(number, column)], Answer(prompt, (value,)))
    locations = [Location(number, "completions", index) for index in range(len(completions))]
    if not locations:
        return
    if row.get("labels") is None:
        for location, value in zip(locations, completions, strict=True):
            yield Text([location], Answer(row.get("prompt"), (value,)))
    elif metadata.segmentation is not None:
        yield Text(locations, Steps.answers(row)[0], stepwise=True)
    else:
        joined = "".join(join_segments(completions, metadata.separator))
        yield Text([Location(number, "completions")], Answer(row.get("prompt"), (joined,)))
