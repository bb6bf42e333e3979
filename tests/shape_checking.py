"""Run-time check of shapes and types in `feedback` and `losses`; pyproject.toml enables it for the tests."""

from typing import Any, Self

from beartype import BeartypeConf, beartype

# As in static type checkers, an int is accepted as a float.
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Any) -> Any:
    """Return `function` with a check of its annotations at every call.

    Constructors are not checked: fields of feedback accept lists and convert them to the annotated tensors. Results of
    type `Self` are not checked either: jaxtyping decorates single methods, without the class.
    """
    if function.__name__ == "__init__":
        return function
    hints = getattr(function, "__annotations__", {})
    function.__annotations__ = {name: Any if hint is Self else hint for name, hint in hints.items()}
    return _check(function)
