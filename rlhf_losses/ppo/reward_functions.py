"""Reward functions that say where in a completion they pay: at the ends of its steps, or at every token.

They are valid reward functions of TRL's trainers, to which they give the sum of their payments; `PPOTrainer`
also asks where each belongs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from rlhf_losses.errors import InvalidFeedbackError, InvalidSettingError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer, Messages
from rlhf_losses.scoring.ensemble import Ensemble
from rlhf_losses.scoring.scorer import Scorer

Text = str | Messages


class TokenLevelReward(ABC):
    """A reward function that pays inside completions.

    A subclass remembers its payments when it is called, and gives them out by token when it is asked next.
    """

    __name__: str

    @abstractmethod
    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the sum of the payments of each completion."""

    @abstractmethod
    def by_token(
        self, completion_ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
    ) -> list[list[float]]:
        """Return the latest payments as one number a token, NaN where nothing is paid."""


class StepRewards(TokenLevelReward):
    """Pays the score of each step of a completion at the last token of the step.

    The sum over the steps is paid, so that more steps may earn more: a policy can learn to write them. With it the
    critic learns from many scores a completion instead of one, and each is near the tokens that
    earned it. The sum over a completion is what TRL logs as its reward.

    Args:
        scorer: a reward model trained on steps, or an `Ensemble` of such; that combines the scores of each step.
        segmentation: how completions are cut: `"paragraphs"`, `"lines"` or `"sentences"`; by default as the
            reward model was trained.

    Raises:
        UnsupportedModelError: a reward model was trained on whole texts and no segmentation is given, or is no `Scorer`.
        InvalidSettingError: the members of an ensemble cut texts into other steps.

    Reference:
        Wu et al. (2023), fine-grained human feedback, https://arxiv.org/abs/2306.01693
    """

    def __init__(self, scorer: Scorer | Ensemble, segmentation: str | None = None) -> None:
        if isinstance(scorer, Ensemble):
            self.scorer: Scorer | Ensemble = copy(scorer)
            self.scorer.members = [_cutting(member, segmentation) for member in scorer.members]
            _require_same_steps(self.scorer.members)
        else:
            self.scorer = _cutting(scorer, segmentation)
        self.__name__ = scorer.__name__
        self._latest: list[tuple[Answer, list[float]]] = []

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the sum of the scores of the steps of each completion."""
        texts = zip(prompts, completions, strict=True)
        answers = [self.scorer.split_steps(Answer(prompt, (completion,))) for prompt, completion in texts]
        self._latest = list(zip(answers, self.scorer.score_answers(answers), strict=True))
        if isinstance(self.scorer, Ensemble):
            self.scorer.log(columns)
        return [sum(scores) for _, scores in self._latest]

    def by_token(
        self, completion_ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
    ) -> list[list[float]]:
        """Return the score of each step at the token that completes it, the last one at the last token."""
        rows = []
        for ids, (answer, scores) in zip(completion_ids, self._latest, strict=True):
            row = [torch.nan] * len(ids)
            for place, score in zip(_last_tokens(ids, answer, tokenizer), scores, strict=True):
                row[place] = score + (0.0 if row[place] != row[place] else row[place])
            rows.append(row)
        return rows


class StepMeanRewards(StepRewards):
    r"""Pays each of :math:`n` steps its share :math:`s_k / n` of the mean score at the last token of the step.

    A completion then earns nothing by having more steps; otherwise as `StepRewards`.
    """

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the mean of the scores of the steps of each completion."""
        super().__call__(prompts, completions, **columns)
        self._latest = [(answer, [score / len(scores) for score in scores]) for answer, scores in self._latest]
        return [sum(scores) for _, scores in self._latest]


class TokenRewardFunction(TokenLevelReward):
    """Pays what a function says, one number a token.

    Args:
        function: takes the keywords of TRL's reward functions, and returns for each completion one number for each
            of its `completion_ids`, NaN where it pays nothing.
    """

    def __init__(self, function: Callable[..., Sequence[Sequence[float]]]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._latest: list[list[float]] = []

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the sum of the payments of each completion."""
        rows = self.function(prompts=prompts, completions=completions, **columns)
        self._latest = [[float(number) for number in row] for row in rows]
        return [sum(number for number in row if number == number) for row in self._latest]

    def by_token(
        self, completion_ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
    ) -> list[list[float]]:
        """Return what the function said."""
        for ids, row in zip(completion_ids, self._latest, strict=True):
            if len(ids) != len(row):
                raise InvalidFeedbackError(
                    f"'{self.__name__}' paid {len(row)} tokens of a completion of {len(ids)}, so it is unclear which. "
                    "Return one number for each of completion_ids, float('nan') where nothing is paid."
                )
        return self._latest


def _cutting(scorer: Any, segmentation: str | None) -> Scorer:
    """Return a scorer that cuts texts into steps, as it was trained to or as is told."""
    if not isinstance(scorer, Scorer):
        name = getattr(scorer, "__name__", type(scorer).__name__)
        raise UnsupportedModelError(
            f"'{name}' is a {type(scorer).__name__}, which gives one number a completion and none a step. "
            "Give a Scorer, or TokenRewardFunction for a function that pays inside completions."
        )
    how = segmentation or scorer.metadata.segmentation
    if how is None:
        raise UnsupportedModelError(
            f"'{scorer.__name__}' was trained on whole texts, so it says nothing about the steps inside one. "
            "Train one with a loss of steps, like --loss segment_hinge, or be paid at the end: leave --reward_at out. "
            'In Python, segmentation="sentences" reads this one there all the same.'
        )
    scorer = copy(scorer)
    scorer.metadata = replace(scorer.metadata, segmentation=how)
    return scorer


def _require_same_steps(scorers: Sequence[Scorer]) -> None:
    cuts = {scorer.__name__: scorer.metadata.segmentation for scorer in scorers}
    if len({scorer.metadata.segmentation for scorer in scorers}) > 1:
        raise InvalidSettingError(
            f"The members of the ensemble cut texts differently ({', '.join(f'{n}: {how}' for n, how in cuts.items())})"
            ", so there is no step of which all have an opinion. Train them with the same --segmentation, or in Python "
            'set one here: segmentation="sentences".'
        )


def _last_tokens(ids: Sequence[int], answer: Answer, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token that completes each part of an answer; white space after a part belongs to the next token."""
    parts = [str(part) for part in answer.parts[:-1]]
    if not parts:
        return [len(ids) - 1]
    start = tokenizer.decode(ids, skip_special_tokens=True).rfind("".join(map(str, answer.parts)))
    if start < 0:
        raise InvalidFeedbackError(
            "The steps of a completion do not stand in its tokens as they were scored, so their ends cannot be found. "
            "Be paid at the end: leave --reward_at out, or give the scorer itself as the reward function."
        )
    begins = accumulate((len(part) for part in parts), initial=start)
    ends = [begin + len(part.rstrip()) for begin, part in zip(begins, parts, strict=False)]
    return [*(_token_reaching(end, ids, tokenizer) for end in ends), len(ids) - 1]


def _token_reaching(end: int, ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the first token with which the decoded text has `end` characters."""
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(tokenizer.decode(ids[:middle], skip_special_tokens=True)) >= end:
            high = middle
        else:
            low = middle + 1
    return low - 1
