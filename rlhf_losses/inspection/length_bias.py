"""Length bias: how often annotators prefer the longer answer."""

from dataclasses import dataclass

from rlhf_losses.inspection.annotations import AnnotatedTexts
from rlhf_losses.inspection.comparisons import LABEL_THRESHOLD, Comparisons


@dataclass(frozen=True)
class LengthBias:
    """Share of comparisons in which the longer answer is preferred, with its 95 % Wilson interval.

    Attributes:
        share: share of the comparisons, from 0 to 1; 0.5 is no bias.
        low: lower end of the interval.
        high: upper end of the interval.
        comparisons: number of comparisons between answers of different lengths that are not ties.
    """

    share: float
    low: float
    high: float
    comparisons: int


def length_bias(texts: AnnotatedTexts, comparisons: Comparisons) -> LengthBias | None:
    """Return the share of comparisons in which the longer answer is preferred.

    Args:
        texts: texts of the dataset, with lengths in characters.
        comparisons: comparisons whose sides are score positions.

    Returns:
        The length bias, or `None` if all comparisons are ties or between answers of equal length.
    """
    from scipy import stats

    direction = comparisons.direction
    usable = (comparisons.second != LABEL_THRESHOLD) & (direction != 0)
    first, second = comparisons.first[usable], comparisons.second[usable]
    longer_wins = (texts.answer_length[first] - texts.answer_length[second]) * direction[usable]
    preferred, total = int((longer_wins > 0).sum()), int((longer_wins > 0).sum() + (longer_wins < 0).sum())
    if not total:
        return None
    interval = stats.binomtest(preferred, total).proportion_ci(method="wilson")
    return LengthBias(preferred / total, float(interval.low), float(interval.high), total)
