"""The checker of shapes and types that the tests switch on for `feedback` and `losses` (see pyproject.toml)."""

from typing import Any, Self

from beartype import BeartypeConf, beartype

# As for every type checker, an int will do where a float is asked for.
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Any) -> Any:
    """Return `function` with its annotations checked by beartype at every call.

    Two things go unchecked: constructors, because fields of feedback take lists and turn them into the
    tensors that their annotation names; and results that are `Self`, because jaxtyping hands over one method
    at a time, without the class.
    """
    if function.__name__ == "__init__":
        return function
    hints = getattr(function, "__annotations__", {})
    function.__annotations__ = {name: Any if hint is Self else hint for name, hint in hints.items()}
    return _check(function)
