"""Reward models for TRL with any loss, and PPO on their scores.

Public names are imported on first use: a loss does not import transformers, and `rlhf-losses --help` does not import
torch. `__init__.pyi` lists them.
"""

import ast
import importlib
import importlib.metadata
from importlib.resources import files
from typing import Any

_MODULES = {
    name.name: statement.module
    for statement in ast.parse(files(__name__).joinpath("__init__.pyi").read_text(encoding="utf-8")).body
    if isinstance(statement, ast.ImportFrom) and statement.module
    for name in statement.names
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        value = importlib.metadata.version("rlhf-losses")
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'rlhf_losses' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all public names."""
    return __all__
