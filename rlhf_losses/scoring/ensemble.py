"""`Ensemble`: several reward models as one reward function."""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from types import NoneType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_losses.checks.argument_checks import describe_type, require_instance
from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring.answer_encoder import AnswerEncoder

MemberScores = Float[Tensor, "member item"]
"""Score of each member for each completion, or for each step; NaN where a member has no score."""

LOWER_BOUND = re.compile(r"mean - (\d+(?:\.\d+)?(?:e-?\d+)?) \* std")
NOTATION = "mean, minimum or mean - 0.5 * std (with any number)"


class Ensemble:
    """A reward function that combines the scores of several reward functions.

    The scores of different reward models have different scales. Standardize them first
    (`scorer.with_transforms("standardize")`), or the member with the largest standard deviation dominates. The standard
    deviation over the members is logged as `ensemble/std`. An ensemble scores whole completions;
    `StepRewards(Ensemble([a, b]))` combines the scores of each step.

    Args:
        members: reward functions of prompts and completions, for example `Scorer` objects. A member that returns None
            for a completion is ignored for it.
        combine: `"mean"`, `"minimum"`, or `"mean - 0.5 * std"` with any number (a lower bound).

    Attributes:
        disagreement: mean over the latest completions of the standard deviation over the members.

    Raises:
        InvalidSettingError: there are no members, or `combine` is unknown.

    References:
        Coste et al. (2023), https://arxiv.org/abs/2310.02743

    Examples:
        >>> def brevity(completions, **_):
        ...     return [-float(len(text)) for text in completions]
        >>> def constant(completions, **_):
        ...     return [-2.0 for _ in completions]
        >>> Ensemble([brevity, constant], "minimum")(prompts=["", ""], completions=["a", "abc"])
        [-2.0, -3.0]
    """

    def __init__(self, members: Sequence[Any], combine: str = "mean") -> None:
        require_instance(combine, str, "combine", "a string", f"Use {NOTATION}.")
        bound = LOWER_BOUND.fullmatch(combine)
        if combine not in ("mean", "minimum") and not bound:
            raise InvalidSettingError(f"Unknown combination '{combine}' of scores. Use {NOTATION}.")
        remedy = "Pass a list of functions of prompts and completions, such as [Scorer.from_pretrained(PATH)]."
        require_instance(members, (Sequence, NoneType), "members", "a list of reward functions", remedy)
        if not members:
            raise InvalidSettingError(
                "The ensemble has no reward functions, so it has no scores to combine. Give at least one."
            )
        for index, member in enumerate(members):
            if not callable(member):
                raise InvalidArgumentError(
                    f"`members[{index}]` {describe_type(member)}, which is no function. {remedy}"
                )
        self.members = list(members)
        self.combine = combine
        self.weight = float(bound.group(1)) if bound else 0.0
        self.disagreement = 0.0
        self.__name__ = f"{combine.split()[0]}_of_{len(self.members)}"

    def __repr__(self) -> str:
        """Return the members and their combination."""
        return f"Ensemble({self.members}, '{self.combine}')"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Return one score per completion, or None where no member has a score.

        Args:
            prompts: one prompt per completion.
            completions: the completions.
            columns: other arguments of TRL's reward functions; the members receive them.
        """
        scores = [member(prompts=prompts, completions=completions, **columns) for member in self.members]
        values = torch.tensor([[torch.nan if one is None else float(one) for one in row] for row in scores])
        combined = self._combine(values).tolist()
        self.log(columns)
        return [None if score != score else score for score in combined]

    @property
    def encoder(self) -> AnswerEncoder:
        """Encoder of the first member, which splits answers into steps; every member is a `Scorer`."""
        first: AnswerEncoder = self.members[0].encoder
        return first

    def score_answers(self, answers: Sequence[Answer]) -> list[list[float]]:
        """Return the combined score at the end of each part of each answer; every member is a `Scorer`."""
        scores = [list(chain(*member.score_answers(answers))) for member in self.members]
        combined = self._combine(torch.tensor(scores)).tolist()
        ends = accumulate(len(answer.parts) for answer in answers)
        return [combined[end - len(answer.parts) : end] for end, answer in zip(ends, answers, strict=True)]

    def log(self, columns: Mapping[str, Any]) -> None:
        """Log the disagreement of the latest scores with TRL's `log_metric`, if the trainer provides it.

        Args:
            columns: keyword arguments of a reward function.
        """
        if "log_metric" in columns:
            columns["log_metric"]("ensemble/std", self.disagreement)

    def _combine(self, scores: MemberScores) -> Float[Tensor, "item"]:
        self.disagreement = _std(scores).nanmean().item()
        if self.combine == "minimum":
            without_score = scores.isnan().all(0)
            return scores.nan_to_num(torch.inf).amin(0).masked_fill(without_score, torch.nan)
        return scores.nanmean(0) - self.weight * _std(scores)


def _std(scores: MemberScores) -> Float[Tensor, "item"]:
    """Return the standard deviation over the members."""
    return (scores - scores.nanmean(0)).square().nanmean(0).sqrt()
