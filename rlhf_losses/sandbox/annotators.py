"""Simulated annotators with known preferences and random errors."""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from rlhf_losses.sandbox.gold_reward import SentenceReward, gold_sentence_reward, mean_reward, sentence_rewards

POSSIBLE_REWARDS = (-1.0, 0.0, 1.0)
"""Rewards of a sentence that a mistaken annotator chooses from."""


class Sample(NamedTuple):
    """A prompt and several completions.

    Attributes:
        prompt: the prompt.
        completions: completions of the prompt.
    """

    prompt: str
    completions: list[str]


@dataclass(frozen=True)
class Preferences:
    """The preferences of annotators.

    Attributes:
        sentence_reward: reward of a sentence.
        label_thresholds: thresholds of a lenient and of a strict annotator; a label is positive above the threshold.
    """

    sentence_reward: SentenceReward = gold_sentence_reward
    label_thresholds: tuple[float, float] = (-0.5, 0.5)


GOLD_PREFERENCES = Preferences()


class Annotator:
    """An annotator who rates texts by their sentences, with random errors.

    Args:
        noise: probability that the reward of a sentence is replaced by a uniform draw from −1, 0 and 1.
        seed: seed of the errors.
        preferences: preferences without errors; by default the gold reward.
    """

    def __init__(self, noise: float = 0.0, seed: int = 0, preferences: Preferences = GOLD_PREFERENCES) -> None:
        self.noise, self.seed, self.preferences = noise, seed, preferences
        self._random = Random(seed)

    def panel(self, count: int) -> list["Annotator"]:
        """Return several annotators with the same preferences and independent errors."""
        seeds = range(self.seed * count, (self.seed + 1) * count)
        return [Annotator(self.noise, seed, self.preferences) for seed in seeds]

    def rate_sentences(self, prompt: str, completion: str) -> list[float]:
        """Return the rating of each sentence of a completion: −1, 0 or 1."""
        rewards = sentence_rewards(completion, prompt, self.preferences.sentence_reward)
        return [self._with_errors(reward) for reward in rewards]

    def rate(self, prompt: str, completion: str) -> float:
        """Return the rating of a completion, from −1 to 1."""
        return mean_reward(self.rate_sentences(prompt, completion))

    def rate_completions(self, sample: Sample) -> list[float]:
        """Return the rating of each completion of a sample."""
        return [self.rate(sample.prompt, completion) for completion in sample.completions]

    def _with_errors(self, reward: float) -> float:
        return self._random.choice(POSSIBLE_REWARDS) if self._random.random() < self.noise else reward
