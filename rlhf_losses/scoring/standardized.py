"""Scores with mean 0 and spread 1 on samples that everybody can agree on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidFeedbackError, UnsupportedModelError
from rlhf_losses.scoring.scorer import Scorer, Text


class StandardizedScorer(Scorer):
    """A scorer whose scores have mean 0 and standard deviation 1 on the reference samples it was fitted to.

    A loss of preferences leaves the origin of the scores open, and regularizers their scale; what a score of 3 means
    differs from model to model. After this, 0 is the reference and 1 its spread, for any model. It shares the weights
    of the scorer that it is made of.

    Raises:
        UnsupportedModelError: the scorer was never fitted.
    """

    def __init__(self, scorer: Scorer) -> None:
        if scorer.metadata.reference_mean is None or scorer.metadata.reference_std is None:
            raise UnsupportedModelError(
                f"'{scorer.__name__}' was fitted to no reference samples, so its scores have no known scale. "
                "Fit it: fit_reference(scorer, prompts, completions), or type --reference_samples FILE."
            )
        self.__dict__.update(vars(scorer))
        self.mean, self.std = scorer.metadata.reference_mean, scorer.metadata.reference_std

    def score_encoded(self, texts: Sequence[Encoded]) -> list[list[float]]:
        """Return the standardised scores of each tokenized text."""
        return [[(score - self.mean) / self.std for score in parts] for parts in super().score_encoded(texts)]

    def aggregate(self, parts: Sequence[float]) -> float:
        """Return the standardised score of a text whose steps have these standardised scores.

        The reference is of whole texts, and a sum of standardised steps would take its mean away once a step.
        """
        told = super().aggregate([self.mean + self.std * part for part in parts])
        return (told - self.mean) / self.std


def fit_reference(
    scorer: Scorer, prompts: Sequence[Text], completions: Sequence[Text], folder: str | Path | None = None
) -> None:
    """Measure the scores of reference samples, remember their mean and spread in the scorer, and in its folder.

    Samples are demonstrations, or completions of the model that training starts from: those of which everybody
    agrees that they are ordinary.

    Raises:
        InvalidFeedbackError: there are fewer than two samples, or all have the same score.

    Reference:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593; detail 15 of Huang et al. (2024)
    """
    scores = torch.tensor(Scorer.__call__(scorer, prompts, completions), dtype=torch.float64)
    if len(scores) < 2 or not scores.std() > 0:
        raise InvalidFeedbackError(
            f"{len(scores)} reference samples arrived, whose scores do not differ, so they have no spread. "
            "Give some hundred different ones."
        )
    mean, std = scores.mean().item(), scores.std(correction=0).item()
    scorer.metadata = replace(scorer.metadata, reference_mean=mean, reference_std=std)
    if folder is not None:
        scorer.metadata.save(folder)
