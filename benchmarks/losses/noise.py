"""Accuracy of reward models with noisy feedback, for several losses and types of noise.

    python -m benchmarks.losses.noise                            # five seeds, results/losses/noise.csv and .png
    python -m benchmarks.losses.noise --studies ties --seeds 2
    python -m benchmarks.losses.noise --draw                     # tables and figure from the CSV file

Studies:

* flips: a share of the annotations is inverted: a pair is swapped, a list is reversed, a rating is negated.
* ties: annotators do not detect differences below 0.5. These pairs are dropped, or a random answer is preferred
  ("forced"), or they are recorded as ties.
* disagreement: each of five annotators misjudges half of the sentences. The feedback is that of one annotator, or the
  majority, or all votes.
* length: annotators add half a standard deviation of the number of words to the reward.

Accuracy is the share of held-out pairs of stories that the scores order as the gold reward does. The length correlation
is the partial correlation of the scores with the number of words among the stories of one prompt, given the gold
reward.

The tables and the figure are on the page docs/measured.md.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import mean, pstdev
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from benchmarks._lib.study import add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import format_mean, print_markdown, t_interval
from rlhf_losses import parse_loss
from rlhf_losses.feedback import Feedback, Rankings, Ratings
from rlhf_losses.losses import AnyLoss
from rlhf_losses.sandbox import Annotator, Sample, SyntheticTask, build_synthetic_task, feedback_for
from rlhf_losses.sandbox.loop import train_on_feedback
from rlhf_losses.sandbox.simulated_feedback import votes

Annotate = Callable[[AnyLoss, Sequence[Sample], int], Dataset]
"""Function from a loss, samples and a seed to feedback."""

PAIRWISE = (
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
WITH_VOTES = ("bradley_terry", "squared_difference", "davidson")
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
FLIP_RATES = (0.1, 0.2, 0.3)
CORRECT_FLIP_RATE = "robust_bradley_terry(flip_rate={})"
NUM_PROMPTS, NUM_STORIES, EPOCHS = 96, 8, 2
DETECTION_THRESHOLD, NUM_VOTERS, VOTER_NOISE, LENGTH_WEIGHT = 0.5, 5, 0.5, 0.5


def main() -> None:
    """Train the reward models, print the tables, and plot."""
    parser = argument_parser(__doc__)
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--losses", nargs="+", help="use only these losses of a study")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    add_study_arguments(parser, "losses")
    args = parser.parse_args()
    run_study(
        "noise",
        args,
        lambda: ([*measure_seed(seed, args.studies, args.losses)] for seed in range(args.seeds)),
        lambda results: report(add_correct_flip_rates(results)),
        lambda results, file: plot(add_correct_flip_rates(results), file),
    )


def measure_seed(seed: int, studies: Sequence[str], only: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each loss and condition of the studies."""
    task = build_synthetic_task(seed)
    samples = task.sample(task.train_prompts[:NUM_PROMPTS], NUM_STORIES, seed)
    heldout = task.sample(task.heldout_prompts, NUM_STORIES, seed + 1)
    known: dict[tuple[str, str], dict[str, float]] = {}
    for study in studies:
        for loss, condition, annotate in STUDIES[study]():
            if only and loss not in only:
                continue
            if (loss, condition) not in known:
                feedback = annotate(parse_loss(loss), samples, seed)
                known[loss, condition] = evaluate_loss(task, loss, feedback, heldout)
            row = {"study": study, "condition": condition, "loss": loss, "seed": seed, **known[loss, condition]}
            print(" ".join(str(value) for value in row.values()), flush=True)
            yield row


def evaluate_loss(task: SyntheticTask, loss: str, feedback: Dataset, heldout: Sequence[Sample]) -> dict[str, float]:
    """Train a reward model and return its accuracy and length correlation on held-out stories."""
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_on_feedback(task, parse_loss(loss), feedback, Path(folder), EPOCHS)
    texts = [(sample.prompt, text) for sample in heldout for text in sample.completions]
    prompts, completions = map(list, zip(*texts, strict=True))
    scores = np.array(scorer(prompts, completions)).reshape(len(heldout), -1)
    gold = task.sample_rewards(heldout).double().numpy()
    words = np.array([len(text.split()) for text in completions], dtype=float).reshape(gold.shape)
    return {
        "rows": len(feedback),
        "accuracy": pairwise_accuracy(scores, gold),
        "length_correlation": partial_correlation(scores, words, gold),
    }


def pairwise_accuracy(scores: np.ndarray, gold: np.ndarray) -> float:
    """Return the share of pairs in a row with different gold rewards that the scores order in the same way.

    Examples:
        >>> pairwise_accuracy(np.array([[3.0, 1.0, 2.0]]), np.array([[1.0, 0.0, 0.0]]))
        1.0
        >>> pairwise_accuracy(np.ones((2, 2)), np.eye(2))
        0.0
    """
    score_differences, gold_differences = (x[:, :, None] - x[:, None, :] for x in (scores, gold))
    return float((score_differences[gold_differences > 0] > 0).mean())


def partial_correlation(scores: np.ndarray, words: np.ndarray, gold: np.ndarray) -> float:
    """Return the correlation of scores and number of words within rows, given the gold reward.

    Examples:
        >>> gold, words = np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([[5.0, 6.0, 7.0, 8.0]])
        >>> round(partial_correlation(10 * gold + words, words, gold), 6)
        1.0
    """
    scores, words, gold = (x - x.mean(1, keepdims=True) for x in (scores, words, gold))
    residuals = [x - gold * (x * gold).sum() / (gold**2).sum() for x in (scores, words)]
    return float(np.corrcoef(*(x.ravel() for x in residuals))[0, 1])


# Feedback with noise


def without_noise(loss: AnyLoss, samples: Sequence[Sample], seed: int) -> Dataset:
    """Return feedback without noise; lists have four stories."""
    return feedback_for(loss, split_in_fours(samples) if uses(loss, Rankings) else samples, Annotator(seed=seed))


def flipped(share: float) -> Annotate:
    """Return a function that inverts a share of the rows."""

    def annotate(loss: AnyLoss, samples: Sequence[Sample], seed: int) -> Dataset:
        feedback, random = without_noise(loss, samples, seed), Random(seed)
        stars = "rating" in feedback.column_names and max(feedback["rating"]) > 1
        return Dataset.from_list([inverted(row, stars) if random.random() < share else row for row in feedback])

    return annotate


def inverted(row: dict[str, Any], stars: bool = False) -> dict[str, Any]:
    """Return the row with the opposite annotation.

    Args:
        row: a pair, a list with ranks, or a rating.
        stars: whether ratings are from 1 to 5 rather than from −1 to 1.

    Examples:
        >>> inverted({"prompt": "Hi.", "chosen": "A", "rejected": "B"})
        {'prompt': 'Hi.', 'chosen': 'B', 'rejected': 'A'}
        >>> inverted({"ranks": [1, 3, 2]}), inverted({"rating": 0.5})
        ({'ranks': [3, 1, 2]}, {'rating': -0.5})
    """
    if "chosen" in row:
        return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
    if "ranks" in row:
        return {**row, "ranks": [max(row["ranks"]) + 1 - rank for rank in row["ranks"]]}
    return {**row, "rating": 6 - row["rating"] if stars else -row["rating"]}


def split_in_fours(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with four completions each."""
    return [Sample(s.prompt, s.completions[i : i + 4]) for s in samples for i in range(0, len(s.completions), 4)]


def undetected_ties(treatment: str) -> Annotate:
    """Return a function that treats small differences as ties, which are dropped, forced or recorded."""

    def annotate(_loss: AnyLoss, samples: Sequence[Sample], seed: int) -> Dataset:
        random, annotator, rows = Random(seed), Annotator(), []
        for prompt, first, second in couples(samples):
            difference = annotator.rate(prompt, first) - annotator.rate(prompt, second)
            tie = abs(difference) < DETECTION_THRESHOLD
            swap = random.random() < 0.5 if tie else difference < 0
            chosen, rejected = (second, first) if swap else (first, second)
            if not (tie and treatment == "dropped"):
                row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
                rows.append(row | ({"preference": 0.5 if tie else 1.0} if treatment == "recorded" else {}))
        return Dataset.from_list(rows)

    return annotate


def voting(aggregation: str) -> Annotate:
    """Return a function that records the vote of one annotator, the majority of a panel, or all votes."""

    def annotate(_loss: AnyLoss, samples: Sequence[Sample], seed: int) -> Dataset:
        num_voters = 1 if aggregation == "one of five" else NUM_VOTERS
        feedback = votes(samples, Annotator(VOTER_NOISE, seed), voters=num_voters)
        if aggregation == "all votes":
            return feedback
        rows = []
        for row in feedback:
            (first, second), (for_first, for_second) = row["completions"], row["votes"]
            if for_first != for_second:
                chosen, rejected = (first, second) if for_first > for_second else (second, first)
                rows.append({"prompt": row["prompt"], "chosen": chosen, "rejected": rejected})
        return Dataset.from_list(rows)

    return annotate


def preferring_length(weight: float) -> Annotate:
    """Return a function that adds the standardized number of words, times a weight, to the reward."""

    def annotate(loss: AnyLoss, samples: Sequence[Sample], seed: int) -> Dataset:
        counts = [len(text.split()) for s in samples for text in s.completions]
        center, scale, annotator = mean(counts), pstdev(counts), Annotator()

        def reward(prompt: str, text: str) -> float:
            return annotator.rate(prompt, text) + weight * (len(text.split()) - center) / scale

        if uses(loss, Rankings):
            return Dataset.from_list([ranked(s, reward) for s in split_in_fours(samples)])
        if uses(loss, Ratings):
            texts = [(s.prompt, text) for s in samples for text in s.completions]
            return Dataset.from_list([{"prompt": p, "completion": t, "rating": reward(p, t)} for p, t in texts])
        rows = []
        for prompt, *both in couples(samples):
            rejected, chosen = sorted(both, key=lambda text: reward(prompt, text))
            if reward(prompt, rejected) < reward(prompt, chosen):
                rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
        return Dataset.from_list(rows)

    return annotate


def uses(loss: AnyLoss, feedback_type: type[Feedback]) -> bool:
    """Return whether a term of the loss has this feedback type."""
    return any(term.loss.feedback_type is feedback_type for term in loss.as_objective().terms)


def ranked(sample: Sample, reward: Callable[[str, str], float]) -> dict[str, Any]:
    """Return a list with ranks by reward."""
    rewards = [reward(sample.prompt, text) for text in sample.completions]
    order = sorted(set(rewards), reverse=True)
    return {**sample._asdict(), "ranks": [order.index(one) + 1 for one in rewards]}


def couples(samples: Sequence[Sample]) -> Iterator[tuple[str, str, str]]:
    """Yield each prompt with its first two stories, with the next two, and so on."""
    for s in samples:
        for first, second in zip(s.completions[::2], s.completions[1::2], strict=True):
            yield s.prompt, first, second


# Studies: losses and conditions


def flips() -> Iterator[tuple[str, str, Annotate]]:
    for share in (0.0, *FLIP_RATES):
        # The largest rate is among PAIRWISE, and the rate 0 is bradley_terry.
        correct = (CORRECT_FLIP_RATE.format(share),) if share in FLIP_RATES[:-1] else ()
        for loss in (*PAIRWISE, *correct, *LISTS_AND_RATINGS):
            yield loss, f"{share:.0%} flipped" if share else "clean", flipped(share) if share else without_noise


def ties() -> Iterator[tuple[str, str, Annotate]]:
    for treatment in ("dropped", "forced", "recorded"):
        for loss in WITH_TIES:
            yield loss, f"ties {treatment}", undetected_ties(treatment)


def disagreement() -> Iterator[tuple[str, str, Annotate]]:
    for aggregation in ("one of five", "majority", "all votes"):
        for loss in WITH_VOTES:
            yield loss, aggregation, voting(aggregation)


def length() -> Iterator[tuple[str, str, Annotate]]:
    for loss in AGAINST_LENGTH:
        if "+" not in loss:
            yield loss, "clean", without_noise
        yield loss, "prefer length", preferring_length(LENGTH_WEIGHT)


STUDIES = {
    "flips": flips,
    "ties": ties,
    "disagreement": disagreement,
    "length": length,
}


# Report


def add_correct_flip_rates(results: pd.DataFrame) -> pd.DataFrame:
    """Return the results with one more loss in the study of flips, whose option is the share of flips."""
    rates = {"clean": "bradley_terry"} | {f"{rate:.0%} flipped": CORRECT_FLIP_RATE.format(rate) for rate in FLIP_RATES}
    in_flips = results[results.study == "flips"]
    correct = in_flips[in_flips.loss == in_flips.condition.map(rates)]
    others = results[~results.loss.isin([CORRECT_FLIP_RATE.format(rate) for rate in FLIP_RATES[:-1]])]
    return pd.concat([others, correct.assign(loss="robust_bradley_terry, the correct rate")])


def report(results: pd.DataFrame) -> None:
    """Print a table of losses and conditions for each study."""
    for study, of_study in results.groupby("study", sort=False):
        for measure in ["accuracy", "length_correlation"] if study == "length" else ["accuracy"]:
            table = of_study.groupby(["loss", "condition"])[measure].apply(format_mean).unstack(fill_value="")
            table = table.loc[of_study.loss.unique(), of_study.condition.unique()]
            print(f"\n{study}: {measure.replace('_', ' ')}\n")
            print_markdown(["loss", *table.columns], ([f"`{loss}`", *cells] for loss, *cells in table.itertuples()))


def plot(results: pd.DataFrame, file: Path) -> None:
    """Plot a panel per study: a line per loss, a dot per condition, with 95 % t-intervals over seeds."""
    from matplotlib.figure import Figure

    panels = {study: results[results.study == study] for study in STUDIES if (results.study == study).any()}
    heights = [of_study.loss.nunique() for of_study in panels.values()]
    figure = Figure(figsize=(9, 1.5 + 0.36 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (study, of_study) in zip(axes, panels.items(), strict=True):
        measure = "length_correlation" if study == "length" else "accuracy"
        _plot_panel(axis, of_study, measure)
        axis.set_title(study, loc="left", fontsize=10)
        axis.set_xlabel("correlation of score and words, given gold" if study == "length" else "accuracy")
    figure.savefig(file, dpi=110)


def _plot_panel(axis: Any, results: pd.DataFrame, measure: str) -> None:
    losses = list(results.loss.unique())
    for index, condition in enumerate(results.condition.unique()):
        by_loss = results[results.condition == condition].groupby("loss", sort=False)[measure]
        means, halves = zip(*(t_interval(values) for _, values in by_loss), strict=True)
        positions = [losses.index(loss) + 0.13 * index for loss in by_loss.groups]
        axis.errorbar(means, positions, xerr=np.nan_to_num(halves), fmt="o", markersize=4, capsize=2, label=condition)
    axis.set_yticks(range(len(losses)), losses, fontsize=8)
    axis.invert_yaxis()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


if __name__ == "__main__":
    main()
