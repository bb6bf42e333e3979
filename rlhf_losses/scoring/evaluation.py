"""Measure a reward model on data that it was not trained on."""

import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from scipy import stats
from torch import Tensor

from rlhf_losses.data.dataset import check_dataset, group_ratings
from rlhf_losses.feedback import Lengths, Mixed, Rankings, Ratings, feedback_types_in_columns
from rlhf_losses.losses import Loss, ScoreDecay
from rlhf_losses.losses.objective import term_names
from rlhf_losses.metrics import Tally, agreement
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.rows import Kinds, Row, feedback_of, rows_that_fit, texts_of
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.shapes import Scores

logger = logging.getLogger(__name__)


def evaluate(scorer: Scorer, dataset: Dataset, loss: Loss | None = None, overlong: str = "drop") -> dict[str, float]:
    """Return metrics of a scorer on feedback of any kind.

    Whole texts get the score that the scorer gives them, steps the score at their ends. `accuracy` (pairs,
    labels; ties earn half), `margin`, `kendall_tau` (mean over lists), `spearman` and `pearson` (ratings),
    `loss` where one is given, the mean and spread of the scores, and their correlation with the length of the
    texts in tokens. Metrics that the feedback does not define are left out. Numbers that the loss learns, like cut
    points, are those saved with the model if this is the loss that it was trained with.

    Raises:
        FeedbackMismatchError: the columns hold no feedback that is known, or none that `loss` reads.
    """
    dataset = group_ratings(dataset, loss, "evaluation data") if loss else dataset
    check_dataset(dataset, loss or ScoreDecay(), "evaluation data")
    kinds = feedback_types_in_columns(dataset.column_names)
    rows = rows_that_fit(scorer, dataset, kinds, overlong, "evaluation data")
    scores, lengths, answers = _score_rows(scorer, rows, kinds)
    feedback = Mixed.concatenate([feedback_of(rows, kinds), answers])
    measured = {name: tally.mean for name, tally in agreement(scores, feedback).items()}
    measured |= _rank_correlations(scores, feedback)
    if loss is not None:
        measured["loss"] = float(loss(scores, feedback, saved_loss_parameters(loss, scorer.metadata)))
    return {"rows": len(rows), **_defined(measured), **_spread(scores.numpy(), lengths)}


def saved_loss_parameters(loss: Loss, description: RewardModelMetadata) -> list[dict[str, Tensor]]:
    """Return what each term has learned, as saved with a model that was trained with this loss; else nothing."""
    saved = description.loss_parameters if description.loss == str(loss) else {}
    if any(term.loss.loss_parameters for term in loss.terms) and not saved:
        logger.warning(
            "Loss: the numbers that %s learns have the values that they start from, because the model was trained with "
            "%s. For what it learned, evaluate that loss.",
            loss,
            description.loss,
        )
    return [
        {name: torch.tensor(saved[f"{named}.{name}"]) for name in term.loss.loss_parameters if saved}
        for named, term in zip(term_names(loss), loss.terms, strict=True)
    ]


def _score_rows(scorer: Scorer, rows: Sequence[Row], kinds: Kinds) -> tuple[Scores, np.ndarray, Lengths]:
    """Return the scores of texts and steps, how long in tokens the text of each is, and how long its answer."""
    texts = texts_of(scorer, rows, kinds)
    scores, lengths, answers = [], [], []
    for (text, split_steps), parts in zip(texts, scorer.score_encoded([text for text, _ in texts]), strict=True):
        scores += parts if split_steps else [scorer.aggregate(parts)]
        ends = text.positions if split_steps else [len(text.ids) - 1]
        lengths += [len(text.ids)] * len(ends)
        answers += [end + 1 - text.prompt[1] for end in ends]
    return torch.tensor(scores), np.array(lengths), Lengths(torch.arange(len(answers)), torch.tensor(answers))


def _rank_correlations(scores: Scores, feedback: Mixed) -> dict[str, float]:
    measured: dict[str, float] = {}
    taus = Tally()
    for kind in feedback.kinds:
        if isinstance(kind, Rankings):
            for values, ranks in kind.lists(scores):
                taus += _defined_tally(stats.kendalltau(values.numpy(), -ranks.numpy()).statistic)
        if isinstance(kind, Ratings) and len(kind) > 1:
            rated = (scores[kind.candidates].numpy(), kind.ratings.numpy())
            measured["spearman"] = float(stats.spearmanr(*rated).statistic)
            measured["pearson"] = float(stats.pearsonr(*rated).statistic)
    return measured | {"kendall_tau": taus.mean}


def _defined_tally(value: float) -> Tally:
    return Tally() if math.isnan(value) else Tally(float(value), 1)


def _defined(measured: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in measured.items() if not math.isnan(value)}


def _spread(scores: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    spread = {"mean_score": float(scores.mean()), "std_score": float(scores.std())}
    if scores.std() > 0 and lengths.std() > 0:
        spread["length_correlation"] = float(np.corrcoef(scores, lengths)[0, 1])
    return spread
