"""Several reward models as one: where they disagree, the policy is told so before it can make use of it."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_losses.errors import UnusableSetting

Opinions = Float[Tensor, "member completion"]
LOWER_BOUND = re.compile(r"mean - (\d+(?:\.\d+)?(?:e-?\d+)?) \* std")
NOTATION = "mean, minimum or mean - 0.5 * std (with any number)"


class Ensemble:
    """A reward function that combines the scores of several.

    Scores of different reward models have different scales: standardise them first (`StandardizedScorer`), or the
    one with the widest scores decides alone. How far members disagree is logged as `ensemble/std`.

    Args:
        members: reward functions of prompts and completions; a `Scorer` is one. A member without an opinion (None)
            is left out.
        combine: `"mean"`, `"minimum"` (worst case), or `"mean - 0.5 * std"` with any number (lower bound).

    Raises:
        UnusableSetting: there is no member, or `combine` is none of these texts.

    Reference:
        Coste et al. (2023), https://arxiv.org/abs/2310.02743

    Example:
        >>> def short(completions, **_):
        ...     return [-float(len(text)) for text in completions]
        >>> def constant(completions, **_):
        ...     return [-2.0 for _ in completions]
        >>> Ensemble([short, constant], "minimum")(prompts=["", ""], completions=["a", "abc"])
        [-2.0, -3.0]
    """

    def __init__(self, members: Sequence[Any], combine: str = "mean") -> None:
        bound = LOWER_BOUND.fullmatch(combine)
        if combine not in ("mean", "minimum") and not bound:
            raise UnusableSetting(f"combine='{combine}' arrived, which is no way to combine scores. Write {NOTATION}.")
        if not members:
            raise UnusableSetting("An ensemble of no reward functions has no score. Give at least one.")
        self.members = list(members)
        self.combine = combine
        self.weight = float(bound.group(1)) if bound else 0.0
        self.__name__ = f"{combine.split()[0]}_of_{len(self.members)}"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Return one score a completion; None where no member has an opinion."""
        said = [member(prompts=prompts, completions=completions, **columns) for member in self.members]
        opinions = torch.tensor([[torch.nan if one is None else float(one) for one in row] for row in said])
        if "log_metric" in columns:
            columns["log_metric"]("ensemble/std", _spread(opinions).nanmean().item())
        return [None if score != score else score for score in self._combined(opinions).tolist()]

    def _combined(self, opinions: Opinions) -> Float[Tensor, "completion"]:
        if self.combine == "minimum":
            silent = opinions.isnan().all(0)
            return opinions.nan_to_num(torch.inf).amin(0).masked_fill(silent, torch.nan)
        return opinions.nanmean(0) - self.weight * _spread(opinions)


def _spread(opinions: Opinions) -> Float[Tensor, "completion"]:
    """Return the standard deviation over members."""
    return (opinions - opinions.nanmean(0)).square().nanmean(0).sqrt()
