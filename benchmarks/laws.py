"""The saved_merged laws of over-optimisation, fitted to measured gains of gold.

Gao et al. 2022, https://arxiv.org/abs/2210.10760: with d the square root of the KL divergence to the reference,
best-of-n gains d (alpha - beta d) and reinforcement learning d (alpha - beta log d).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Law:
    """A fitted law: `R²` is the share of the variance of the gains that it explains; `peak` the d with most gold."""

    alpha: float
    beta: float
    r_squared: float
    logarithmic: bool

    @property
    def peak(self) -> float:
        if self.beta <= 0:
            return float("inf")
        with np.errstate(over="ignore"):
            exponent = self.alpha / self.beta - 1
            return float(np.exp(exponent)) if self.logarithmic else self.alpha / (2 * self.beta)

    def __call__(self, distances: np.ndarray) -> np.ndarray:
        return design(distances, self.logarithmic) @ [self.alpha, self.beta]


def design(distances: np.ndarray, logarithmic: bool) -> np.ndarray:
    """Return what alpha and beta are multiplied by, of shape (distance, 2)."""
    bend = np.log(np.maximum(distances, 1e-9)) if logarithmic else distances
    return np.stack([distances, -distances * bend], axis=1)


def fit(distances: np.ndarray, gains: np.ndarray, logarithmic: bool) -> Law:
    """Return the law of least squares.

    >>> d = np.array([0.5, 1.0, 2.0, 3.0])
    >>> law = fit(d, d * (1 - 0.5 * np.log(d)), logarithmic=True)
    >>> round(law.alpha, 6), round(law.beta, 6), round(law.peak, 6)  # e^(1 / 0.5 - 1)
    (1.0, 0.5, 2.718282)
    """
    (alpha, beta), *_ = np.linalg.lstsq(design(distances, logarithmic), gains, rcond=None)
    missed = gains - design(distances, logarithmic) @ [alpha, beta]
    explained = 1 - (missed**2).sum() / ((gains - gains.mean()) ** 2).sum()
    return Law(float(alpha), float(beta), float(explained), logarithmic)
