"""Fit an estimate beside the score of a trained model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from datasets import Dataset

from rlhf_losses.data.dataset import check_dataset, group_ratings
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Feedback, feedback_types_in_columns, find_source_type
from rlhf_losses.hooks import loss_registry
from rlhf_losses.hooks.estimates import estimates
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.scoring.estimator import Fitted, whole_texts
from rlhf_losses.scoring.metadata import canary_score
from rlhf_losses.scoring.rows import Kinds, Row, feedback_of, rows_that_fit, texts_of
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.shapes import Features, Scores
from rlhf_losses.transforms.estimate import Evidence, ScoreEstimate

ROWS_AT_ONCE = 256


def fit_estimate(
    scorer: Scorer,
    dataset: Dataset,
    estimate: ScoreEstimate | str,
    folder: str | Path | None = None,
    overlong: str = "drop",
    plugin_files: Iterable[str | Path] = (),
) -> None:
    """Fit an estimate to the data that a model was trained on, remember it in the scorer, and in its folder.

    The model stays as it is: what is fitted reads the vectors that the score head reads, and lies in a file of its own.
    `scorer.estimator(name)` reads it.

    Args:
        scorer: the trained model.
        dataset: feedback in our columns, see `convert_dataset`.
        estimate: one, or its text, like 'laplace(prior_precision=2.0)'.
        folder: the model's folder; without one nothing is saved.
        overlong: what happens to rows that do not fit into the context: 'drop', 'truncate_prompt' or 'error'.
        plugin_files: files of plugins that are not installed.

    Raises:
        UnknownNameError: no plugin provides an estimate of that name.
        FeedbackMismatchError: the data hold no feedback that the estimate reads.
        InvalidFeedbackError: there is no item of it, or values that cannot be.
        UnsupportedModelError: the model's loss, or its head, allows no such estimate.
    """
    if isinstance(estimate, str):
        estimate = estimates(plugin_files).parse(estimate)
    if scorer.metadata.loss != "unknown":
        estimate.require_loss(loss_registry(plugin_files).parse(scorer.metadata.loss))
    dataset = group_ratings(dataset, estimate, "data")
    check_dataset(dataset, ScoreDecay(), "data")
    kind = _kind_read(estimate, dataset.column_names)
    rows = rows_that_fit(scorer, dataset, (kind,), overlong, "data")
    tensors = dict(estimate.fit(_evidence(scorer, rows, (kind,), estimate)))
    score = canary_score(scorer.model, scorer.tokenizer, scorer.metadata.canary_text)
    fitted = Fitted(estimate, tensors, score)
    scorer.fitted[estimate.name()] = fitted
    if folder is not None:
        told = scorer.metadata.estimates | {estimate.name(): fitted.told()}
        scorer.metadata = replace(scorer.metadata, estimates=told)
        fitted.save(Path(folder))
        scorer.metadata.save(folder)


def _kind_read(estimate: ScoreEstimate, columns: Sequence[str]) -> type[Feedback]:
    held = feedback_types_in_columns(columns)
    kind = find_source_type(estimate.feedback_type, held)
    if kind is None:
        names = " and ".join(one.__name__ for one in held)
        ways = " or ".join(" and ".join(way) for way in estimate.feedback_type.columns)
        raise FeedbackMismatchError(
            f"{estimate} is fitted to {estimate.feedback_type.__name__}, but these data have the columns {', '.join(columns)}, "
            f"so they hold {names}. Give the data that the model was trained on, with the columns {ways}."
        )
    return kind


def _evidence(scorer: Scorer, rows: Sequence[Row], kinds: Kinds, estimate: ScoreEstimate) -> Iterator[Evidence]:
    items = 0
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        feedback = feedback_of(some, kinds).convert_to(estimate.feedback_type)
        items += len(feedback)
        yield Evidence(*_features(scorer, some, kinds), feedback)
    if not items:
        raise InvalidFeedbackError(
            f"{estimate} is fitted to {estimate.feedback_type.__name__}, but the data have {len(rows)} rows and none of these. "
            "Give the data that the model was trained on."
        )


def _features(scorer: Scorer, rows: Sequence[Row], kinds: Kinds) -> tuple[Features, Scores]:
    """Return what the score head reads, and the scores, of each step or each whole text of some rows."""
    texts = texts_of(scorer, rows, kinds)
    features, scores = [], []
    for (_, split_steps), parts in zip(texts, scorer.read_encoded([text for text, _ in texts]), strict=True):
        vectors, values = (parts[0].float(), torch.tensor(parts[1])) if split_steps else whole_texts(scorer, [parts])
        features.append(vectors)
        scores.append(values)
    return torch.cat(features), torch.cat(scores)
