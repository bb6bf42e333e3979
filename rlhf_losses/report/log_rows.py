"""Rows of a log: JSON, JSON Lines, CSV, and dictionaries or `name:value` pairs in the output of a console."""

import ast
import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rlhf_losses.report.metric_names import EPISODE_NAMES, STEP_NAMES, meaning

LogRow: TypeAlias = Mapping[str, Any]
"""Values by name, as they were logged at one moment."""

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf|NaN|Infinity)"
_WRAPPED = re.compile(rf"\b(?:(?:np|numpy|torch)\.\w+|tensor)\(\s*({_NUMBER})[^()]*\)")
_PAIR = re.compile(rf"([A-Za-z_][\w/@.()-]*)\s*[:=]\s*({_NUMBER})(?![\w.:])")
_QUOTED_OR_WORD = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<![\w.])(-?)(nan|inf)\b""")
_BAR_OR_DICT = re.compile(r"\b(?P<done>\d+)/(?P<total>\d+) \[|(?P<dict>\{[^{}]*\})")
_STEP_BEFORE = re.compile(r"(?i)\bstep\D{0,3}(\d+)\D{0,3}$")
_NOT_TEXT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\(\w+ (?:pid|ip)=[^)]*\)")  # colours, and prefixes of Ray


@dataclass(frozen=True)
class LogRows:
    """The rows of a log.

    Attributes:
        rows: the rows, in order.
        unread: number of lines and objects that have no metrics or are damaged.
    """

    rows: tuple[LogRow, ...]
    unread: int = 0


def parse_log(text: str, name: str = "") -> LogRows:
    """Return the rows of a log in any of the text formats.

    Args:
        text: content of the file.
        name: name of the file; files that end in `.csv` and `.tsv` are tables.

    Examples:
        >>> parse_log('{"step": 1, "loss": 0.5}\\n{"step": 2, "loss": "NaN"}').rows
        ({'step': 1, 'loss': 0.5}, {'step': 2, 'loss': 'NaN'})
        >>> parse_log("{'loss': '0.5', 'epoch': '0.1'}").rows
        ({'loss': '0.5', 'epoch': '0.1'},)
        >>> parse_log("step:1 - actor/pg_loss:np.float64(0.5)").rows
        ({'step': '1', 'actor/pg_loss': '0.5'},)
    """
    if name.endswith((".csv", ".tsv")):
        return _of_table(text, "\t" if name.endswith(".tsv") else ",")
    try:
        return LogRows(tuple(_of_json(json.loads(text))))
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        objects = [one for one in map(_json_object, lines) if one is not None]
        if 2 * len(objects) > len(lines):
            rows = [row for one in objects for row in _of_json(one)]
            return LogRows(tuple(rows), len(lines) - len(objects))
        return _of_console(text)


def number(value: Any) -> float | None:
    """Return a logged value as a number, or None if it is no number.

    Args:
        value: a value of a row. Strings such as `"0.5"` and `"NaN"` are numbers.

    Examples:
        >>> number("0.5"), number("NaN"), number("0:01:03"), number(None), number("np.float64(0.0)")
        (0.5, nan, None, None, 0.0)
    """
    if isinstance(value, str):
        unwrapped = _WRAPPED.fullmatch(value.strip())
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


def _json_object(line: str) -> Any:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _of_json(value: Any) -> Iterator[LogRow]:
    """Yield the rows of a list of rows, a trainer state, an object of columns, or rows by step."""
    if isinstance(value, list):
        for one in value:
            yield from _of_json(one)
    elif isinstance(value, dict) and isinstance(value.get("log_history"), list):
        yield from _of_json(value["log_history"])
    elif (
        isinstance(value, dict) and value and all(isinstance(one, dict) and key.isdigit() for key, one in value.items())
    ):
        yield from ({"step": int(step), **_flat(row)} for step, row in value.items())
    elif isinstance(value, dict):
        flat = _flat(value)
        columns = {name: one for name, one in flat.items() if isinstance(one, list)}
        if columns and len(columns) * 2 >= len(flat):
            yield from _of_columns(columns)
        else:
            yield flat


def _of_columns(columns: Mapping[str, list[Any]]) -> Iterator[LogRow]:
    for index in range(max(map(len, columns.values()))):
        yield {name: values[index] for name, values in columns.items() if index < len(values)}


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a row without nested objects: their names are joined by `/`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _of_table(text: str, delimiter: str) -> LogRows:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    rows = [{str(name): value for name, value in row.items() if name is not None and value} for row in reader]
    return LogRows(tuple(row for row in rows if row), sum(not row for row in rows))


def _of_console(text: str) -> LogRows:
    """Return the rows of the output of a console; the step of a dictionary without one is that of the progress bar."""
    found: list[tuple[LogRow, Mapping[int, int]]] = []
    recent: Counter[int] = Counter()
    done: dict[int, int] = {}
    latest, unread = 0, 0
    for line in _NOT_TEXT.sub("", text).split("\n"):
        before = len(found)
        for match in _BAR_OR_DICT.finditer(line):
            if match["dict"] is None:
                latest = int(match["total"])
                done[latest] = int(match["done"])
                continue
            row = _dictionary(match["dict"], line[: match.start()])
            if row is None:
                unread += 1
            else:
                found.append((row, dict(done)))
                recent[latest] += 1
        if len(found) == before and (pairs := _pairs(line)):
            found.append((pairs, {}))
    total = recent.most_common(1)[0][0] if recent else 0
    return LogRows(tuple(_with_step(row, bars.get(total)) for row, bars in found), unread)


def _with_step(row: LogRow, done: int | None) -> LogRow:
    if done is None or step_of(row, (*STEP_NAMES, *EPISODE_NAMES)) is not None:
        return row
    return {"step": done, **row}


def _dictionary(text: str, before: str) -> LogRow | None:
    """Return a dictionary in the output of a console if it has metrics."""
    unwrapped = _WRAPPED.sub(r"'\1'", text)
    quoted = _QUOTED_OR_WORD.sub(lambda match: match[1] or f"'{match[2]}{match[3]}'", unwrapped)
    try:
        value = ast.literal_eval(quoted)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = _json_object(text)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return None
    step = _STEP_BEFORE.search(before)
    row = {"step": int(step[1]), **value} if step is not None else value
    return row if is_log_row(row) else None


def _pairs(line: str) -> LogRow | None:
    """Return the pairs of a line such as `step:1 - loss:0.5` or `step=1 loss=0.5` if one is a step."""
    if "step" not in line and "iter" not in line and "episode" not in line:
        return None
    row = dict(_PAIR.findall(_WRAPPED.sub(r"\1", line)))
    return row if len(row) > 1 and step_of(row, (*STEP_NAMES, *EPISODE_NAMES)) is not None else None
