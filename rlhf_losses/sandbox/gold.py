"""The gold reward: kind sentences count up, gloomy ones down.

A sentence is worth 1 if it has more kind words than gloomy ones, −1 if it has fewer, and 0 if as many. What
is no sentence of a story, or repeats an earlier one, is worth −1. A text is worth the mean of its sentences,
and each sentence short of three counts −1.
"""

import re
from collections.abc import Callable, Sequence

from rlhf_losses.sandbox.words import ACTIONS, GLOOMY, KIND, WHO

Judge = Callable[[str], float]
"""What a sentence is worth by itself: −1, 0 or 1."""

FEWEST_SENTENCES = 3
WORST = -1.0


def worth(prompt: str, completion: str, judge: Judge | None = None) -> float:
    """Return the worth of a completion, from −1 to 1, by gold or as somebody else judges its sentences.

    >>> worth("Once there was a fox.", " They danced. Mia hugged the gentle fox. They sang and were sad.")
    0.6666666666666666
    >>> worth("Once there was a fox.", "")
    -1.0
    """
    return mean_worth(sentences(completion, prompt, judge or sentence_gold))


def mean_worth(worths: Sequence[float]) -> float:
    """Return what a text of such sentences is worth.

    >>> mean_worth([1.0, 1.0, 1.0, 0.0]), mean_worth([1.0])
    (0.75, -0.3333333333333333)
    """
    all_worths = [*worths, *[WORST] * (FEWEST_SENTENCES - len(worths))]
    return sum(all_worths) / len(all_worths)


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


def sentences(text: str, prompt: str = "", judge: Judge = sentence_gold) -> list[float]:
    """Return the worth of each sentence, from −1 to 1; what the prompt says already counts as said.

    >>> sentences("They danced under the bright moon. The grumpy deer met Mia. They danced under the bright moon.")
    [1.0, -1.0, -1.0]
    """
    seen = {sentence.strip() for sentence in split_sentences(prompt)}
    worths = []
    for sentence in map(str.strip, split_sentences(text)):
        worths.append(WORST if sentence in seen else judge(sentence))
        seen.add(sentence)
    return worths


def split_sentences(text: str) -> list[str]:
    """Return the sentences, each with the white space before it; the last one may be unfinished.

    >>> split_sentences(" They sat. They")
    [' They sat.', ' They']
    """
    return [sentence for sentence in re.findall(r"[^.]*\.|[^.]+$", text) if sentence.strip()]
