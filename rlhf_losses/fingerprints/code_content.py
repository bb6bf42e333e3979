"""Content of Python code: a hash of its statements, without comments and layout."""

import ast
import dis
import functools
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from xxhash import xxh3_128

from rlhf_losses.fingerprints.content import Content


def code_content(code: Any) -> Content | None:
    """Return the content of a function, a class or a callable object; None if its source is unknown.

    The values that it was created with count if they are numbers, strings or lists and dictionaries of these: bound
    arguments, defaults, variables of the enclosing function and of the module, attributes. So do the functions of its
    own module that it calls; those of other modules do not.

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
    functions = _with_called(_functions(named))
    try:
        sources = [_statements(one) for one in functions]
    except (OSError, TypeError):
        return None
    values = [*_values(code), *(_globals(one) for one in functions)]
    return Content(_hash([*sources, repr(values)]), named.__qualname__) if sources else None


def _functions(code: Any) -> list[Any]:
    """Return a function, or the functions of a class and of its base classes in the same module."""
    classes = [one for one in code.__mro__ if one.__module__ == code.__module__] if isinstance(code, type) else []
    parts = [value for one in classes for value in vars(one).values()] if classes else [code]
    functions = [one for one in map(_function, parts) if one is not None]
    # The methods that `dataclass` generates have no source, and follow from the fields.
    return [one for one in functions if not (classes and one.__code__.co_filename == "<string>")]


def _with_called(functions: list[Any]) -> list[Any]:
    """Return functions with the functions and classes of their modules that they use, each once."""
    found = list(functions)
    for function in found:  # grows
        names = _used_globals(function).values()
        called = (one for one in names if getattr(one, "__module__", None) == function.__module__)
        found += [one for value in called for one in _functions(value) if one not in found]
    return found


def _used_globals(function: Any) -> dict[str, Any]:
    """Return the variables of its module that a function reads and does not assign, also inside inner functions."""
    codes = [function.__code__]
    for code in codes:  # grows
        codes += [one for one in code.co_consts if inspect.iscode(one)]
    names = {name for code in codes for name in code.co_names}
    assigned = {one.argval for code in codes for one in dis.get_instructions(code) if one.opname == "STORE_GLOBAL"}
    return {name: function.__globals__[name] for name in sorted(names - assigned) if name in function.__globals__}


def _globals(function: Any) -> list[tuple[Any, Any]]:
    return _plain_values(_used_globals(function).items())


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
    named = [(name, value) for name, value in found if _is_plain(value)]
    return [(name, value) for name, value in named if name not in ("__module__", "__doc__", "__firstlineno__")]


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a string, or a list, tuple or dictionary of these."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value.keys(), *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _hash(parts: list[str]) -> str:
    return str(xxh3_128("\n".join(parts).encode()).hexdigest())
