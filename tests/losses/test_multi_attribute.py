"""Several attributes are predicted from one score, and their weighted sum is the score."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidFeedbackError, InvalidLossError
from rlhf_losses.feedback import Attributes, Ratings
from rlhf_losses.losses import MultiAttribute, squared_error

NAMES = ("helpfulness", "correctness", "verbosity")
WEIGHTED = MultiAttribute(weights="helpfulness=0.7, correctness=0.5, verbosity=-0.3")


def attributes(table) -> Attributes:
    """Return the attributes of a table with one answer per row and one attribute per column; None is missing."""
    return Attributes.from_row({"attributes": [dict(zip(NAMES, row, strict=True)) for row in table]})


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.floats(-10, 10))
def test_the_weighted_sum_of_the_predicted_attributes_is_the_score(numbers, score):
    offsets, slopes = torch.tensor(numbers, dtype=torch.float64).split(3)
    scores = torch.tensor([score], dtype=torch.float64)
    parameters = {"offsets": offsets, "slopes": slopes}
    at_zero, at_one = (WEIGHTED.forward(scores, attributes([[y] * 3]), parameters) for y in (0.0, 1.0))
    predicted = (at_zero - at_one + 1) / 2  # (p - 0)² - (p - 1)² = 2 p - 1
    weights = torch.tensor([0.7, 0.5, -0.3], dtype=torch.float64)
    assert float(weights @ predicted) == pytest.approx(score, abs=1e-7)


def test_one_attribute_of_weight_one_is_squared_error():
    scores, ratings = torch.tensor([0.3, -2.0]), [1.0, 4.0]
    one = Attributes.from_row({"attributes": [{"quality": rating} for rating in ratings]})
    expected = squared_error.per_item_loss(scores, Ratings([0, 1], ratings, [2]))
    torch.testing.assert_close(MultiAttribute(weights="quality=1").per_item_loss(scores, one), expected)


def test_missing_ratings_and_attributes_without_weight_have_no_items():
    loss = MultiAttribute(weights="helpfulness=1, correctness=1")
    feedback, scores = attributes([[3, None, 9], [None, None, 9]]), torch.tensor([1.0, 2.0], requires_grad=True)
    values = loss.per_item_loss(scores, feedback)
    assert loss.item_positions(scores, feedback).tolist() == [0]
    torch.testing.assert_close(values, (0.5 * scores[:1] - 3) ** 2)
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    assert gradient.tolist() == [2 * 0.5 * (0.5 - 3), 0.0]


def test_an_attribute_that_the_data_do_not_have_is_refused():
    with pytest.raises(InvalidFeedbackError, match="helpfullness"):
        MultiAttribute(weights="helpfullness=1, correctness=1").check(attributes([[1, 2, 3]]))


def test_an_attribute_without_ratings_is_accepted():
    WEIGHTED.check(attributes([[1, None, 3]]))


@pytest.mark.parametrize("weights", ["", "helpfulness", "helpfulness=a", "a=1, a=2", "a=0", "a=inf", "=1"])
def test_invalid_weights_are_refused(weights):
    with pytest.raises(InvalidLossError, match=r"weights=.*distinct names"):
        MultiAttribute(weights=weights)


def test_a_number_without_attribute_name_is_refused():
    with pytest.raises(InvalidFeedbackError, match="names"):
        Attributes.from_row({"completion": "Yes.", "attributes": 4})


def test_optimal_scores_are_the_first_principal_component():
    """Without missing ratings, the remaining loss is the variance of all other components."""
    generator = np.random.default_rng(0)
    quality = generator.normal(size=200)
    table = np.stack([2 + quality, 3 * quality, 1 - quality], axis=1) + 0.3 * generator.normal(size=(200, 3))
    centered = table - table.mean(axis=0)
    remaining = (np.linalg.svd(centered, compute_uv=False)[1:] ** 2).sum() / table.size

    feedback = attributes(table.tolist())
    scores = torch.zeros(200, dtype=torch.float64, requires_grad=True)
    parameters = {
        name: torch.tensor(start, dtype=torch.float64, requires_grad=True)
        for name, start in WEIGHTED.loss_parameters.items()
    }
    leaves = [scores, *parameters.values()]
    optimizer = torch.optim.LBFGS(leaves, max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = WEIGHTED.per_item_loss(scores, feedback, parameters).mean()
        value.backward()
        return value

    optimizer.step(closure)
    # Attributes are in float32.
    assert closure().item() == pytest.approx(remaining, rel=1e-4)
    assert abs(np.corrcoef(scores.detach().numpy(), quality)[0, 1]) > 0.98
