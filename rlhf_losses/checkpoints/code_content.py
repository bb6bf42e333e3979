"""Content of Python code: a hash of its statements, without comments and layout."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterable
from typing import Any

from xxhash import xxh3_128

from rlhf_losses.checkpoints.content import Content


def code_content(code: Any) -> Content | None:
    """Return the content of a function, a class or a callable object; None if its source is unknown.

    The values that it was created with count if they are numbers or strings: bound arguments, defaults, variables of
    the enclosing function, attributes. Functions that it calls do not count.

    Args:
        code: a function, a class, or an object of a class.

    Examples:
        >>> code_content(len)  # has no source in Python
        >>> code_content(textwrap.dedent).description
        'dedent'
    """
    if isinstance(code, functools.partial):
        inner, bound = code_content(code.func), [*code.args, *sorted(code.keywords.items())]
        return inner and Content(_hash([inner.hash, repr(bound)]), inner.description)
    named = code if hasattr(code, "__qualname__") else type(code)
    parts = vars(named).values() if isinstance(named, type) else [named]
    functions = [one for one in map(_function, parts) if one is not None]
    try:
        sources = [_statements(one) for one in functions]
    except (OSError, TypeError):
        return None
    return Content(_hash([*sources, repr(_values(code))]), named.__qualname__) if sources else None


def _function(value: Any) -> Any:
    """Return the function of a method or a property, or None for another value."""
    for name in ("fget", "__func__", "func"):
        value = getattr(value, name, value)
    return inspect.unwrap(value) if inspect.isfunction(value) else None


def _statements(function: Any) -> str:
    source = textwrap.dedent(inspect.getsource(function))
    try:
        return ast.unparse(ast.parse(source))
    except SyntaxError:
        return source  # a lambda inside a statement


def _values(code: Any) -> list[Any]:
    """Return the numbers and strings that a function or an object was created with."""
    if isinstance(code, type):
        return _plain_values(vars(code).items())
    if not inspect.isfunction(code):
        return _plain_values(sorted(getattr(code, "__dict__", {}).items()))
    closure = inspect.getclosurevars(code).nonlocals
    return _plain_values([*enumerate(code.__defaults__ or ()), *sorted(closure.items())])


def _plain_values(found: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    named = [(name, value) for name, value in found if isinstance(value, bool | int | float | str)]
    return [(name, value) for name, value in named if name not in ("__module__", "__doc__", "__firstlineno__")]


def _hash(parts: list[str]) -> str:
    return str(xxh3_128("\n".join(parts).encode()).hexdigest())
