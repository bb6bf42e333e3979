"""Simulated feedback of the types and scales that a loss requires."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from datasets import Dataset, concatenate_datasets

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import IMPLICIT_TYPES, Attributes, Feedback, Pairs, Ratings, Steps, feedback_types_in_columns
from rlhf_losses.losses import AnyLoss, MultiAttribute, Objective, Term
from rlhf_losses.sandbox.annotators import Annotator, Sample
from rlhf_losses.sandbox.simulated_feedback import ANNOTATIONS, attributes, graded_pairs, rated_steps, star_ratings


def feedback_for(loss: AnyLoss, samples: Sequence[Sample], annotator: Annotator | None = None) -> Dataset:
    """Return a dataset with the feedback types of all terms of a loss, each type in separate rows.

    Steps have ratings if all terms accept them, and labels otherwise. Pairs have grades, and ratings are stars, if a
    term requires them.

    Args:
        loss: a loss or an objective.
        samples: prompts with completions.
        annotator: source of the ratings; by default an annotator without errors and with the gold preferences.

    Raises:
        FeedbackMismatchError: the loss does not use labels, or its feedback types need the same columns.
    """
    objective = loss.as_objective()
    if not objective.uses_labels:
        raise FeedbackMismatchError(
            f"{loss} has the same value for all labels, so no feedback can train it. "
            f"Add it to a loss that uses labels, for example 'bradley_terry + 0.01 * {loss}'."
        )
    feedback_types = dict.fromkeys(
        term.loss.feedback_type for term in objective.terms if term.loss.feedback_type not in IMPLICIT_TYPES
    )
    datasets = [_annotation_for(one, objective)(samples, annotator or Annotator()) for one in feedback_types]
    feedback_types_in_columns(name for dataset in datasets for name in dataset.column_names)  # raises for a conflict
    return concatenate_datasets(datasets)


def _annotation_for(feedback_type: type[Feedback], objective: Objective) -> Callable[..., Dataset]:
    """Return the function that annotates in the scale of the terms with this feedback type."""
    if feedback_type is Pairs and not _accept(objective.terms, Pairs(torch.tensor([0]), torch.tensor([1]))):
        return graded_pairs
    if feedback_type is Attributes:
        losses = [term.loss for term in objective.terms if isinstance(term.loss, MultiAttribute)]
        return partial(attributes, names=tuple(dict.fromkeys(name for loss in losses for name in loss.weight_by_name)))
    if feedback_type is Ratings and not _accept(
        objective.terms, Ratings(torch.tensor([0]), torch.tensor([0.5]), torch.tensor([1]))
    ):
        return star_ratings
    if feedback_type is Steps:
        of_steps = [term for term in objective.terms if term.loss.feedback_type is Steps]
        if _accept(of_steps, Steps(torch.tensor([0, 1]), torch.tensor([0.5, -1.0]))):
            return rated_steps
    return ANNOTATIONS[feedback_type]


def _accept(terms: Sequence[Term], feedback: Feedback) -> bool:
    """Return whether all terms that can use the feedback accept its values."""
    try:
        for term in terms:
            if type(feedback).is_convertible_to(term.loss.feedback_type):
                term.loss.check(feedback)
    except InvalidFeedbackError:
        return False
    return True
