"""Which loss survives which noise? Reward models of the sandbox, trained on feedback that is wrong in known ways.

python benchmarks/noise.py                            # five seeds of every study, results/noise.csv and .png
python benchmarks/noise.py --studies ties --seeds 2
python benchmarks/noise.py --draw                     # the tables and the picture from the CSV

flips: a share of what annotators say is turned round: a pair swapped, a list reversed, a rating negated.
ties: annotators see no score_difference below 0.5, and these pairs are dropped, forced to one side by a coin, or told as ties.
disagreement: five annotators misread half of the sentences, and one of them is heard, their majority, or all votes.
length: annotators add half a standard deviation of words to the worth.

Accuracy is the share of held-out pairs of stories that scores order as gold does; the correlation with length is that
of scores with the number of words, among stories of one prompt, with what gold explains taken out of both.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import mean, pstdev
from typing import Any

import numpy as np
from datasets import Dataset
from seeds import interval
from study import add_output, conduct
from watch import column

from rlhf_losses import parse_loss
from rlhf_losses.feedback import Feedback, Rankings, Ratings
from rlhf_losses.losses import Loss
from rlhf_losses.sandbox import Annotator, Sample, World, build_world, feedback_for
from rlhf_losses.sandbox.annotators import votes
from rlhf_losses.sandbox.loop import train_on_feedback

Told = Callable[[Loss, Sequence[Sample], int], Dataset]
"""What annotators say, for a loss, some samples and a seed."""

PAIRS = (
    "bradley_terry",
    "bradley_terry(label_smoothing=0.2)",
    "robust_bradley_terry(flip_rate=0.3)",
    "hinge",
    "squared_difference",
    "thurstone",
    "davidson",
    "ordinal_preference",
)
LISTS_AND_RATINGS = ("plackett_luce", "squared_error")
WITH_TIES = ("bradley_terry", "hinge", "squared_difference", "rao_kupper", "davidson")
OF_VOTES = ("bradley_terry", "squared_difference", "davidson")
AGAINST_LENGTH = (
    "bradley_terry",
    "bradley_terry + 0.1 * centering",
    "bradley_terry + 0.1 * score_decay",
    "bradley_terry + 0.1 * log_barrier",
    "bradley_terry + 1.0 * length_decorrelation",
    "bradley_terry + 10.0 * length_decorrelation",
    "squared_difference",
    "squared_error",
)
FLIPPED = (0.1, 0.2, 0.3)
RIGHT_RATE = "robust_bradley_terry(flip_rate={})"
PROMPTS, STORIES, EPOCHS = 96, 8, 2
BLINDNESS, VOTERS, VOTERS_NOISE, LIKING = 0.5, 5, 0.5, 0.5


def main() -> None:
    """Train, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--losses", nargs="+", help="only these of the losses of a study")
    parser.add_argument("--seeds", type=int, default=5)
    add_output(parser)
    args = parser.parse_args()
    conduct(
        "noise",
        args,
        lambda: ([*measure(seed, args.studies, args.losses)] for seed in range(args.seeds)),
        lambda rows: report(with_right_rates(rows)),
        lambda rows, picture: draw(with_right_rates(rows), picture),
    )


def measure(seed: int, studies: Sequence[str], only: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each loss and condition of the studies in the world of a seed."""
    world = build_world(seed)
    samples = world.sample(world.train_prompts[:PROMPTS], STORIES, seed)
    heldout = world.sample(world.heldout_prompts, STORIES, seed + 1)
    known: dict[tuple[str, str], dict[str, float]] = {}
    for study in studies:
        for loss, condition, tell in STUDIES[study]():
            if only and loss not in only:
                continue
            if (loss, condition) not in known:
                said = tell(parse_loss(loss), samples, seed)
                known[loss, condition] = quality(world, loss, said, heldout)
            row = {"study": study, "condition": condition, "loss": loss, "seed": seed, **known[loss, condition]}
            print(" ".join(str(value) for value in row.values()), flush=True)
            yield row


def quality(world: World, loss: str, said: Dataset, heldout: Sequence[Sample]) -> dict[str, float]:
    """Train a reward model on what was said and return how it orders held-out stories."""
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_on_feedback(world, parse_loss(loss), said, Path(folder), EPOCHS)
    texts = [(s.prompt, text) for s in heldout for text in s.completions]
    prompts, completions = map(list, zip(*texts, strict=True))
    scores = np.array(scorer(prompts, completions)).reshape(len(heldout), -1)
    gold = world.gold(heldout).double().numpy()
    words = np.array([len(text.split()) for text in completions], dtype=float).reshape(gold.shape)
    return {
        "rows": len(said),
        "accuracy": accuracy(scores, gold),
        "length_correlation": partial_correlation(scores, words, gold),
    }


def accuracy(scores: np.ndarray, gold: np.ndarray) -> float:
    """Return the share of pairs in a row, of those that gold decides, which scores order alike.

    >>> accuracy(np.array([[3.0, 1.0, 2.0]]), np.array([[1.0, 0.0, 0.0]])), accuracy(np.ones((2, 2)), np.eye(2))
    (1.0, 0.0)
    """
    leads, wanted = (x[:, :, None] - x[:, None, :] for x in (scores, gold))
    return float((leads[wanted > 0] > 0).mean())


def partial_correlation(scores: np.ndarray, words: np.ndarray, gold: np.ndarray) -> float:
    """Return the correlation of scores and words within rows, with what gold explains taken out of both.

    >>> gold, words = np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([[5.0, 6.0, 7.0, 8.0]])
    >>> round(partial_correlation(10 * gold + words, words, gold), 6)
    1.0
    """
    scores, words, gold = (x - x.mean(1, keepdims=True) for x in (scores, words, gold))
    left = [x - gold * (x * gold).sum() / (gold**2).sum() for x in (scores, words)]
    return float(np.corrcoef(*(x.ravel() for x in left))[0, 1])


# What annotators say


def honest(loss: Loss, samples: Sequence[Sample], seed: int) -> Dataset:
    """Return feedback without any noise; lists are of four stories."""
    return feedback_for(loss, in_fours(samples) if reads(loss, Rankings) else samples, Annotator(seed=seed))


def flipped(share: float) -> Told:
    """Return feedback of which a share is turned round."""

    def tell(loss: Loss, samples: Sequence[Sample], seed: int) -> Dataset:
        said, chance = honest(loss, samples, seed), Random(seed)
        stars = "rating" in said.column_names and max(said["rating"]) > 1
        return Dataset.from_list([opposite(row, stars) if chance.random() < share else row for row in said])

    return tell


def opposite(row: dict[str, Any], stars: bool = False) -> dict[str, Any]:
    """Return the row that says the opposite; ratings are one to five stars, or above and below 0.

    >>> opposite({"prompt": "Hi.", "chosen": "A", "rejected": "B"})
    {'prompt': 'Hi.', 'chosen': 'B', 'rejected': 'A'}
    >>> opposite({"ranks": [1, 3, 2]}), opposite({"rating": 0.5})
    ({'ranks': [3, 1, 2]}, {'rating': -0.5})
    """
    if "chosen" in row:
        return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
    if "ranks" in row:
        return {**row, "ranks": [max(row["ranks"]) + 1 - rank for rank in row["ranks"]]}
    return {**row, "rating": 6 - row["rating"] if stars else -row["rating"]}


def in_fours(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with four completions each."""
    return [Sample(s.prompt, s.completions[i : i + 4]) for s in samples for i in range(0, len(s.completions), 4)]


def blind(ties: str) -> Told:
    """Return pairs by annotators who see no small score_difference, with their ties dropped, forced or told."""

    def tell(_loss: Loss, samples: Sequence[Sample], seed: int) -> Dataset:
        chance, reader, rows = Random(seed), Annotator(), []
        for prompt, first, second in couples(samples):
            score_difference = reader.read(prompt, first) - reader.read(prompt, second)
            tie = abs(score_difference) < BLINDNESS
            turned = chance.random() < 0.5 if tie else score_difference < 0
            chosen, rejected = (second, first) if turned else (first, second)
            if not (tie and ties == "dropped"):
                row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
                rows.append(row | ({"preference": 0.5 if tie else 1.0} if ties == "told" else {}))
        return Dataset.from_list(rows)

    return tell


def panel(heard: str) -> Told:
    """Return what of a panel of annotators is heard: one of them, their majority, or all votes."""

    def tell(_loss: Loss, samples: Sequence[Sample], seed: int) -> Dataset:
        said = votes(samples, Annotator(VOTERS_NOISE, seed), voters=1 if heard == "one of five" else VOTERS)
        if heard == "all votes":
            return said
        rows = []
        for row in said:
            (first, second), (ours, theirs) = row["completions"], row["votes"]
            if ours != theirs:
                best, worst = (first, second) if ours > theirs else (second, first)
                rows.append({"prompt": row["prompt"], "chosen": best, "rejected": worst})
        return Dataset.from_list(rows)

    return tell


def liking_length(weight: float) -> Told:
    """Return feedback of annotators for whom a story is worth the more the more words it has."""

    def tell(loss: Loss, samples: Sequence[Sample], seed: int) -> Dataset:
        counts = [len(text.split()) for s in samples for text in s.completions]
        middle, spread, reader = mean(counts), pstdev(counts), Annotator()

        def worth(prompt: str, text: str) -> float:
            return reader.read(prompt, text) + weight * (len(text.split()) - middle) / spread

        if reads(loss, Rankings):
            return Dataset.from_list([ranked(s, worth) for s in in_fours(samples)])
        if reads(loss, Ratings):
            return Dataset.from_list(
                [
                    {"prompt": s.prompt, "completion": text, "rating": worth(s.prompt, text)}
                    for s in samples
                    for text in s.completions
                ]
            )
        rows = []
        for prompt, *both in couples(samples):
            worst, best = sorted(both, key=lambda text: worth(prompt, text))
            if worth(prompt, worst) < worth(prompt, best):
                rows.append({"prompt": prompt, "chosen": best, "rejected": worst})
        return Dataset.from_list(rows)

    return tell


def reads(loss: Loss, kind: type[Feedback]) -> bool:
    """Tell whether a term of the loss reads this kind of feedback itself."""
    return any(term.loss.feedback_type is kind for term in loss.terms)


def ranked(sample: Sample, worth: Callable[[str, str], float]) -> dict[str, Any]:
    """Return a list with ranks by a worth."""
    worths = [worth(sample.prompt, text) for text in sample.completions]
    order = sorted(set(worths), reverse=True)
    return {**sample._asdict(), "ranks": [order.index(one) + 1 for one in worths]}


def couples(samples: Sequence[Sample]) -> Iterator[tuple[str, str, str]]:
    """Yield each prompt with its first two stories, the next two, and so on."""
    for s in samples:
        for first, second in zip(s.completions[::2], s.completions[1::2], strict=True):
            yield s.prompt, first, second


# The studies: which loss is trained on what


def flips() -> Iterator[tuple[str, str, Told]]:
    for share in (0.0, *FLIPPED):
        right = (RIGHT_RATE.format(share),) if share in FLIPPED[:-1] else ()  # the last is there, 0 is bradley_terry
        for loss in (*PAIRS, *right, *LISTS_AND_RATINGS):
            yield loss, f"{share:.0%} flipped" if share else "clean", flipped(share) if share else honest


def ties() -> Iterator[tuple[str, str, Told]]:
    for what in ("dropped", "forced", "told"):
        for loss in WITH_TIES:
            yield loss, f"ties {what}", blind(what)


def disagreement() -> Iterator[tuple[str, str, Told]]:
    for heard in ("one of five", "majority", "all votes"):
        for loss in OF_VOTES:
            yield loss, heard, panel(heard)


def length() -> Iterator[tuple[str, str, Told]]:
    for loss in AGAINST_LENGTH:
        if "+" not in loss:
            yield loss, "clean", honest
        yield loss, "like length", liking_length(LIKING)


STUDIES = {
    "flips": flips,
    "ties": ties,
    "disagreement": disagreement,
    "length": length,
}


# What was found


def with_right_rates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with one loss more in the study of flips, which is told how many pairs were flipped."""
    rates = {"clean": "bradley_terry"} | {f"{rate:.0%} flipped": RIGHT_RATE.format(rate) for rate in FLIPPED}
    right = [row for row in rows if row["study"] == "flips" and row["loss"] == rates[row["condition"]]]
    others = [row for row in rows if row["loss"] not in (RIGHT_RATE.format(rate) for rate in FLIPPED[:-1])]
    return others + [row | {"loss": "robust_bradley_terry, the right rate"} for row in right]


def report(rows: list[dict[str, Any]]) -> None:
    """Print for each study a table of losses and conditions."""
    for study in dict.fromkeys(row["study"] for row in rows):
        measures = ["accuracy", "length_correlation"] if study == "length" else ["accuracy"]
        for name in measures:
            here = [row for row in rows if row["study"] == study]
            conditions = list(dict.fromkeys(row["condition"] for row in here))
            print(f"\n{study}: {name.replace('_', ' ')}\n{'loss':<38}" + "".join(f"{c:>19}" for c in conditions))
            for loss in dict.fromkeys(row["loss"] for row in here):
                found = [column(here, name, loss=loss, condition=condition) for condition in conditions]
                print(f"{loss:<38}" + "".join(f"{cell(values):>19}" for values in found))


def cell(values: np.ndarray) -> str:
    """Return the mean and half the interval, or a dash where nothing was measured."""
    return "{:.3f} ± {:.3f}".format(*interval(values)) if len(values) else "-"


def draw(rows: list[dict[str, Any]], picture: Path) -> None:
    """Draw a panel a study: a line a loss, a dot a condition, with 95 % t-intervals over seeds."""
    from matplotlib.figure import Figure

    panels = {study: [row for row in rows if row["study"] == study] for study in STUDIES}
    panels = {study: here for study, here in panels.items() if here}
    heights = [len({row["loss"] for row in here}) for here in panels.values()]
    figure = Figure(figsize=(9, 1.5 + 0.36 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (study, here) in zip(axes, panels.items(), strict=True):
        what = "length_correlation" if study == "length" else "accuracy"
        losses = list(dict.fromkeys(row["loss"] for row in here))
        for index, condition in enumerate(dict.fromkeys(row["condition"] for row in here)):
            there = [loss for loss in losses if len(column(here, what, loss=loss, condition=condition))]
            means, halves = zip(
                *(interval(column(here, what, loss=x, condition=condition)) for x in there), strict=True
            )
            places = [losses.index(loss) + 0.13 * index for loss in there]
            axis.errorbar(means, places, xerr=np.nan_to_num(halves), fmt="o", markersize=4, capsize=2, label=condition)
        axis.set_yticks(range(len(losses)), losses, fontsize=8)
        axis.invert_yaxis()
        axis.set_title(study, loc="left", fontsize=10)
        axis.set_xlabel("correlation of score and words, gold held fixed" if study == "length" else "accuracy")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
