"""The report of `rlhf-losses inspect`: statistics of a dataset and the losses that can be trained on it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rlhf_losses.data.lost_characters import LostCharacters
from rlhf_losses.data.row_lengths import OverlongRows
from rlhf_losses.data.text_problems import TextProblems
from rlhf_losses.data.unread_verdict import UnreadVerdict
from rlhf_losses.inspection.agreement_ceiling import AgreementCeiling
from rlhf_losses.inspection.annotator_agreement import AnnotatorAgreement
from rlhf_losses.inspection.annotator_ids import Annotators
from rlhf_losses.inspection.compatible_losses import CompatibleLosses
from rlhf_losses.inspection.length_bias import LengthBias
from rlhf_losses.inspection.length_statistics import LengthSummary
from rlhf_losses.inspection.optional_values import OptionalValues
from rlhf_losses.inspection.side_bias import SideBias


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
        not_converted: number of further rows in which the converter found no feedback.
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
    not_converted: int = 0

    def valid_rows(self) -> list[int]:
        """Return the positions of the valid rows."""
        invalid = {row for one in self.invalid for row in one.positions}
        return [row for row in range(self.rows + len(invalid)) if row not in invalid]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `rlhf-losses inspect --json` prints."""
        return {
            "rows": self.rows,
            "without_feedback": self.without_feedback,
            "not_converted": self.not_converted,
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
