"""How often the first of two compared answers is preferred."""

from dataclasses import dataclass

from datasets import Dataset, IterableDataset

from rlhf_losses.converters.compared_answers import SIDES
from rlhf_losses.feedback.winner_words import read_winner
from rlhf_losses.messages.percentages import percent, percent_range


@dataclass(frozen=True)
class SideBias:
    """Share of comparisons in which the first answer is preferred, with its 95 % interval.

    Attributes:
        share: the share; 0.5 if annotators do not depend on the side and neither side has better answers.
        low: lower end of the interval.
        high: upper end of the interval.
        comparisons: number of comparisons that are not ties.
    """

    share: float
    low: float
    high: float
    comparisons: int

    def describe(self) -> str:
        """Return the share as text.

        Examples:
            >>> SideBias(0.5, 0.4, 0.6, 96).describe()
            '50.0 % (95 % interval 40.0 to 60.0 %)'
        """
        return f"{percent(self.share)} (95 % interval {percent_range(self.low, self.high)})"


def side_bias(dataset: Dataset | IterableDataset) -> SideBias | None:
    """Return how often `response_a` is preferred to `response_b`, or None without such columns or comparisons.

    Args:
        dataset: a dataset before it was converted.

    Examples:
        >>> sides = {"response_a": ["4", "5", "4"], "response_b": ["5", "4", "3"], "winner": ["left", "b", "tie"]}
        >>> side_bias(Dataset.from_dict(sides)).share
        0.5
    """
    from scipy import stats

    if not isinstance(dataset, Dataset) or not {*SIDES, "winner"} <= set(dataset.column_names):
        return None
    winners = [read_winner(value) for value in dataset["winner"]]
    first, second = winners.count("a"), winners.count("b")
    if not first + second:
        return None
    interval = stats.binomtest(first, first + second).proportion_ci(method="wilson")
    return SideBias(first / (first + second), float(interval.low), float(interval.high), first + second)
