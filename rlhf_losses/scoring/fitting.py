"""Fitting after training: score transforms to reference samples, and score estimates to feedback."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from datasets import Dataset

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.data.dataset import check_dataset, column_names
from rlhf_losses.data.rating_groups import group_ratings
from rlhf_losses.data.row_lengths import Overlong
from rlhf_losses.data.rows import FeedbackTypes, rows_feedback
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Mixed, feedback_types_in_columns, find_source_type
from rlhf_losses.feedback.base import Text
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks import estimate_registry, loss_registry
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.models.saved_config import declare_scale
from rlhf_losses.scoring.canaries import record_canaries
from rlhf_losses.scoring.estimates import FittedEstimate
from rlhf_losses.scoring.scorable_rows import ScorableRow, scorable_rows, score_texts
from rlhf_losses.scoring.scorer import Scorer, as_pipeline, require_scorer
from rlhf_losses.transforms import (
    Evidence,
    Requirement,
    ScoredTexts,
    ScoreEstimate,
    ScoreTransform,
    TransformPipeline,
    standardize,
)

ROWS_PER_BATCH = 256


def fit_reference(
    scorer: Scorer,
    prompts: Sequence[Text],
    completions: Sequence[Text],
    folder: str | Path | None = None,
    transforms: str | ScoreTransform | TransformPipeline = "standardize",
    plugin_files: Iterable[str | Path] = (),
) -> None:
    """Fit score transforms to reference samples, and save the fitted values in the metadata of the scorer.

    Reference samples are demonstrations, or completions of the model before RL. The scores of the scorer do not change;
    `scorer.with_transforms(transforms)` returns a scorer with transformed scores.

    Args:
        scorer: the trained model.
        prompts: one prompt per completion.
        completions: a few hundred completions.
        folder: folder of the model, whose `reward_model.json` is updated; without it nothing is saved.
        transforms: a transform, a pipeline, or the string form of one.
        plugin_files: plugin files that are not installed.

    Raises:
        UnknownNameError: a transform or an option is unknown.
        InvalidFeedbackError: the samples do not determine the values, for example because all scores are equal.

    References:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593; detail 15 of Huang et al. (2024),
        https://arxiv.org/abs/2403.17031
    """
    pipeline = as_pipeline(transforms, plugin_files)
    encoded = scorer.encoder.encode_completions(prompts, completions)
    parts = scorer.score_parts(encoded, features=Requirement.FEATURES in pipeline.requires)
    texts = ScoredTexts.concatenate([scorer.aggregate(part) for part in parts])
    evidence = replace(texts, features=texts.features.double()).with_feedback(Mixed(()))
    fitted = pipeline.fit([evidence]).fitted
    values = {
        text: {name: tensor.tolist() for name, tensor in tensors.items()}
        for text, tensors in zip(pipeline.prefixes(), fitted, strict=True)
        if tensors
    }
    scorer.metadata = replace(scorer.metadata, transforms=scorer.metadata.transforms | values)
    if folder is not None:
        scorer.metadata.save(folder)
        if scale := scorer.metadata.transforms.get(str(standardize)):
            declare_scale(Path(folder), float(scale["mean"]), float(scale["std"]))


def fit_estimate(
    scorer: Scorer,
    dataset: Dataset,
    estimate: ScoreEstimate | str,
    folder: str | Path | None = None,
    overlong: Overlong | None = None,
    plugin_files: Iterable[str | Path] = (),
) -> None:
    """Fit a score estimate to the data that a model was trained on; `scorer.estimator(name)` returns it.

    The weights of the model and its scores do not change.

    Args:
        scorer: the trained model.
        dataset: rows with feedback; see `convert_dataset`.
        estimate: an estimate, or its string form, for example `"laplace(prior_precision=2.0)"`.
        folder: folder of the model, to which the tensors are written; without it nothing is saved.
        overlong: treatment of rows that do not fit: `"drop"`, `"truncate_prompt"` or `"error"`; by default as in the
            training of the model.
        plugin_files: plugin files that are not installed.

    Raises:
        UnknownNameError: no plugin provides the estimate.
        FeedbackMismatchError: the data have no feedback of the type that the estimate needs.
        InvalidFeedbackError: no row has such feedback, or a value is invalid.
        UnsupportedModelError: the estimate is not defined for the loss or for the head of the model.
    """
    require_scorer(scorer)
    if isinstance(estimate, str):
        estimate = estimate_registry(plugin_files).parse(estimate)
    remedy = "Pass its string form, for example 'laplace'."
    require_instance(estimate, ScoreEstimate, "estimate", "an estimate or its string form", remedy)
    if scorer.metadata.loss != "unknown":
        estimate.require_loss(loss_registry(plugin_files).parse(scorer.metadata.loss))
    limited = scorer.with_overlong(overlong)
    require_dataset(dataset)
    dataset = readable_rows(dataset)
    grouped = group_ratings(dataset, estimate, "data")
    dataset = dataset if grouped is None else grouped.rows
    check_dataset(dataset, ScoreDecay(), "data")
    feedback_types = (_source_type(estimate, column_names(dataset)),)
    rows = scorable_rows(limited, dataset, feedback_types, "data").rows
    tensors = dict(estimate.fit(_evidence(limited, rows, feedback_types, estimate)))
    fitted = FittedEstimate(
        estimate, tensors, record_canaries(scorer.model, scorer.tokenizer, scorer.encoder.end_of_texts)
    )
    scorer.fitted[estimate.name()] = fitted
    if folder is not None:
        estimates = scorer.metadata.estimates | {estimate.name(): fitted.metadata}
        scorer.metadata = replace(scorer.metadata, estimates=estimates)
        fitted.save(Path(folder))
        scorer.metadata.save(folder)


def _source_type(estimate: ScoreEstimate, columns: Sequence[str]) -> type[Feedback]:
    found = feedback_types_in_columns(columns)
    source = find_source_type(estimate.feedback_type, found)
    if source is None:
        needed, names = estimate.feedback_type.__name__, " and ".join(one.__name__ for one in found)
        alternatives = " or ".join(" and ".join(group) for group in estimate.feedback_type.columns)
        raise FeedbackMismatchError(
            f"{estimate} is fitted to {needed}, but the columns {', '.join(columns)} hold {names or 'no feedback'}. "
            f"Use the data that the model was trained on, with the columns {alternatives}."
        )
    return source


def _evidence(
    scorer: Scorer, rows: Sequence[ScorableRow], feedback_types: FeedbackTypes, estimate: ScoreEstimate
) -> Iterator[Evidence]:
    items = 0
    for first in range(0, len(rows), ROWS_PER_BATCH):
        batch = rows[first : first + ROWS_PER_BATCH]
        feedback = rows_feedback([one.row for one in batch], feedback_types).convert_to(estimate.feedback_type)
        items += len(feedback)
        texts = score_texts(scorer, [text for one in batch for text in one.texts], features=True)
        yield ScoredTexts(texts.scores.float(), texts.features, texts.lengths.float()).with_feedback(feedback)
    if not items:
        raise InvalidFeedbackError(
            f"{estimate} is fitted to {estimate.feedback_type.__name__}, but none of the {len(rows)} rows has such "
            "feedback. Use the data that the model was trained on."
        )
