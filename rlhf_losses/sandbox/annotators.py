"""Simulated annotators: sampled completions in, any shape of feedback out.

An annotator knows the gold worth of each sentence, but with probability `noise` misreads one and takes it
for any of the three worths that a sentence can have. All that annotators say follows from what they read: of
two texts they prefer the one whose sentences are better on average; they call good what reads better than
their bar.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle
from random import Random
from statistics import mean
from typing import Any, NamedTuple

import torch
from datasets import Dataset, concatenate_datasets

from rlhf_losses.errors import FeedbackMismatch, InvalidFeedback
from rlhf_losses.feedback import (
    ALWAYS_THERE,
    Attributes,
    Feedback,
    Labels,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
    kinds_in_columns,
)
from rlhf_losses.losses import Loss, MultiAttribute
from rlhf_losses.sandbox.gold import FEWEST_SENTENCES, WORST, sentences, split_sentences

SENTENCE_WORTHS = (-1.0, 0.0, 1.0)
STRENGTHS = (0.001, 0.5, 1.0)
"""The leads in worth from which one text is slightly, clearly and far better than another."""
LENIENT, STRICT = -0.5, 0.5
"""The bars above which a lenient and a strict annotator call a text good."""


class Sample(NamedTuple):
    """One prompt and some completions of it."""

    prompt: str
    completions: list[str]


class Annotator:
    """Somebody who reads with chosen noise: 0 reads the gold itself, 1 guesses every sentence."""

    def __init__(self, noise: float = 0.0, seed: int = 0) -> None:
        self.noise = noise
        self._random = Random(seed)

    def read_sentences(self, prompt: str, completion: str) -> list[float]:
        """Return the worth of each sentence as this annotator reads it."""
        return [self._misread(worth) for worth in sentences(completion, prompt)]

    def read(self, prompt: str, completion: str) -> float:
        """Return the worth of a text as this annotator reads it."""
        worths = self.read_sentences(prompt, completion)
        return mean(worths + [WORST] * (FEWEST_SENTENCES - len(worths)))

    def read_all(self, sample: Sample) -> list[float]:
        """Return the worth of each completion as this annotator reads it."""
        return [self.read(sample.prompt, completion) for completion in sample.completions]

    def _misread(self, worth: float) -> float:
        return self._random.choice(SENTENCE_WORTHS) if self._random.random() < self.noise else worth


def pairs(
    samples: Iterable[Sample],
    noise: float = 0.0,
    seed: int = 0,
    columns: Sequence[str] = ("prompt", "chosen", "rejected"),
) -> Dataset:
    """Return the first completion against the second, the third against the fourth and so on.

    `columns` may name `margin` (how much better the chosen one reads) and `preference` (0.5 for a tie, else 1)
    too. Ties are dropped unless there is a `preference` to say so.
    """
    annotator, rows = Annotator(noise, seed), []
    for sample in samples:
        read = list(zip(annotator.read_all(sample), sample.completions, strict=True))
        for couple in zip(read[::2], read[1::2], strict=False):
            (best, chosen), (worst, rejected) = sorted(couple, key=lambda one: -one[0])
            row = {"prompt": sample.prompt, "chosen": chosen, "rejected": rejected, "margin": best - worst}
            if best > worst or "preference" in columns:
                rows.append(row | {"preference": 1.0 if best > worst else 0.5})
    return Dataset.from_list(rows).select_columns(list(columns))


def rankings(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return the completions of each prompt with their ranks: 1 is best, equal ranks are ties."""
    annotator, rows = Annotator(noise, seed), []
    for sample in samples:
        read = annotator.read_all(sample)
        order = sorted(set(read), reverse=True)
        rows.append({**sample._asdict(), "ranks": [order.index(worth) + 1 for worth in read]})
    return Dataset.from_list(rows)


def stepwise_rankings(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return the completions of each prompt, each as its sentences, with their ranks."""
    annotator, rows = Annotator(noise, seed), []
    for prompt, completions in samples:
        told = Sample(prompt, [completion for completion in completions if split_sentences(completion)])
        if len(told.completions) < 2:
            continue
        read = annotator.read_all(told)
        order = sorted(set(read), reverse=True)
        steps = [split_sentences(completion) for completion in told.completions]
        rows.append({"prompt": prompt, "completion_steps": steps, "ranks": [order.index(w) + 1 for w in read]})
    return Dataset.from_list(rows)


def ratings(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return one completion a row with its rating, from −1 to 1."""
    annotator = Annotator(noise, seed)
    return _one_a_row(samples, lambda prompt, completion: {"rating": annotator.read(prompt, completion)})


def rating_lists(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return the completions of each prompt with their ratings, from −1 to 1."""
    annotator = Annotator(noise, seed)
    return Dataset.from_list([{**sample._asdict(), "ratings": annotator.read_all(sample)} for sample in samples])


def labels(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return one completion a row; a lenient and a strict annotator take turns to label what reads better than a bar.

    With one bar for all, labels would say nothing about which of two good texts is the better one.
    """
    annotator, bars = Annotator(noise, seed), cycle((LENIENT, STRICT))
    return _one_a_row(samples, lambda prompt, completion: {"label": annotator.read(prompt, completion) > next(bars)})


def steps(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return the sentences of one completion a row, labelled by a lenient and a strict annotator in turn."""
    rows = zip(_step_rows(samples, noise, seed), cycle((LENIENT, STRICT)))
    return Dataset.from_list([row | {"labels": [worth > bar for worth in row["labels"]]} for row, bar in rows])


def rated_steps(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return the sentences of one completion a row, each with the worth that it reads as: −1, 0 or 1."""
    return Dataset.from_list(_step_rows(samples, noise, seed))


def votes(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0, voters: int = 5) -> Dataset:
    """Return pairs of completions, how many voters preferred each, and how many saw a tie."""
    panel = [Annotator(noise, seed * voters + voter) for voter in range(voters)]
    rows = []
    for sample in samples:
        for couple in zip(sample.completions[::2], sample.completions[1::2], strict=False):
            read = [annotator.read_all(Sample(sample.prompt, list(couple))) for annotator in panel]
            counts = [sum(a > b for a, b in read), sum(a < b for a, b in read)]
            rows.append({"prompt": sample.prompt, "completions": couple, "votes": counts, "ties": voters - sum(counts)})
    return Dataset.from_list(rows)


def strengths(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return pairs as `pairs` does, with how much better the chosen one reads in words: 0 for a tie, then 1, 2 or 3."""
    said = pairs(samples, noise, seed, columns=("prompt", "chosen", "rejected", "margin", "preference"))
    return said.map(lambda row: {"margin": float(bisect_left(STRENGTHS, row["margin"]))})


def stars(samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return one completion a row with one to five stars."""
    annotator = Annotator(noise, seed)
    return _one_a_row(samples, lambda prompt, text: {"rating": 1.0 + round(2 * (1 + annotator.read(prompt, text)))})


def attributes(
    samples: Iterable[Sample],
    noise: float = 0.0,
    seed: int = 0,
    names: Sequence[str] = ("helpfulness", "correctness"),
) -> Dataset:
    """Return one completion a row, rated by an annotator for each attribute, on a scale of its own.

    Every other row has the first attribute alone.
    """
    panel = [Annotator(noise, seed * len(names) + place) for place in range(len(names))]
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
"""How each kind of feedback is given."""


def annotate(kind: type[Feedback], samples: Iterable[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return feedback of one kind on the samples.

    >>> annotate(Labels, [Sample("Once.", [" They sat."])])["label"][0]
    False
    """
    return SHAPES[kind](samples, noise, seed)


def feedback_for(loss: Loss, samples: Sequence[Sample], noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return feedback that holds every kind which the terms of `loss` read, each in rows of its own.

    Steps are rated where the loss takes ratings, and labelled where it does not; pairs have strengths and ratings
    are stars where the loss asks for that.

    Raises:
        FeedbackMismatch: the loss only regularizes, or reads kinds that one table cannot hold.
    """
    if only_regularizes(loss):
        raise FeedbackMismatch(
            f"{loss} looks at scores only, so no feedback can teach it which text is better. "
            f"Add it to a loss that reads feedback, like 'bradley_terry + 0.01 * {loss}'."
        )
    read = dict.fromkeys(term.loss.reads for term in loss.terms if term.loss.reads not in ALWAYS_THERE)
    tables = [_shape_for(kind, loss)(samples, noise, seed) for kind in read]
    kinds_in_columns(name for table in tables for name in table.column_names)
    return concatenate_datasets(tables)


def only_regularizes(loss: Loss) -> bool:
    """Tell whether what people said changes nothing about the cost.

    >>> from rlhf_losses.losses import bradley_terry, centering, score_decay
    >>> [only_regularizes(loss) for loss in (centering, centering + score_decay, bradley_terry + centering)]
    [True, True, False]
    """
    return all(_is_indifferent(term.loss) for term in loss.terms)


def _is_indifferent(loss: Loss) -> bool:
    if loss.reads is not Pairs:
        return loss.reads in ALWAYS_THERE
    scores = torch.tensor([1.0, -2.0])
    first, second = torch.tensor([0]), torch.tensor([1])
    said, opposite = Pairs(first, second), Pairs(second, first)
    return torch.equal(loss.price(scores, said), loss.price(scores, opposite))


def _shape_for(kind: type[Feedback], loss: Loss) -> Callable[..., Dataset]:
    if kind is Pairs and not _accepts(loss, Pairs(torch.tensor([0]), torch.tensor([1]))):
        return strengths
    if kind is Attributes:
        weighed = [term.loss.by_name for term in loss.terms if isinstance(term.loss, MultiAttribute)]
        return partial(attributes, names=tuple(dict.fromkeys(name for names in weighed for name in names)))
    if kind is Ratings and not _accepts(loss, Ratings(torch.tensor([0]), torch.tensor([0.5]), torch.tensor([1]))):
        return stars
    stepwise = [term.loss for term in loss.terms if term.loss.reads is kind is Steps]
    return rated_steps if stepwise and all(map(_takes_ratings, stepwise)) else SHAPES[kind]


def _takes_ratings(loss: Loss) -> bool:
    return _accepts(loss, Steps(torch.tensor([0, 1]), torch.tensor([0.5, -1.0])))


def _accepts(loss: Loss, feedback: Feedback) -> bool:
    try:
        for term in loss.terms:
            if type(feedback).reaches(term.loss.reads):
                term.loss.check(feedback)
    except InvalidFeedback:
        return False
    return True


def _step_rows(samples: Iterable[Sample], noise: float, seed: int) -> list[dict[str, Any]]:
    annotator, rows = Annotator(noise, seed), []
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
