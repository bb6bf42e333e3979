"""A task like the synthetic one, with a pretrained language model of TinyStories.

The reward of a sentence is 1 with more positive than negative words, −1 with fewer, and 0 with equally many. The reward
of a story follows from its sentences as in `rlhf_losses.sandbox.gold_reward`.
"""

import re
from itertools import product
from pathlib import Path
from random import Random

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_losses.sandbox import Preferences, SyntheticTask

POSITIVE_WORDS = re.compile(
    r"\b(beautiful|best|excited|friends?|fun|glad|good|happ(y|ily)|help(ed)?|hug(ged)?|kind|laughed|liked?|loved?|nice|"
    r"play(ed|ing)?|pretty|proud|safe|shared?|smiled?|special|thanks?|together|wonderful)\b"
)
NEGATIVE_WORDS = re.compile(
    r"\b(afraid|alone|angry|bad|broken?|cr(ied|y)|dark|fell|hurt|lonely|lost|mad|mean|sad(ly)?|scared|tired|upset|"
    r"worried)\b"
)
NAMES = ("Lily", "Tom", "Ben", "Anna", "Sam", "Mia", "Max", "Sue")
THINGS = ("ball", "kite", "doll", "book", "car", "hat")
PLACES = ("park", "garden")
PROMPTS = [f"One day, {n} went to the {p} with a {t}." for n, t, p in product(NAMES, THINGS, PLACES)]
NUM_HELDOUT = 32


def build_tinystories_task(model: str | Path, seed: int) -> SyntheticTask:
    """Return the task of a language model.

    Args:
        model: folder of the language model.
        seed: seed of the split into training and held-out prompts.
    """
    prompts = Random(seed).sample(PROMPTS, len(PROMPTS))
    return SyntheticTask(
        seed=seed,
        tokenizer=AutoTokenizer.from_pretrained(model, padding_side="left"),
        language_model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        train_prompts=tuple(prompts[NUM_HELDOUT:]),
        heldout_prompts=tuple(prompts[:NUM_HELDOUT]),
        preferences=Preferences(sentiment, label_thresholds=(0.0, 0.3)),
    )


def sentiment(sentence: str) -> float:
    """Return the reward of a sentence.

    Examples:
        >>> [sentiment(text) for text in ("Tom was happy.", "Tom was sad.", "Tom ran.", "A kind, sad friend.")]
        [1.0, -1.0, 0.0, 1.0]
    """
    positive, negative = (len(words.findall(sentence.lower())) for words in (POSITIVE_WORDS, NEGATIVE_WORDS))
    return float((positive > negative) - (positive < negative))
