"""Addresses of pages of the documentation, for messages, help texts and model cards."""

import re

REPOSITORY = "https://github.com/rlhf-losses/rlhf-losses/blob/main"
"""Address of the files of this package."""

_FILE = re.compile(r"(?<![\w/.-])(?:docs/[\w/-]+\.md|examples/(?:accelerate|hand_over|serve)\b)")


def documentation(page: str) -> str:
    """Return the address of a page of the documentation.

    Args:
        page: path of the page in the documentation, with `#` and a heading if one is meant.

    Examples:
        >>> documentation("ppo.md#defaults")
        'https://github.com/rlhf-losses/rlhf-losses/blob/main/docs/ppo.md#defaults'
    """
    return f"{REPOSITORY}/docs/{page}"


def with_addresses(text: str) -> str:
    """Return a text with the addresses of pages and examples in place of their paths in the repository.

    Args:
        text: a text of a table that a message and a page of the documentation have in common.

    Examples:
        >>> with_addresses("See docs/how-to/grpo.md.")
        'See https://github.com/rlhf-losses/rlhf-losses/blob/main/docs/how-to/grpo.md.'
    """
    return _FILE.sub(lambda path: f"{REPOSITORY}/{path[0]}", text)
