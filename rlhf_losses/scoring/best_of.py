"""Best of n: the simplest use of a reward model, and the baseline that a trained policy has to beat."""

from collections.abc import Callable, Sequence
from math import log
from typing import Any

from rlhf_losses.errors import InvalidFeedbackError


def best_of(
    score: Callable[..., Sequence[float]], prompts: Sequence[Any], completions: Sequence[Sequence[Any]]
) -> list[Any]:
    """Return, for each prompt, the completion with the highest score; of equals, the first.

    Args:
        score: a `Scorer`, or any other reward function of prompts and completions.
        prompts: one for each list of completions.
        completions: candidates for each prompt.

    Raises:
        InvalidFeedbackError: a prompt has no completions.

    Example:
        >>> def length(prompts, completions):
        ...     return [len(text) for text in completions]
        >>> best_of(length, ["Hi ", "Bye "], [["a", "abc", "ab"], ["z"]])
        ['abc', 'z']
    """
    if not all(completions):
        raise InvalidFeedbackError("A prompt came with no completions to choose from. Give each at least one.")
    asked = [prompt for prompt, candidates in zip(prompts, completions, strict=True) for _ in candidates]
    scores = iter(score(prompts=asked, completions=[one for candidates in completions for one in candidates]))
    return [max((next(scores), -place, one) for place, one in enumerate(candidates))[2] for candidates in completions]


def kl_of_best_of(n: int) -> float:
    r"""Return the KL divergence of best-of-n to the policy that it chooses from, in nats: :math:`\ln n - (n-1)/n`.

    It is exact where no two completions have equal scores, else an upper bound.

    Reference:
        Gao et al. (2022), https://arxiv.org/abs/2210.10760

    Example:
        >>> kl_of_best_of(1)
        0.0
    """
    return log(n) - (n - 1) / n
