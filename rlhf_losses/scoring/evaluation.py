"""Evaluation of a reward model on feedback that it was not trained on."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow
import torch
from datasets import Dataset, IterableDataset
from torch import Tensor

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.checks.optional_packages import require_packages
from rlhf_losses.data.batches import locate_errors
from rlhf_losses.data.dataset import check_dataset, column_names, require_columns
from rlhf_losses.data.rating_groups import needs_groups, no_comparison
from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.data.row_lengths import Overlong
from rlhf_losses.data.rows import FeedbackTypes, feedback_types_in_row, rows_feedback
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, InvalidLossError, UnknownNameError
from rlhf_losses.evaluation.items import comparable_lists
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows, ScoredData
from rlhf_losses.evaluation.slices import require_slice_columns, require_slice_values
from rlhf_losses.feedback import Lengths, Mixed, Rankings, Steps, feedback_types_in_columns
from rlhf_losses.feedback.source_rows import source_rows
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks import as_loss, parse_loss
from rlhf_losses.inspection.annotations import collect_annotations
from rlhf_losses.losses import AnyLoss, ScoreDecay
from rlhf_losses.losses.properties import SHIFT_INVARIANT
from rlhf_losses.metrics import Tally, agreement, labelled_scores, summarize
from rlhf_losses.scoring.edited_answers import score_edits
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.scorable_rows import ScorableRow, ScorableText, scorable_rows, score_texts
from rlhf_losses.scoring.scorer import Scorer, require_scorer
from rlhf_losses.shapes import Scores

logger = logging.getLogger(__name__)


def evaluate(
    scorer: Scorer,
    dataset: Dataset,
    loss: AnyLoss | str | None = None,
    overlong: Overlong | None = None,
    by: Sequence[str] = (),
    edited_rows: int = 0,
) -> Evaluation:
    """Return how well the scores of a scorer agree with feedback of any type.

    Whole texts have the score of the scorer, and steps the score at their end. The scores are raw unless the scorer has
    transforms. `loss`, and without it the loss of training, tells which pairs are ties. Loss parameters, like cut
    points, have their trained values if the model was trained with `loss`, otherwise their initial values.

    Args:
        scorer: the reward model.
        dataset: rows with feedback; see `convert_dataset`.
        loss: a loss whose value is reported too, or its string form.
        overlong: treatment of rows that do not fit: `"drop"`, `"truncate_prompt"` or `"error"`; by default as in the
            training of the model.
        by: columns whose values divide the rows into slices.
        edited_rows: number of rows whose answers are also scored in reverse order and with edits that do not change
            their content.

    Returns:
        A mapping of names to values: `rows`, `mean_score` and `std_score`; where the feedback defines them, `accuracy`
            and `margin` of comparisons, `accuracy` and the other metrics of labels and labelled steps (see `agreement`
            and `summarize` in `rlhf_losses.metrics`), `kendall_tau` (mean over lists), `spearman` and `pearson`
            (ratings); `loss`, if a loss is given; `length_correlation`, the correlation of the scores with the number
            of tokens of the text; `partial_length_correlation`, `calibration_error`, `brier` and `accuracy_ceiling`.
            Its attributes have intervals, slices, dropped rows and the other parts, see `Evaluation`.

    Raises:
        FeedbackMismatchError: the columns have no known feedback, or none that `loss` can use.
        InvalidFeedbackError: a value is invalid, or no row fits into the context.
        InvalidArgumentError: a column of `by` does not exist, or has values that are neither texts nor numbers.
    """
    require_packages(["scipy"], "evaluate")
    require_scorer(scorer)
    scorer = scorer.with_overlong(overlong)
    require_dataset(dataset)
    require_instance(by, (list, tuple), "by", "a list of columns", "Pass for example by=['subset'].")
    by = list(dict.fromkeys(by))
    dataset = readable_rows(dataset, "evaluation data")
    loss = None if loss is None else as_loss(loss)
    if isinstance(dataset, IterableDataset):
        dataset = _in_memory(dataset, loss)
    require_slice_columns(column_names(dataset), by)
    for name in by:
        require_slice_values(name, dataset[name][:])
    check_dataset(dataset, loss or ScoreDecay(), "evaluation data")
    feedback_types = feedback_types_in_columns(column_names(dataset))
    found = scorable_rows(scorer, dataset, feedback_types, "evaluation data")
    data = score_rows(scorer, found.rows, feedback_types, further_columns(dataset, by), by)
    trained = _loss_of_training(scorer.metadata)
    used = loss or trained
    data = data if used is None else _with_outcomes(data, used, set(column_names(dataset)))
    rated = _rates_steps(used, data.feedback)
    metrics = {"rows": len(found.rows), **_metrics(data, rated)}
    if loss is not None:
        metrics["loss"] = _loss_value(data, loss, scorer.metadata, needs_groups(column_names(dataset), loss))
    dropped = DroppedRows(len(dataset), without_feedback=found.without_feedback, too_long=found.too_long)
    edits = score_edits(scorer, found.rows, feedback_types, data, edited_rows) if edited_rows else None
    evaluation = Evaluation.of(data, dropped, metrics, rated, edits, trained is not None and _sees_differences(trained))
    for warning in evaluation.warnings:
        logger.warning("Warning: %s", warning)
    return evaluation


def _in_memory(stream: IterableDataset, loss: AnyLoss | None) -> Dataset:
    """Return the rows of a stream as a dataset, after a check of each row."""
    check_dataset(stream, loss or ScoreDecay(), "evaluation data")
    rows = list(stream)
    try:
        return Dataset.from_list(rows)
    except (pyarrow.ArrowException, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidFeedbackError(
            f"The rows of the stream have values that a table cannot hold: {error}. Give the values of a column one "
            "type, or leave the column out."
        ) from error


def further_columns(dataset: Dataset, by: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the columns that are neither texts nor feedback, if they have texts, numbers or lists of them.

    Args:
        dataset: rows of a dataset.
        by: columns to return in any case.
    """
    names = [name for name in dataset.column_names if name in by or name not in COLUMNS]
    found = {name: list(map(_without_nan, dataset[name][:])) for name in names}
    return {name: values for name, values in found.items() if name in by or all(map(_is_plain, values))}


def _without_nan(value: Any) -> Any:
    """Return null for NaN and infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool | int | float | None)


def score_rows(
    scorer: Scorer,
    rows: Sequence[ScorableRow],
    feedback_types: FeedbackTypes,
    columns: Mapping[str, Sequence[Any]],
    by: Sequence[str] = (),
) -> ScoredData:
    """Score the texts of rows.

    Args:
        scorer: the reward model.
        rows: rows from `scorable_rows`.
        feedback_types: feedback types to use.
        columns: values of further columns of the whole dataset.
        by: columns that divide the rows into slices.
    """
    texts = [text for one in rows for text in one.texts]
    scored = score_texts(scorer, texts, scorer.requires_features)
    feedback = rows_feedback([one.row for one in rows], feedback_types)
    positions = [one.position for one in rows]
    return ScoredData(
        rows=[one.row for one in rows],
        numbers=np.array(source_rows([one.row for one in rows], positions)),
        columns={name: [values[position] for position in positions] for name, values in columns.items()},
        by=tuple(by),
        texts=collect_annotations([one.row for one in rows], feedback_types),
        feedback=feedback,
        scores=torch.tensor(scorer.transform(scored)),
        used=torch.zeros(len(scored.scores), dtype=torch.bool).index_fill(0, feedback.positions(), True),
        prompt_tokens=_per_score(texts, [text.prompt_length for text, _ in texts]),
        answer_tokens=scored.lengths.long().numpy(),
        text_tokens=_per_score(texts, [len(text.ids) for text, _ in texts]),
    )


def _metrics(data: ScoredData, rated: bool) -> dict[str, float]:
    scores, feedback = _used(data, data.feedback)
    metrics = summarize(agreement(scores, feedback, rated), labelled_scores(scores, feedback, rated))
    metrics["kendall_tau"] = _kendall_tau(scores, feedback)
    return {**metrics, **_distribution(scores.numpy(), data.text_tokens[data.used.numpy()])}


def _loss_value(data: ScoredData, loss: AnyLoss, metadata: RewardModelMetadata, grouped: bool) -> float:
    """Return the value of a loss, with `grouped` on rated answers in lists by prompt, as in training."""
    feedback = data.feedback
    if grouped:
        feedback = Mixed(tuple(part for part in comparable_lists(data) if len(part)))
        if not feedback.parts:
            raise FeedbackMismatchError(no_comparison(loss, "evaluation data"))
    scores, of_scores = _used(data, feedback)
    return float(loss.as_objective()(scores, of_scores, saved_loss_parameters(loss, metadata)))


def _used(data: ScoredData, feedback: Mixed) -> tuple[Scores, Mixed]:
    """Return the scores that feedback refers to, and the feedback on them with the lengths of their texts."""
    used = feedback.positions().unique()  # steps without a label have no feedback
    new_positions = torch.full((len(data.scores),), -1).index_copy(0, used, torch.arange(len(used)))
    lengths = Lengths(torch.arange(len(used)), torch.from_numpy(data.answer_tokens)[used])
    return data.scores[used], Mixed.concatenate([feedback.reindexed(new_positions), lengths])


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


def _per_score(texts: Sequence[ScorableText], values: Sequence[int]) -> np.ndarray:
    """Return the value of its text for each score."""
    counts = [len(text.positions) if stepwise else 1 for text, stepwise in texts]
    return np.repeat(np.array(values, dtype=int), counts)


def _loss_of_training(metadata: RewardModelMetadata) -> AnyLoss | None:
    """Return the loss of training, or None for a loss of a plugin that is not loaded, and without a loss."""
    try:
        return parse_loss(metadata.loss)
    except (UnknownNameError, InvalidLossError):
        return None


def _sees_differences(loss: AnyLoss) -> bool:
    """Return whether a loss compares answers only, apart from regularizers."""
    losses = [term.loss for term in loss.as_objective().terms if term.weight and term.loss.uses_labels]
    return bool(losses) and all(SHIFT_INVARIANT in one.active_properties() for one in losses)


def _with_outcomes(data: ScoredData, loss: AnyLoss, columns: set[str]) -> ScoredData:
    """Return the data with the ties that a loss sees in them.

    Rows without a value in a column that the loss needs are refused, unless the dataset does not have this column.
    """
    objective = loss.as_objective()
    required = {column for term in objective.terms for column in term.loss.required_columns}
    if required and required <= columns:
        for number, row in zip(data.numbers.tolist(), data.rows, strict=True):
            with locate_errors(number, "evaluation data"):
                require_columns(row, feedback_types_in_row(row, tuple(map(type, data.feedback.parts))), loss)
    return replace(data, feedback=objective.with_outcomes(data.feedback))


def _rates_steps(loss: AnyLoss | None, feedback: Mixed) -> bool:
    """Return whether the values of steps are ratings for a loss; values outside of −1 to 1 are never labels."""
    values = torch.cat([part.values for part in feedback.parts if isinstance(part, Steps)] or [torch.zeros(0)])
    is_rating = bool((values.abs() > 1).any())
    return is_rating or (loss is not None and loss.as_objective().rates_steps)


def _kendall_tau(scores: Scores, feedback: Mixed) -> float:
    """Return the mean rank correlation of scores and ranks over lists; NaN without lists."""
    from scipy import stats

    taus = Tally()
    for part in feedback.parts:
        if isinstance(part, Rankings):
            for values, ranks in part.lists(scores):
                tau = float(stats.kendalltau(values.numpy(), -ranks.numpy()).statistic)
                taus += Tally() if math.isnan(tau) else Tally(tau, 1)
    return taus.mean


def _distribution(scores: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    metrics = {"mean_score": float(scores.mean()), "std_score": float(scores.std())}
    if scores.std() > 0 and lengths.std() > 0:
        metrics["length_correlation"] = float(np.corrcoef(scores, lengths)[0, 1])
    return metrics
