"""AttentionOptions long texts are, and whether people prefer the longer one."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from rlhf_losses.inspection.annotations import AnnotatedTexts
from rlhf_losses.inspection.comparisons import BAR, Comparisons


def spread(lengths: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return the least, the middle, the mean, the 95th percentile and the greatest of some lengths.

    >>> spread([1, 2, 6])["median"], spread([1, 2, 6])["mean"]
    (2.0, 3.0)
    """
    known = np.asarray(lengths, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return {}
    median, late = np.percentile(known, [50, 95])
    return {
        "min": float(known.min()),
        "median": float(median),
        "mean": float(known.mean()),
        "p95": float(late),
        "max": float(known.max()),
    }


def longer_preferred(said: AnnotatedTexts, compared: Comparisons) -> dict[str, float]:
    """Return in which share of decided comparisons the longer answer is preferred, with a 95% interval."""
    between = (compared.first != BAR) & (compared.second != BAR) & (compared.vote_difference != 0)
    longer = said.answer_length[compared.first[between]] - said.answer_length[compared.second[between]]
    sides = longer * compared.vote_difference[between]
    right, of = int((sides > 0).sum()), int((sides > 0).sum() + (sides < 0).sum())
    if not of:
        return {}
    interval = stats.binomtest(right, of).proportion_ci(method="wilson")
    return {"share": right / of, "low": float(interval.low), "high": float(interval.high), "comparisons": of}
