"""Cases of a test of which only some run by default; `tox -e thorough` runs the others."""

from collections.abc import Iterable
from typing import Any

import pytest


def with_thorough(usual: Iterable[Any], thorough: Iterable[Any]) -> list[Any]:
    """Return the cases that always run, and those that only `tox -e thorough` runs; a tuple has several arguments."""
    return [*usual, *(_marked(case) for case in thorough)]


def _marked(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)
