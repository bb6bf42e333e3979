"""Logs in the output of a console: dictionaries, progress bars with metrics, and lines such as `step:1 - loss:0.5`."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rlhf_losses.report.json_logs import json_object
from rlhf_losses.report.log_rows import NUMBER, WRAPPED, LogRow, LogRows, is_log_row, step_of
from rlhf_losses.report.metric_names import EPISODE_NAMES, STEP_NAMES, meaning

_PAIR = re.compile(rf"([A-Za-z_][\w/@.()-]*)\s*[:=]\s*({NUMBER})(?![\w.:])")
_SPACED_PAIR = re.compile(rf"([A-Za-z_][\w/]*)\s+({NUMBER})(?![\w.:/%])")
_COUNT = re.compile(r"(?i)\b(step|iter|iteration|update|episode|epoch)s?\s*[:=#\[]?\s*(\d+)(?:/\d+)?\b")
_QUOTED_OR_WORD = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<![\w.])(-?)(nan|inf)\b""")
_BAR_OR_DICT = re.compile(r"\b(?P<done>\d+)/(?P<total>\d+) \[(?P<postfix>[^\]\r\n]*)|(?P<dict>\{[^{}]*\})")
_STEP_BEFORE = re.compile(r"(?i)\bstep\D{0,3}(\d+)\D{0,3}$")
_NOT_TEXT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\(\w+ (?:pid|ip)=[^)]*\)")  # colours, and prefixes of Ray


@dataclass
class _Bars:
    """The progress bars of a console.

    Attributes:
        done: number of finished steps by number of all steps.
        latest: number of all steps of the bar that was printed last.
        before: steps of earlier bars with as many steps, such as those of earlier epochs.
    """

    done: dict[int, int] = field(default_factory=dict)
    latest: int = 0
    before: Counter[int] = field(default_factory=Counter)

    def advance(self, done: int, total: int) -> int:
        """Note the state of a bar and return the number of steps, with those of earlier bars."""
        if done < self.done.get(total, 0):
            self.before[total] += self.done[total]
        self.latest, self.done[total] = total, done
        return self.before[total] + done


def parse_console(text: str) -> LogRows:
    """Return the rows of the output of a console; the step of a dictionary without one is that of the progress bar.

    Args:
        text: the output.

    Examples:
        >>> parse_console("{'loss': '0.5', 'epoch': '0.1'}").rows
        ({'loss': '0.5', 'epoch': '0.1'},)
        >>> parse_console("step:1 - actor/pg_loss:np.float64(0.5)").rows
        ({'step': '1', 'actor/pg_loss': '0.5'},)
        >>> parse_console("Train:  50%|#| 10/20 [00:10<00:10, loss=0.5]").rows
        ({'step': 10, 'loss': '0.5'},)
        >>> parse_console("iter 100: loss 2.5, time 12ms").rows
        ({'iter': '100', 'loss': '2.5'},)
    """
    found: list[tuple[LogRow, Mapping[int, int]]] = []
    of_bar: Counter[int] = Counter()
    bars, unread = _Bars(), 0
    for line in re.split(r"[\r\n]+", _NOT_TEXT.sub("", text)):
        before = len(found)
        for match in _BAR_OR_DICT.finditer(line):
            if match["dict"] is None:
                step = bars.advance(int(match["done"]), int(match["total"]))
                found += [(row, {}) for row in _postfix(match["postfix"], step)]
                continue
            row = _dictionary(match["dict"], line[: match.start()])
            if row is None:
                unread += 1
            else:
                found.append((row, dict(bars.done)))
                of_bar[bars.latest] += 1
        if len(found) == before and (pairs := _pairs(line)):
            found.append((pairs, {}))
    total = of_bar.most_common(1)[0][0] if of_bar else 0
    return LogRows(tuple(_with_step(row, done.get(total)) for row, done in found), unread)


def _postfix(text: str, step: int) -> Iterator[LogRow]:
    """Yield the metrics at the end of a progress bar."""
    pairs = dict(_PAIR.findall(WRAPPED.sub(r"\1", text)))
    if any(map(meaning, pairs)):
        yield {"step": step, **pairs}


def _with_step(row: LogRow, done: int | None) -> LogRow:
    if done is None or step_of(row, (*STEP_NAMES, *EPISODE_NAMES)) is not None:
        return row
    return {"step": done, **row}


def _dictionary(text: str, before: str) -> LogRow | None:
    """Return a dictionary in the output of a console if it has metrics."""
    unwrapped = WRAPPED.sub(r"'\1'", text)
    quoted = _QUOTED_OR_WORD.sub(lambda match: match[1] or f"'{match[2]}{match[3]}'", unwrapped)
    try:
        value = ast.literal_eval(quoted)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = json_object(text)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return None
    step = _STEP_BEFORE.search(before)
    row = {"step": int(step[1]), **value} if step is not None else value
    return row if is_log_row(row) else None


def _pairs(line: str) -> LogRow | None:
    """Return the pairs of a line such as `step:1 - loss:0.5` or `step 1 | loss 0.5` if it has a step and a metric."""
    text = WRAPPED.sub(r"\1", line)
    counts = {match[1].lower(): match[2] for match in _COUNT.finditer(text)}
    if not counts:
        return None
    spaced = {name: value for name, value in _SPACED_PAIR.findall(text) if meaning(name) is not None}
    row = {**counts, **spaced, **dict(_PAIR.findall(text))}
    has_step = step_of(row, (*STEP_NAMES, *EPISODE_NAMES)) is not None
    return row if has_step and len(row) > len(counts) else None
