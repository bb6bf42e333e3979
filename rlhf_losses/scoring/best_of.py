"""Best-of-n sampling: the completion with the highest score."""

from collections.abc import Callable, Sequence
from math import log
from typing import Any

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.scoring.text_arguments import require_equal_counts


def best_of(
    score: Callable[..., Sequence[float]], prompts: Sequence[Any], completions: Sequence[Sequence[Any]]
) -> list[Any]:
    """Return, for each prompt, the completion with the highest score; of equal ones, the first.

    Args:
        score: a `Scorer`, or another reward function of prompts and completions.
        prompts: one prompt per list of completions.
        completions: candidates for each prompt, at least one.

    Raises:
        InvalidFeedbackError: a prompt has no completions.

    Examples:
        >>> def length(prompts, completions):
        ...     return [len(text) for text in completions]
        >>> best_of(length, ["Hi ", "Bye "], [["a", "abc", "ab"], ["z"]])
        ['abc', 'z']
    """
    require_equal_counts(prompts, completions)
    for candidates in completions:
        require_instance(
            candidates, (list, tuple), "completions", "a list with the candidates of each prompt",
            "Pass for example completions=[['first', 'second']].",
        )  # fmt: skip
    empty = [index for index, candidates in enumerate(completions) if not candidates]
    if empty:
        raise InvalidFeedbackError(
            f"Prompt {empty[0]} has no completions to choose from. Give at least one completion per prompt."
        )
    repeated = [prompt for prompt, candidates in zip(prompts, completions, strict=True) for _ in candidates]
    scores = iter(score(prompts=repeated, completions=[one for candidates in completions for one in candidates]))
    return [max((next(scores), -index, one) for index, one in enumerate(candidates))[2] for candidates in completions]


def kl_of_best_of(n: int) -> float:
    r"""Return the KL divergence of best-of-n sampling to the policy that it samples from, in nats.

    $$\ln n - \frac{n - 1}{n}$$

    It is exact if no two completions have equal scores, otherwise an upper bound.

    Args:
        n: number of completions per prompt.

    References:
        Gao et al. (2022), https://arxiv.org/abs/2210.10760

    Examples:
        >>> kl_of_best_of(1)
        0.0
    """
    return log(n) - (n - 1) / n
