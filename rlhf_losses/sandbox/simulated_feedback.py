"""What a loss asks of annotators: the kinds of feedback it reads, in the scale it takes."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from datasets import Dataset, concatenate_datasets

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import IMPLICIT_TYPES, Attributes, Feedback, Pairs, Ratings, Steps, feedback_types_in_columns
from rlhf_losses.losses import Loss, MultiAttribute
from rlhf_losses.losses.indifference import is_regularizer
from rlhf_losses.sandbox.annotators import SHAPES, Annotator, Sample, attributes, rated_steps, stars, strengths


def feedback_for(loss: Loss, samples: Sequence[Sample], annotator: Annotator | None = None) -> Dataset:
    """Return feedback that holds every kind which the terms of `loss` read, each in rows of its own.

    The annotator is one without noise who knows the gold, unless given.
    Steps are rated where the loss takes ratings, and labelled where it does not; pairs have strengths and ratings
    are stars where the loss asks for that.

    Raises:
        FeedbackMismatchError: the loss only regularizes, or reads kinds that one table cannot hold.
    """
    if is_regularizer(loss):
        raise FeedbackMismatchError(
            f"{loss} costs the same whatever people said, so no feedback can teach it which text is better. "
            f"Add it to a loss that reads feedback, like 'bradley_terry + 0.01 * {loss}'."
        )
    read = dict.fromkeys(
        term.loss.feedback_type for term in loss.terms if term.loss.feedback_type not in IMPLICIT_TYPES
    )
    tables = [_shape_for(kind, loss)(samples, annotator or Annotator()) for kind in read]
    feedback_types_in_columns(name for table in tables for name in table.column_names)
    return concatenate_datasets(tables)


def _shape_for(kind: type[Feedback], loss: Loss) -> Callable[..., Dataset]:
    if kind is Pairs and not _accepts(loss, Pairs(torch.tensor([0]), torch.tensor([1]))):
        return strengths
    if kind is Attributes:
        weighed = [term.loss.by_name for term in loss.terms if isinstance(term.loss, MultiAttribute)]
        return partial(attributes, names=tuple(dict.fromkeys(name for names in weighed for name in names)))
    if kind is Ratings and not _accepts(loss, Ratings(torch.tensor([0]), torch.tensor([0.5]), torch.tensor([1]))):
        return stars
    stepwise = [term.loss for term in loss.terms if term.loss.feedback_type is kind is Steps]
    return rated_steps if stepwise and all(map(_takes_ratings, stepwise)) else SHAPES[kind]


def _takes_ratings(loss: Loss) -> bool:
    return _accepts(loss, Steps(torch.tensor([0, 1]), torch.tensor([0.5, -1.0])))


def _accepts(loss: Loss, feedback: Feedback) -> bool:
    try:
        for term in loss.terms:
            if type(feedback).is_convertible_to(term.loss.feedback_type):
                term.loss.check(feedback)
    except InvalidFeedbackError:
        return False
    return True
