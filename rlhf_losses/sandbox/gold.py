"""The gold reward: kind sentences count up, gloomy ones down.

A sentence is worth 1 if it has more kind words than gloomy ones, −1 if it has fewer, and 0 if as many. What
is no sentence of a story, or repeats an earlier one, is worth −1. A text is worth the mean of its sentences,
and each sentence short of three counts −1.
"""

import re
from typing import Any

from rlhf_losses.sandbox.words import ACTIONS, GLOOMY, KIND, WHO

FEWEST_SENTENCES = 3
WORST = -1.0


def worth(prompt: str, completion: str) -> float:
    """Return the known worth of a completion, from −1 to 1.

    >>> worth("Once there was a fox.", " They danced. Mia hugged the gentle fox. They sang and were sad.")
    0.6666666666666666
    >>> worth("Once there was a fox.", "")
    -1.0
    """
    worths = sentences(completion, prompt)
    worths += [WORST] * (FEWEST_SENTENCES - len(worths))
    return sum(worths) / len(worths)


def gold_rewards(prompts: list[str], completions: list[str], **ignored: Any) -> list[float]:
    """Return the gold of each completion; TRL takes this as a reward function.

    >>> gold_rewards(["Once."], ["Nora."])
    [-1.0]
    """
    return [worth(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]


def sentences(text: str, prompt: str = "") -> list[float]:
    """Return the worth of each sentence, from −1 to 1; what the prompt says already counts as said.

    >>> sentences("They danced under the bright moon. The grumpy deer met Mia. They danced under the bright moon.")
    [1.0, -1.0, -1.0]
    """
    seen = {sentence.strip() for sentence in split_sentences(prompt)}
    worths = []
    for sentence in map(str.strip, split_sentences(text)):
        worths.append(WORST if sentence in seen else sentence_gold(sentence))
        seen.add(sentence)
    return worths


def sentence_gold(sentence: str) -> float:
    """Return the worth of one sentence by itself.

    >>> sentence_gold("The gentle fox met Mia."), sentence_gold("The fox met Mia."), sentence_gold("gentle happy.")
    (1.0, 0.0, -1.0)
    """
    words = set(re.findall(r"\w+", sentence))
    if not (words & WHO and words & ACTIONS and sentence.endswith(".")):
        return WORST
    kind, gloomy = len(words & KIND), len(words & GLOOMY)
    return float((kind > gloomy) - (kind < gloomy))


def split_sentences(text: str) -> list[str]:
    """Return the sentences, each with the white space before it; the last one may be unfinished.

    >>> split_sentences(" They sat. They")
    [' They sat.', ' They']
    """
    return [sentence for sentence in re.findall(r"[^.]*\.|[^.]+$", text) if sentence.strip()]
