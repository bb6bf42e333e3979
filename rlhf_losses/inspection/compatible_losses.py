"""Losses that can be trained on a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, RlhfLossesError
from rlhf_losses.feedback import IMPLICIT_TYPES, Feedback, Lengths, Mixed
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.losses import AnyLoss


@dataclass(frozen=True)
class CompatibleLosses:
    """Losses for the feedback types of a dataset.

    Attributes:
        losses: names of the losses that accept the dataset.
        regularizers: names of the regularizers that accept it; they must be added to a loss.
        incompatible: for each loss of these feedback types that does not accept the values, the error message.
    """

    losses: tuple[str, ...]
    regularizers: tuple[str, ...]
    incompatible: Mapping[str, str]


def find_compatible_losses(
    feedback: Mixed,
    grouped: Mixed | FeedbackMismatchError,
    feedback_types: Sequence[type[Feedback]],
    registry: LossRegistry,
    nulls: Mapping[str, Mapping[str, int]],
) -> CompatibleLosses:
    """Return the registered losses that accept the feedback of a dataset; those of exactly its types are first.

    Args:
        feedback: feedback of the dataset, without lengths.
        grouped: feedback after single ratings are grouped by prompt, for losses that compare answers; the error if the
            ratings cannot be grouped.
        feedback_types: feedback types of the dataset.
        registry: registry of losses.
        nulls: for each feedback type, the number of rows in which an optional column is null, by column.
    """
    names = dict.fromkeys(
        entry.name for feedback_type in feedback_types for entry in registry.for_feedback(feedback_type)
    )
    with_lengths = Mixed.concatenate([feedback, Lengths.concatenate([])])  # the texts are not tokenized yet
    losses: list[str] = []
    regularizers: list[str] = []
    incompatible: dict[str, str] = {}
    for name in names:
        loss = registry[name]()
        usable = with_lengths if loss.feedback_type in (*IMPLICIT_TYPES, *feedback_types) else grouped
        try:
            if isinstance(usable, FeedbackMismatchError):
                raise usable
            loss.check(usable)
            _require_complete_columns(loss, nulls)
        except RlhfLossesError as error:
            incompatible[name] = str(error)
        else:
            (losses if loss.uses_labels else regularizers).append(name)
    return CompatibleLosses(tuple(losses), tuple(regularizers), incompatible)


def _require_complete_columns(loss: AnyLoss, nulls: Mapping[str, Mapping[str, int]]) -> None:
    for one in (term.loss for term in loss.as_objective().terms):
        columns = nulls.get(one.feedback_type.__name__, {})
        incomplete = next((column for column in one.required_columns if columns.get(column)), None)
        if incomplete is not None:
            raise InvalidFeedbackError(
                f"{one} needs the column {incomplete} in every row, but it is null in {columns[incomplete]} rows. Add "
                "the values, or drop these rows."
            )
