"""Helpers of the contract tests: they apply rules, and compare numbers."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.transforms import ScoredTexts

Rule = Callable[..., None]
"""A rule raises `AssertionError` with its observation if an instance breaks it. Its docstring states the rule."""


def check_rules(rules: Iterable[Rule], candidate: Any, *inputs: Any) -> None:
    """Apply rules to an instance, one after the other.

    Args:
        rules: the rules of a contract.
        candidate: the instance to check.
        inputs: further arguments of the rules.

    Raises:
        AssertionError: the instance breaks a rule; the message names its class, the rule, the observation and a remedy.
    """
    for rule in rules:
        try:
            rule(candidate, *inputs)
        except Exception as error:
            name = candidate.__name__ if isinstance(candidate, type) else type(candidate).__name__
            observed = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{name} breaks a rule. {rule.__doc__}\n{observed}") from error


def require_close(expected: Tensor, found: Tensor, how: str, remedy: str) -> None:
    """Raise `AssertionError` if numbers differ by more than rounding.

    Args:
        expected: the numbers to compare with.
        found: the numbers to check.
        how: how the numbers were computed, as `"alone and in a batch"`.
        remedy: what to change.
    """
    if not torch.allclose(expected, found, rtol=1e-3, atol=1e-5, equal_nan=True):
        raise AssertionError(f"The numbers {how} are {expected.tolist()} and {found.tolist()}. {remedy}")


def require_finite_tensors(fitted: Any) -> None:
    """Raise `AssertionError` unless the values of a mapping are finite tensors.

    Args:
        fitted: the result of `fit`.
    """
    for name, value in dict(fitted).items():
        if not isinstance(value, Tensor):
            raise AssertionError(f"{name} is {value!r}, which is not a tensor. Convert it: torch.tensor(value).")
        if not bool(torch.isfinite(value).all()):
            raise AssertionError(f"{name} has numbers that are not finite. Correct the formula for few or equal texts.")


def random_texts(count: int, seed: int, width: int = 5, dtype: torch.dtype = torch.float32) -> ScoredTexts:
    """Return texts with random features; the score is the sum of the features.

    Args:
        count: number of texts.
        seed: seed of the random numbers.
        width: length of a feature vector.
        dtype: dtype of the tensors.
    """
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, width, generator=generator).to(dtype)
    lengths = torch.randint(1, 50, (count,), generator=generator).to(dtype)
    return ScoredTexts(features.sum(1), features, lengths)


def select(texts: ScoredTexts, index: Any) -> ScoredTexts:
    """Return some of the texts.

    Args:
        texts: texts with scores.
        index: an index of the first dimension of the tensors.
    """
    return ScoredTexts(texts.scores[index], texts.features[index], texts.lengths[index])


def is_equal(one: ScoredTexts, other: ScoredTexts) -> bool:
    """Return whether two instances have the same tensors."""
    pairs = ((one.scores, other.scores), (one.features, other.features), (one.lengths, other.lengths))
    return all(torch.equal(first, second) for first, second in pairs)
