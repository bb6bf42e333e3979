"""Cases of a test of which only some run by default; `tox -e thorough` runs the others."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest


def with_thorough(usual: Iterable[Any], thorough: Iterable[Any]) -> list[Any]:
    """Return the cases that always run, and those that only `tox -e thorough` runs; a tuple has several arguments."""
    return [*usual, *(_marked(case) for case in thorough)]


def every_nth(cases: Iterable[Any], step: int) -> list[Any]:
    """Return cases of which only every `step`-th always runs."""
    cases = list(cases)
    return with_thorough(cases[::step], [case for index, case in enumerate(cases) if index % step])


def each_value(*arguments: Sequence[Any]) -> list[Any]:
    """Return all combinations of arguments; those that always run have each value of each argument at least once."""
    count = max(map(len, arguments))
    usual = {tuple(index % len(values) for values in arguments) for index in range(count)}
    combinations = sorted(product(*(range(len(values)) for values in arguments)), key=lambda one: one not in usual)
    cases = [tuple(values[index] for values, index in zip(arguments, one, strict=True)) for one in combinations]
    return with_thorough(cases[: len(usual)], cases[len(usual) :])


def _marked(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)
