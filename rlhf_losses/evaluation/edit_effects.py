"""Effects of edits that do not change the content of an answer, and of the order of answers, on scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhf_losses.evaluation.intervals import Estimate, FloatVector, IntVector, mean_estimate, share_estimate

UNCHANGED = 1e-4
"""Largest change of a score that is rounding, in standard deviations of the scores."""


@dataclass(frozen=True)
class EditEffect:
    """Effect of one edit.

    Attributes:
        edit: name of the edit.
        answers: number of answers whose tokens the edit changes.
        same_tokens: number of answers that it changes, while their tokens stay the same; they are left out.
        change: mean change of the score, in standard deviations of the scores of unedited answers; rounding counts 0.
        raised: share of the answers whose score rises; an unchanged score counts 0.5.
        flipped: share of the comparisons in which the better answer has the higher score, but not once the worse one is
            edited.
    """

    edit: str
    answers: int
    same_tokens: int
    change: Estimate
    raised: Estimate
    flipped: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        estimates = {name: getattr(self, name).to_dict() for name in ("change", "raised", "flipped")}
        return {"edit": self.edit, "answers": self.answers, "same_tokens": self.same_tokens, **estimates}


@dataclass(frozen=True)
class EditEffects:
    """Consistency of the scores of a sample of rows.

    Attributes:
        rows: number of rows.
        largest_change_by_order: largest change of a score when the answers are scored in reverse order.
        same_by_order: share of the comparisons with the same better answer in both orders.
        edits: effects of the edits.
    """

    rows: int
    largest_change_by_order: float
    same_by_order: Estimate
    edits: tuple[EditEffect, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "rows": self.rows,
            "largest_change_by_order": self.largest_change_by_order,
            "same_by_order": self.same_by_order.to_dict(),
            "edits": [one.to_dict() for one in self.edits],
        }


@dataclass(frozen=True)
class EditedScores:
    """Scores of answers before and after edits.

    Attributes:
        scores: score of each answer.
        reversed_scores: the same, computed with the answers in reverse order.
        edited: scores of the edited answers by edit; NaN where the edit changes no token or the text is too long.
        same_tokens: number of edited answers by edit whose tokens stay the same.
        better: better answer of each comparison.
        worse: worse answer of each comparison.
        clusters: cluster of each answer.
        rows: number of rows.
    """

    scores: FloatVector
    reversed_scores: FloatVector
    edited: Mapping[str, FloatVector]
    same_tokens: Mapping[str, int]
    better: IntVector
    worse: IntVector
    clusters: IntVector
    rows: int


def edit_effects(scored: EditedScores) -> EditEffects:
    """Return the effects of edits on scores.

    Args:
        scored: scores before and after the edits.
    """
    difference = scored.scores[scored.better] - scored.scores[scored.worse]
    in_reverse = scored.reversed_scores[scored.better] - scored.reversed_scores[scored.worse]
    same = (np.sign(difference) == np.sign(in_reverse)).astype(float)
    return EditEffects(
        scored.rows,
        float(np.abs(scored.scores - scored.reversed_scores).max(initial=0.0)),
        share_estimate(same, scored.clusters[scored.better]),
        tuple(_effect(scored, name, edited) for name, edited in scored.edited.items()),
    )


def _effect(scored: EditedScores, name: str, edited: FloatVector) -> EditEffect:
    known = ~np.isnan(edited)
    change, spread = (edited - scored.scores)[known], float(scored.scores.std())
    change = np.where(np.abs(change) > UNCHANGED * spread, change, 0.0)
    clusters = scored.clusters[known]
    is_right = (scored.scores[scored.better] > scored.scores[scored.worse]) & known[scored.worse]
    flipped = (scored.scores[scored.better] <= edited[scored.worse])[is_right].astype(float)
    return EditEffect(
        name,
        int(known.sum()),
        scored.same_tokens[name],
        mean_estimate(change / spread if spread else change, clusters),
        share_estimate((1 + np.sign(change)) / 2, clusters),
        share_estimate(flipped, scored.clusters[scored.better][is_right]),
    )
