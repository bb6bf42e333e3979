"""Simulated feedback: one function per feedback type, from samples and an annotator to a dataset."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import Any

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
from rlhf_losses.sandbox.annotators import Annotator, Sample
from rlhf_losses.sandbox.gold_reward import split_sentences

GRADE_THRESHOLDS = (0.001, 0.5, 1.0)
"""Smallest differences between two ratings for the grades slightly, clearly and much better."""


def annotate(feedback_type: type[Feedback], samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return a dataset with one type of feedback on samples.

    Args:
        feedback_type: a feedback type of `rlhf_losses.feedback`.
        samples: prompts with completions.
        annotator: source of the ratings.

    Examples:
        >>> annotate(Labels, [Sample("Once.", [" They sat."])], Annotator())["label"][0]
        False
    """
    return ANNOTATIONS[feedback_type](samples, annotator)


def pairs(
    samples: Iterable[Sample],
    annotator: Annotator,
    columns: Sequence[str] = ("prompt", "chosen", "rejected"),
) -> Dataset:
    """Return pairs: the first completion of a sample with the second, the third with the fourth, and so on.

    Args:
        samples: prompts with completions.
        annotator: source of the ratings.
        columns: columns of the dataset; `margin` (difference of the ratings) and `preference` (0.5 for a tie, else 1)
            are also available. Without the column `preference`, ties are dropped.
    """
    rows = []
    for sample in samples:
        rated = list(zip(annotator.rate_completions(sample), sample.completions, strict=True))
        for couple in zip(rated[::2], rated[1::2], strict=False):
            (best, chosen), (worst, rejected) = sorted(couple, key=lambda one: -one[0])
            row = {"prompt": sample.prompt, "chosen": chosen, "rejected": rejected, "margin": best - worst}
            if best > worst or "preference" in columns:
                rows.append(row | {"preference": 1.0 if best > worst else 0.5})
    return Dataset.from_list(rows).select_columns(list(columns))


def graded_pairs(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return pairs with grades as margins: 0 for a tie, 1 slightly better, 2 clearly better, 3 much better."""
    dataset = pairs(samples, annotator, columns=("prompt", "chosen", "rejected", "margin", "preference"))
    return dataset.map(lambda row: {"margin": float(bisect_left(GRADE_THRESHOLDS, row["margin"]))})


def rankings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the completions of each prompt with ranks: 1 is best, equal ranks are ties."""
    rows = [{**sample._asdict(), "ranks": _ranks(annotator.rate_completions(sample))} for sample in samples]
    return Dataset.from_list(rows)


def stepwise_rankings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the completions of each prompt as lists of sentences, with ranks."""
    rows = []
    for prompt, completions in samples:
        sample = Sample(prompt, [completion for completion in completions if split_sentences(completion)])
        if len(sample.completions) < 2:
            continue
        ranks = _ranks(annotator.rate_completions(sample))
        steps = [split_sentences(completion) for completion in sample.completions]
        rows.append({"prompt": prompt, "completion_steps": steps, "ranks": ranks})
    return Dataset.from_list(rows)


def ratings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return one completion per row with its rating, from −1 to 1."""
    return _one_per_row(samples, lambda prompt, completion: {"rating": annotator.rate(prompt, completion)})


def star_ratings(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return one completion per row with a rating from 1 to 5 stars."""
    return _one_per_row(samples, lambda prompt, text: {"rating": 1.0 + round(2 * (1 + annotator.rate(prompt, text)))})


def rating_lists(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the completions of each prompt with their ratings, from −1 to 1."""
    rows = [{**sample._asdict(), "ratings": annotator.rate_completions(sample)} for sample in samples]
    return Dataset.from_list(rows)


def labels(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return one completion per row with a label; the lenient and the strict threshold alternate.

    With a single threshold, labels would not distinguish between two texts above it.
    """
    thresholds = cycle(annotator.preferences.label_thresholds)
    return _one_per_row(
        samples, lambda prompt, completion: {"label": annotator.rate(prompt, completion) > next(thresholds)}
    )


def rated_steps(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the sentences of one completion per row with their ratings: −1, 0 or 1."""
    return Dataset.from_list(_rated_step_rows(samples, annotator))


def steps(samples: Iterable[Sample], annotator: Annotator) -> Dataset:
    """Return the sentences of one completion per row with labels; the lenient and the strict threshold alternate."""
    rows = zip(_rated_step_rows(samples, annotator), cycle(annotator.preferences.label_thresholds))
    return Dataset.from_list(
        [row | {"labels": [rating > threshold for rating in row["labels"]]} for row, threshold in rows]
    )


def votes(samples: Iterable[Sample], annotator: Annotator, voters: int = 5) -> Dataset:
    """Return pairs of completions with the votes of a panel for each of them and for a tie.

    Args:
        samples: prompts with completions.
        annotator: annotator whose panel votes.
        voters: number of annotators in the panel.
    """
    panel = annotator.panel(voters)
    rows = []
    for sample in samples:
        for couple in zip(sample.completions[::2], sample.completions[1::2], strict=False):
            rated = [voter.rate_completions(Sample(sample.prompt, list(couple))) for voter in panel]
            counts = [sum(a > b for a, b in rated), sum(a < b for a, b in rated)]
            rows.append({"prompt": sample.prompt, "completions": couple, "votes": counts, "ties": voters - sum(counts)})
    return Dataset.from_list(rows)


def attributes(
    samples: Iterable[Sample],
    annotator: Annotator,
    names: Sequence[str] = ("helpfulness", "correctness"),
) -> Dataset:
    """Return one completion per row with a rating per attribute; every second row has the first attribute only.

    Args:
        samples: prompts with completions.
        annotator: annotator whose panel rates, one annotator per attribute.
        names: names of the attributes; each has its own scale.
    """
    panel = annotator.panel(len(names))
    first_only = cycle((False, True))

    def rate(prompt: str, completion: str) -> dict[str, Any]:
        rated = [offset + (1 + offset) * one.rate(prompt, completion) for offset, one in enumerate(panel)]
        values = [*rated[:1], *[None] * (len(rated) - 1)] if next(first_only) else rated
        return {"attributes": dict(zip(names, values, strict=True))}

    return _one_per_row(samples, rate)


ANNOTATIONS: dict[type[Feedback], Callable[..., Dataset]] = {
    Pairs: pairs,
    Rankings: rankings,
    Ratings: ratings,
    Labels: labels,
    Steps: steps,
    StepwiseRankings: stepwise_rankings,
    Votes: votes,
    Attributes: attributes,
}
"""The function for each feedback type."""


def _ranks(ratings: Sequence[float]) -> list[int]:
    order = sorted(set(ratings), reverse=True)
    return [order.index(rating) + 1 for rating in ratings]


def _rated_step_rows(samples: Iterable[Sample], annotator: Annotator) -> list[dict[str, Any]]:
    rows = []
    for sample in samples:
        for completion in filter(split_sentences, sample.completions):
            rated = annotator.rate_sentences(sample.prompt, completion)
            rows.append({"prompt": sample.prompt, "completions": split_sentences(completion), "labels": rated})
    return rows


def _one_per_row(samples: Iterable[Sample], annotation: Callable[[str, str], dict[str, Any]]) -> Dataset:
    rows = [
        {"prompt": sample.prompt, "completion": completion, **annotation(sample.prompt, completion)}
        for sample in samples
        for completion in sample.completions
    ]
    return Dataset.from_list(rows)
