"""Simulated annotators: sampled completions in, any shape of feedback out.

An annotator knows what each sentence is worth (the gold, unless told otherwise), but with probability `noise`
misreads one and takes it for any of the three worths that a sentence can have. All that annotators say follows
from what they read: of two texts they prefer the one whose sentences are better on average; they call good what
reads better than their bar.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from random import Random
from typing import Any, NamedTuple

from datasets import Dataset

from rlhf_losses.feedback import (
    Attributes,
    Feedback,
    Labels,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
)
from rlhf_losses.sandbox.gold import Judge, mean_worth, sentence_gold, sentences, split_sentences

SENTENCE_WORTHS = (-1.0, 0.0, 1.0)
STRENGTHS = (0.001, 0.5, 1.0)
"""The leads in worth from which one text is slightly, clearly and far better than another."""


class Sample(NamedTuple):
    """One prompt and some completions of it."""

    prompt: str
    completions: list[str]


class Taste(NamedTuple):
    """What a sentence is worth, and the lenient and the strict bar above which something is called good."""

    judge: Judge = sentence_gold
    bars: tuple[float, float] = (-0.5, 0.5)


GOLD = Taste()
"""The taste of the sandbox."""


class Annotator:
    """Somebody of a taste who reads with chosen noise: 0 reads right, 1 guesses every sentence."""

    def __init__(self, noise: float = 0.0, seed: int = 0, taste: Taste = GOLD) -> None:
        self.noise, self.seed, self.taste = noise, seed, taste
        self._random = Random(seed)

    def panel(self, count: int) -> list["Annotator"]:
        """Return annotators like this one, each with errors of its own."""
        seeds = range(self.seed * count, (self.seed + 1) * count)
        return [Annotator(self.noise, seed, self.taste) for seed in seeds]

    def read_sentences(self, prompt: str, completion: str) -> list[float]:
        """Return the worth of each sentence as this annotator reads it."""
        return [self._misread(worth) for worth in sentences(completion, prompt, self.taste.judge)]

    def read(self, prompt: str, completion: str) -> float:
        """Return the worth of a text as this annotator reads it."""
        return mean_worth(self.read_sentences(prompt, completion))

    def read_all(self, sample: Sample) -> list[float]:
        """Return the worth of each completion as this annotator reads it."""
        return [self.read(sample.prompt, completion) for completion in sample.completions]

    def _misread(self, worth: float) -> float:
        return self._random.choice(SENTENCE_WORTHS) if self._random.random() < self.noise else worth


def pairs(
    samples: Iterable[Sample],
    annotator: Annotator,
    columns: Sequence[str] = ("prompt", "chosen", "rejected"),
) -> Dataset:
    """Return the first completion against the second, the third against the fourth and so on.

    `columns` may name `margin` (how much better the chosen one reads) and `preference` (0.5 for a tie, else 1)
    too. Ties are dropped unless there is a `preference` to say so.
    """
    rows = []
    for sample in samples:
        read = list(zip(annotator.read_all(sample), sample.completions, strict=True))
        for couple in zip(read[::2], read[1::2], strict=False):
            (best, chosen), (worst, rejected) = sorted(couple, key=lambda one: -one[0])
            row = {"prompt": sample.prompt, "chosen": chosen, "rejected": rejected, "margin": best - worst}
            if best > worst or "preference" in columns:
                rows.append(row | {"preference": 1.0 if best > worst else 0.5})
    return Dataset.from_list(rows).select_columns(list(columns))


def rankings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the completions of each prompt with their ranks: 1 is best, equal ranks are ties."""
    rows = []
    for sample in samples:
        read = annotator.read_all(sample)
        order = sorted(set(read), reverse=True)
        rows.append({**sample._asdict(), "ranks": [order.index(worth) + 1 for worth in read]})
    return Dataset.from_list(rows)


def stepwise_rankings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the completions of each prompt, each as its sentences, with their ranks."""
    rows = []
    for prompt, completions in samples:
        told = Sample(prompt, [completion for completion in completions if split_sentences(completion)])
        if len(told.completions) < 2:
            continue
        read = annotator.read_all(told)
        order = sorted(set(read), reverse=True)
        steps = [split_sentences(completion) for completion in told.completions]
        rows.append({"prompt": prompt, "completion_steps": steps, "ranks": [order.index(w) + 1 for w in read]})
    return Dataset.from_list(rows)


def ratings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return one completion a row with its rating, from −1 to 1."""
    return _one_a_row(samples, lambda prompt, completion: {"rating": annotator.read(prompt, completion)})


def rating_lists(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the completions of each prompt with their ratings, from −1 to 1."""
    return Dataset.from_list([{**sample._asdict(), "ratings": annotator.read_all(sample)} for sample in samples])


def labels(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return one completion a row; a lenient and a strict annotator take turns to label what reads better than a bar.

    With one bar for all, labels would say nothing about which of two good texts is the better one.
    """
    bars = cycle(annotator.taste.bars)
    return _one_a_row(samples, lambda prompt, completion: {"label": annotator.read(prompt, completion) > next(bars)})


def steps(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the sentences of one completion a row, labelled by a lenient and a strict annotator in turn."""
    rows = zip(_step_rows(samples, annotator), cycle(annotator.taste.bars))
    return Dataset.from_list([row | {"labels": [worth > bar for worth in row["labels"]]} for row, bar in rows])


def rated_steps(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the sentences of one completion a row, each with the worth that it reads as: −1, 0 or 1."""
    return Dataset.from_list(_step_rows(samples, annotator))


def votes(samples: Iterable[Sample], annotator: Annotator, voters: int = 5) -> Dataset:
    """Return pairs of completions, how many voters preferred each, and how many saw a tie."""
    panel = annotator.panel(voters)
    rows = []
    for sample in samples:
        for couple in zip(sample.completions[::2], sample.completions[1::2], strict=False):
            read = [voter.read_all(Sample(sample.prompt, list(couple))) for voter in panel]
            counts = [sum(a > b for a, b in read), sum(a < b for a, b in read)]
            rows.append({"prompt": sample.prompt, "completions": couple, "votes": counts, "ties": voters - sum(counts)})
    return Dataset.from_list(rows)


def strengths(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return pairs as `pairs` does, with how much better the chosen one reads in words: 0 for a tie, then 1, 2 or 3."""
    said = pairs(samples, annotator, columns=("prompt", "chosen", "rejected", "margin", "preference"))
    return said.map(lambda row: {"margin": float(bisect_left(STRENGTHS, row["margin"]))})


def stars(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return one completion a row with one to five stars."""
    return _one_a_row(samples, lambda prompt, text: {"rating": 1.0 + round(2 * (1 + annotator.read(prompt, text)))})


def attributes(
    samples: Iterable[Sample],
    annotator: Annotator,
    names: Sequence[str] = ("helpfulness", "correctness"),
) -> Dataset:
    """Return one completion a row, rated by an annotator for each attribute, on a scale of its own.

    Every other row has the first attribute alone.
    """
    panel = annotator.panel(len(names))
    alone = cycle((False, True))

    def rate(prompt: str, completion: str) -> dict[str, Any]:
        read = [place + (1 + place) * one.read(prompt, completion) for place, one in enumerate(panel)]
        told = read[:1] + [None] * (len(read) - 1) if next(alone) else read
        return {"attributes": dict(zip(names, told, strict=True))}

    return _one_a_row(samples, rate)


SHAPES: dict[type[Feedback], Callable[..., Dataset]] = {
    Pairs: pairs,
    Rankings: rankings,
    Ratings: ratings,
    Labels: labels,
    Steps: steps,
    StepwiseRankings: stepwise_rankings,
    Votes: votes,
    Attributes: attributes,
}
"""AttentionOptions each kind of feedback is given."""


def annotate(kind: type[Feedback], samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return feedback of one kind on the samples.

    >>> annotate(Labels, [Sample("Once.", [" They sat."])], Annotator())["label"][0]
    False
    """
    return SHAPES[kind](samples, annotator)


def _step_rows(samples: Iterable[Sample], annotator: Annotator) -> list[dict[str, Any]]:
    rows = []
    for sample in samples:
        for completion in filter(split_sentences, sample.completions):
            read = annotator.read_sentences(sample.prompt, completion)
            rows.append({"prompt": sample.prompt, "completions": split_sentences(completion), "labels": read})
    return rows


def _one_a_row(samples: Iterable[Sample], say: Callable[[str, str], dict[str, Any]]) -> Dataset:
    rows = [
        {"prompt": sample.prompt, "completion": completion, **say(sample.prompt, completion)}
        for sample in samples
        for completion in sample.completions
    ]
    return Dataset.from_list(rows)
