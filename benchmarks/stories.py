"""A world around a language model that was not made here: TinyStories, and somebody who likes kind sentences.

A seed draws which prompts are trained on. A sentence is worth 1 if it has more kind words than gloomy ones, −1 if it
has fewer, and 0 if as many; a story is worth what `rlhf_losses.sandbox.gold` makes of that.
"""

import re
from itertools import product
from pathlib import Path
from random import Random

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_losses.sandbox.annotators import Taste
from rlhf_losses.sandbox.world import World

KIND = re.compile(
    r"\b(beautiful|best|excited|friends?|fun|glad|good|happ(y|ily)|help(ed)?|hug(ged)?|kind|laughed|liked?|loved?|nice|"
    r"play(ed|ing)?|pretty|proud|safe|shared?|smiled?|special|thanks?|together|wonderful)\b"
)
GLOOMY = re.compile(
    r"\b(afraid|alone|angry|bad|broken?|cr(ied|y)|dark|fell|hurt|lonely|lost|mad|mean|sad(ly)?|scared|tired|upset|"
    r"worried)\b"
)
NAMES = ("Lily", "Tom", "Ben", "Anna", "Sam", "Mia", "Max", "Sue")
THINGS = ("ball", "kite", "doll", "book", "car", "hat")
PLACES = ("park", "garden")
PROMPTS = [f"One day, {n} went to the {p} with a {t}." for n, t, p in product(NAMES, THINGS, PLACES)]
HELDOUT = 32


def stories_world(model: str | Path, seed: int) -> World:
    """Return the world of a language model in a folder."""
    prompts = Random(seed).sample(PROMPTS, len(PROMPTS))
    return World(
        seed=seed,
        tokenizer=AutoTokenizer.from_pretrained(model, padding_side="left"),
        language_model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        train_prompts=tuple(prompts[HELDOUT:]),
        heldout_prompts=tuple(prompts[:HELDOUT]),
        taste=Taste(kindness, bars=(0.0, 0.3)),
    )


def kindness(sentence: str) -> float:
    """Return what a sentence is worth.

    >>> kindness("Tom was happy."), kindness("Tom was sad."), kindness("Tom ran."), kindness("A kind, sad friend.")
    (1.0, -1.0, 0.0, 1.0)
    """
    kind, gloomy = (len(words.findall(sentence.lower())) for words in (KIND, GLOOMY))
    return float((kind > gloomy) - (kind < gloomy))
