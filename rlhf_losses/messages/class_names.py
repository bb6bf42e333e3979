"""Names of classes in strings such as the value of `loss`."""

import re


def snake_case(class_name: str) -> str:
    """Return the name of a class in snake case.

    Args:
        class_name: name of the class in Python.

    Examples:
        >>> snake_case("SquaredHinge"), snake_case("ABTest")
        ('squared_hinge', 'abtest')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()
