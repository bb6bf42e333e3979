"""Measure a reward model on data that it was not trained on."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy import stats

from rlhf_losses.batching import Collator, RowReader
from rlhf_losses.batching.dataset import Limit, check_dataset, group_ratings, prepare
from rlhf_losses.diagnostics import Tally, agreement
from rlhf_losses.dimensions import Scores
from rlhf_losses.feedback import Feedback, Mixed, Rankings, Ratings, kinds_in_columns
from rlhf_losses.losses import Loss, ScoreDecay
from rlhf_losses.model import score_batch
from rlhf_losses.scoring.scorer import Scorer, context_length


@torch.no_grad()
def evaluate(scorer: Scorer, dataset: Dataset, loss: Loss | None = None, overlong: str = "drop") -> dict[str, float]:
    """Return metrics of a scorer on feedback of any kind.

    `accuracy` (pairs, labels; ties earn half), `margin`, `kendall_tau` (mean over lists), `spearman` and
    `pearson` (ratings), `loss` where one is given, the mean and spread of the scores, and their correlation
    with the length of the texts in tokens. Metrics that the feedback does not define are left out.

    Raises:
        FeedbackMismatch: the columns hold no feedback that is known, or none that `loss` reads.
    """
    dataset = group_ratings(dataset, loss, "evaluation data") if loss else dataset
    check_dataset(dataset, loss or ScoreDecay(), "evaluation data")
    kinds = kinds_in_columns(dataset.column_names)
    reader = RowReader(scorer.tokenizer, kinds, scorer.description.separator)
    limit = Limit(context_length(scorer.model.config), "the model's context", overlong)  # type: ignore[arg-type]
    rows = prepare(dataset, reader, limit, "evaluation data")
    scores, feedback, lengths = _score_rows(scorer, [dict(row) for row in rows], kinds)
    measured = {name: tally.mean for name, tally in agreement(scores, feedback).items()}
    measured |= _rank_correlations(scores, feedback)
    if loss is not None:
        measured["loss"] = float(loss(scores, feedback))
    return {"rows": len(rows), **_defined(measured), **_spread(scores.numpy(), lengths.numpy())}


def _score_rows(
    scorer: Scorer, rows: Sequence[dict[str, Any]], kinds: tuple[type[Feedback], ...]
) -> tuple[Scores, Mixed, torch.Tensor]:
    collate = Collator(scorer.tokenizer.pad_token_id or 0, kinds)
    scores, feedback, lengths, first = [], [], [], 0
    for start in range(0, len(rows), scorer.batch_size):
        batch = collate(rows[start : start + scorer.batch_size])
        on_device = {name: value.to(scorer.model.device) for name, value in batch.items()}
        scores.append(score_batch(scorer.model, on_device).cpu())
        feedback.append(batch["feedback"].reindexed(torch.arange(len(scores[-1])) + first))
        lengths.append(batch["attention_mask"].sum(dim=1)[batch["score_text"]])
        first += len(scores[-1])
    return torch.cat(scores), Mixed.concatenate(feedback), torch.cat(lengths)


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
