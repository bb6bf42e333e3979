"""`without_compilation`: exclude a function from `torch.compile`."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def without_compilation(function: Function) -> Function:
    """Return `function` as `torch.compiler.disable` does, with its type."""
    disable: Any = torch.compiler.disable
    return cast(Function, disable(function))
