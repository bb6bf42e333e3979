"""Statistics of one feedback type as text, for a terminal and for a report."""

from rlhf_losses.inspection.agreement_ceiling import AgreementCeiling
from rlhf_losses.inspection.annotator_agreement import AnnotatorAgreement
from rlhf_losses.inspection.dataset_report import (
    AgreementStatistics,
    ComparisonStatistics,
    FeedbackStatistics,
    LabelStatistics,
)
from rlhf_losses.messages.percentages import percent, percent_range

UNKNOWN = "- (unknown without ids of the annotators)"
FEW = 30
"""Number of comparisons with several annotations below which the limits are said to rest on few."""

ANNOTATED_ONCE = "unknown (nothing was annotated twice)"


def feedback_values(statistics: FeedbackStatistics) -> dict[str, str]:
    """Return the statistics of one feedback type as text, by title.

    Args:
        statistics: the statistics.
    """
    values = {"items": f"{statistics.items} in {statistics.rows} rows"}
    match statistics.values:
        case LabelStatistics(positive):
            values["positive labels"] = format_share(positive, statistics.items)
        case ComparisonStatistics() as compared:
            values["comparisons of two answers"] = str(compared.comparisons)
            if compared.single_answers:
                values["answers without another one"] = f"{compared.single_answers} (no loss can compare them)"
            values["tied comparisons"] = format_share(compared.ties, compared.comparisons)
            values["equal answers"] = str(compared.equal_answers)
            if bias := compared.length_bias:
                values["longer answer preferred (characters)"] = (
                    f"{percent(bias.share)} (95 % interval {percent_range(bias.low, bias.high)})"
                )
    values |= {name: one.describe() for name, one in statistics.optional.items()}
    values |= {
        f"ties for {loss}": format_share(ties, statistics.items) for loss, ties in statistics.ties_by_loss.items()
    }
    if statistics.agreement is not None:
        values |= format_agreement(statistics.agreement)
    if statistics.rating_agreement is not None:
        values["texts rated several times"] = str(statistics.rating_agreement.items)
        values["two ratings are equal"] = format_two_annotators(statistics.rating_agreement)
        values["alpha of the ratings"] = format_alpha(statistics.rating_agreement)
    return values


def format_agreement(agreement: AgreementStatistics) -> dict[str, str]:
    """Return the agreement of the annotators and the resulting limits as text, by title."""
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
    values |= {
        "best agreement with annotators": unknown or format_ceiling(agreement.agreement_ceiling, agreement),
        "best accuracy in `evaluate`": format_ceiling(agreement.accuracy_ceiling, agreement),
    }
    count = agreement.annotated_several_times or 0
    if count and (agreement.agreement_ceiling or agreement.accuracy_ceiling):
        only = "only " if count < FEW else ""
        values["the two limits rest on"] = f"{only}{count} annotated several times; the others count as attainable"
    return values


def format_two_annotators(agreement: AnnotatorAgreement | None) -> str:
    """Return the share of equal annotations as text, or a dash if it is unknown."""
    if agreement is None:
        return "-"
    return f"{percent(agreement.per_item)} (mean over items), {percent(agreement.pooled)} (of all pairs of annotations)"


def format_alpha(agreement: AnnotatorAgreement | None) -> str:
    """Return Krippendorff's alpha, or a dash if it is unknown."""
    return "-" if agreement is None or agreement.alpha is None else f"{agreement.alpha:z.3f}"


def format_ceiling(ceiling: AgreementCeiling | None, agreement: AgreementStatistics) -> str:
    """Return a ceiling in percent, or why it is unknown, or a dash if all annotations are ties."""
    if ceiling is None:
        return ANNOTATED_ONCE if agreement.annotated_once else "-"
    return percent(ceiling.share) + ("" if agreement.ceilings_are_exact else " at most")


def format_share(part: int, total: int) -> str:
    """Return a count with its percentage.

    Examples:
        >>> format_share(1, 8)
        '1 (12.5 %)'
    """
    return f"{part} ({percent(part / total)})" if total else str(part)
