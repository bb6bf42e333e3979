r"""Scaling laws of reward-model over-optimization, fitted to gains of the gold reward.

With $d$ the square root of the KL divergence to the reference, best-of-n gains $d (\alpha - \beta d)$ and reinforcement
learning gains $d (\alpha - \beta \log d)$.

References:
    Gao et al. (2022), Scaling Laws for Reward Model Overoptimization, https://arxiv.org/abs/2210.10760
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted scaling law; call it with distances to get the gains.

    Attributes:
        alpha: initial slope.
        beta: strength of the over-optimization.
        r_squared: share of the variance of the gains that the law explains.
        is_logarithmic: whether this is the law of reinforcement learning.
    """

    alpha: float
    beta: float
    r_squared: float
    is_logarithmic: bool

    @property
    def peak(self) -> float:
        """Distance with the largest gain; infinite if the gain always increases."""
        if self.beta <= 0:
            return float("inf")
        with np.errstate(over="ignore"):
            exponent = self.alpha / self.beta - 1
            return float(np.exp(exponent)) if self.is_logarithmic else self.alpha / (2 * self.beta)

    def __call__(self, distances: np.ndarray) -> np.ndarray:
        return _design_matrix(distances, self.is_logarithmic) @ [self.alpha, self.beta]


def fit_scaling_law(distances: np.ndarray, gains: np.ndarray, is_logarithmic: bool) -> ScalingLaw:
    """Return the scaling law with the least squared error.

    Args:
        distances: square roots of KL divergences.
        gains: gains of the gold reward.
        is_logarithmic: whether to fit the law of reinforcement learning.

    Examples:
        >>> d = np.array([0.5, 1.0, 2.0, 3.0])
        >>> law = fit_scaling_law(d, d * (1 - 0.5 * np.log(d)), is_logarithmic=True)
        >>> round(law.alpha, 6), round(law.beta, 6), round(law.peak, 6)  # e^(1 / 0.5 - 1)
        (1.0, 0.5, 2.718282)
    """
    design = _design_matrix(distances, is_logarithmic)
    (alpha, beta), *_ = np.linalg.lstsq(design, gains, rcond=None)
    residuals = gains - design @ [alpha, beta]
    r_squared = 1 - (residuals**2).sum() / ((gains - gains.mean()) ** 2).sum()
    return ScalingLaw(float(alpha), float(beta), float(r_squared), is_logarithmic)


def _design_matrix(distances: np.ndarray, is_logarithmic: bool) -> np.ndarray:
    """Return the coefficients of alpha and beta, of shape (distance, 2)."""
    bend = np.log(np.maximum(distances, 1e-9)) if is_logarithmic else distances
    return np.stack([distances, -distances * bend], axis=1)
