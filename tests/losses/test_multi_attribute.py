"""Several attributes are told from one score, and their declared sum is that score."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidFeedbackError, InvalidLossError
from rlhf_losses.feedback import Attributes, Ratings
from rlhf_losses.losses import MultiAttribute, squared_error

NAMES = ("helpfulness", "correctness", "verbosity")
WEIGHED = MultiAttribute(weights="helpfulness=0.7, correctness=0.5, verbosity=-0.3")


def said(table) -> Attributes:
    """Return one text a row and one attribute a column; None is missing."""
    return Attributes.from_row({"attributes": [dict(zip(NAMES, row, strict=True)) for row in table]})


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.floats(-10, 10))
def test_the_declared_sum_of_what_the_model_tells_is_the_score(numbers, score):
    offsets, slopes = torch.tensor(numbers, dtype=torch.float64).split(3)
    scores = torch.tensor([score], dtype=torch.float64)
    at_zero, at_one = (WEIGHED.forward(scores, said([[y] * 3]), offsets=offsets, slopes=slopes) for y in (0.0, 1.0))
    told = (at_zero - at_one + 1) / 2  # (t - 0)² - (t - 1)² = 2 t - 1
    weights = torch.tensor([0.7, 0.5, -0.3], dtype=torch.float64)
    assert float(weights @ told) == pytest.approx(score, abs=1e-7)


def test_one_attribute_of_weight_one_is_squared_error():
    scores, ratings = torch.tensor([0.3, -2.0]), [1.0, 4.0]
    one = Attributes.from_row({"attributes": [{"quality": rating} for rating in ratings]})
    expected = squared_error.per_item_loss(scores, Ratings([0, 1], ratings, [2]))
    torch.testing.assert_close(MultiAttribute(weights="quality=1").per_item_loss(scores, one), expected)


def test_what_is_missing_or_has_no_weight_costs_nothing_and_pulls_at_nothing():
    loss = MultiAttribute(weights="helpfulness=1, correctness=1")
    feedback, scores = said([[3, None, 9], [None, None, 9]]), torch.tensor([1.0, 2.0], requires_grad=True)
    items = loss.per_item_loss(scores, feedback)
    assert loss.item_positions(scores, feedback).tolist() == [0]
    torch.testing.assert_close(items, (0.5 * scores[:1] - 3) ** 2)
    (gradient,) = torch.autograd.grad(items.sum(), scores)
    assert gradient.tolist() == [2 * 0.5 * (0.5 - 3), 0.0]


def test_a_name_that_the_data_do_not_know_is_refused():
    with pytest.raises(InvalidFeedbackError, match="helpfullness"):
        MultiAttribute(weights="helpfullness=1, correctness=1").check(said([[1, 2, 3]]))


def test_an_attribute_that_is_missing_everywhere_is_still_known():
    WEIGHED.check(said([[1, None, 3]]))


@pytest.mark.parametrize("weights", ["", "helpfulness", "helpfulness=a", "a=1, a=2", "a=0", "a=inf", "=1"])
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(InvalidLossError, match="name"):
        MultiAttribute(weights=weights)


def test_names_need_numbers():
    with pytest.raises(InvalidFeedbackError, match="names"):
        Attributes.from_row({"completion": "Yes.", "attributes": 4})


def test_free_scores_find_the_first_principal_component():
    """With everything rated, what no single score can tell is what lies beyond the first component."""
    generator = np.random.default_rng(0)
    quality = generator.normal(size=200)
    table = np.stack([2 + quality, 3 * quality, 1 - quality], axis=1) + 0.3 * generator.normal(size=(200, 3))
    centred = table - table.mean(axis=0)
    beyond = (np.linalg.svd(centred, compute_uv=False)[1:] ** 2).sum() / table.size

    feedback = said(table.tolist())
    scores = torch.zeros(200, dtype=torch.float64, requires_grad=True)
    numbers = {
        name: torch.tensor(start, dtype=torch.float64, requires_grad=True)
        for name, start in WEIGHED.loss_parameters.items()
    }
    leaves = [scores, *numbers.values()]
    optimizer = torch.optim.LBFGS(leaves, max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def cost() -> torch.Tensor:
        optimizer.zero_grad()
        value = WEIGHED.per_item_loss(scores, feedback, numbers).mean()
        value.backward()
        return value

    optimizer.step(cost)
    # Attributes were kept in float32.
    assert cost().item() == pytest.approx(beyond, rel=1e-4)
    assert abs(np.corrcoef(scores.detach().numpy(), quality)[0, 1]) > 0.98
