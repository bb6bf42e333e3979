"""Evaluation of a reward model on feedback that it was not trained on."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import tee
from typing import TypeAlias

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.batches import at_row, row_batches
from rlhf_losses.data.dataset import Overlong, check_dataset, column_names, group_ratings, usable_rows
from rlhf_losses.data.read_columns import with_read_columns
from rlhf_losses.data.rows import (
    FeedbackTypes,
    feedback_types_in_row,
    rows_feedback,
    tokenized_pair,
)
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidLossError, UnknownNameError
from rlhf_losses.feedback import (
    STEPWISE_TYPES,
    Lengths,
    Mixed,
    Rankings,
    Ratings,
    Steps,
    feedback_types_in_columns,
)
from rlhf_losses.feedback.base import Answer, Row
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.media_columns import without_media
from rlhf_losses.hooks import as_loss, parse_loss
from rlhf_losses.losses import AnyLoss, ScoreDecay
from rlhf_losses.metrics import Tally, agreement, labelled_scores, summarize
from rlhf_losses.optional_packages import require_packages
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.scorer import Scorer, require_scorer
from rlhf_losses.shapes import Scores
from rlhf_losses.transforms import ScoredTexts

logger = logging.getLogger(__name__)

ScorableText: TypeAlias = tuple[Encoded, bool]
"""A tokenized text, and whether each step of it has a score."""


def evaluate(
    scorer: Scorer, dataset: Dataset, loss: AnyLoss | str | None = None, overlong: Overlong | None = None
) -> dict[str, float]:
    """Return metrics of a scorer on feedback of any type.

    Whole texts have the score of the scorer, and steps the score at their end. The scores are raw unless the scorer has
    transforms. Loss parameters, like cut points, have their trained values if the model was trained with `loss`,
    otherwise their initial values.

    Args:
        scorer: the reward model.
        dataset: rows with feedback; see `convert_dataset`.
        loss: a loss whose value is reported too, or its string form.
        overlong: treatment of rows that do not fit: `"drop"`, `"truncate_prompt"` or `"error"`; by default as in the
            training of the model.

    Returns:
        `rows`, `mean_score` and `std_score`; where the feedback defines them, `accuracy` and `margin` of comparisons,
            `accuracy` and the other metrics of labels and labelled steps (see `agreement` and `summarize` in
            `rlhf_losses.metrics`), `kendall_tau` (mean over lists), `spearman` and `pearson` (ratings); `loss`, if a
            loss is given; and `length_correlation`, the correlation of the scores with the number of tokens of the
            text.

    Raises:
        FeedbackMismatchError: the columns have no known feedback, or none that `loss` can use.
        InvalidFeedbackError: a value is invalid, or no row fits into the context.
    """
    require_scorer(scorer)
    scorer = scorer.with_overlong(overlong)
    require_dataset(dataset)
    dataset = without_media(dataset, "evaluation data")
    loss = None if loss is None else as_loss(loss)
    dataset = group_ratings(dataset, loss, "evaluation data") if loss else dataset
    check_dataset(dataset, loss or ScoreDecay(), "evaluation data")
    feedback_types = feedback_types_in_columns(column_names(dataset))
    found = scorable_rows(scorer, dataset, feedback_types, "evaluation data")
    rows, texts = [one.row for one in found], [text for one in found for text in one.texts]
    scored = score_texts(scorer, texts, scorer.requires_features)
    joined = rows_feedback(rows, feedback_types)
    used = torch.unique(joined.positions())  # steps without a label have no feedback
    scores, lengths = torch.tensor(scorer.transform(scored))[used], scored.lengths[used]
    new_positions = torch.full((len(scored.scores),), -1).index_copy(0, used, torch.arange(len(used)))
    feedback = Mixed.concatenate([joined.reindexed(new_positions), Lengths(torch.arange(len(used)), lengths)])
    rated = _rates_steps(loss, scorer.metadata, feedback)
    metrics = summarize(agreement(scores, feedback, rated), labelled_scores(scores, feedback, rated))
    metrics |= _rank_correlations(scores, feedback)
    if loss is not None:
        parameters = saved_loss_parameters(loss, scorer.metadata)
        metrics["loss"] = float(loss.as_objective()(scores, feedback, parameters))
    defined = {name: value for name, value in metrics.items() if not math.isnan(value)}
    return {"rows": len(rows), **defined, **_distribution(scores.numpy(), _text_lengths(texts)[used.numpy()])}


def saved_loss_parameters(loss: AnyLoss, metadata: RewardModelMetadata) -> list[dict[str, Tensor]]:
    """Return the trained loss parameters of each term, or empty mappings if the model was trained with another loss.

    Args:
        loss: the loss to evaluate.
        metadata: metadata of the model.
    """
    objective = loss.as_objective()
    saved = metadata.loss_parameters if metadata.loss == str(loss) else {}
    if any(term.loss.loss_parameters for term in objective.terms) and not saved:
        logger.warning(
            "The loss parameters of %s have their initial values, because the model was trained with %s. "
            "Evaluate that loss to use the trained values.",
            loss,
            metadata.loss,
        )
    return [
        {parameter: torch.tensor(saved[f"{name}.{parameter}"]) for parameter in term.loss.loss_parameters if saved}
        for name, term in zip(objective.term_names, objective.terms, strict=True)
    ]


@dataclass(frozen=True)
class ScorableRow:
    """A row that has feedback and fits the model.

    Attributes:
        row: the row.
        texts: its tokenized texts, and whether each step of the text has a score.
    """

    row: Row
    texts: Sequence[ScorableText]


def scorable_rows(scorer: Scorer, dataset: Dataset, feedback_types: FeedbackTypes, name: str) -> list[ScorableRow]:
    """Return the rows that have feedback of some types and fit the model, with their tokenized texts.

    Args:
        scorer: the reward model.
        dataset: rows with feedback.
        feedback_types: feedback types to use.
        name: name of the dataset in messages.

    Raises:
        InvalidFeedbackError: no row remains, or a text is too long and `overlong` is `"error"`.
    """
    found: list[ScorableRow] = []
    for numbers, batch in row_batches(with_read_columns(dataset), f"Tokenizing {name}"):
        found += at_row(partial(_encode_rows, scorer, feedback_types=feedback_types), batch, numbers, name)
    truncates = scorer.overlong == "truncate_prompt"
    removed = [max((text.removed for text, _ in one.texts), default=0) for one in found]
    lengths = [
        max((len(text.ids) + (0 if truncates else text.removed) for text, _ in one.texts), default=0) for one in found
    ]
    kept = usable_rows(lengths, removed, scorer.length_limit, feedback_types, name)
    return [found[index] for index in kept]


def score_texts(scorer: Scorer, texts: Sequence[ScorableText], features: bool) -> ScoredTexts:
    """Return the raw scores of the texts of rows, at the score positions of the joined feedback of the rows.

    Args:
        scorer: the reward model.
        texts: texts from `scorable_rows`.
        features: whether to return the input vectors of the score head.
    """
    parts = scorer.score_parts([text for text, _ in texts], features)
    scored = zip(texts, parts, strict=True)
    return ScoredTexts.concatenate([part if stepwise else scorer.aggregate(part) for (_, stepwise), part in scored])


def _encode_rows(scorer: Scorer, rows: Sequence[Row], feedback_types: FeedbackTypes) -> list[ScorableRow]:
    given = [tokenized_pair(row) for row in rows]
    answers, again = tee(
        [] if pair else _answers(scorer, row, feedback_types) for row, pair in zip(rows, given, strict=True)
    )
    texts = scorer.encode_rows([answer for answer, _ in of_row] for of_row in again)
    return [
        ScorableRow(
            row, [(text, False) for text in pair] or [(text, one[1]) for text, one in zip(encoded, of_row, strict=True)]
        )
        for row, pair, of_row, encoded in zip(rows, given, answers, texts, strict=True)
    ]


def _answers(scorer: Scorer, row: Row, feedback_types: FeedbackTypes) -> list[tuple[Answer, bool]]:
    """Return the answers of a row, and whether each step of them has a score."""
    kinds = feedback_types_in_row(row, feedback_types)
    answers = [(answer, kind in STEPWISE_TYPES) for kind in kinds for answer in row_answers(row, kind)]
    return [(answer if stepwise else scorer.split_steps(answer), stepwise) for answer, stepwise in answers]


def _text_lengths(texts: Sequence[ScorableText]) -> np.ndarray:
    """Return, for each score, the number of tokens of its text."""
    return np.array([len(text.ids) for text, stepwise in texts for _ in range(len(text.positions) if stepwise else 1)])


def _rates_steps(loss: AnyLoss | None, metadata: RewardModelMetadata, feedback: Mixed) -> bool:
    """Return whether the values of steps are ratings, for the loss or, without one, for the loss of training.

    Values outside of −1 to 1 are never labels.
    """
    values = torch.cat([part.values for part in feedback.parts if isinstance(part, Steps)] or [torch.zeros(0)])
    if bool((values.abs() > 1).any()):
        return True
    try:
        return (loss or parse_loss(metadata.loss)).as_objective().rates_steps
    except (UnknownNameError, InvalidLossError):  # a loss of a plugin that is not loaded, or no loss at all
        return False


def _rank_correlations(scores: Scores, feedback: Mixed) -> dict[str, float]:
    require_packages(["scipy"], "evaluate")
    from scipy import stats

    correlations: dict[str, float] = {}
    taus = Tally()
    for part in feedback.parts:
        if isinstance(part, Rankings):
            for values, ranks in part.lists(scores):
                tau = float(stats.kendalltau(values.numpy(), -ranks.numpy()).statistic)
                taus += Tally() if math.isnan(tau) else Tally(tau, 1)
        if isinstance(part, Ratings) and len(part) > 1:
            values_and_ratings = (scores[part.candidates].numpy(), part.ratings.numpy())
            correlations["spearman"] = float(stats.spearmanr(*values_and_ratings).statistic)
            correlations["pearson"] = float(stats.pearsonr(*values_and_ratings).statistic)
    return correlations | {"kendall_tau": taus.mean}


def _distribution(scores: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    metrics = {"mean_score": float(scores.mean()), "std_score": float(scores.std())}
    if scores.std() > 0 and lengths.std() > 0:
        metrics["length_correlation"] = float(np.corrcoef(scores, lengths)[0, 1])
    return metrics
