"""How the report of a dataset is computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.data import LengthLimit, RowEncoder
from rlhf_losses.data.annotator_columns import find_annotator_column, possible_annotator_columns
from rlhf_losses.data.batches import row_batches
from rlhf_losses.data.dataset import AnyDataset, column_names, find_invalid_rows, require_valid_rows
from rlhf_losses.data.lost_characters import lost_characters
from rlhf_losses.data.rating_groups import group_ratings
from rlhf_losses.data.read_columns import source_rows_of
from rlhf_losses.data.row_lengths import OverlongRows
from rlhf_losses.data.text_problems import TextProblems, find_text_problems
from rlhf_losses.data.unread_verdict import find_unread_verdict
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Pairs, Votes, feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW, source_rows
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.inspection.agreement_ceiling import agreement_ceiling
from rlhf_losses.inspection.annotations import AnnotatedTexts, collect_annotations
from rlhf_losses.inspection.annotator_agreement import annotator_agreement
from rlhf_losses.inspection.annotator_ids import Annotators
from rlhf_losses.inspection.comparisons import Comparisons, between_equal_texts, compare_texts, comparisons_in
from rlhf_losses.inspection.compatible_losses import CompatibleLosses, find_compatible_losses
from rlhf_losses.inspection.dataset_report import (
    AgreementStatistics,
    ComparisonStatistics,
    DatasetReport,
    FeedbackStatistics,
    InvalidRows,
    LabelStatistics,
)
from rlhf_losses.inspection.length_bias import length_bias
from rlhf_losses.inspection.length_statistics import LengthSummary, summarize_lengths
from rlhf_losses.inspection.optional_values import OptionalValues, optional_values
from rlhf_losses.inspection.rating_agreement import rating_agreement
from rlhf_losses.inspection.side_bias import side_bias
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.models.model_argument import require_tokenizer


def inspect_dataset(
    dataset: AnyDataset,
    registry: LossRegistry,
    tokenizer: PreTrainedTokenizerBase | None = None,
    name: str = "data",
    limit: LengthLimit | None = None,
    given: AnyDataset | None = None,
) -> DatasetReport:
    """Return statistics of a dataset and the losses that can be trained on it.

    Args:
        dataset: a dataset with the columns of this library.
        registry: registry of losses.
        tokenizer: tokenizer for lengths in tokens.
        name: name of the dataset in messages.
        limit: largest number of tokens of a text in training, to count the rows that training drops; with a tokenizer.
        given: the dataset before it was converted, for the sides of answers and the columns that are not read.

    Raises:
        InvalidArgumentError: an argument of another type.
        FeedbackMismatchError: no columns of a feedback type.
        InvalidFeedbackError: all rows are invalid, or a row of a stream is; the message contains the index of the row.
    """
    require_dataset(dataset)
    remedy = "Pass rlhf_losses.loss_registry()."
    require_instance(registry, LossRegistry, "registry", "the registry of losses", remedy)
    if tokenizer is not None:
        require_tokenizer(tokenizer, "tokenizer")
    dataset = readable_rows(dataset, name)
    dataset, invalid, text_problems = _valid_rows(dataset, name)
    feedback_types = feedback_types_in_columns(column_names(dataset))
    column = find_annotator_column(column_names(dataset))
    texts = collect_annotations(dataset, feedback_types, column)
    grouped = _group_by_prompt(dataset, texts, feedback_types)
    optional = _optional_values(dataset, texts)
    losses = find_compatible_losses(
        texts.feedback,
        grouped if isinstance(grouped, FeedbackMismatchError) else grouped.texts.feedback,
        feedback_types,
        registry,
        {name: {column: one.missing for column, one in columns.items()} for name, columns in optional.items()},
    )
    tokens, overlong = _token_lengths(dataset, feedback_types, tokenizer, limit)
    return DatasetReport(
        rows=len(texts.row_keys),
        without_feedback=len(texts.row_keys) - len(np.unique(texts.row[texts.feedback.positions().numpy()])),
        columns=tuple(name for name in column_names(dataset) if name not in (SOURCE_ROW, SOURCE_ITEM)),
        prompts=len(np.unique(texts.prompt[~np.isnan(texts.prompt_length)])),
        duplicate_rows=len(texts.row_keys) - len(set(texts.row_keys)),
        text_problems=text_problems,
        side_bias=None if given is None else side_bias(given),
        unread_verdict=find_unread_verdict(dataset),
        annotators=Annotators(
            column,
            len(np.unique(texts.annotator[texts.annotator >= 0])),
            () if column else possible_annotator_columns(dataset if given is None else given),
        ),
        feedback={
            type(part.feedback).__name__: replace(
                _feedback_statistics(part),
                optional=optional.get(type(part.feedback).__name__, {}),
                ties_by_loss=_ties_by_loss(part.feedback, losses, registry),
            )
            for part in _parts(texts, grouped)
            if len(part.feedback)
        },
        characters=_character_lengths(texts),
        tokens=tokens,
        overlong=overlong,
        lost=None if tokenizer is None else lost_characters(dataset, feedback_types, tokenizer),
        losses=losses,
        invalid=invalid,
    )


def _valid_rows(dataset: AnyDataset, name: str) -> tuple[AnyDataset, tuple[InvalidRows, ...], TextProblems]:
    """Return the dataset without the rows that training refuses, these rows by problem, and those with other ones."""
    feedback_types = feedback_types_in_columns(column_names(dataset))
    try:
        found = require_valid_rows(dataset, ScoreDecay(), name)
    except InvalidFeedbackError:
        problems = find_invalid_rows(dataset, name) if isinstance(dataset, Dataset) else {}
        if not isinstance(dataset, Dataset) or len(problems) in (0, len(dataset)):
            raise
    else:
        return dataset, (), found if isinstance(dataset, Dataset) else find_text_problems(dataset, feedback_types)
    rows_of: dict[str, list[int]] = {}
    for row, problem in problems.items():
        rows_of.setdefault(problem, []).append(row)
    numbers = source_rows_of(dataset, range(len(dataset)))
    invalid = [
        InvalidRows(problem, tuple(numbers[row] for row in rows), tuple(rows)) for problem, rows in rows_of.items()
    ]
    rows = [row for row in range(len(dataset)) if row not in problems]
    valid = dataset.select(rows)
    if SOURCE_ROW not in dataset.column_names:
        valid = valid.add_column(SOURCE_ROW, rows)  # messages about the others keep their numbers
    most_frequent_first = tuple(sorted(invalid, key=lambda one: -len(one.rows)))
    return valid, most_frequent_first, find_text_problems(valid, feedback_types)


def _optional_values(dataset: AnyDataset, texts: AnnotatedTexts) -> dict[str, dict[str, OptionalValues]]:
    """Return the values of the optional columns of each feedback type, by name; of a stream none."""
    if not isinstance(dataset, Dataset):
        return {}
    found = {type(part): np.unique(texts.row[part.item_positions.numpy()]).tolist() for part in texts.feedback.parts}
    return {one.__name__: optional_values(dataset, one, rows) for one, rows in found.items()}


def _ties_by_loss(feedback: Feedback, losses: CompatibleLosses, registry: LossRegistry) -> dict[str, int]:
    """Return the number of ties for each loss that sees other ones than the annotators state."""
    found = {}
    for loss in (registry[name]() for name in losses.losses):
        seen = loss.as_objective().with_outcomes(feedback)
        comparisons = None if seen is feedback else comparisons_in(seen)
        if comparisons is not None:
            found[loss.name()] = int((comparisons.direction == 0).sum())
    return found


@dataclass(frozen=True)
class _Part:
    """The feedback of one type in a dataset.

    Attributes:
        texts: texts of the dataset.
        feedback: feedback over these texts.
        compared_texts: the same with single ratings grouped by prompt.
        compared_feedback: feedback over these.
        single_answers: number of rated answers that are in no group of several.
    """

    texts: AnnotatedTexts
    feedback: Feedback
    compared_texts: AnnotatedTexts
    compared_feedback: Feedback
    single_answers: int


@dataclass(frozen=True)
class _Grouped:
    """The texts of a dataset with single ratings grouped by prompt, and the number of those in no group."""

    texts: AnnotatedTexts
    single_answers: int = 0


class _ComparingLosses:
    """The losses that compare answers, for messages."""

    feedback_type = Pairs

    def __str__(self) -> str:
        return "A loss that compares answers"


def _parts(texts: AnnotatedTexts, grouped: _Grouped | FeedbackMismatchError) -> list[_Part]:
    compared = _Grouped(texts) if isinstance(grouped, FeedbackMismatchError) else grouped
    parts = zip(texts.feedback.parts, compared.texts.feedback.parts, strict=True)
    return [
        _Part(texts, feedback, compared.texts, compared_feedback, compared.single_answers)
        for feedback, compared_feedback in parts
    ]


def _group_by_prompt(
    dataset: AnyDataset, texts: AnnotatedTexts, feedback_types: Sequence[type[Feedback]]
) -> _Grouped | FeedbackMismatchError:
    """Return the dataset with single ratings grouped by prompt, or the error if a grouping is needed and impossible."""
    try:
        grouped = group_ratings(dataset, _ComparingLosses(), "the data", log=False)
    except FeedbackMismatchError as error:
        return error
    if grouped is None:
        return _Grouped(texts)
    return _Grouped(collect_annotations(grouped.rows, feedback_types), grouped.single_answers)


def _feedback_statistics(part: _Part) -> FeedbackStatistics:
    rows, items = len(np.unique(part.texts.row[part.feedback.item_positions.numpy()])), len(part.feedback)
    ratings = rating_agreement(part.texts, part.feedback)
    comparisons = comparisons_in(part.compared_feedback)
    if comparisons is None or not len(comparisons):
        return FeedbackStatistics(rows, items, rating_agreement=ratings)
    values = _value_statistics(part, comparisons)
    is_grouped = part.compared_texts is not part.texts
    agreement = None if is_grouped else _agreement_statistics(part, comparisons)
    return FeedbackStatistics(rows, items, values, agreement, ratings)


def _value_statistics(part: _Part, comparisons: Comparisons) -> LabelStatistics | ComparisonStatistics:
    texts = part.compared_texts
    if comparisons.is_label:
        return LabelStatistics(int(comparisons.wins.sum()))
    return ComparisonStatistics(
        comparisons=len(comparisons),
        ties=int((comparisons.direction == 0).sum()),
        equal_answers=len(between_equal_texts(texts, comparisons)),
        length_bias=length_bias(texts, comparisons),
        single_answers=part.single_answers,
    )


def _agreement_statistics(part: _Part, comparisons: Comparisons) -> AgreementStatistics:
    annotations = compare_texts(part.texts, comparisons)
    equal = between_equal_texts(part.texts, comparisons)
    one_each, is_unknown = annotations.one_per_annotator(), annotations.has_unknown_repetitions
    by_annotators = one_each.merged_annotators()
    single = one_each if annotations.has_annotators else annotations
    has_positions = annotations.is_label or isinstance(part.feedback, Votes)
    with_ties, without_ties = (annotator_agreement(by_annotators, ties, has_positions) for ties in (True, False))
    found = AgreementStatistics(
        annotated_several_times=None if is_unknown else int((by_annotators.annotations > 1).sum()),
        repeated_by_annotator=len(annotations) - len(one_each),
        contradictory=int(annotations.merged().is_contradictory.sum()),
        unknown_annotators=is_unknown,
        with_ties=with_ties,
        without_ties=without_ties,
        agreement_ceiling=None if is_unknown else agreement_ceiling(single.merged(), _preferences(equal)),
        accuracy_ceiling=agreement_ceiling(annotations.majority().merged(), _preferences(equal.majority())),
    )
    return found.without_trivial_ceilings() if found.annotated_once else found


def _preferences(comparisons: Comparisons) -> float:
    """Return the number of annotations that are no ties."""
    return float((comparisons.wins + comparisons.defeats).sum())


def _character_lengths(texts: AnnotatedTexts) -> dict[str, LengthSummary]:
    first_of_row = np.unique(texts.row, return_index=True)[1]
    summaries = {
        "prompt": summarize_lengths(texts.prompt_length[first_of_row]),
        "answer": summarize_lengths(texts.answer_length[texts.is_answer_end]),
        "step": summarize_lengths(texts.step_length),
    }
    return {name: summary for name, summary in summaries.items() if summary is not None}


def _token_lengths(
    rows: Iterable[Row],
    feedback_types: Sequence[type[Feedback]],
    tokenizer: PreTrainedTokenizerBase | None,
    limit: LengthLimit | None,
) -> tuple[dict[str, LengthSummary], OverlongRows | None]:
    """Return the lengths of the distinct texts of each row, including the prompt, and the rows that are too long."""
    if tokenizer is None:
        return {}, None
    encoder = RowEncoder(tokenizer, feedback_types)
    lengths: list[int] = []
    longest: dict[int, int] = {}
    for numbers, batch in row_batches(rows, "Tokenizing"):
        for number, row in zip(source_rows(batch, numbers), encoder.encode_rows(batch), strict=True):
            of_row = [len(ids) for ids in row["text_ids"]]
            lengths += of_row
            longest[number] = max([longest.get(number, 0), *of_row])
    summary = summarize_lengths(lengths)
    return {} if summary is None else {"text": summary}, None if limit is None else OverlongRows.of(longest, limit)
