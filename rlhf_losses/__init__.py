"""Reward models for TRL with any loss, and the PPO loop that uses their scores.

Everything here is imported when it is first used, so that a loss can be had without transformers and
`rlhf-losses --help` without torch. What there is, and where, stands in `__init__.pyi`, for type checkers and for us.
"""

import ast
import importlib
from importlib.resources import files
from typing import Any

_HOMES = {
    name.name: line.module
    for line in ast.parse(files(__name__).joinpath("__init__.pyi").read_text(encoding="utf-8")).body
    if isinstance(line, ast.ImportFrom)
    for name in line.names
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rlhf_losses' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
