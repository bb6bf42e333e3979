"""Metrics of all batches together."""

from collections.abc import Mapping

from rlhf_losses.metrics.classification import classification_metrics
from rlhf_losses.metrics.tally import Tally
from rlhf_losses.shapes import LabelledScores


def summarize(tallies: Mapping[str, Tally], labelled: LabelledScores | None = None) -> dict[str, float]:
    """Return the metrics of the sum of some agreements.

    Args:
        tallies: sums of tallies, by name.
        labelled: score and sign of the label of each labelled item, of shape (items, 2).

    Returns:
        The mean of each tally with a count above 0; `processbench_f1`, the harmonic mean of the two accuracies of
            ProcessBench; and the metrics of `classification_metrics`, if there are labels.

    Examples:
        >>> summarize({"processbench_error": Tally(1, 4), "processbench_correct": Tally(3, 4)})["processbench_f1"]
        0.375
    """
    metrics = {name: tally.mean for name, tally in tallies.items() if tally.count}
    if {"processbench_error", "processbench_correct"} <= metrics.keys():
        error, correct = metrics["processbench_error"], metrics["processbench_correct"]
        metrics["processbench_f1"] = 2 * error * correct / (error + correct) if error + correct else 0.0
    return metrics if labelled is None else metrics | classification_metrics(labelled)
