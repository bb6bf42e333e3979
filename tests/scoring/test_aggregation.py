"""The score and the feature vector of a text whose steps have scores."""

import pytest
import torch

from rlhf_losses.losses import Aggregated
from rlhf_losses.scoring.aggregation import aggregate_steps
from rlhf_losses.transforms import ScoredTexts

LENGTHS = torch.tensor([2.0, 5.0, 9.0])


@pytest.mark.parametrize("by", ["mean", "sum", "minimum", "soft_minimum"])
def test_the_features_of_a_text_are_the_gradient_of_its_score_in_the_head(by):
    vectors, head = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 8)
    aggregation = Aggregated(by=by, temperature=0.5)

    def score(head):
        return aggregation.aggregate((vectors @ head).double())

    text = aggregate_steps(aggregation, ScoredTexts((vectors @ head).double(), vectors, LENGTHS))
    gradient = torch.autograd.functional.jacobian(score, head)
    torch.testing.assert_close(text.features, gradient.unsqueeze(0), atol=1e-5, rtol=1e-5)
    assert text.scores.item() == pytest.approx(score(head).item(), abs=1e-5)


@pytest.mark.parametrize("by", ["mean", "sum", "minimum", "soft_minimum"])
@pytest.mark.parametrize("width", [0, 4])
def test_the_score_does_not_depend_on_features(by, width):
    scores = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    text = aggregate_steps(Aggregated(by=by), ScoredTexts(scores, torch.ones(3, width), LENGTHS))
    assert text.scores.item() == pytest.approx(Aggregated(by=by).aggregate(scores).item())
    assert text.features.shape == (1, width)
    assert text.lengths.tolist() == [9.0]
