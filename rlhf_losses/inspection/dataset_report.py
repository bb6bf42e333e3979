"""The report of `rlhf-losses inspect`: statistics of a dataset and the losses that can be trained on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.data import LengthLimit, RowEncoder
from rlhf_losses.data.annotator_columns import find_annotator_column, possible_annotator_columns
from rlhf_losses.data.batches import row_batches
from rlhf_losses.data.dataset import AnyDataset, column_names, find_invalid_rows, require_valid_rows
from rlhf_losses.data.lost_characters import LostCharacters, lost_characters
from rlhf_losses.data.rating_groups import group_ratings
from rlhf_losses.data.read_columns import source_rows_of
from rlhf_losses.data.row_lengths import OverlongRows
from rlhf_losses.data.text_problems import TextProblems, find_text_problems
from rlhf_losses.data.unread_verdict import UnreadVerdict, find_unread_verdict
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Pairs, Votes, feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW, source_rows
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.inspection.agreement_ceiling import AgreementCeiling, agreement_ceiling
from rlhf_losses.inspection.annotations import AnnotatedTexts, collect_annotations
from rlhf_losses.inspection.annotator_agreement import AnnotatorAgreement, annotator_agreement
from rlhf_losses.inspection.annotator_ids import Annotators
from rlhf_losses.inspection.comparisons import Comparisons, between_equal_texts, compare_texts, comparisons_in
from rlhf_losses.inspection.compatible_losses import CompatibleLosses, find_compatible_losses
from rlhf_losses.inspection.length_bias import LengthBias, length_bias
from rlhf_losses.inspection.length_statistics import LengthSummary, summarize_lengths
from rlhf_losses.inspection.optional_values import OptionalValues, optional_values
from rlhf_losses.inspection.rating_agreement import rating_agreement
from rlhf_losses.inspection.side_bias import SideBias, side_bias
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.models.model_argument import require_tokenizer


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
        single_answers: number of rated answers that losses which compare answers leave out, because their prompt has no
            other one, or because they have no prompt.
    """

    comparisons: int
    ties: int
    equal_answers: int
    length_bias: LengthBias | None
    single_answers: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "comparisons": self.comparisons,
            "ties": self.ties,
            "equal_answers": self.equal_answers,
            "longer_preferred": {} if self.length_bias is None else asdict(self.length_bias),
            "single_answers": self.single_answers,
        }


@dataclass(frozen=True)
class AgreementStatistics:
    """Agreement of the annotators, and the resulting limits for every scorer.

    Annotations of the same texts by the same annotator count once, except in the accuracy ceiling.

    Attributes:
        annotated_several_times: number of comparisons (or labelled texts) with annotations by several known annotators,
            or within a row; `None` with unknown annotators.
        repeated_by_annotator: number of further annotations of the same comparison by an annotator, or within a row.
        contradictory: number of comparisons whose annotations prefer both sides.
        unknown_annotators: whether several rows have the same texts and the annotator of one of them is unknown. Equal
            rows can then be copies, or annotators who agree.
        with_ties: agreement of the known annotators and of the votes within a row; `None` if there are no two on the
            same texts.
        without_ties: the same without ties.
        agreement_ceiling: largest share of single annotations that a scorer can match, where it can match half of those
            of two equal texts; `None` if all are ties, if nothing limits it because no texts were annotated twice or
            are equal, and with unknown annotators.
        accuracy_ceiling: largest accuracy in `rlhf-losses evaluate`, which counts the majority of each row once, and a
            pair of equal texts as half right; `None` if all are ties, and if nothing limits it.
    """

    annotated_several_times: int | None
    repeated_by_annotator: int
    contradictory: int
    unknown_annotators: bool
    with_ties: AnnotatorAgreement | None
    without_ties: AnnotatorAgreement | None
    agreement_ceiling: AgreementCeiling | None
    accuracy_ceiling: AgreementCeiling | None

    @property
    def annotated_once(self) -> bool:
        """Whether nothing was annotated twice."""
        return self.annotated_several_times == 0 and not self.contradictory

    def without_trivial_ceilings(self) -> "AgreementStatistics":
        """Return the statistics without ceilings of 1, which say nothing if nothing was annotated twice."""
        agreement, accuracy = (
            None if one is None or one.share == 1 else one for one in (self.agreement_ceiling, self.accuracy_ceiling)
        )
        return replace(self, agreement_ceiling=agreement, accuracy_ceiling=accuracy)

    @property
    def ceilings_are_exact(self) -> bool:
        """Whether both ceilings are exact rather than upper bounds."""
        return all(ceiling is None or ceiling.is_exact for ceiling in (self.agreement_ceiling, self.accuracy_ceiling))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "annotated_several_times": self.annotated_several_times,
            "repeated_by_annotator": self.repeated_by_annotator,
            "contradictory": self.contradictory,
            "unknown_annotators": self.unknown_annotators,
            "agreement_of_two_annotators": None if self.with_ties is None else self.with_ties.per_item,
            "agreement": {} if self.with_ties is None else asdict(self.with_ties),
            "agreement_without_ties": {} if self.without_ties is None else asdict(self.without_ties),
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
        agreement: agreement of the annotators; `None` for ratings in rows of one answer, whose comparisons are between
            the mean ratings of answers.
        rating_agreement: agreement on ratings of single texts; `None` for other feedback and without repeated ratings.
        optional: values of the optional columns of numbers, such as `margin`, by name.
        ties_by_loss: number of ties for each loss that takes ties from another column, such as a margin of 0.
    """

    rows: int
    items: int
    values: LabelStatistics | ComparisonStatistics | None = None
    agreement: AgreementStatistics | None = None
    rating_agreement: AnnotatorAgreement | None = None
    optional: Mapping[str, OptionalValues] = field(default_factory=dict)
    ties_by_loss: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        parts = [part.to_dict() for part in (self.values, self.agreement) if part is not None]
        if self.rating_agreement is not None:
            parts.append({"rating_agreement": asdict(self.rating_agreement)})
        if self.optional:
            parts.append({"optional_columns": {name: asdict(values) for name, values in self.optional.items()}})
        if self.ties_by_loss:
            parts.append({"ties_by_loss": dict(self.ties_by_loss)})
        return {"rows": self.rows, "items": self.items} | {
            name: value for part in parts for name, value in part.items()
        }


@dataclass(frozen=True)
class InvalidRows:
    """Rows with the same problem.

    Attributes:
        problem: the error message.
        rows: numbers of the rows in messages: of converted rows those of their original rows.
        positions: positions of the rows in the dataset.
    """

    problem: str
    rows: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True)
class DatasetReport:
    """Statistics of a dataset.

    Attributes:
        rows: number of valid rows, which the statistics are about.
        without_feedback: number of them without feedback, which training and evaluation drop.
        columns: names of the columns.
        prompts: number of distinct prompts.
        duplicate_rows: number of rows that are equal to an earlier row in the columns that are read: texts, feedback,
            arguments of the chat template and annotator.
        text_problems: rows that are used although a text may be missing in them.
        side_bias: how often the first of two answers is preferred, or None if their sides are unknown.
        unread_verdict: a column that is not read and can say which answer of a pair is better, or None.
        annotators: the annotators, and how rows are counted as annotations.
        feedback: statistics by name of the feedback type.
        characters: lengths of `prompt`, `answer` and `step`, as far as the dataset has them.
        tokens: length of the whole `text`, if a tokenizer is passed.
        overlong: rows with a text that is longer than a limit, if one is passed.
        lost: characters that the tokenizer loses of some texts, if one is passed.
        losses: losses that can be trained on the dataset.
        invalid: rows with invalid values, which training refuses, by problem; the most frequent first.
    """

    rows: int
    without_feedback: int
    columns: tuple[str, ...]
    prompts: int
    duplicate_rows: int
    text_problems: TextProblems
    side_bias: SideBias | None
    unread_verdict: UnreadVerdict | None
    annotators: Annotators
    feedback: Mapping[str, FeedbackStatistics]
    characters: Mapping[str, LengthSummary]
    tokens: Mapping[str, LengthSummary]
    overlong: OverlongRows | None
    lost: LostCharacters | None
    losses: CompatibleLosses
    invalid: tuple[InvalidRows, ...] = ()

    def valid_rows(self) -> list[int]:
        """Return the positions of the valid rows."""
        invalid = {row for one in self.invalid for row in one.positions}
        return [row for row in range(self.rows + len(invalid)) if row not in invalid]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `rlhf-losses inspect --json` prints."""
        return {
            "rows": self.rows,
            "without_feedback": self.without_feedback,
            "invalid_rows": [{"problem": one.problem, "rows": list(one.rows)} for one in self.invalid],
            "columns": list(self.columns),
            "prompts": self.prompts,
            "duplicate_rows": self.duplicate_rows,
            **self.text_problems.to_dict(),
            "first_answer_preferred": None if self.side_bias is None else asdict(self.side_bias),
            "unread_verdict": None if self.unread_verdict is None else self.unread_verdict.to_dict(),
            "annotators": self.annotators.to_dict(),
            "feedback": {name: statistics.to_dict() for name, statistics in self.feedback.items()},
            "characters": {name: asdict(summary) for name, summary in self.characters.items()},
            "tokens": {name: asdict(summary) for name, summary in self.tokens.items()},
            "overlong": None if self.overlong is None else asdict(self.overlong),
            "lost_characters": None if self.lost is None else self.lost.to_dict(),
            "losses": list(self.losses.losses),
            "regularizers": list(self.losses.regularizers),
            "incompatible_losses": dict(self.losses.incompatible),
        }


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
