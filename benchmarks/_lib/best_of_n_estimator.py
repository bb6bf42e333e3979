"""Expected value of best-of-n sampling, estimated from all samples without drawing."""

import numpy as np
from scipy.special import gammaln


def expected_best_of_n(scores: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    r"""Return the expected value of the sample with the highest score among `n` samples without replacement.

    Of $N$ samples, the one with the $i$-th lowest score is the best of $n$ with probability
    $\binom{i - 1}{n - 1} / \binom{N}{n}$.

    Args:
        scores: scores of shape (prompt, sample).
        values: values of shape (prompt, sample).
        n: number of samples to choose from.

    Returns:
        The expected value for each prompt.

    Examples:
        >>> expected_best_of_n(np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 3.0, 6.0]]), n=2)
        array([5.])
    """
    order = np.argsort(scores, axis=1, kind="stable")
    total = scores.shape[1]
    ranks = np.arange(n, total + 1)
    probability = np.exp(_log_binomial(ranks - 1, n - 1) - _log_binomial(total, n))
    return np.take_along_axis(values, order, axis=1)[:, n - 1 :] @ probability


def _log_binomial(total: np.ndarray | int, chosen: int) -> np.ndarray:
    return gammaln(np.add(total, 1)) - gammaln(chosen + 1) - gammaln(np.subtract(total, chosen) + 1)
