"""check_estimate finds what is wrong: one estimate for each rule that breaks only that rule."""

from dataclasses import dataclass

import pytest
import torch

from rlhf_losses.feedback import Feedback, Labels, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.testing import check_estimate
from rlhf_losses.transforms.estimate import ScoreEstimate


@dataclass(frozen=True)
class Remote(ScoreEstimate):
    """Distance from the mean vector."""

    scale: float = 1.0

    def fit(self, evidence):
        sums = [(one.features.sum(0), len(one.features)) for one in evidence]
        return {"mean": sum(total for total, _ in sums) / sum(count for _, count in sums)}

    def read(self, features, scores, mean):
        return self.scale * (features - mean).norm(dim=1)


class Thawed(Remote):
    """Lacks the decorator."""


@dataclass(frozen=True)
class Silent(Remote):
    __doc__ = ""


@dataclass(frozen=True)
class Speechless(Remote):
    """Has an option that cannot be written down."""

    powers: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Numeric(Remote):
    """Fits a number that is no tensor."""

    def fit(self, evidence):
        return super().fit(evidence) | {"count": 3}


@dataclass(frozen=True)
class Infinite(Remote):
    """Fits what is not finite."""

    def fit(self, evidence):
        return {"mean": super().fit(evidence)["mean"] / 0}


@dataclass(frozen=True)
class Column(Remote):
    """Reads a column."""

    def read(self, features, scores, mean):
        return (features - mean).norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class Double(Remote):
    """Reads in float64."""

    def read(self, features, scores, mean):
        return (features - mean).double().norm(dim=1)


@dataclass(frozen=True)
class Overflowing(Remote):
    """Overflows far away."""

    def read(self, features, scores, mean):
        return (features - mean).norm(dim=1).exp()


@dataclass(frozen=True)
class Relative(Remote):
    """Compares a text with the others of its batch."""

    def read(self, features, scores, mean):
        away = super().read(features, scores, mean)
        return away - away.sum()


@dataclass(frozen=True)
class MeanOfMeans(Remote):
    """Gives every batch the same weight."""

    def fit(self, evidence):
        return {"mean": torch.stack([one.features.mean(0) for one in evidence]).mean(0)}


@dataclass(frozen=True)
class Last(Remote):
    """Remembers the last batch only."""

    def fit(self, evidence):
        return {"mean": [one.features.mean(0) for one in evidence][-1]}


@dataclass(frozen=True)
class Rude(Remote):
    """Changes what it is given."""

    def read(self, features, scores, mean):
        kept = features.clone()
        features -= mean
        return (kept - mean).norm(dim=1)


@dataclass(frozen=True)
class Twice(Remote):
    """Goes through the evidence twice, and finds nothing the second time."""

    def fit(self, evidence):
        count = sum(len(one.features) for one in evidence)
        return {"mean": sum(one.features.sum(0) for one in evidence) / count}


@pytest.mark.parametrize("kind", [Feedback, Pairs, Rankings, Ratings, Labels, Steps, Votes])
def test_an_estimate_of_any_kind_of_feedback_may_keep_the_contract(kind):
    @dataclass(frozen=True)
    class Reading(Remote):
        """Reads one kind."""

        feedback_type = kind

        def fit(self, evidence):
            batches = list(evidence)
            assert all(isinstance(one.feedback, Pairs if kind is Feedback else kind) for one in batches)
            return super().fit(iter(batches))

    check_estimate(Reading(scale=2.0))


@pytest.mark.parametrize(
    ("estimate", "told"),
    [
        (Remote, "It is a class. Check an object: check_estimate(Remote())."),
        (Thawed(), "Add @dataclass(frozen=True) above the class."),
        (Silent(), "Silent has no docstring"),
        (Speechless(powers=(3,)), "Cannot read"),
        (Numeric(), "count is 3. Make it a tensor"),
        (Infinite(), "mean holds numbers that are not finite"),
        (Column(), "gave torch.float32 of the shape (7, 1). Return a vector of float32."),
        (Double(), "gave torch.float64 of the shape (7,)"),
        (Overflowing(), "Mend the formula for vectors far away."),
        (Relative(), "Use what `fit` returned in place of the batch's own."),
        (MeanOfMeans(), "Add up over batches, and divide at the end."),
        (Last(), "Add up over batches, and divide at the end."),
        (Rude(), "Write a = a - b in place of a -= b."),
        (Twice(), "mean is 0.0. Make it a tensor"),
    ],
    ids=lambda one: one if isinstance(one, str) else getattr(one, "__name__", type(one).__name__),
)
def test_an_estimate_that_breaks_a_rule_is_told_which_and_what_to_do(estimate, told):
    with pytest.raises(AssertionError) as caught:
        check_estimate(estimate)
    assert " breaks a rule. " in str(caught.value)
    assert told in str(caught.value)
