"""The gold reward of the synthetic task: the mean sentiment of the sentences of a story."""

import re
from collections.abc import Callable, Sequence

from rlhf_losses.sandbox.vocabulary import NEGATIVE_WORDS, POSITIVE_WORDS, SUBJECTS, VERBS

SentenceReward = Callable[[str], float]
"""Function from a sentence to its reward: −1, 0 or 1."""

MIN_SENTENCES = 3
LOWEST_REWARD = -1.0


def gold_sentence_reward(sentence: str) -> float:
    """Return the gold reward of a sentence: 1 for positive, 0 for neutral and −1 for negative sentiment.

    The sentiment compares the number of different positive words with that of negative words. A text without a
    subject, without a verb or without a final full stop has the reward −1.

    Examples:
        >>> gold_sentence_reward("The gentle fox met Mia."), gold_sentence_reward("The fox met Mia.")
        (1.0, 0.0)
        >>> gold_sentence_reward("gentle happy.")
        -1.0
    """
    words = set(re.findall(r"\w+", sentence))
    if not (words & SUBJECTS and words & VERBS and sentence.endswith(".")):
        return LOWEST_REWARD
    positive, negative = len(words & POSITIVE_WORDS), len(words & NEGATIVE_WORDS)
    return float((positive > negative) - (positive < negative))


def sentence_rewards(
    text: str, prompt: str = "", sentence_reward: SentenceReward = gold_sentence_reward
) -> list[float]:
    """Return the reward of each sentence of a text; a repeated sentence has the reward −1.

    Args:
        text: a completion.
        prompt: prompt of the completion; sentences of the prompt count as repeated.
        sentence_reward: reward of a sentence that is not repeated.

    Examples:
        >>> sentence_rewards("They danced under the moon. The grumpy deer met Mia. They danced under the moon.")
        [1.0, -1.0, -1.0]
    """
    earlier = {sentence.strip() for sentence in split_sentences(prompt)}
    rewards = []
    for sentence in map(str.strip, split_sentences(text)):
        rewards.append(LOWEST_REWARD if sentence in earlier else sentence_reward(sentence))
        earlier.add(sentence)
    return rewards


def mean_reward(rewards: Sequence[float]) -> float:
    """Return the reward of a text from those of its sentences: their mean, with −1 for each missing sentence.

    A text needs at least three sentences.

    Examples:
        >>> mean_reward([1.0, 1.0, 1.0, 0.0]), mean_reward([1.0])
        (0.75, -0.3333333333333333)
    """
    padded = [*rewards, *[LOWEST_REWARD] * (MIN_SENTENCES - len(rewards))]
    return sum(padded) / len(padded)


def completion_reward(prompt: str, completion: str, sentence_reward: SentenceReward = gold_sentence_reward) -> float:
    """Return the reward of a completion, from −1 to 1.

    Args:
        prompt: the prompt.
        completion: the completion.
        sentence_reward: reward of a sentence; by default the gold reward.

    Examples:
        >>> prompt = "Once there was a fox."
        >>> completion_reward(prompt, " They danced. Mia hugged the gentle fox. They sang and were sad.")
        0.6666666666666666
        >>> completion_reward(prompt, "")
        -1.0
    """
    return mean_reward(sentence_rewards(completion, prompt, sentence_reward))


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, each with the white space before it; the last one can be incomplete.

    Examples:
        >>> split_sentences(" They sat. They")
        [' They sat.', ' They']
    """
    return [sentence for sentence in re.findall(r"[^.]*\.|[^.]+$", text) if sentence.strip()]
