"""Sections of a report about datasets, and findings about them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from datasets import Dataset

from rlhf_losses.errors import counted_from_0
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.inspection import DatasetReport, inspect_dataset
from rlhf_losses.inspection.annotated_examples import AnnotatedExamples, annotated_examples
from rlhf_losses.inspection.dataset_report import (
    AgreementStatistics,
    ComparisonStatistics,
    FeedbackStatistics,
    LabelStatistics,
)
from rlhf_losses.inspection.feedback_values import feedback_values
from rlhf_losses.messages.percentages import percent, percent_range
from rlhf_losses.report.charts import Chart
from rlhf_losses.report.completions import text_cell
from rlhf_losses.report.evaluation_charts import histogram
from rlhf_losses.report.findings import Finding, good, note, problem
from rlhf_losses.report.page import Cell, Section, Table

SHOWN = 20
"""Number of contradictory pairs of answers that are shown."""

MANY_COPIES, LONGER, ONE_SIDED = 0.05, 0.6, 0.9
"""Shares of copies, of preferences for the longer answer, and of equal labels from which there is a finding."""

FEW_ROWS = 200
"""Number of rows below which there is a finding."""

LOW_CEILING, LOW_AGREEMENT = 0.9, 0.75
"""Largest accuracy, and agreement of two annotators, below which there is a finding."""


@dataclass(frozen=True)
class InspectedDataset:
    """A dataset in a report.

    Attributes:
        name: name of the dataset.
        report: its statistics.
        examples: rows to read, and lengths of answers.
    """

    name: str
    report: DatasetReport
    examples: AnnotatedExamples

    @classmethod
    def of(cls, dataset: Dataset, losses: LossRegistry, name: str) -> "InspectedDataset":
        """Return a dataset with its statistics.

        Args:
            dataset: a dataset with the columns of this library.
            losses: registry of losses.
            name: name of the dataset.
        """
        report = inspect_dataset(dataset, losses, name=name)
        return cls(name, report, annotated_examples(dataset, SHOWN, report.valid_rows()))


def dataset_sections(datasets: Sequence[InspectedDataset]) -> Iterator[Section]:
    """Yield the sections of datasets side by side.

    Args:
        datasets: the datasets.
    """
    yield Section("Datasets", [counts_table(datasets), *feedback_tables(datasets)])
    charts = [chart for one in datasets for chart in length_charts(one)]
    yield Section("Lengths in the data", [*charts, *length_tables(datasets)])
    for one in datasets:
        yield contradictory_rows(one)
    yield Section("Losses", [losses_table(one) for one in datasets], folded=True)


def dataset_findings(dataset: InspectedDataset) -> Iterator[Finding]:
    """Yield what the statistics of a dataset mean.

    Args:
        dataset: the dataset.
    """
    report = dataset.report
    yield from _row_findings(report)
    for name, one in report.feedback.items():
        if isinstance(one.values, ComparisonStatistics):
            yield from _comparison_findings(one.values)
        if isinstance(one.values, LabelStatistics):
            share = max(one.values.positive, one.items - one.values.positive) / one.items
            if share > ONE_SIDED:
                yield note(
                    f"One-sided labels: {percent(share)} of {one.items} {name.lower()} are the same, and a constant is "
                    "as often right. Look at the balanced accuracy."
                )
        if one.agreement is not None:
            is_label = isinstance(one.values, LabelStatistics)
            yield from _agreement_findings(one.agreement, "labelled texts" if is_label else "pairs of answers")
        if one.rating_agreement is not None:
            alpha = one.rating_agreement.alpha
            text = f"Two ratings of the same text are equal in {percent(one.rating_agreement.per_item)} of the cases"
            text += "" if alpha is None else f", and their alpha is {alpha:z.2f} (1: equal, 0: as by chance)"
            yield note(f"Agreement on ratings: {text}; {one.rating_agreement.items} texts have several.")


def _row_findings(report: DatasetReport) -> Iterator[Finding]:
    few = "Few rows: " if report.rows < FEW_ROWS else ""
    yield note(f"{few}{report.rows} rows with {report.prompts or 'no'} different prompts.")
    if report.invalid:
        count = sum(len(one.rows) for one in report.invalid)
        yield problem(f"Invalid rows: training refuses {count} rows, most often for this: {report.invalid[0].problem}")
    if report.unread_verdict:
        yield problem(f"Unread column of winners: {report.unread_verdict.describe()}")
    yield from _text_findings(report)
    if report.side_bias and not report.side_bias.low <= 0.5 <= report.side_bias.high:
        yield problem(
            f"Position: annotators prefer the first of two answers in {report.side_bias.describe()}. A model does not "
            "see the position, so this is noise, unless one side has better answers. Show answers in a random order."
        )
    if report.without_feedback:
        yield note(
            f"Rows without feedback: {report.without_feedback} of {report.rows}. Training and evaluation drop them."
        )
    if report.duplicate_rows > MANY_COPIES * report.rows:
        yield problem(
            f"Copies: {report.duplicate_rows} of {report.rows} rows are equal to an earlier one. In two splits, they "
            "make the accuracy too high."
        )


def _text_findings(report: DatasetReport) -> Iterator[Finding]:
    for name, text in report.text_problems.sentences().items():
        yield note(f"{name}: {text}")
    if report.overlong and report.overlong.rows:
        yield note(f"Long texts: {report.overlong.describe()}")
    if report.lost and report.lost.is_notable:
        yield problem(f"Lost characters: {report.lost.describe()}")


def _comparison_findings(values: ComparisonStatistics) -> Iterator[Finding]:
    if values.equal_answers:
        yield problem(
            f"Equal answers: {values.equal_answers} of {values.comparisons} pairs have two equal texts. Their scores "
            "are equal, which counts as half right, and a loss learns nothing from them. Leave them out."
        )
    if bias := values.length_bias:
        interval = f"95 % interval {percent_range(bias.low, bias.high)}"
        preferred = f"preferred in {percent(bias.share)} of {bias.comparisons} pairs ({interval})"
        longer = f"the longer answer, in characters, is {preferred}"
        if max(bias.low, 1 - bias.high) > 0.5 and max(bias.share, 1 - bias.share) >= LONGER:
            yield problem(
                f"Length bias: {longer}. A model learns to reward length; look at its accuracy where the shorter "
                "answer is better."
            )
        elif max(bias.high, 1 - bias.low) < LONGER:
            yield good(f"No large length bias: {longer}.")
        else:
            yield note(
                f"A length bias cannot be ruled out: {longer}, which reaches {percent(LONGER)} or more for one side."
            )


def _agreement_findings(agreement: AgreementStatistics, items: str) -> Iterator[Finding]:
    ceiling, two = agreement.accuracy_ceiling, agreement.with_ties
    agree = "" if two is None else f"Two annotators of the same texts agree in {percent(two.per_item)} of the cases."
    is_low = two is not None and two.per_item < LOW_AGREEMENT
    if agreement.contradictory:
        several = agreement.annotated_several_times
        of = "" if several is None else f", of {several} with several annotations"
        text = f"Contradictory annotations: {items} that are judged in both ways: {agreement.contradictory}{of}."
        if ceiling is not None:
            text += f" On all rows together no scorer is right in more than {percent(ceiling.share)}, where rows "
            text += "annotated once count as attainable."
        text = f"{text} {agree}".strip()
        is_low = is_low or (ceiling is not None and ceiling.share < LOW_CEILING)
        yield problem(f"{text} Filter or relabel these rows, or use a loss of votes.") if is_low else note(text)
    elif agree:
        yield problem(f"Low agreement: {agree}") if is_low else good(agree)
    elif agreement.annotated_once:
        yield note(
            "How often annotators agree is unknown: nothing was annotated twice, so the largest possible accuracy "
            "is unknown."
        )


def counts_table(datasets: Sequence[InspectedDataset]) -> Table:
    """Return the numbers of rows and prompts of all datasets.

    Args:
        datasets: the datasets.
    """
    rows: list[list[Cell]] = [
        [one.name, one.report.rows, one.report.prompts or None, one.report.duplicate_rows,
         ", ".join(one.report.columns), one.report.annotators.assumption]
        for one in datasets
    ]  # fmt: skip
    header = ("dataset", "rows", "prompts", "duplicate rows", "columns", "annotators")
    return Table("Datasets", header, rows)


def feedback_tables(datasets: Sequence[InspectedDataset]) -> list[Table]:
    """Return the statistics of each feedback type, with a column for each dataset.

    Args:
        datasets: the datasets.
    """
    tables = []
    for feedback in dict.fromkeys(name for one in datasets for name in one.report.feedback):
        having = [one for one in datasets if feedback in one.report.feedback]
        values = [_values(one.report.feedback[feedback]) for one in having]
        rows = [[title, *(one.get(title) for one in values)]
                for title in dict.fromkeys(title for one in values for title in one)]  # fmt: skip
        tables.append(Table(f"{feedback}", ["statistic", *(one.name for one in having)], rows))
    return tables


def _values(statistics: FeedbackStatistics) -> dict[str, str]:
    """Return statistics as text."""
    return {title.replace("`", ""): text for title, text in feedback_values(statistics).items()}


def length_charts(dataset: InspectedDataset) -> list[Chart]:
    """Return the lengths of better and worse answers, and their difference within a pair.

    Args:
        dataset: the dataset.
    """
    better, worse = dataset.examples.better_lengths, dataset.examples.worse_lengths
    if not len(better):
        return []
    sides = {"better answer": better, "worse answer": worse}
    charts = [histogram(f"Lengths of answers: {dataset.name}", sides, "characters")]
    difference = better - worse
    longer = {"longer answer is better": difference[difference > 0],
              "shorter answer is better": difference[difference < 0]}  # fmt: skip
    equal = len(difference) - sum(map(len, longer.values()))
    if equal < len(difference):
        note = "Without length bias it is symmetric about 0."
        note += f" {equal} pairs of equal lengths are left out." if equal else ""
        charts.append(histogram(f"Length differences: {dataset.name}", longer,
                                "characters of the better answer − characters of the worse one", note))  # fmt: skip
    return charts


def length_tables(datasets: Sequence[InspectedDataset]) -> list[Table]:
    """Return the summaries of the lengths of all datasets.

    Args:
        datasets: the datasets.
    """
    rows: list[list[Cell]] = [
        [one.name, part, unit, *asdict(summary).values()]
        for one in datasets
        for unit, group in (("characters", one.report.characters), ("tokens", one.report.tokens))
        for part, summary in group.items()
    ]
    header = ("dataset", "part", "unit", "min", "median", "mean", "95th percentile", "max")
    return [Table("Lengths", header, rows)] if rows else []


def contradictory_rows(dataset: InspectedDataset) -> Section:
    """Return the rows that judge the same texts in opposite ways.

    Args:
        dataset: the dataset.
    """
    rows: list[list[Cell]] = []
    for one in dataset.examples.contradictions:
        numbers = (", ".join(map(str, numbers)) for numbers in (one.rows, one.opposite_rows))
        texts = [text_cell(text) for text in (one.prompt, *one.answers)]
        rows.append([*numbers, *texts, *[None] * (3 - len(texts))])
    header = ("rows that prefer A", "rows that prefer B", "prompt", "answer A", "answer B")
    title = f"Contradictory rows in the data: {dataset.name}"
    if not rows:
        return Section(title, [])
    counted = counted_from_0(dataset.examples.contradictions[0].rows[0])
    shown = f"The first {SHOWN} are shown. {counted}" if len(rows) == SHOWN else counted
    return Section(title, [Table(title, header, rows)], [shown])


def losses_table(dataset: InspectedDataset) -> Table:
    """Return the losses that fit a dataset, and why others do not.

    Args:
        dataset: the dataset.
    """
    losses = dataset.report.losses
    rows = [[name, "fits"] for name in losses.losses] + [[name, "fits as a term"] for name in losses.regularizers]
    rows += [[name, reason] for name, reason in losses.incompatible.items()]
    return Table(f"Losses for {dataset.name}", ("loss", "use"), rows)
