"""The feedback types, and which of them a dataset contains."""

from collections.abc import Iterable

from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.feedback.attributes import Attributes
from rlhf_losses.feedback.base import Feedback, Row
from rlhf_losses.feedback.labels import Labels
from rlhf_losses.feedback.lengths import Lengths
from rlhf_losses.feedback.pairs import Pairs
from rlhf_losses.feedback.rankings import Rankings
from rlhf_losses.feedback.ratings import Ratings
from rlhf_losses.feedback.steps import Steps
from rlhf_losses.feedback.stepwise_rankings import StepwiseRankings
from rlhf_losses.feedback.votes import Votes

FEEDBACK_TYPES: tuple[type[Feedback], ...] = (
    Pairs,
    Rankings,
    Ratings,
    Labels,
    Steps,
    StepwiseRankings,
    Votes,
    Attributes,
)
"""Feedback types that a dataset can contain."""

STEPWISE_TYPES: tuple[type[Feedback], ...] = (Steps, StepwiseRankings)
"""Feedback types whose answers have several steps, with one score at the end of each."""

IMPLICIT_TYPES: tuple[type[Feedback], ...] = (Feedback, Lengths)
"""Feedback types that every dataset provides: the scores alone, and the lengths of the answers."""


def find_source_type(target: type[Feedback], available: Iterable[type[Feedback]]) -> type[Feedback] | None:
    """Return the type to convert to `target`: `target` itself if available, otherwise the first that converts to it.

    Args:
        target: feedback type of a loss.
        available: feedback types of the data.

    Returns:
        A type of `available`, or None if no type converts to `target`.

    Examples:
        >>> find_source_type(Pairs, [Ratings, Steps]).__name__
        'Ratings'
    """
    available = list(available)
    exact = [one for one in available if issubclass(one, target)]
    convertible = [one for one in available if one.is_convertible_to(target)]
    return next(iter(exact + convertible), None)


def feedback_types_in_columns(columns: Iterable[str]) -> tuple[type[Feedback], ...]:
    """Return the feedback types that a dataset with these columns contains.

    Raises:
        FeedbackMismatchError: the column `completions` is used both for answers and for steps.

    Examples:
        >>> [one.__name__ for one in feedback_types_in_columns(["prompt", "completions", "ranks"])]
        ['Rankings']
    """
    columns = list(columns)
    found = tuple(one for one in FEEDBACK_TYPES if one.matches_columns(columns))
    of_answers = [one.__name__ for one in found if one in (Rankings, Votes)]
    if Steps in found and (of_answers or "ratings" in columns):
        raise FeedbackMismatchError(
            f"The columns are {', '.join(columns)}. 'completions' would be both the answers of "
            f"{(of_answers or ['Ratings'])[0]} and the steps of one answer. Split the data into two datasets, or put "
            "the answers into the columns chosen and rejected."
        )
    return found


def feedback_types_of_row(row: Row) -> tuple[type[Feedback], ...]:
    """Return the feedback types of one row; columns that are null in this row are ignored."""
    return feedback_types_in_columns([name for name, value in row.items() if value is not None])
