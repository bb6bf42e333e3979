"""Texts that already begin with BOS: tokenizing them adds no second one."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_is_silent = ContextVar("is_silent", default=False)
_reported: set[str] = set()


@contextmanager
def unreported() -> Iterator[None]:
    """Within the block, log no text that begins with BOS: it is none of the user."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


def without_repeated_bos(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return token ids with at most one BOS token at the beginning.

    The first removal is logged as a warning.

    Args:
        ids: token ids of one text.
        tokenizer: its tokenizer. One without BOS, like that of BERT, has CLS in its place.
    """
    count = count_repeated_bos(ids, tokenizer)
    return [*ids[:1], *ids[1 + count :]]


def count_repeated_bos(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many BOS tokens follow the first one at the beginning of a text, and log the first such text.

    The last token of a text does not count: it is EOS, which is the same token as BOS in some vocabularies.

    Args:
        ids: token ids of one text.
        tokenizer: its tokenizer.
    """
    if len(ids) < 3 or ids[0] != ids[1]:
        return 0
    bos = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    others = (index for index, token in enumerate(ids[:-1]) if token != bos)
    count = max(next(others, len(ids) - 1) - 1, 0)
    if count:
        _report(str(tokenizer.bos_token or tokenizer.cls_token))
    return count


def _report(token: str) -> None:
    if _is_silent.get() or token in _reported:
        return
    _reported.add(token)
    logger.warning(
        "A text begins with '%s', and the tokenizer or the chat template adds this token too. A second one would "
        "change its scores, so it is removed. Remove the token from the texts to avoid this warning, shown once.",
        token,
    )
