"""The report of `rlhf-losses inspect`: statistics of a dataset and the losses that can be trained on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data import RowEncoder, check_dataset
from rlhf_losses.data.dataset import AnyDataset, column_names, group_ratings
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.feedback import Feedback, feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.inspection.agreement_ceiling import AgreementCeiling, agreement_ceiling
from rlhf_losses.inspection.annotations import AnnotatedTexts, collect_annotations
from rlhf_losses.inspection.annotator_agreement import annotator_agreement
from rlhf_losses.inspection.comparisons import Comparisons, comparisons_in, merge_by_text
from rlhf_losses.inspection.compatible_losses import CompatibleLosses, find_compatible_losses
from rlhf_losses.inspection.length_bias import LengthBias, length_bias
from rlhf_losses.inspection.length_statistics import LengthSummary, summarize_lengths
from rlhf_losses.losses import AccumulatedPairs, ScoreDecay


@dataclass(frozen=True)
class LabelStatistics:
    """Counts of labels.

    Attributes:
        positive: number of positive labels.
    """

    positive: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"good": self.positive}


@dataclass(frozen=True)
class ComparisonStatistics:
    """Counts of comparisons between answers.

    Attributes:
        comparisons: number of compared pairs of answers.
        ties: number of ties.
        equal_answers: number of pairs of equal answers.
        length_bias: preference for the longer answer; `None` if it is unknown.
    """

    comparisons: int
    ties: int
    equal_answers: int
    length_bias: LengthBias | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "comparisons": self.comparisons,
            "ties": self.ties,
            "equal_answers": self.equal_answers,
            "longer_preferred": {} if self.length_bias is None else asdict(self.length_bias),
        }


@dataclass(frozen=True)
class AgreementStatistics:
    """Agreement of the annotators, and the resulting limits for every scorer.

    Attributes:
        annotated_several_times: number of comparisons (or labelled texts) with more than one annotation.
        contradictory: number of comparisons whose annotations prefer both sides.
        annotator_agreement: probability that two annotators agree; `None` without repeated annotations.
        agreement_ceiling: largest share of single annotations that a scorer can match; `None` if all are ties.
        accuracy_ceiling: largest accuracy in `rlhf-losses evaluate`, which counts the majority of each row once.
    """

    annotated_several_times: int
    contradictory: int
    annotator_agreement: float | None
    agreement_ceiling: AgreementCeiling | None
    accuracy_ceiling: AgreementCeiling | None

    @property
    def ceilings_are_exact(self) -> bool:
        """Whether both ceilings are exact rather than upper bounds."""
        return all(ceiling is None or ceiling.is_exact for ceiling in (self.agreement_ceiling, self.accuracy_ceiling))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "annotated_several_times": self.annotated_several_times,
            "contradictory": self.contradictory,
            "agreement_of_two_annotators": self.annotator_agreement,
            "agreement_ceiling": None if self.agreement_ceiling is None else self.agreement_ceiling.share,
            "accuracy_ceiling": None if self.accuracy_ceiling is None else self.accuracy_ceiling.share,
            "ceilings_exact": self.ceilings_are_exact,
        }


@dataclass(frozen=True)
class FeedbackStatistics:
    """Statistics of one feedback type.

    Attributes:
        rows: number of rows with this feedback type.
        items: number of items, for example pairs or labelled steps.
        values: counts of labels or of comparisons; `None` for ratings of single answers.
        agreement: agreement of the annotators; `None` for the same ratings.
    """

    rows: int
    items: int
    values: LabelStatistics | ComparisonStatistics | None = None
    agreement: AgreementStatistics | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        parts = [part.to_dict() for part in (self.values, self.agreement) if part is not None]
        return {"rows": self.rows, "items": self.items} | {
            name: value for part in parts for name, value in part.items()
        }


@dataclass(frozen=True)
class DatasetReport:
    """Statistics of a dataset.

    Attributes:
        rows: number of rows.
        columns: names of the columns.
        prompts: number of distinct prompts.
        duplicate_rows: number of rows that are equal to an earlier row.
        feedback: statistics by name of the feedback type.
        characters: lengths of `prompt`, `answer` and `step`, as far as the dataset has them.
        tokens: length of the whole `text`, if a tokenizer is passed.
        losses: losses that can be trained on the dataset.
    """

    rows: int
    columns: tuple[str, ...]
    prompts: int
    duplicate_rows: int
    feedback: Mapping[str, FeedbackStatistics]
    characters: Mapping[str, LengthSummary]
    tokens: Mapping[str, LengthSummary]
    losses: CompatibleLosses

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `rlhf-losses inspect --json` prints."""
        return {
            "rows": self.rows,
            "columns": list(self.columns),
            "prompts": self.prompts,
            "duplicate_rows": self.duplicate_rows,
            "feedback": {name: statistics.to_dict() for name, statistics in self.feedback.items()},
            "characters": {name: asdict(summary) for name, summary in self.characters.items()},
            "tokens": {name: asdict(summary) for name, summary in self.tokens.items()},
            "losses": list(self.losses.losses),
            "regularizers": list(self.losses.regularizers),
            "incompatible_losses": dict(self.losses.incompatible),
        }


def inspect_dataset(
    dataset: AnyDataset,
    registry: LossRegistry,
    tokenizer: PreTrainedTokenizerBase | None = None,
    name: str = "data",
) -> DatasetReport:
    """Return statistics of a dataset and the losses that can be trained on it.

    Args:
        dataset: a dataset with the columns of this library.
        registry: registry of losses.
        tokenizer: tokenizer for lengths in tokens.
        name: name of the dataset in messages.

    Raises:
        FeedbackMismatchError: no columns of a feedback type.
        InvalidFeedbackError: a row has an invalid value; the message contains the index of the row.
    """
    check_dataset(dataset, ScoreDecay(), name)
    feedback_types = feedback_types_in_columns(column_names(dataset))
    texts = collect_annotations(dataset, feedback_types)
    grouped = _group_by_prompt(dataset, texts, feedback_types)
    compared = texts if isinstance(grouped, FeedbackMismatchError) else grouped
    return DatasetReport(
        rows=len(texts.row_keys),
        columns=tuple(column_names(dataset)),
        prompts=len(np.unique(texts.prompt[~np.isnan(texts.prompt_length)])),
        duplicate_rows=len(texts.row_keys) - len(set(texts.row_keys)),
        feedback={
            type(part).__name__: _feedback_statistics(texts, part, compared, compared_part)
            for part, compared_part in zip(texts.feedback.parts, compared.feedback.parts, strict=True)
            if len(part)
        },
        characters=_character_lengths(texts),
        tokens={} if tokenizer is None else _token_lengths(dataset, feedback_types, tokenizer),
        losses=find_compatible_losses(
            texts.feedback,
            grouped if isinstance(grouped, FeedbackMismatchError) else grouped.feedback,
            feedback_types,
            registry,
        ),
    )


def _group_by_prompt(
    dataset: AnyDataset, texts: AnnotatedTexts, feedback_types: Sequence[type[Feedback]]
) -> AnnotatedTexts | FeedbackMismatchError:
    """Return the dataset with single ratings grouped by prompt, or the error if a grouping is needed and impossible."""
    try:
        grouped = group_ratings(dataset, AccumulatedPairs(), "the data")
    except FeedbackMismatchError as error:
        return error
    return texts if grouped is dataset else collect_annotations(grouped, feedback_types)


def _feedback_statistics(
    texts: AnnotatedTexts, feedback: Feedback, grouped_texts: AnnotatedTexts, grouped_feedback: Feedback
) -> FeedbackStatistics:
    rows, items = len(np.unique(texts.row[feedback.item_positions.numpy()])), len(feedback)
    comparisons = comparisons_in(grouped_feedback)
    if comparisons is None or not len(comparisons):
        return FeedbackStatistics(rows, items)
    return FeedbackStatistics(
        rows, items, _value_statistics(grouped_texts, comparisons), _agreement_statistics(grouped_texts, comparisons)
    )


def _value_statistics(texts: AnnotatedTexts, comparisons: Comparisons) -> LabelStatistics | ComparisonStatistics:
    if comparisons.is_label:
        return LabelStatistics(int(comparisons.wins.sum()))
    return ComparisonStatistics(
        comparisons=len(comparisons),
        ties=int((comparisons.direction == 0).sum()),
        equal_answers=int((texts.text[comparisons.first] == texts.text[comparisons.second]).sum()),
        length_bias=length_bias(texts, comparisons),
    )


def _agreement_statistics(texts: AnnotatedTexts, comparisons: Comparisons) -> AgreementStatistics:
    by_text = merge_by_text(texts, comparisons)
    return AgreementStatistics(
        annotated_several_times=int((by_text.annotations > 1).sum()),
        contradictory=int(by_text.is_contradictory.sum()),
        annotator_agreement=annotator_agreement(by_text),
        agreement_ceiling=agreement_ceiling(by_text),
        accuracy_ceiling=agreement_ceiling(merge_by_text(texts, comparisons.majority())),
    )


def _character_lengths(texts: AnnotatedTexts) -> dict[str, LengthSummary]:
    first_of_row = np.unique(texts.row, return_index=True)[1]
    summaries = {
        "prompt": summarize_lengths(texts.prompt_length[first_of_row]),
        "answer": summarize_lengths(texts.answer_length[texts.is_answer_end]),
        "step": summarize_lengths(texts.step_length),
    }
    return {name: summary for name, summary in summaries.items() if summary is not None}


def _token_lengths(
    rows: Iterable[Row], feedback_types: Sequence[type[Feedback]], tokenizer: PreTrainedTokenizerBase
) -> dict[str, LengthSummary]:
    """Return the lengths of the distinct texts of each row, including the prompt."""
    encoder = RowEncoder(tokenizer, feedback_types)
    summary = summarize_lengths([len(ids) for row in rows for ids in encoder.encode(row)["text_ids"]])
    return {} if summary is None else {"text": summary}
