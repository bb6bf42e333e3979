"""`rlhf-losses inspect`: statistics of a dataset and the losses that can be trained on it."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.scorer_arguments import add_dataset_arguments, selected_rows
from rlhf_losses.cli.tables import key_value_table, make_table, render_table
from rlhf_losses.data import convert_dataset
from rlhf_losses.errors import first_line
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import DatasetReport, inspect_dataset
from rlhf_losses.inspection.agreement_ceiling import AgreementCeiling
from rlhf_losses.inspection.annotator_agreement import AnnotatorAgreement
from rlhf_losses.inspection.compatible_losses import CompatibleLosses
from rlhf_losses.inspection.dataset_report import (
    AgreementStatistics,
    ComparisonStatistics,
    FeedbackStatistics,
    LabelStatistics,
)

UNKNOWN = "- (unknown without ids of the annotators)"

WIDTH = 110
"""Width of lists of names, in characters."""


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses inspect", description="Show statistics of a dataset and the losses that can be trained on it."
    )
    add_dataset_arguments(parser)
    parser.add_argument("--model", "--tokenizer", help="model or tokenizer (folder or Hub id), for lengths in tokens")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the report as text or as JSON."""
    args = build_parser().parse(argv)
    tokenizer = None if args.model is None else load_tokenizer(args.model)
    rows = convert_dataset(selected_rows(args), args.converter, args.dataset, plugins)
    report = inspect_dataset(rows, loss_registry(plugins), tokenizer, args.dataset)
    print(json.dumps(report.to_dict(), indent=2) if args.json else format_report(report))


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer for lengths in tokens.

    Args:
        name: folder or Hub id.

    Raises:
        CommandLineError: it cannot be loaded.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # a damaged file can cause any error in any of the libraries
        raise CommandLineError(
            f"The tokenizer '{name}' cannot be loaded: {first_line(error)}. Check the name after --model."
        ) from error
    return tokenizer


def format_report(report: DatasetReport) -> str:
    """Return the report as text: counts, one block per feedback type, lengths and losses."""
    counts = {
        "rows": report.rows,
        "columns": ", ".join(report.columns),
        "prompts": report.prompts or "none apart from the answers",
        "duplicate rows": report.duplicate_rows,
    }
    if report.annotators.column is not None:
        counts["annotators"] = f"{report.annotators.count} in the column {report.annotators.column}"
    blocks = [
        render_table(key_value_table(counts)),
        textwrap.fill(report.annotators.assumption, WIDTH),
        *(
            f"{name}\n{textwrap.indent(format_feedback(statistics), '  ')}"
            for name, statistics in report.feedback.items()
        ),
        format_lengths(report),
        format_losses(report.losses),
    ]
    return "\n\n".join(filter(None, blocks))


def format_feedback(statistics: FeedbackStatistics) -> str:
    """Return the statistics of one feedback type as text."""
    values = {"items": f"{statistics.items} in {statistics.rows} rows"}
    match statistics.values:
        case LabelStatistics(positive):
            values["positive labels"] = format_share(positive, statistics.items)
        case ComparisonStatistics() as compared:
            values["comparisons of two answers"] = str(compared.comparisons)
            values["ties"] = format_share(compared.ties, compared.comparisons)
            values["equal answers"] = str(compared.equal_answers)
            if bias := compared.length_bias:
                values["longer answer preferred"] = f"{bias.share:.1%} (95% interval {bias.low:.1%} to {bias.high:.1%})"
    if statistics.agreement is not None:
        values |= format_agreement(statistics.agreement)
    if statistics.rating_agreement is not None:
        values["texts rated several times"] = str(statistics.rating_agreement.items)
        values["two ratings are equal"] = format_two_annotators(statistics.rating_agreement)
        values["alpha of the ratings"] = format_alpha(statistics.rating_agreement)
    return render_table(key_value_table(values))


def format_agreement(agreement: AgreementStatistics) -> dict[str, str]:
    """Return the agreement of the annotators and the resulting limits as text, by title."""
    bound = "" if agreement.ceilings_are_exact else " at most"
    if agreement.annotated_several_times == 0 and not agreement.contradictory:
        bound += " (nothing was annotated twice)"
    unknown = UNKNOWN if agreement.unknown_annotators else None
    values = {"annotated several times": unknown or str(agreement.annotated_several_times)}
    if agreement.repeated_by_annotator:
        values["again by the same annotator"] = str(agreement.repeated_by_annotator)
    values["contradictory"] = str(agreement.contradictory)
    if unknown and agreement.with_ties is None:
        values["two annotators agree"] = unknown
    else:
        values["two annotators agree"] = format_two_annotators(agreement.with_ties)
        values["Krippendorff's alpha"] = format_alpha(agreement.with_ties)
    if agreement.without_ties != agreement.with_ties:
        values["two agree, ties left out"] = format_two_annotators(agreement.without_ties)
        values["alpha, ties left out"] = format_alpha(agreement.without_ties)
    return values | {
        "best agreement with annotators": unknown or format_ceiling(agreement.agreement_ceiling) + bound,
        "best accuracy in `evaluate`": format_ceiling(agreement.accuracy_ceiling) + bound,
    }


def format_two_annotators(agreement: AnnotatorAgreement | None) -> str:
    """Return the share of equal annotations as text, or a dash if it is unknown."""
    if agreement is None:
        return "-"
    return f"{agreement.per_item:.1%} (mean over items), {agreement.pooled:.1%} (of all pairs of annotations)"


def format_alpha(agreement: AnnotatorAgreement | None) -> str:
    """Return Krippendorff's alpha, or a dash if it is unknown."""
    return "-" if agreement is None or agreement.alpha is None else f"{agreement.alpha:.3f}"


def format_ceiling(ceiling: AgreementCeiling | None) -> str:
    """Return a ceiling in percent, or a dash if it is unknown."""
    return format_percentage(None if ceiling is None else ceiling.share)


def format_lengths(report: DatasetReport) -> str:
    """Return the length statistics as a table, or an empty text if there are none."""
    summaries = {
        f"{name} ({unit})": asdict(summary)
        for unit, group in (("characters", report.characters), ("tokens", report.tokens))
        for name, summary in group.items()
    }
    if not summaries:
        return ""
    rows = [[name, *(f"{value:.0f}" for value in summary.values())] for name, summary in summaries.items()]
    header = ["LENGTH", *(title.upper() for title in next(iter(summaries.values())))]
    return render_table(make_table(rows, header=header, right=range(1, len(header))))


def format_losses(losses: CompatibleLosses) -> str:
    """Return the losses that can be trained on the dataset, the regularizers, and why others cannot be trained."""
    blocks = [
        format_names("Compatible losses", losses.losses),
        format_names("Regularizers to add to one of them", losses.regularizers),
    ]
    if losses.incompatible:
        lines = [f"  {name}: {reason}" for name, reason in losses.incompatible.items()]
        blocks.append("\n".join(["Incompatible losses:", *lines]))
    return "\n\n".join(blocks)


def format_names(title: str, names: Sequence[str]) -> str:
    """Return names below a title.

    Examples:
        >>> print(format_names("Losses", ["hinge", "eurus"]))
        Losses:
          hinge, eurus
    """
    lines = textwrap.fill(", ".join(names) or "none", WIDTH, break_on_hyphens=False)
    return f"{title}:\n{textwrap.indent(lines, '  ')}"


def format_share(part: int, total: int) -> str:
    """Return a count with its percentage.

    Examples:
        >>> format_share(1, 8)
        '1 (12.5%)'
    """
    return f"{part} ({part / total:.1%})" if total else str(part)


def format_percentage(value: float | None) -> str:
    """Return a fraction in percent, or a dash if it is unknown."""
    return "-" if value is None else f"{value:.1%}"
