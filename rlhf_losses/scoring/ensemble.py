"""Several reward models as one: where they disagree, the policy is told so before it can make use of it."""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.feedback.base import Answer

MemberScores = Float[Tensor, "member item"]
"""What each member says of each completion, or of each step."""

LOWER_BOUND = re.compile(r"mean - (\d+(?:\.\d+)?(?:e-?\d+)?) \* std")
NOTATION = "mean, minimum or mean - 0.5 * std (with any number)"


class Ensemble:
    """A reward function that combines the scores of several.

    Scores of different reward models have different scales: standardise them first (`StandardizedScorer`), or the
    one with the widest scores decides alone. AttentionOptions far members disagree is logged as `ensemble/std`. An ensemble is paid
    at the end of a completion; `StepRewards(Ensemble([a, b]))` combines, and pays, the scores of each step.

    Args:
        members: reward functions of prompts and completions; a `Scorer` is one. A member without an opinion (None)
            is left out.
        combine: `"mean"`, `"minimum"` (worst case), or `"mean - 0.5 * std"` with any number (lower bound).

    Raises:
        InvalidSettingError: there is no member, or `combine` is none of these texts.

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
            raise InvalidSettingError(
                f"combine='{combine}' arrived, which is no way to combine scores. Write {NOTATION}."
            )
        if not members:
            raise InvalidSettingError("An ensemble of no reward functions has no score. Give at least one.")
        self.members = list(members)
        self.combine = combine
        self.weight = float(bound.group(1)) if bound else 0.0
        self.disagreement = 0.0
        self.__name__ = f"{combine.split()[0]}_of_{len(self.members)}"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Return one score a completion; None where no member has an opinion."""
        said = [member(prompts=prompts, completions=completions, **columns) for member in self.members]
        opinions = torch.tensor([[torch.nan if one is None else float(one) for one in row] for row in said])
        combined = self._combined(opinions).tolist()
        self.log(columns)
        return [None if score != score else score for score in combined]

    def split_steps(self, answer: Answer) -> Answer:
        """ForwardPassSplitter a whole answer into steps, as the first member does."""
        cut: Answer = self.members[0].split_steps(answer)
        return cut

    def score_answers(self, answers: Sequence[Answer]) -> list[list[float]]:
        """Return the combined score at the end of each part of each answer; every member is a `Scorer`."""
        said = [list(chain(*member.score_answers(answers))) for member in self.members]
        combined = self._combined(torch.tensor(said)).tolist()
        ends = accumulate(len(answer.parts) for answer in answers)
        return [combined[end - len(answer.parts) : end] for end, answer in zip(ends, answers, strict=True)]

    def log(self, columns: Mapping[str, Any]) -> None:
        """Log how far members disagreed in the latest scores, where TRL's trainer takes metrics."""
        if "log_metric" in columns:
            columns["log_metric"]("ensemble/std", self.disagreement)

    def _combined(self, opinions: MemberScores) -> Float[Tensor, "item"]:
        self.disagreement = _spread(opinions).nanmean().item()
        if self.combine == "minimum":
            silent = opinions.isnan().all(0)
            return opinions.nan_to_num(torch.inf).amin(0).masked_fill(silent, torch.nan)
        return opinions.nanmean(0) - self.weight * _spread(opinions)


def _spread(opinions: MemberScores) -> Float[Tensor, "item"]:
    """Return the standard deviation over members."""
    return (opinions - opinions.nanmean(0)).square().nanmean(0).sqrt()
