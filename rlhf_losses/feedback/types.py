"""Which kinds of feedback exist, and which of them given columns hold."""

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

STEPWISE_TYPES: tuple[type[Feedback], ...] = (Steps, StepwiseRankings)
"""The kinds whose answers come in steps, with a score read at the end of each."""


IMPLICIT_TYPES: tuple[type[Feedback], ...] = (Feedback, Lengths)
"""What a loss may read whatever was said: the scores alone, or how long the answers are."""


def find_source_type(wanted: type[Feedback], held: Iterable[type[Feedback]]) -> type[Feedback] | None:
    """Return the kind among `held` that `wanted` is read from: itself if it is there, else the first above it.

    >>> find_source_type(Pairs, [Ratings, Steps]).__name__
    'Ratings'
    """
    held = list(held)
    direct = [kind for kind in held if issubclass(kind, wanted)]
    return next(iter(direct + [kind for kind in held if kind.is_convertible_to(wanted)]), None)


def feedback_types_in_columns(columns: Iterable[str]) -> tuple[type[Feedback], ...]:
    """Return the kinds of feedback that data with these columns hold.

    >>> [kind.__name__ for kind in feedback_types_in_columns(["prompt", "completions", "ranks"])]
    ['Rankings']
    """
    columns = list(columns)
    held = tuple(kind for kind in FEEDBACK_TYPES if kind.held_by(columns))
    lists = [kind.__name__ for kind in held if kind in (Rankings, Votes)]
    if Steps in held and (lists or "ratings" in columns):
        raise FeedbackMismatchError(
            f"The columns {', '.join(columns)} make 'completions' both the answers of {(lists or ['Ratings'])[0]} "
            "and the steps of one answer. It can be only one of them; split the data into two datasets, "
            "or give the answers as chosen and rejected."
        )
    return held


def feedback_types_of_row(row: Row) -> tuple[type[Feedback], ...]:
    """Return the kinds that one row holds; a column that is null in this row holds nothing."""
    return feedback_types_in_columns([name for name, value in row.items() if value is not None])
