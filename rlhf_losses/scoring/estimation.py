"""Fit an estimate beside the score of a trained model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from datasets import Dataset

from rlhf_losses.batching.dataset import check_dataset, group_ratings
from rlhf_losses.dimensions import Features, Scores
from rlhf_losses.errors import FeedbackMismatch, InvalidFeedback
from rlhf_losses.estimates import Estimate, Evidence
from rlhf_losses.feedback import Feedback, kinds_in_columns, source_for
from rlhf_losses.hooks import catalogue
from rlhf_losses.hooks.estimates import estimates
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.scoring.description import canary_score
from rlhf_losses.scoring.estimator import Fitted, whole_texts
from rlhf_losses.scoring.rows import Kinds, Row, feedback_of, rows_that_fit, texts_of
from rlhf_losses.scoring.scorer import Scorer

ROWS_AT_ONCE = 256


def fit_estimate(
    scorer: Scorer,
    dataset: Dataset,
    estimate: Estimate | str,
    folder: str | Path | None = None,
    overlong: str = "drop",
    plugin_files: Iterable[str | Path] = (),
) -> None:
    """Fit an estimate to the data that a model was trained on, remember it in the scorer, and in its folder.

    The model stays as it is: what is fitted reads the vectors that the score head reads, and lies in a file of its own.
    `scorer.estimator(name)` reads it.

    Args:
        scorer: the trained model.
        dataset: feedback in our columns, see `adapt`.
        estimate: one, or its text, like 'laplace(prior_precision=2.0)'.
        folder: the model's folder; without one nothing is saved.
        overlong: what happens to rows that do not fit into the context: 'drop', 'truncate_prompt' or 'error'.
        plugin_files: files of plugins that are not installed.

    Raises:
        UnknownName: no plugin provides an estimate of that name.
        FeedbackMismatch: the data hold no feedback that the estimate reads.
        InvalidFeedback: there is no item of it, or values that cannot be.
        UnusableModel: the model's loss, or its head, allows no such estimate.
    """
    if isinstance(estimate, str):
        estimate = estimates(plugin_files).parse(estimate)
    if scorer.description.loss != "unknown":
        estimate.require_loss(catalogue(plugin_files).parse(scorer.description.loss))
    dataset = group_ratings(dataset, estimate, "data")
    check_dataset(dataset, ScoreDecay(), "data")
    kind = _kind_read(estimate, dataset.column_names)
    rows = rows_that_fit(scorer, dataset, (kind,), overlong, "data")
    tensors = dict(estimate.fit(_evidence(scorer, rows, (kind,), estimate)))
    score = canary_score(scorer.model, scorer.tokenizer, scorer.description.canary_text)
    fitted = Fitted(estimate, tensors, score)
    scorer.fitted[estimate.name()] = fitted
    if folder is not None:
        told = scorer.description.estimates | {estimate.name(): fitted.told()}
        scorer.description = replace(scorer.description, estimates=told)
        fitted.save(Path(folder))
        scorer.description.save(folder)


def _kind_read(estimate: Estimate, columns: Sequence[str]) -> type[Feedback]:
    held = kinds_in_columns(columns)
    kind = source_for(estimate.reads, held)
    if kind is None:
        names = " and ".join(one.__name__ for one in held)
        ways = " or ".join(" and ".join(way) for way in estimate.reads.columns)
        raise FeedbackMismatch(
            f"{estimate} is fitted to {estimate.reads.__name__}, but these data have the columns {', '.join(columns)}, "
            f"so they hold {names}. Give the data that the model was trained on, with the columns {ways}."
        )
    return kind


def _evidence(scorer: Scorer, rows: Sequence[Row], kinds: Kinds, estimate: Estimate) -> Iterator[Evidence]:
    items = 0
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        feedback = feedback_of(some, kinds).read_as(estimate.reads)
        items += len(feedback)
        yield Evidence(*_features(scorer, some, kinds), feedback)
    if not items:
        raise InvalidFeedback(
            f"{estimate} is fitted to {estimate.reads.__name__}, but the data have {len(rows)} rows and none of these. "
            "Give the data that the model was trained on."
        )


def _features(scorer: Scorer, rows: Sequence[Row], kinds: Kinds) -> tuple[Features, Scores]:
    """Return what the score head reads, and the scores, of each step or each whole text of some rows."""
    texts = texts_of(scorer, rows, kinds)
    features, scores = [], []
    for (_, in_steps), parts in zip(texts, scorer.read_encoded([text for text, _ in texts]), strict=True):
        vectors, values = (parts[0].float(), torch.tensor(parts[1])) if in_steps else whole_texts(scorer, [parts])
        features.append(vectors)
        scores.append(values)
    return torch.cat(features), torch.cat(scores)
