"""Reward functions with rewards inside a completion: at the end of each step, or at every token.

They are valid reward functions of all TRL trainers, which use the sum over a completion. `PPOTrainer` also uses the
position of each reward.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import wraps
from inspect import iscoroutinefunction
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.answers import completion_answers
from rlhf_losses.data.chat_messages import content_text
from rlhf_losses.data.segmentation import locate_segments
from rlhf_losses.errors import (
    InvalidArgumentError,
    InvalidFeedbackError,
    InvalidSettingError,
    NonFiniteError,
    ProcessError,
    UnsupportedModelError,
    shown,
)
from rlhf_losses.feedback.base import Answer, Text
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.models.finite import require_finite_weights
from rlhf_losses.ppo.completion_text import decoded
from rlhf_losses.scoring.ensemble import Ensemble
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.serving.remote_scorer import RemoteScorer, is_server_url


class TokenLevelReward(ABC):
    """A reward function with rewards at single tokens.

    TRL calls it with texts. Afterwards `PPOTrainer` calls `token_rewards` with the token ids of the same completions.
    """

    __name__: str

    @abstractmethod
    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the sum of the rewards of each completion."""

    @abstractmethod
    def token_rewards(
        self, completion_ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
    ) -> list[list[float]]:
        """Return one reward per token for the completions of the latest call.

        Args:
            completion_ids: token ids of each completion.
            tokenizer: tokenizer of the policy.

        Returns:
            One list per completion; NaN at tokens without a reward.
        """


class StepRewards(TokenLevelReward):
    """The score of each step of a completion, at the last token of the step.

    The rewards of a completion add up to the sum over its steps. A policy can increase the sum with more steps;
    `StepMeanRewards` avoids that. TRL logs the sum over a completion as its reward.

    Args:
        scorer: a reward model trained on steps, or an `Ensemble` of such, which combines the scores of each step.
        segmentation: split completions at `"paragraphs"`, `"lines"` or `"sentences"`; by default as in the training of
            the reward model.

    Raises:
        UnsupportedModelError: a reward model was trained on whole texts and `segmentation` is missing, or a reward
            function is not a `Scorer`.
        InvalidSettingError: the members of an ensemble have different segmentations.

    References:
        Wu et al. (2023), Fine-Grained RLHF, https://arxiv.org/abs/2306.01693
    """

    def __init__(self, scorer: Scorer | Ensemble, segmentation: str | None = None) -> None:
        if isinstance(scorer, Ensemble):
            self.scorer: Scorer | Ensemble = copy(scorer)
            self.scorer.members = [_with_segmentation(member, segmentation) for member in scorer.members]
            _require_same_segmentation(self.scorer.members)
        else:
            self.scorer = _with_segmentation(scorer, segmentation)
        self.__name__ = scorer.__name__
        self._latest: list[tuple[Answer, list[float]]] = []

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the sum of the step scores of each completion."""
        answers = [self.scorer.encoder.split_steps(one) for one in completion_answers(prompts, completions, columns)]
        self._latest = list(zip(answers, self.scorer.score_answers(answers), strict=True))
        if isinstance(self.scorer, Ensemble):
            self.scorer.log(columns)
        return [sum(scores) for _, scores in self._latest]

    def token_rewards(
        self, completion_ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
    ) -> list[list[float]]:
        """Return the score of each step at the token that completes it; the last step ends at the last token."""
        rows = []
        for ids, (answer, scores) in zip(completion_ids, self._latest, strict=True):
            row = [torch.nan] * len(ids)
            for index, score in zip(_last_tokens(ids, answer, tokenizer), scores, strict=True):
                row[index] = score + (0.0 if row[index] != row[index] else row[index])
            rows.append(row)
        return rows


class StepMeanRewards(StepRewards):
    r"""The score of each step divided by the number of steps, at the last token of the step.

    Step $k$ of $n$ has the reward $s_k / n$, so the rewards of a completion add up to the mean over its steps, and more
    steps do not increase it. Otherwise equal to `StepRewards`.
    """

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the mean of the step scores of each completion."""
        super().__call__(prompts, completions, **columns)
        self._latest = [(answer, [score / len(scores) for score in scores]) for answer, scores in self._latest]
        return [sum(scores) for _, scores in self._latest]


class TokenRewardFunction(TokenLevelReward):
    """A function that returns one reward per token.

    Args:
        function: accepts the keyword arguments of TRL's reward functions and returns one list per completion, with one
            number for each of its `completion_ids` and NaN at tokens without a reward.
    """

    def __init__(self, function: Callable[..., Sequence[Sequence[float]]]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._latest: list[list[float]] = []

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the sum of the rewards of each completion."""
        rows = self.function(prompts=prompts, completions=completions, **columns)
        self._latest = [[float(number) for number in row] for row in rows]
        return [sum(number for number in row if number == number) for row in self._latest]

    def token_rewards(
        self, completion_ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
    ) -> list[list[float]]:
        """Return the rewards of the latest call.

        Raises:
            InvalidFeedbackError: the number of rewards differs from the number of tokens.
        """
        for ids, row in zip(completion_ids, self._latest, strict=True):
            if len(ids) != len(row):
                raise InvalidFeedbackError(
                    f"'{self.__name__}' returned {len(row)} rewards for a completion of {len(ids)} tokens, so their "
                    "positions are unknown. Return one number for each of completion_ids, float('nan') for no reward."
                )
        return self._latest


def check_rewards(function: Any, step: int, failures: list[Exception]) -> Any:
    """Return a reward function that records its errors, and values that are no finite number, instead of raising them.

    If one process alone raised an error, the others would wait for its rewards. Modules are returned unchanged, because
    TRL calls them in another way; see `require_finite_scores`.

    Args:
        function: a reward function; it can be a coroutine.
        step: number of the optimizer step, for the message.
        failures: a list to which errors are appended; the rewards are 0 then.

    Examples:
        >>> failures = []
        >>> check_rewards(lambda **_: [None, 1], 1, failures)(prompts=["", ""], completions=["", ""])
        [None, 1.0]
        >>> check_rewards(lambda **_: 1 / 0, 1, failures)(prompts=[""], completions=[""])
        [0.0]
        >>> failures
        [ZeroDivisionError('division by zero')]
    """
    if isinstance(function, nn.Module):
        return function
    name = getattr(function, "__name__", type(function).__name__)
    keep_name = wraps(function, assigned=("__name__", "__doc__"), updated=())

    @contextmanager
    def recorded() -> Iterator[None]:
        try:
            yield
        except Exception as error:
            failures.append(error)

    @keep_name
    def checked(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        with recorded():
            rewards = function(prompts=prompts, completions=completions, **columns)
            return _finite_rewards(rewards, completions, name, step)
        return [0.0] * len(prompts)

    @keep_name
    async def awaited(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        with recorded():
            rewards = await function(prompts=prompts, completions=completions, **columns)
            return _finite_rewards(rewards, completions, name, step)
        return [0.0] * len(prompts)

    is_coroutine = iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
    return awaited if is_coroutine else checked


def require_finite_scores(rewards: Tensor, functions: Sequence[Any], names: Sequence[str], step: int) -> None:
    """Raise `NonFiniteError` if a reward model that TRL calls itself gives NaN or infinity.

    Args:
        rewards: rewards of all processes, one column per function.
        functions: reward functions.
        names: their names.
        step: number of the optimizer step, for the message.
    """
    for column, function, name in zip(rewards.T, functions, names, strict=True):
        wrong = (~torch.isfinite(column)).nonzero().flatten().tolist() if isinstance(function, nn.Module) else []
        if wrong:
            raise NonFiniteError(
                f"Step {step}: the score of the reward model '{name}' is {float(column[wrong[0]])} for completion "
                f"{wrong[0]}, and for {len(wrong)} of {len(column)} completions in all. Use another checkpoint of it."
            )


def _finite_rewards(rewards: Any, completions: Sequence[Text], name: str, step: int) -> list[float | None]:
    """Return the rewards of a function as Python numbers, which are finite in float32."""
    returned = f"Step {step}: the reward function '{name}' returned"
    if not isinstance(rewards, Iterable) or isinstance(rewards, str | bytes | Mapping):
        raise InvalidFeedbackError(
            f"{returned} {shown(rewards)}, which is no list of rewards. Return one number for each completion, or None "
            "for no reward."
        )
    rewards = list(rewards)
    numbers = [_number(reward) for reward in rewards]
    if len(numbers) != len(completions):
        raise InvalidFeedbackError(
            f"{returned} {len(numbers)} rewards for {len(completions)} completions, so it is unknown whose they are. "
            "Return one number for each completion, or None for no reward."
        )
    for index, (reward, number) in enumerate(zip(rewards, numbers, strict=True)):
        if reward is None or (number is not None and abs(number) <= torch.finfo(torch.float32).max):
            continue
        kind = InvalidFeedbackError if number is None else NonFiniteError
        problem = f"{shown(reward)}, which is no number," if number is None else f"{number}"
        raise kind(
            f"{returned} {problem} for completion {index}, {content_text(completions[index])!r:.80}. Return a finite "
            "number (of at most 3e38, as in float32), or None for no reward."
        )
    return numbers


def _number(reward: Any) -> float | None:
    """Return a reward as a number, or None if it is None or not a number."""
    if reward is None or isinstance(reward, str | bytes):
        return None
    try:
        return float(reward)
    except OverflowError:
        return inf
    except (TypeError, ValueError, RuntimeError):
        return None


def raise_together(
    failures: Sequence[Exception], all_gather: Callable[[list[str]], Sequence[str]] = lambda texts: texts
) -> None:
    """Raise an error in all processes if there is one in any of them.

    Args:
        failures: errors of this process.
        all_gather: returns the texts of all processes.

    Raises:
        Exception: the first error of this process.
        ProcessError: another process has an error.
    """
    own = f"{type(failures[0]).__name__}: {failures[0]}" if failures else ""
    found = [text for text in all_gather([own]) if text]
    if failures:
        raise failures[0]
    if found:
        raise ProcessError(
            f"A reward function failed in another process: {found[0]} All processes stop, because each needs the "
            "rewards of the others. Correct the function or the data, and resume from the last checkpoint."
        )


def load_reward_functions(reward_funcs: Any, device: torch.device, trust_remote_code: bool) -> Any:
    """Return reward functions with a `Scorer` in place of each path, and a `RemoteScorer` in place of each address.

    TRL would load a missing head at random.

    Args:
        reward_funcs: one reward function, a list of them, or None.
        device: device of the reward models.
        trust_remote_code: whether Python code that comes with a model is executed.

    Raises:
        InvalidArgumentError: None in a list.
        UnsupportedModelError: a path is not that of a reward model.
        NonFiniteError: a weight of a reward model is NaN or infinite.
    """
    if isinstance(reward_funcs, list):
        if None in reward_funcs:
            raise InvalidArgumentError(
                f"`reward_funcs[{reward_funcs.index(None)}]` is None, but it must be a function, a model or a path. "
                "Remove it from the list."
            )
        return [load_reward_functions(one, device, trust_remote_code) for one in reward_funcs]
    if isinstance(reward_funcs, nn.Module):
        require_finite_weights(reward_funcs, "the reward model gives no scores")
    if not isinstance(reward_funcs, str | Path):
        return reward_funcs
    if is_server_url(reward_funcs):
        return RemoteScorer(str(reward_funcs))
    return Scorer.from_pretrained(reward_funcs, device=device, trust_remote_code=trust_remote_code)


def find_scorers(reward_funcs: Iterable[Any]) -> list[Scorer]:
    """Return the scorers among reward functions, including those inside `StepRewards` and `Ensemble`."""
    found: list[Scorer] = []
    for function in reward_funcs:
        if isinstance(function, Scorer):
            found.append(function)
        elif isinstance(function, StepRewards):
            found += find_scorers([function.scorer])
        elif isinstance(function, Ensemble):
            found += find_scorers(function.members)
    return found


def standardize_scorers(reward_funcs: Any) -> list[Any]:
    """Return reward functions in which every scorer without transforms is standardized with its reference samples.

    Args:
        reward_funcs: one reward function or a list of them; they are not modified.

    Raises:
        UnsupportedModelError: a scorer has no reference statistics.
        InvalidSettingError: there is no scorer.
    """
    functions = reward_funcs if isinstance(reward_funcs, list) else [reward_funcs]
    if not find_scorers(functions):
        raise InvalidSettingError(
            "score_normalization='reference' needs a Scorer with reference samples, and none of the reward functions "
            "is one. Choose 'running'."
        )
    return [_standardize(function) for function in functions]


def _standardize(function: Any) -> Any:
    if isinstance(function, Scorer):
        return function.with_transforms("standardize") if function.transforms is None else function
    if isinstance(function, StepRewards):
        function = copy(function)
        function.scorer = _standardize(function.scorer)
    if isinstance(function, Ensemble):
        function = copy(function)
        function.members = [_standardize(member) for member in function.members]
    return function


def _with_segmentation(scorer: Any, segmentation: str | None) -> Scorer:
    """Return a copy of a scorer that splits texts into steps."""
    if not isinstance(scorer, Scorer):
        name = getattr(scorer, "__name__", type(scorer).__name__)
        raise UnsupportedModelError(
            f"'{name}' is a {type(scorer).__name__}, which returns one score per completion and none per step. "
            "Use a Scorer, or TokenRewardFunction for a function with rewards inside completions."
        )
    segmentation = segmentation or scorer.metadata.segmentation
    if segmentation is None:
        raise UnsupportedModelError(
            f"'{scorer.__name__}' was trained on whole texts, so its scores inside a text are not meaningful. "
            "Train a reward model with a stepwise loss such as segment_hinge, or score whole completions: "
            f"{_score_whole_completions()}. "
            'In Python, segmentation="sentences" scores the sentences with this model anyway.'
        )
    return scorer.with_segmentation(segmentation)


def _score_whole_completions() -> str:
    """Return how to score whole completions instead of steps."""
    flag = setting("reward_at", "completion", python="the scorer itself as the reward function")
    return f"use {flag}"


def _require_same_segmentation(scorers: Sequence[Scorer]) -> None:
    segmentations = {scorer.__name__: scorer.metadata.segmentation for scorer in scorers}
    if len({scorer.metadata.segmentation for scorer in scorers}) > 1:
        raise InvalidSettingError(
            "The members of the ensemble have different segmentations "
            f"({', '.join(f'{name}: {how}' for name, how in segmentations.items())}), so they have no common steps to "
            "combine. Train them with the same segmentation, or in Python set one here: "
            'segmentation="sentences".'
        )


def _last_tokens(ids: Sequence[int], answer: Answer, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the index of the token that completes each step."""
    # White space after a step belongs to the next token.
    steps = [content_text(part).rstrip() for part in answer.parts]
    if len(steps) == 1:
        return [len(ids) - 1]
    ends = locate_segments(steps, decoded(ids, tokenizer))
    if ends is None:
        raise InvalidFeedbackError(
            "The decoded tokens of a completion do not contain its steps, so the ends of the steps cannot be located. "
            f"Score whole completions: {_score_whole_completions()}."
        )
    return [*(_token_at(end, ids, tokenizer) for end in ends[:-1]), len(ids) - 1]


def _token_at(end: int, ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the index of the first token up to which the decoded text has `end` characters."""
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(decoded(ids[:middle], tokenizer)) >= end:
            high = middle
        else:
            low = middle + 1
    return low - 1
