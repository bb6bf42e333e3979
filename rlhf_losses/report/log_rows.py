"""Rows of a log: the values that a training program has logged at one moment, by name."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rlhf_losses.report.metric_names import EPISODE_NAMES, STEP_NAMES, meaning

LogRow: TypeAlias = Mapping[str, Any]
"""Values by name, as they were logged at one moment."""

NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf|NaN|Infinity)"
"""Pattern of a number."""

WRAPPED = re.compile(rf"\b(?:(?:np|numpy|torch)\.\w+|tensor)\(\s*({NUMBER})[^()]*\)")
"""Pattern of a number as NumPy and PyTorch print it, for example `np.float64(0.5)`."""


@dataclass(frozen=True)
class LogRows:
    """The rows of a log.

    Attributes:
        rows: the rows, in order.
        unread: number of lines and objects that have no metrics or are damaged.
    """

    rows: tuple[LogRow, ...]
    unread: int = 0


def number(value: Any) -> float | None:
    """Return a logged value as a number, or None if it is no number.

    Args:
        value: a value of a row. Strings such as `"0.5"` and `"NaN"` are numbers.

    Examples:
        >>> number("0.5"), number("NaN"), number("0:01:03"), number(None), number("np.float64(0.0)")
        (0.5, nan, None, None, 0.0)
    """
    if isinstance(value, str):
        unwrapped = WRAPPED.fullmatch(value.strip())
        try:
            return float((value if unwrapped is None else unwrapped[1]).replace("_", "x"))
        except ValueError:
            return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return None


def step_of(row: LogRow, names: tuple[str, ...] = STEP_NAMES) -> float | None:
    """Return the step of a row, or None if it has none.

    Args:
        row: the row.
        names: names of the step, in the order of preference; `"10/438"` is step 10.

    Examples:
        >>> step_of({"global_step/max_steps": "10/438", "loss": 0.5})
        10.0
    """
    lowered = {name.rpartition(" - ")[2].lower(): value for name, value in row.items()}
    for name in names:
        value = lowered.get(name)
        found = number(value.partition("/")[0] if isinstance(value, str) else value)
        if found is not None and math.isfinite(found):
            return found
    return None


def is_log_row(row: LogRow) -> bool:
    """Return whether a dictionary has a number, and a step or a known metric."""
    has_number = any(number(value) is not None for value in row.values())
    return has_number and (step_of(row, (*STEP_NAMES, *EPISODE_NAMES)) is not None or any(map(meaning, row)))
