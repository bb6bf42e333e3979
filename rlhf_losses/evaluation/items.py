"""The items that an accuracy or a correlation is computed from: comparisons, labels and ratings."""

from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.evaluation.intervals import (
    BoolVector,
    Estimate,
    FloatVector,
    IntVector,
    bootstrap_estimate,
    mean_estimate,
    share_estimate,
)
from rlhf_losses.evaluation.rank_statistics import pearson, rank_correlation
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.feedback import Feedback, Labels, Pairs, Ragged, Ratings, Steps, StepwiseRankings
from rlhf_losses.metrics import agreement, answer_verdicts, classification_metrics, labelled_scores, summarize


class Items(Protocol):
    """Items of one feedback type with the scores on them.

    Attributes:
        kind: name of the kind.
        main: name of the metric that tells how well the scores agree with the items.
        row: row of each item.
        cluster: cluster of each item, see `ScoredData.clusters`.
        position: a score position of each item.
    """

    main: ClassVar[str]

    @property
    def kind(self) -> str:
        """Name of the kind: comparisons, labels, steps or ratings."""

    @property
    def row(self) -> IntVector:
        """Row of each item."""

    @property
    def cluster(self) -> IntVector:
        """Cluster of each item."""

    @property
    def position(self) -> IntVector:
        """A score position of each item."""

    def __len__(self) -> int:
        """Return the number of items."""

    def select(self, mask: BoolVector | IntVector) -> Self:
        """Return the items for which a mask is true, or those at some indices."""

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the items."""

    def estimate(self) -> Estimate:
        """Return the metric `main` with its interval."""

    def estimates(self) -> dict[str, Estimate]:
        """Return the metrics that have intervals, by name."""


@dataclass(frozen=True)
class ComparedPairs:
    """Pairs of a better and a worse answer, without ties of the annotators.

    Attributes:
        better: score position of the better answer of each pair.
        worse: score position of the worse answer.
        difference: score of the better answer minus that of the worse one.
        margin: annotated strength of the preference, or the difference of the grades; NaN if unknown.
        preference: annotated probability that the better answer is better, above 0.5.
        row: row of each pair.
        cluster: cluster of each pair.
    """

    better: IntVector
    worse: IntVector
    difference: FloatVector
    margin: FloatVector
    preference: FloatVector
    row: IntVector
    cluster: IntVector
    kind: ClassVar[str] = "comparisons"
    main: ClassVar[str] = "accuracy"

    def __len__(self) -> int:
        return len(self.better)

    @property
    def position(self) -> IntVector:
        """Score position of the better answer of each pair."""
        return self.better

    @property
    def outcome(self) -> FloatVector:
        """1 if the better answer has the higher score, 0.5 for equal scores, otherwise 0."""
        outcome: FloatVector = (1 + np.sign(self.difference)) / 2
        return outcome

    def select(self, mask: BoolVector | IntVector) -> Self:
        """Return the pairs for which a mask is true, or those at some indices."""
        return type(self)(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    def metrics(self) -> dict[str, float]:
        """Return the accuracy, the mean margin and the share of equal scores."""
        if not len(self):
            return {}
        return {
            "accuracy": float(self.outcome.mean()),
            "margin": float(self.difference.mean()),
            "tied_scores": float((self.difference == 0).mean()),
        }

    def estimate(self) -> Estimate:
        """Return the accuracy with its interval."""
        return share_estimate(self.outcome, self.cluster)

    def estimates(self) -> dict[str, Estimate]:
        """Return the accuracy and the mean margin with their intervals."""
        return {"accuracy": self.estimate(), "margin": mean_estimate(self.difference, self.cluster)}


@dataclass(frozen=True)
class LabelledItems:
    """Labelled answers, or labelled steps, without labels of 0.5.

    Attributes:
        scores: all scores.
        feedback: the labels.
        row: row of each item.
        cluster: cluster of each item.
    """

    scores: Tensor
    feedback: Labels | Steps
    row: IntVector
    cluster: IntVector
    main: ClassVar[str] = "accuracy"

    def __len__(self) -> int:
        return len(self.feedback)

    @property
    def kind(self) -> str:
        """`labels` or `steps`."""
        return type(self.feedback).__name__.lower()

    @property
    def position(self) -> IntVector:
        """Score position of each item."""
        return self.feedback.item_positions.numpy()

    @cached_property
    def labelled(self) -> FloatVector:
        """Score and sign of the label of each item, of shape (items, 2)."""
        found = labelled_scores(self.scores, self.feedback)
        assert found is not None
        return found.double().numpy()

    @property
    def outcome(self) -> FloatVector:
        """1 if the score has the sign of the label, 0.5 for a score of 0, otherwise 0."""
        outcome: FloatVector = (1 + np.sign(self.labelled[:, 0]) * self.labelled[:, 1]) / 2
        return outcome

    def select(self, mask: BoolVector | IntVector) -> Self:
        """Return the items for which a mask is true, or those at some indices; of steps, in their order."""
        chosen = torch.as_tensor(mask)
        feedback: Labels | Steps
        if isinstance(self.feedback, Labels):
            feedback = Labels(self.feedback.candidates[chosen], self.feedback.labels[chosen])
        else:
            assert self.feedback.sizes is not None
            answers = Ragged(self.feedback.sizes).segment_ids[chosen]
            sizes = torch.unique_consecutive(answers, return_counts=True)[1]
            feedback = Steps(self.feedback.steps[chosen], self.feedback.values[chosen], sizes)
        return type(self)(self.scores, feedback, self.row[mask], self.cluster[mask])

    def metrics(self) -> dict[str, float]:
        """Return the metrics of `agreement` and `summarize` in `rlhf_losses.metrics`."""
        return summarize(agreement(self.scores, self.feedback), labelled_scores(self.scores, self.feedback))

    def estimate(self) -> Estimate:
        """Return the accuracy with its interval."""
        return share_estimate(self.outcome, self.cluster)

    def estimates(self) -> dict[str, Estimate]:
        """Return the metrics that have intervals, by name."""
        names = [name for name in ("balanced_accuracy", "auc") if name in classification_metrics(self._tensor())]
        found = {"accuracy": self.estimate()} | {
            name: bootstrap_estimate(partial(self._classification, name), self.cluster) for name in names
        }
        return found if isinstance(self.feedback, Labels) else found | self._estimates_of_answers(self.feedback)

    def _estimates_of_answers(self, steps: Steps) -> dict[str, Estimate]:
        """Return the answer accuracy and the F1 of ProcessBench with their intervals."""
        assert steps.sizes is not None
        answers = answer_verdicts(self.scores, steps)
        clusters = self.cluster[Ragged(steps.sizes).starts.numpy()]
        right, is_wrong = answers.first_error_found.numpy(), answers.is_wrong.numpy()

        def harmonic_mean(chosen: IntVector) -> float:
            error, correct = (right[chosen][is_wrong[chosen] == side] for side in (True, False))
            if not len(error) or not len(correct):
                return np.nan
            total = error.mean() + correct.mean()
            return float(2 * error.mean() * correct.mean() / total) if total else 0.0

        agrees = (answers.is_wrong == answers.called_wrong).double().numpy()
        return {
            "answer_accuracy": share_estimate(agrees, clusters),
            "processbench_f1": bootstrap_estimate(harmonic_mean, clusters),
        }

    def _classification(self, name: str, items: IntVector) -> float:
        return classification_metrics(self._tensor()[items]).get(name, np.nan)

    def _tensor(self) -> Tensor:
        return torch.from_numpy(self.labelled)


@dataclass(frozen=True)
class RatedItems:
    """Rated answers.

    Attributes:
        score: score of each answer.
        rating: its rating.
        position: its score position.
        row: row of each answer.
        cluster: cluster of each answer.
    """

    score: FloatVector
    rating: FloatVector
    position: IntVector
    row: IntVector
    cluster: IntVector
    kind: ClassVar[str] = "ratings"
    main: ClassVar[str] = "spearman"

    def __len__(self) -> int:
        return len(self.score)

    def select(self, mask: BoolVector | IntVector) -> Self:
        """Return the answers for which a mask is true, or those at some indices."""
        return type(self)(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    def metrics(self) -> dict[str, float]:
        """Return the correlations of scores and ratings."""
        found = {name: estimate.value for name, estimate in self.estimates().items()}
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def estimate(self) -> Estimate:
        """Return the rank correlation with its interval."""
        return rank_correlation(self.score, self.rating, self.cluster)

    def estimates(self) -> dict[str, Estimate]:
        """Return the correlations of scores and ratings with their intervals."""
        return {"spearman": self.estimate(), "pearson": pearson(self.score, self.rating, self.cluster)}


def items_of(data: ScoredData, rated_steps: bool) -> list[Items]:
    """Return the items of a dataset, by kind: comparisons, or without any the labels; and ratings.

    Ratings in rows of one answer are compared with those of other answers to the same prompt.

    Args:
        data: the scored dataset.
        rated_steps: whether the values of `Steps` are ratings.
    """
    pairs = compared_pairs(data)
    found: list[Items] = [] if pairs is None else [pairs]
    for part in data.feedback.parts:
        if pairs is None and (isinstance(part, Labels) or (isinstance(part, Steps) and not rated_steps)):
            found.append(_labelled(data, part))
        if isinstance(part, Ratings) or (isinstance(part, Steps) and rated_steps):
            found.append(_rated(data, part))
    return [one for one in found if len(one)]


def compared_pairs(data: ScoredData) -> ComparedPairs | None:
    """Return the untied comparisons of a dataset, or None if there are none."""
    parts = [_pairs_of(data, part) for part in compared_parts(data)]
    if not any(map(len, parts)):
        return None
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ComparedPairs)}
    return ComparedPairs(**joined)


def count_ties(data: ScoredData) -> int:
    """Return the number of comparisons that the annotators call ties."""
    return sum(int((better_and_worse(_as_pairs(data, part)[0])[2] == 0.5).sum()) for part in compared_parts(data))


def compared_parts(data: ScoredData) -> list[Feedback]:
    """Return the feedback that compares answers; ratings in rows of one answer are lists, one per prompt.

    Args:
        data: the scored dataset.
    """
    return [
        _grouped_by_prompt(data, part) if isinstance(part, Ratings) and bool((part.sizes == 1).all()) else part
        for part in data.feedback.parts
        if isinstance(part, StepwiseRankings) or type(part).is_convertible_to(Pairs)
    ]


def comparable_lists(data: ScoredData) -> list[Ratings]:
    """Return rated answers in lists by prompt, without the prompts that have one answer.

    Args:
        data: the scored dataset; each rated answer is a row.
    """
    grouped = [_grouped_by_prompt(data, part) for part in data.feedback.parts if isinstance(part, Ratings)]
    found = []
    for part in grouped:
        several = part.sizes > 1
        chosen = several[Ragged(part.sizes).segment_ids]
        found.append(Ratings(part.candidates[chosen], part.ratings[chosen], part.sizes[several]))
    return found


def rated_lists(answers: IntVector, ratings: FloatVector, clusters: IntVector) -> Ratings:
    """Return single ratings with one list per cluster, in which each answer has the mean of its ratings.

    Args:
        answers: id of the answer of each rating.
        ratings: the ratings.
        clusters: cluster of each rating; an answer is in one cluster.

    Returns:
        The lists; the position of an answer is the index of its first rating.

    Examples:
        >>> found = rated_lists(np.array([7, 8, 7]), np.array([5.0, 1.0, 4.0]), np.array([0, 0, 0]))
        >>> found.candidates, found.ratings
        (tensor([0, 1]), tensor([4.5000, 1.0000]))
    """
    _, first, answer = np.unique(answers, return_index=True, return_inverse=True)
    means = np.bincount(answer, weights=ratings) / np.bincount(answer)
    order = np.argsort(clusters[first], kind="stable")
    sizes = np.unique(clusters[first], return_counts=True)[1]
    return Ratings(torch.from_numpy(first[order]), torch.from_numpy(means[order]), torch.from_numpy(sizes))


def better_and_worse(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Return the positions of the better and of the worse answer of each pair, and the preference for the better one.

    Args:
        pairs: the pairs. A tie has a preference of 0.5.
    """
    preference = torch.ones(len(pairs)).double() if pairs.preference is None else pairs.preference.double()
    is_chosen = preference >= 0.5
    better = torch.where(is_chosen, pairs.chosen, pairs.rejected)
    return better, pairs.chosen + pairs.rejected - better, torch.where(is_chosen, preference, 1 - preference)


def _grouped_by_prompt(data: ScoredData, part: Ratings) -> Ratings:
    positions = part.candidates.numpy()
    lists = rated_lists(data.texts.text[positions], part.ratings.numpy(), data.clusters[positions])
    return lists.reindexed(part.candidates)


def _as_pairs(data: ScoredData, part: Feedback) -> tuple[Pairs, Tensor]:
    """Return comparisons as pairs of score positions, and the scores; answers in steps have the mean at their end."""
    scores = data.scores.float()
    if not isinstance(part, StepwiseRankings):
        return part.convert_to(Pairs), scores
    last = part.steps[part.counts.cumsum(0) - 1]
    means = Ragged(part.counts).sum(scores[part.steps]) / part.counts
    return part.answer_rankings().reindexed(last).convert_to(Pairs), scores.index_copy(0, last, means)


def _pairs_of(data: ScoredData, part: Feedback) -> ComparedPairs:
    pairs, scores = _as_pairs(data, part)
    better, worse, preference = better_and_worse(pairs)
    every = ComparedPairs(
        better.numpy(),
        worse.numpy(),
        (scores[better] - scores[worse]).double().numpy(),
        _margins(part, pairs, better, worse),
        preference.numpy(),
        data.texts.row[better.numpy()],
        data.clusters[better.numpy()],
    )
    return every.select((preference != 0.5).numpy())


def _margins(part: Feedback, pairs: Pairs, better: Tensor, worse: Tensor) -> FloatVector:
    """Return the annotated margins, for ratings the differences of the ratings, and otherwise NaN."""
    if isinstance(part, Pairs) and part.margin is not None:
        return part.margin.double().numpy()
    if isinstance(part, Ratings):
        ratings = torch.zeros(int(part.candidates.max()) + 1).index_copy(0, part.candidates, part.ratings)
        return (ratings[better] - ratings[worse]).double().numpy()
    return np.full(len(pairs), np.nan)


def _labelled(data: ScoredData, part: Labels | Steps) -> LabelledItems:
    positions = part.item_positions.numpy()
    items = LabelledItems(data.scores.float(), part, data.texts.row[positions], data.clusters[positions])
    values = part.labels if isinstance(part, Labels) else part.values
    return items.select((values != 0.5).numpy())


def _rated(data: ScoredData, part: Ratings | Steps) -> RatedItems:
    ratings = part.ratings if isinstance(part, Ratings) else part.values
    positions = part.item_positions.numpy()
    return RatedItems(
        data.values[positions].numpy(),
        ratings.double().numpy(),
        positions,
        data.texts.row[positions],
        data.clusters[positions],
    )
