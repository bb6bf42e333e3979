"""The result of an evaluation."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rlhf_losses.evaluation.annotated_agreement import AccuracyCeiling, accuracy_ceiling, ceiling_note
from rlhf_losses.evaluation.best_of_n_curve import BestOfN, best_of_n_curve
from rlhf_losses.evaluation.calibration import Calibration, calibration
from rlhf_losses.evaluation.edit_effects import EditEffects
from rlhf_losses.evaluation.intervals import Estimate
from rlhf_losses.evaluation.items import ComparedPairs, Items, RatedItems, count_ties, items_of
from rlhf_losses.evaluation.length_dependence import LengthDependence, length_dependence
from rlhf_losses.evaluation.rank_statistics import pearson
from rlhf_losses.evaluation.score_spread import ScoreSpread, score_spread
from rlhf_losses.evaluation.scored_data import DroppedRows, ScoredData
from rlhf_losses.evaluation.scored_rows import ScoredRow, scored_rows
from rlhf_losses.evaluation.slices import Slice, slices_of
from rlhf_losses.messages.percentages import percent, percent_range

MANY_DROPPED = 0.05
"""Share of dropped rows from which there is a warning."""

SMALL_SPREAD = 0.05
"""Share of the variance within prompts below which there is a warning."""

DROPPED_ROWS, AT_CHANCE = "Dropped rows", "At chance"
"""Beginnings of the warnings about rows that were not scored, and about an accuracy at chance."""


NOT_COMPARABLE = (
    "The loss of the training sees only differences within a prompt, so scores of different prompts are not comparable."
)
"""Why a rank correlation over several prompts says little."""

MAIN = ("accuracy", "accuracy_count", "margin", "spearman", "pearson")
"""Metrics that come first."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of scores with annotations of one kind.

    Attributes:
        kind: `comparisons`, `labels`, `steps` or `ratings`.
        items: number of annotations, without ties.
        estimates: metrics with intervals, by name.
        ceiling: largest accuracy that one score per text can have; None for ratings, and if no texts were annotated
            twice.
        calibration: calibration of the scores; None for ratings.
        length: dependence of the scores on lengths; None with fewer than two items.
        slices: the same metric by column, margin, length ratio, prompt length and agreement of annotators.
    """

    kind: str
    items: int
    estimates: Mapping[str, Estimate]
    ceiling: AccuracyCeiling | None
    calibration: Calibration | None
    length: LengthDependence | None
    slices: tuple[Slice, ...]

    @property
    def note_on_ceiling(self) -> str:
        """How many annotations the accuracy ceiling rests on; empty without one."""
        return "" if self.ceiling is None else ceiling_note(self.kind, self.ceiling.repeated, self.ceiling.different)

    @classmethod
    def of(cls, data: ScoredData, items: Items) -> "Agreement":
        """Return the agreement with items of one kind.

        Args:
            data: the scored dataset.
            items: the items.
        """
        return cls(
            items.kind,
            len(items),
            items.estimates(),
            accuracy_ceiling(data, items),
            calibration(items),
            length_dependence(data, items),
            tuple(slices_of(data, items)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "kind": self.kind,
            "items": self.items,
            "estimates": {name: estimate.to_dict() for name, estimate in self.estimates.items()},
            "accuracy_ceiling": None if self.ceiling is None else self.ceiling.share,
            "ceiling_exact": None if self.ceiling is None else self.ceiling.is_exact,
            "annotated_several_times": None if self.ceiling is None else self.ceiling.repeated,
            "different_items": None if self.ceiling is None else self.ceiling.different,
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "length": None if self.length is None else self.length.to_dict(),
            "slices": [one.to_dict() for one in self.slices],
        }


@dataclass(frozen=True, eq=False)
class Evaluation(Mapping[str, float]):
    """The result of an evaluation: a mapping of the names of metrics to their values, with further parts.

    Attributes:
        metrics: the metrics by name, see `evaluate`.
        dropped: rows that were not evaluated.
        ties: number of comparisons that the annotators call ties, which have no accuracy.
        agreements: agreement with each kind of annotation.
        best_of_n: quality of the best of n answers; empty without lists.
        spread: spread of the scores within prompts; None if no prompt has two answers.
        edits: effects of edits that do not change the content; None if they were not scored.
        data: the scored dataset.
        kinds: its items, by kind.
        trained_on_differences: whether the loss of the training sees only differences of scores.
    """

    metrics: Mapping[str, float]
    dropped: DroppedRows
    ties: int
    agreements: tuple[Agreement, ...]
    best_of_n: tuple[BestOfN, ...]
    spread: ScoreSpread | None
    edits: EditEffects | None
    data: ScoredData
    kinds: tuple[Items, ...]
    trained_on_differences: bool = False

    @classmethod
    def of(
        cls,
        data: ScoredData,
        dropped: DroppedRows,
        metrics: Mapping[str, float],
        rated_steps: bool,
        edits: EditEffects | None = None,
        trained_on_differences: bool = False,
    ) -> "Evaluation":
        """Return the result for a scored dataset.

        Args:
            data: the scored dataset.
            dropped: rows that were not evaluated.
            metrics: metrics of the whole dataset by name.
            rated_steps: whether the values of `Steps` are ratings.
            edits: effects of edits.
            trained_on_differences: whether the loss of the training sees only differences of scores.
        """
        kinds = items_of(data, rated_steps)
        agreements = tuple(Agreement.of(data, items) for items in kinds)
        further = _further_metrics(agreements)
        main = [name for name in MAIN if name in further]
        values = {"rows": len(data.rows), **further, **metrics}
        order = dict.fromkeys(["rows", *main, *metrics, *further])
        defined = {name: values[name] for name in order}
        return cls(
            {name: value for name, value in defined.items() if not math.isnan(value)},
            dropped,
            count_ties(data),
            agreements,
            best_of_n_curve(data),
            score_spread(data),
            edits,
            data,
            tuple(kinds),
            trained_on_differences,
        )

    def __getitem__(self, name: str) -> float:
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    @cached_property
    def intervals(self) -> dict[str, Estimate]:
        """The metrics that have a 95 % interval, by name."""
        found: dict[str, Estimate] = {}
        for one in reversed(self.agreements):
            found |= one.estimates
            if one.calibration is not None:
                found["brier"] = one.calibration.brier_score
            if one.length is not None:
                found["partial_length_correlation"] = one.length.partial_correlation
        used = self.data.used.numpy()
        scores, lengths = self.data.values.numpy()[used], self.data.text_tokens[used].astype(float)
        found["length_correlation"] = pearson(scores, lengths, self.data.clusters[used])
        return {name: estimate for name, estimate in found.items() if name in self.metrics}

    @property
    def compares_ratings(self) -> bool:
        """Whether ratings have comparisons of the answers to one prompt, beside the correlation over all prompts."""
        return {ComparedPairs.kind, RatedItems.kind} <= {one.kind for one in self.agreements}

    @property
    def note_on_ratings(self) -> str:
        """What the accuracy and the rank correlation of ratings compare; empty without both."""
        if not self.compares_ratings:
            return ""
        note = "The accuracy compares the answers to one prompt, the correlations those to all prompts."
        return f"{note} {NOT_COMPARABLE}" if self.trained_on_differences else note

    @cached_property
    def rows(self) -> tuple[ScoredRow, ...]:
        """The scored rows."""
        return tuple(scored_rows(self.data, self.kinds))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what makes the metrics misleading."""
        dropped = self.dropped
        found = []
        if dropped.total > MANY_DROPPED * dropped.given:
            found.append(
                f"{DROPPED_ROWS}: {dropped.total} of {dropped.given} rows ({percent(dropped.total / dropped.given)}) "
                "are not part of the metrics."
            )
        for agreement in self.agreements:
            at_chance = _no_better_than_constant(self, agreement)
            found += [at_chance] if at_chance else []
        lengths = [one.length.warning for one in self.agreements if one.length is not None and one.length.warning]
        found += lengths[:1]
        if self.metrics.get("processbench_f1") == 0:
            found.append(
                "The ProcessBench F1 is 0: the first error is never found, or no correct answer is free of negative "
                "scores."
            )
        if self.spread is not None and self.spread.share_within < SMALL_SPREAD:
            found.append(
                f"Small spread: {percent(self.spread.share_within)} of the variance of the scores is within prompts, "
                "so a policy hardly learns from them."
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, which `metrics.json` contains."""
        return {
            **self.metrics,
            "intervals": {name: estimate.to_dict() for name, estimate in self.intervals.items()},
            "dropped": self.dropped.to_dict(),
            "ties": self.ties,
            "trained_on_differences": self.trained_on_differences,
            "agreements": [one.to_dict() for one in self.agreements],
            "best_of_n": [one.to_dict() for one in self.best_of_n],
            "spread": None if self.spread is None else self.spread.to_dict(),
            "edits": None if self.edits is None else self.edits.to_dict(),
            "warnings": list(self.warnings),
        }


def _further_metrics(agreements: tuple[Agreement, ...]) -> dict[str, float]:
    """Return the metrics that summarize the parts of the first agreement that has them."""
    metrics: dict[str, float] = {}
    for agreement in reversed(agreements):
        if agreement.kind in (RatedItems.kind, ComparedPairs.kind):
            metrics |= {name: estimate.value for name, estimate in agreement.estimates.items()}
        if (accuracy := agreement.estimates.get("accuracy")) is not None:
            metrics |= {"accuracy": accuracy.value, "accuracy_count": accuracy.count}
        if agreement.ceiling is not None:
            metrics["accuracy_ceiling"] = agreement.ceiling.share
        if agreement.calibration is not None:
            metrics["calibration_error"] = agreement.calibration.calibration_error
            metrics["brier"] = agreement.calibration.brier
        if agreement.length is not None:
            metrics["partial_length_correlation"] = agreement.length.partial_correlation.value
    return metrics


def _no_better_than_constant(evaluation: Evaluation, agreement: Agreement) -> str | None:
    if agreement.kind == RatedItems.kind:
        found = agreement.estimates[RatedItems.main]
        not_comparable = evaluation.compares_ratings and evaluation.trained_on_differences
        if math.isnan(found.low) or found.low > 0 or not_comparable:
            return None
        return (
            f"{AT_CHANCE}: the rank correlation with the ratings of {found.value:z.2f} (95 % interval {found.low:z.2f} "
            f"to {found.high:z.2f}) is not clearly above 0."
        )
    base = 0.5 if agreement.kind == ComparedPairs.kind else evaluation.metrics.get("base_rate")
    accuracy = agreement.estimates.get("accuracy")
    if base is None or accuracy is None or math.isnan(accuracy.low) or accuracy.low > base:
        return None
    return (
        f"{AT_CHANCE}: the accuracy of {percent(accuracy.value)} (95 % interval "
        f"{percent_range(accuracy.low, accuracy.high)}) is not clearly above {percent(base)}, that of "
        + ("guessing." if agreement.kind == ComparedPairs.kind else "the more frequent label.")
    )
