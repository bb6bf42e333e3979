"""Agreement between annotators who rate the same texts."""

import numpy as np

from rlhf_losses.feedback import Feedback, Labels, Ratings, Steps
from rlhf_losses.inspection.annotations import AnnotatedTexts, FloatVector
from rlhf_losses.inspection.annotator_agreement import AnnotatorAgreement, agreement_of_counts
from rlhf_losses.inspection.comparisons import comparisons_in


def rating_agreement(texts: AnnotatedTexts, feedback: Feedback) -> AnnotatorAgreement | None:
    """Return the agreement on ratings: how often they are equal, and alpha from their squared differences.

    Several ratings of a text by the same annotator are replaced by their mean. Ratings of unknown annotators are left
    out: equal ones can be copies.

    Args:
        texts: texts of the dataset.
        feedback: feedback of one type over these texts.

    Returns:
        The agreement, or `None` if no text has ratings of two known annotators, or if the feedback is not ratings of
        texts.
    """
    ratings = _ratings(feedback)
    if ratings is None:
        return None
    positions = feedback.item_positions.numpy()
    annotator = texts.annotator[texts.row[positions]]
    usable = ~np.isnan(ratings) & (annotator >= 0)
    positions, ratings, annotator = positions[usable], ratings[usable], annotator[usable]
    keys, index = np.unique(np.stack([texts.text[positions], annotator]), axis=1, return_inverse=True)
    means = np.bincount(index.reshape(-1), weights=ratings) / np.bincount(index.reshape(-1))
    _, item, annotators_of_item = np.unique(keys[0], return_inverse=True, return_counts=True)
    several = annotators_of_item[item] > 1
    if not several.any():
        return None
    _, item = np.unique(item[several], return_inverse=True)
    values, value = np.unique(means[several], return_inverse=True)
    counts = np.zeros((item.max() + 1, len(values)))
    np.add.at(counts, (item, value), 1)
    return agreement_of_counts(counts, values)


def _ratings(feedback: Feedback) -> FloatVector | None:
    """Return the ratings of texts, and labels that are not binary; `None` for other feedback."""
    if isinstance(feedback, Ratings):
        return feedback.ratings.numpy().astype(float)
    if isinstance(feedback, Labels | Steps) and comparisons_in(feedback) is None:
        return (feedback.labels if isinstance(feedback, Labels) else feedback.values).numpy().astype(float)
    return None
