"""Tasks for policy training: a policy, prompts and a reward function each.

Tasks with `STORIES` prompts use a pretrained language model of short stories and Python functions as rewards; the
others use the synthetic task with reward models that are trained on its feedback. `SUITE` compares trainers. `TUNING`
chooses defaults, so that no default is tuned on a task on which it is shown.
"""

import copy
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses import bradley_terry, segment_hinge
from rlhf_losses.losses import Loss
from rlhf_losses.ppo import StepMeanRewards
from rlhf_losses.sandbox import SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import lora_config, train_reward_model
from rlhf_losses.scoring import Scorer

Reward = Callable[[str, Sequence[int]], float]
"""Returns the reward of a completion from its text and its token ids."""

NAMES = ("Lily", "Tom", "Ben", "Anna", "Sam", "Mia", "Max", "Sue", "Tim", "Sara", "Jack", "Lucy")
OPENINGS = (
    "Once upon a time, there was a child named {}. One day, {}",
    "{0} and a friend were in the garden. {0}",
    "One morning, {0} saw a big box. {0}",
    "{0} had a new toy. One day, {0}",
)
STORIES = tuple(opening.format(name, name) for name, opening in product(NAMES, OPENINGS))
"""Prompts for a language model of short stories."""

ANIMALS = ("dog", "cat", "bird", "fish", "frog", "bear", "bunny")
FEELINGS = ("happy", "sad", "glad", "scared", "proud", "angry")

FULL_RATES, LORA_RATES = (1e-4, 3e-4, 1e-3), (5e-4, 1.5e-3, 4.5e-3)
"""Learning rates of the grid."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case.

    Examples:
        >>> words("It's a dog.")
        ["it's", 'a', 'dog']
    """
    return re.findall(r"[a-z']+", text.lower())


def share(found: Sequence[object], of: Sequence[object]) -> float:
    """Return the ratio of two counts; 0 for a text without words."""
    return len(found) / max(len(of), 1)


def count_words(wanted: Collection[str], text: str, _: Sequence[int]) -> float:
    """Return how often some words occur."""
    return float(sum(word in wanted for word in words(text)))


def letter_share(letter: str, text: str, _: Sequence[int]) -> float:
    """Return the share of a letter among all letters."""
    return share(re.findall(letter, text.lower()), re.findall("[a-z]", text.lower()))


def ends_within(tokens: int, _: str, ids: Sequence[int]) -> float:
    """Return 1 for a completion with more than ten and fewer than `tokens` tokens, and otherwise 0."""
    return float(10 < len(ids) < tokens)


def short_sentences(text: str, _: Sequence[int]) -> float:
    """Return a tenth of the mean number of words per sentence, below 0."""
    sentences = [one for one in re.split(r"[.!?]", text) if words(one)]
    return -share(words(text), sentences) / 10 if sentences else -3.0


def long_words(text: str, _: Sequence[int]) -> float:
    """Return the mean number of letters per word."""
    return share(re.findall("[a-z']", text.lower()), words(text))


def distinct_words(text: str, _: Sequence[int]) -> float:
    """Return the share of distinct words."""
    return share(sorted(set(words(text))), words(text))


def questions(text: str, _: Sequence[int]) -> float:
    """Return the number of question marks."""
    return float(text.count("?"))


@dataclass(frozen=True)
class PolicyTask:
    """A reward to be learned, with the range of its values and the length of completions.

    Attributes:
        name: name in tables.
        max_completion_length: largest number of tokens of a completion.
        reward: reward of a completion, or the loss of a reward model that scores it.
        steps: whether the reward model scores steps.
        scale, offset: the trainers get `scale * reward + offset`.
        lora: train adapters instead of all weights.
    """

    name: str
    max_completion_length: int
    reward: Reward | Loss[Any]
    steps: bool = False
    scale: float = 1.0
    offset: float = 0.0
    lora: bool = False

    @property
    def learning_rates(self) -> tuple[float, float, float]:
        """The grid of learning rates, the same for all trainers."""
        return LORA_RATES if self.lora else FULL_RATES

    @property
    def reward_function(self) -> Any:
        """The reward function for the trainers."""
        if isinstance(self.reward, Loss):
            scorer = reward_model(self.reward)
            return StepMeanRewards(scorer) if self.steps else scaled(scorer, self.scale, self.offset)
        return self.score

    def score(self, completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        """Return the rewards of completions, as a reward function of TRL."""
        assert not isinstance(self.reward, Loss)
        rewards = map(self.reward, completions, completion_ids)
        return [self.scale * reward + self.offset for reward in rewards]

    def with_affine_reward(self, scale: float, offset: float) -> "PolicyTask":
        """Return the task with another scale and offset of its reward."""
        return replace(self, scale=scale * self.scale, offset=scale * self.offset + offset)


def scaled(scorer: Scorer, scale: float, offset: float) -> Any:
    """Return the scorer, or a reward function with scaled scores."""
    if (scale, offset) == (1.0, 0.0):
        return scorer

    def scaled_score(**columns: Any) -> list[float]:
        return [scale * score + offset for score in scorer(**columns)]

    return scaled_score


SUITE = (
    PolicyTask("animals, 40 tokens, sparse", 40, partial(count_words, ANIMALS)),
    PolicyTask("letter s, 16 tokens, × 0.01", 16, partial(letter_share, "s"), scale=0.01),
    PolicyTask("long words, 64 tokens, × 100, − 100", 64, long_words, scale=100.0, offset=-100.0),
    PolicyTask("ends within 48 of 80 tokens", 80, partial(ends_within, 48)),
    PolicyTask("distinct words, 160 tokens, × 10, + 100", 160, distinct_words, scale=10.0, offset=100.0),
    PolicyTask("questions, 96 tokens, sparse", 96, questions),
    PolicyTask("reward model, 48 tokens, LoRA", 48, bradley_terry, lora=True),
    PolicyTask("step rewards, 48 tokens, LoRA", 48, segment_hinge, steps=True, lora=True),
)
"""Tasks that compare trainers."""

TUNING = (
    PolicyTask("feelings, 40 tokens, sparse", 40, partial(count_words, FEELINGS)),
    PolicyTask("short sentences, 40 tokens", 40, short_sentences),
    PolicyTask("letter e, 40 tokens", 40, partial(letter_share, "e")),
    PolicyTask("ends within 64 of 100 tokens", 100, partial(ends_within, 64)),
    PolicyTask("reward model × 5, 48 tokens, LoRA", 48, bradley_terry, scale=5.0, lora=True),
)
"""Tasks that choose defaults."""


@dataclass(frozen=True)
class Policy:
    """What a trainer starts from."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompts: tuple[str, ...]
    peft_config: PeftConfig | None


def initial_policy(task: PolicyTask, stories_model: Path) -> Policy:
    """Return a new policy of a task."""
    if isinstance(task.reward, Loss):
        synthetic = synthetic_task()
        return Policy(synthetic.policy(), synthetic.tokenizer, synthetic.train_prompts, lora_config())
    model, tokenizer = story_teller(stories_model)
    return Policy(copy.deepcopy(model), tokenizer, STORIES, lora_config() if task.lora else None)


@cache
def story_teller(folder: Path) -> tuple[Any, Any]:
    """Return the pretrained language model with its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, padding_side="left")


@cache
def synthetic_task() -> SyntheticTask:
    """Return the synthetic task."""
    return build_synthetic_task(0)


@cache
def reward_model(loss: Loss[Any]) -> Scorer:
    """Return a reward model of the synthetic task."""
    with tempfile.TemporaryDirectory() as folder:
        return train_reward_model(synthetic_task(), loss, Path(folder))
