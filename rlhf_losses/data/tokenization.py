"""Tokenization: token ids of rendered texts with score positions."""

import logging
import string
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, takewhile, tee
from operator import itemgetter
from typing import Any

from tokenizers import Encoding
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.added_tokens import AddedTokens, TextEnd
from rlhf_losses.data.rendering import Rendered, render_all
from rlhf_losses.data.repeated_bos import count_repeated_bos
from rlhf_losses.data.special_tokens import BYTE_TOKENS
from rlhf_losses.errors import InvalidFeedbackError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.iteration import compute_ahead, in_batches

logger = logging.getLogger(__name__)

BYTE_ALPHABET = tuple(ByteLevel.alphabet())
"""Characters that stand for bytes in byte-level vocabularies."""

TEXTS_AT_ONCE = 64
"""Number of texts that the tokenizer reads at once."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one text with the positions of its scores.

    Attributes:
        ids: token ids.
        positions: for each part of the answer, the index of the token at which its score is computed.
        prompt: index of the first prompt token, after initial special tokens, and of the first token after the prompt.
        removed: number of prompt tokens that were removed, so that the text fits.
    """

    ids: list[int]
    positions: tuple[int, ...]
    prompt: tuple[int, int] = (0, 0)
    removed: int = 0

    @property
    def prompt_length(self) -> int:
        """Return the number of prompt tokens."""
        return self.prompt[1] - self.prompt[0]


def encode(rendered: Rendered, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Tokenize a rendered text.

    The whole text is tokenized at once, because prompt and answer may have other tokens when they are tokenized
    separately. The score of the last part is computed at the last token, and the score of an earlier part at the token
    that contains its last character. A text that begins with BOS already gets no second one.

    Args:
        rendered: a text from `render`.
        tokenizer: a fast tokenizer; a slow one works for texts without steps.

    Raises:
        UnsupportedModelError: a slow tokenizer, and a text with steps; or a tokenizer that drops characters, and the
            end of a step cannot be found.
    """
    return next(encode_all([rendered], tokenizer))


def encode_all(texts: Iterable[Rendered], tokenizer: PreTrainedTokenizerBase) -> Iterator[Encoded]:
    """Tokenize rendered texts, with the threads of the tokenizer; see `encode`.

    Further texts are rendered and tokenized while a result is used.

    Args:
        texts: texts from `render_all`; they are read as they are needed.
        tokenizer: a fast tokenizer; a slow one works for texts without steps.

    Raises:
        UnsupportedModelError: see `encode`.
    """
    if not tokenizer.is_fast:
        yield from (_encode_without_offsets(one, tokenizer) for one in texts)
        return
    for batch, found in compute_ahead(partial(_tokenize, tokenizer=tokenizer), in_batches(texts, TEXTS_AT_ONCE)):
        dropped = _dropped_characters((one.text for one in batch), tokenizer)
        initial = set() if all(one.special_tokens for one in batch) else _initial_tokens(tokenizer)
        for one, (ids, characters) in zip(batch, found, strict=True):
            drops_characters = bool(dropped) and not dropped.isdisjoint(one.text)
            yield _with_positions(one, ids, characters, tokenizer, drops_characters, initial)


def encode_answers(
    rows: Iterable[Sequence[Answer]], tokenizer: PreTrainedTokenizerBase, separator: str, end: TextEnd | None = None
) -> Iterator[list[Encoded]]:
    """Yield the tokenized texts of each row, while those of later rows are rendered and tokenized.

    Args:
        rows: the answers of each row; they are read as they are needed.
        tokenizer: see `encode_all`.
        separator: see `render`.
        end: see `render`.

    Raises:
        UnsupportedModelError: see `encode` and `render`.
        InvalidFeedbackError: see `render`.
    """
    to_return, to_render = tee(rows)
    texts = encode_all(render_all(chain.from_iterable(to_render), tokenizer, separator, end), tokenizer)
    for answers in to_return:
        yield list(islice(texts, len(answers)))


def _tokenize(
    texts: list[Rendered], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Rendered], list[tuple[list[int], Encoding]]]:
    """Return texts with their tokens and the characters of each token."""
    found: dict[int, tuple[list[int], Encoding]] = {}
    for special_tokens in {one.special_tokens for one in texts}:
        indices = [index for index, one in enumerate(texts) if one.special_tokens is special_tokens]
        encoded = tokenizer(
            [texts[index].text for index in indices],
            add_special_tokens=special_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        found.update(zip(indices, zip(encoded["input_ids"], encoded.encodings, strict=True), strict=True))
    return texts, [found[index] for index in range(len(texts))]


def _with_positions(
    rendered: Rendered,
    ids: list[int],
    characters: Encoding,
    tokenizer: PreTrainedTokenizerBase,
    drops_characters: bool,
    initial: set[int | None],
) -> Encoded:
    """Return tokens with the positions of scores and prompt, which the characters of each token tell."""
    start, stop = _prompt_tokens(rendered.prompt_end, characters)
    if rendered.without_eos:
        ids = _without_added_eos(ids, _last_with_characters(len(characters), characters) + 1, tokenizer)
    if drops_characters:  # the offsets after a dropped character are wrong
        inner = tuple(_end_of_prefix(rendered, end, ids, tokenizer)[0] for end in rendered.part_ends[:-1])
        has_prompt = stop and _prefix_ids(rendered, rendered.prompt_end, tokenizer)
        stop = max(start, _end_of_prefix(rendered, rendered.prompt_end, ids, tokenizer)[1]) if has_prompt else start
    else:
        inner = tuple(_last_token(end, characters) for end in rendered.part_ends[:-1])
    if not rendered.special_tokens:  # the template has written them, so they have characters
        before = takewhile(initial.__contains__, islice(ids, start, None))
        start = min(stop, start + sum(1 for _ in before))
    return _without_repeated_bos(Encoded(ids, (*inner, len(ids) - 1), (start, stop)), tokenizer)


def cut_prompt(encoded: Encoded, count: int) -> Encoded:
    """Remove the first `count` prompt tokens, and keep special tokens before the prompt.

    Examples:
        >>> cut_prompt(Encoded(ids=[1, 7, 8, 9, 2], positions=(4,), prompt=(1, 3)), 1)
        Encoded(ids=[1, 8, 9, 2], positions=(3,), prompt=(1, 2), removed=1)
    """
    start, stop = encoded.prompt
    return replace(
        encoded,
        ids=encoded.ids[:start] + encoded.ids[start + count :],
        positions=tuple(position - count for position in encoded.positions),
        prompt=(start, stop - count),
        removed=encoded.removed + count,
    )


def fit_prompts(texts: Sequence[Encoded], max_length: int | None) -> list[Encoded]:
    """Cut prompts from the left until the longest text has at most `max_length` tokens, or no prompt is left.

    The same number of tokens is removed from all prompts, so that the answers of a row keep a common prompt.

    Args:
        texts: the texts of one row.
        max_length: largest number of tokens of a text, or None for no limit.

    Examples:
        >>> [short] = fit_prompts([Encoded(ids=[1, 7, 8, 9, 2], positions=(4,), prompt=(1, 3))], max_length=4)
        >>> short.ids, short.removed
        ([1, 8, 9, 2], 1)
    """
    excess = max((len(text.ids) for text in texts), default=0) - (max_length or 0)
    if max_length is None or excess <= 0:
        return list(texts)
    return [cut_prompt(text, min(excess, text.prompt_length)) for text in texts]


def _encode_without_offsets(rendered: Rendered, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    if len(rendered.part_ends) > 1:
        raise UnsupportedModelError(
            f"{type(tokenizer).__name__} does not return the characters of each token, so the ends of steps cannot be "
            "found. Load a fast tokenizer: AutoTokenizer.from_pretrained(..., use_fast=True)."
        )
    ids = list(tokenizer(rendered.text, add_special_tokens=rendered.special_tokens)["input_ids"])
    if rendered.without_eos:
        ids = _without_added_eos(ids, len(ids) - len(AddedTokens.of(tokenizer).after), tokenizer)
    return _without_repeated_bos(Encoded(ids, (len(ids) - 1,)), tokenizer)


def _without_added_eos(ids: list[int], end: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return token ids without the EOS that the tokenizer has added from the index `end` on."""
    return [*ids[:end], *(token for token in ids[end:] if token != tokenizer.eos_token_id)]


def _without_repeated_bos(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    count = count_repeated_bos(encoded.ids, tokenizer)
    if not count:
        return encoded
    start, stop = encoded.prompt
    start = max(start - count, 1) if stop else 0
    return replace(
        encoded,
        ids=encoded.ids[:1] + encoded.ids[1 + count :],
        positions=tuple(max(position - count, 0) for position in encoded.positions),
        prompt=(start, max(stop - count, start)),
    )


def _initial_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int | None]:
    """Return the tokens that the tokenizer puts before every plain text."""
    return {tokenizer.bos_token_id, tokenizer.cls_token_id, *AddedTokens.of(tokenizer).before}


def _dropped_characters(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Return the characters of texts that have no token, because a BPE vocabulary without UNK lacks them."""
    core = tokenizer.backend_tokenizer
    if (
        not isinstance(core.model, BPE)
        or core.model.unk_token is not None
        or all(core.token_to_id(token) is not None for token in BYTE_ALPHABET)
        or (core.model.byte_fallback and core.token_to_id(BYTE_TOKENS[0]) is not None)
    ):
        return set()
    frequent = "".join(one for one in string.printable if one == " " or core.token_to_id(one) is not None)
    others = "".join(texts).translate(str.maketrans("", "", frequent))  # faster than a set of all characters
    return {character for character in set(others) if core.token_to_id(character) is None}


def _prefix_ids(rendered: Rendered, end: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens of the first `end` characters, without special tokens that the tokenizer appends."""
    arguments = {"add_special_tokens": rendered.special_tokens, "return_offsets_mapping": True}
    encoding = tokenizer(rendered.text[:end], **arguments)
    ids, offsets = list(encoding["input_ids"]), list(encoding["offset_mapping"])
    while len(ids) > 1 and tuple(offsets[len(ids) - 1]) == (0, 0):
        ids.pop()
    if ids and tuple(offsets[0]) == (0, 0) and ids[0] != tokenizer.bos_token_id:
        ids.pop()
    return ids


def _end_of_prefix(rendered: Rendered, end: int, ids: list[int], tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Return the index of the token with the last character before `end`, and the number of tokens before `end`.

    They differ if this token has characters after `end` too. Characters without a token are skipped.
    """
    prefix = _prefix_ids(rendered, end, tokenizer)
    text = tokenizer.decode(prefix)
    for index in range(max(_count_common(ids, prefix) - 1, 0), len(ids) if prefix else 0):
        decoded = tokenizer.decode(ids[: index + 1])
        if decoded.startswith(text):
            return index, index + (decoded == text)
    raise UnsupportedModelError(
        "The tokenizer has no token for some characters of a text and drops them, so the token at the end of "
        f"{rendered.text[max(0, end - 40) : end]!r} is unknown. Use a tokenizer with UNK or with tokens of bytes, or "
        "drop the row."
    )


def _count_common(ids: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of equal tokens at the beginning of two texts."""
    differences = (index for index, (one, two) in enumerate(zip(ids, other, strict=False)) if one != two)
    return next(differences, min(len(ids), len(other)))


def _last_token(end: int, characters: Encoding) -> int:
    """Return the index of the last token with a character before `end`."""
    stop = characters.char_to_token(end)
    if stop is None or _span(stop, characters)[0] < end:
        stop = bisect_left(_Spans(characters), end, key=itemgetter(0))
    last = _last_with_characters(stop, characters)
    if last < 0:
        raise InvalidFeedbackError(
            "A step has no tokens, so there is nothing to score. Drop the row, or add the text of the step."
        )
    return last


def _prompt_tokens(end: int, characters: Encoding) -> tuple[int, int]:
    """Return the index of the first token with characters, and of the first token after those that end before `end`."""
    stop = characters.char_to_token(end)
    if stop is None:
        stop = bisect_right(_Spans(characters), end, key=itemgetter(1))
    last = _last_with_characters(stop, characters)
    if last < 0:
        return 0, 0
    first = 0
    while not _has_characters(first, characters):
        first += 1
    return first, last + 1


def _last_with_characters(stop: int, characters: Encoding) -> int:
    """Return the index of the last token before `stop` that has characters, or −1."""
    last = stop - 1
    while last >= 0 and not _has_characters(last, characters):
        last -= 1
    return last


def _has_characters(index: int, characters: Encoding) -> bool:
    start, stop = _span(index, characters)
    return start < stop


def _span(index: int, characters: Encoding) -> tuple[int, int]:
    """Return the first character of a token, and the one after its last; both are 0 for a special token."""
    return characters.token_to_chars(index) or (0, 0)


class _Spans(Sequence[tuple[int, int]]):
    """The characters of each token, up to the last one that has characters, for a binary search.

    `Encoding.offsets` is a list of all spans, which takes longer to make than a text takes to tokenize.
    """

    def __init__(self, characters: Encoding) -> None:
        self.characters = characters
        self.size = _last_with_characters(len(characters), characters) + 1

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        return _span(index, self.characters)
