"""`rlhf-losses score`: scores of texts as JSON Lines or a table."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from tqdm import tqdm

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.kept_columns import add_keep_argument, require_columns_to_keep
from rlhf_losses.cli.row_texts import TEXT_COLUMNS, Location, RowText, encode_text, row_texts
from rlhf_losses.cli.score_output import open_output, require_output_file
from rlhf_losses.cli.scorer_arguments import (
    add_overlong_argument,
    add_transforms_argument,
    scorer_parser,
    selected_rows,
    selected_scorer,
)
from rlhf_losses.data import convert_dataset
from rlhf_losses.data.text_problems import MISSING_PROMPTS, NO_WHITE_SPACE, TextProblems
from rlhf_losses.data.tokenization import Encoded, cut_prompt
from rlhf_losses.errors import (
    FeedbackMismatchError,
    InvalidFeedbackError,
    OverlongTextError,
)
from rlhf_losses.feedback import Answer
from rlhf_losses.feedback.source_rows import source_row
from rlhf_losses.files.column_values import sampled_values
from rlhf_losses.files.columns import renaming
from rlhf_losses.files.suggested_columns import suggest_texts
from rlhf_losses.scoring import Estimator, RewardModelMetadata, Scorer

logger = logging.getLogger(__name__)

LINE_KEYS = ("row", "item", "column", "index", "step", "score", "problem", "truncated")
"""Keys of a line of the output."""

ROWS_FOR_WARNINGS = 1_000
"""Number of rows in which missing prompts, and answers without white space before them, are looked for."""

Result = dict[str, Any]
"""Score and estimate of a text, or a score of None and the problem."""


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = scorer_parser("rlhf-losses score", "Score texts with a reward model and write JSON Lines or a table.")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="output file: .jsonl, or .csv or .tsv for a table (default: JSON Lines on stdout)",
    )
    add_transforms_argument(parser)
    add_overlong_argument(parser)
    add_keep_argument(parser, "into each line")
    parser.add_argument("--estimate", help="also write this score estimate of a plugin; see rlhf-losses fit")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Write one line per text."""
    args = build_parser().parse(argv)
    if args.output:
        require_output_file(Path(args.output))
    given = selected_rows(args)
    require_columns_to_keep(args.keep, given.column_names, (*LINE_KEYS, args.estimate))
    kept = given.select_columns(args.keep)
    rows = convert_dataset(given, args.converter, "texts", plugins, with_source=True, texts_only=True)
    require_texts(rows, args.dataset)
    scorer = selected_scorer(args, plugins).with_overlong(args.overlong)
    warn_about_texts(rows, scorer.metadata)
    estimator = scorer.estimator(args.estimate, plugins) if args.estimate else None
    keys = list(dict.fromkeys([*args.keep, *LINE_KEYS, *([args.estimate] if args.estimate else [])]))
    with open_output(args.output, keys) as write, tqdm(total=len(rows), unit=" rows", disable=None) as progress:
        unscored = truncated = 0
        for first in range(0, len(rows), args.batch_size):
            batch = rows.select(range(first, min(first + args.batch_size, len(rows))))
            for location, result in score_rows(scorer, estimator, batch, first):
                unscored += result["score"] is None
                truncated += "truncated" in result
                line = location.to_dict() | (kept[location.row] if args.keep else {}) | result
                write(line)
            progress.update(len(batch))
    if truncated:
        logger.warning("Scores of truncated prompts: %d. The key 'truncated' counts the removed tokens.", truncated)
    if unscored:
        logger.warning("Texts without a score: %d. The key 'problem' has the reason.", unscored)


def require_texts(rows: Dataset, name: str) -> None:
    """Raise `FeedbackMismatchError` unless a column contains texts.

    Args:
        rows: the dataset.
        name: name of the dataset, for the message.
    """
    columns = rows.column_names
    if not set(columns) & set(TEXT_COLUMNS):
        found = suggest_texts(sampled_values(rows, columns))
        example = renaming(found if "prompt" in found else {"prompt": "question", "completion": "answer"})
        raise FeedbackMismatchError(
            f"'{name}' has the columns {', '.join(columns)}, and none of them contains texts to score. Rename one to "
            "text or messages, or add answers to a prompt: completion, completions, response_a and response_b, or "
            f"chosen and rejected, for example {example}."
        )


def warn_about_texts(rows: Dataset, metadata: RewardModelMetadata) -> None:
    """Warn of missing prompts, and if nearly all prompts meet their answers without white space.

    Args:
        rows: the rows to score, of which the first ones are read.
        metadata: metadata of the reward model.
    """
    first = rows.select(range(min(len(rows), ROWS_FOR_WARNINGS)))
    of_rows = list(_texts(first, metadata))
    answers = [[text.source for text in texts if isinstance(text.source, Answer)] for texts in of_rows]
    numbers = [texts[0].locations[0].row for texts in of_rows]
    problems = replace(TextProblems.of(answers, numbers), first_rows=len(first) < len(rows))
    sentences = problems.sentences()
    for problem in (MISSING_PROMPTS, *([NO_WHITE_SPACE] if problems.are_mostly_joined else [])):
        if problem in sentences:
            logger.warning("texts: %s", sentences[problem])


def _texts(rows: Dataset, metadata: RewardModelMetadata) -> Iterator[list[RowText]]:
    for number, row in enumerate(rows):
        with contextlib.suppress(InvalidFeedbackError):  # which has a line of the output
            yield row_texts(row, number, metadata)


def score_rows(
    scorer: Scorer, estimator: Estimator | None, rows: Iterable[Any], first: int
) -> Iterator[tuple[Location, Result]]:
    """Score the texts of rows. A text that cannot be scored has a problem instead of a score.

    Args:
        scorer: the reward model. With `overlong="drop"`, a text that is too long has a problem.
        estimator: a score estimate for whole texts, or None.
        rows: rows of a dataset.
        first: index of the first row.

    Raises:
        InvalidFeedbackError: a text is too long, and `overlong` is `"error"`.
    """
    texts = [text for number, row in enumerate(rows, first) for text in encode_row(scorer, row, number)]
    whole = [tokens for text, tokens in texts if isinstance(tokens, Encoded) and not text.stepwise]
    stepwise = [tokens for text, tokens in texts if isinstance(tokens, Encoded) and text.stepwise]
    results = {False: iter(score_whole(scorer, estimator, whole)), True: iter(score_steps(scorer, stepwise))}
    for text, tokens in texts:
        if isinstance(tokens, str):
            yield from ((location, {"score": None, "problem": tokens}) for location in text.locations)
        else:
            truncated = {"truncated": tokens.removed} if tokens.removed else {}
            for location, result in zip(text.locations, next(results[text.stepwise]), strict=True):
                yield location, result | truncated


def encode_row(scorer: Scorer, row: Mapping[str, Any], number: int) -> list[tuple[RowText, Encoded | str]]:
    """Return the texts of a row with their tokens, or with the reason why they cannot be scored.

    If a prompt is truncated, the other prompts of the row are truncated by the same number of tokens, as in training.

    Args:
        scorer: the reward model.
        row: row of a dataset.
        number: index of the row.

    Raises:
        InvalidFeedbackError: a text is too long, and `overlong` is `"error"`.
    """
    try:
        texts = row_texts(row, number, scorer.metadata)
    except InvalidFeedbackError as error:
        return [(RowText([Location(source_row(row, number))], None), str(error))]
    encoded = [_encode_or_explain(scorer, text, row, number) for text in texts]
    removed = max((one.removed for one in encoded if isinstance(one, Encoded)), default=0)
    cut = [_cut_to(one, removed) if isinstance(one, Encoded) else one for one in encoded]
    return list(zip(texts, cut, strict=True))


def _encode_or_explain(scorer: Scorer, text: RowText, row: Mapping[str, Any], number: int) -> Encoded | str:
    strict = scorer.with_overlong("error") if scorer.encoder.overlong == "drop" else scorer
    try:
        return encode_text(strict, text, row)
    except InvalidFeedbackError as error:
        if scorer.encoder.overlong == "error" and isinstance(error, OverlongTextError):
            raise OverlongTextError(f"Row {source_row(row, number)}: {error}") from None
        return str(error)


def _cut_to(text: Encoded, removed: int) -> Encoded:
    return cut_prompt(text, min(removed - text.removed, text.prompt_length))


def score_whole(scorer: Scorer, estimator: Estimator | None, texts: Sequence[Encoded]) -> list[list[Result]]:
    """Return the result of each whole text, in a list of one."""
    if estimator is None:
        return [[{"score": score}] for score in scorer.score_texts(texts)]
    scores, estimates = estimator.score_texts(texts)
    return [[{"score": score, estimator.__name__: estimate}] for score, estimate in zip(scores, estimates, strict=True)]


def score_steps(scorer: Scorer, texts: Sequence[Encoded]) -> list[list[Result]]:
    """Return the results of the steps of each text."""
    return [[{"score": score} for score in scores] for scores in scorer.score_encoded(texts)]
