"""From a rendered text to token ids, and the tokens at which scores are read."""

from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.rendering import Rendered
from rlhf_losses.errors import UnsupportedModelError


@dataclass(frozen=True)
class Encoded:
    """Token ids, the position of each score, and where the tokens that belong to the prompt alone begin and stop."""

    ids: list[int]
    positions: tuple[int, ...]
    prompt: tuple[int, int] = (0, 0)

    @property
    def prompt_length(self) -> int:
        """Return the number of tokens that belong to the prompt alone."""
        return self.prompt[1] - self.prompt[0]


def encode(rendered: Rendered, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Tokenize the whole text at once; the score of its last part is read at the last token.

    The score of an earlier part is read at the token that completes it. Prompt and answer are never
    tokenized apart: together they may give other tokens.
    """
    if not tokenizer.is_fast:
        return _encode_without_offsets(rendered, tokenizer)
    encoded = tokenizer(rendered.text, add_special_tokens=rendered.special_tokens, return_offsets_mapping=True)
    ids, spans = list(encoded["input_ids"]), list(encoded["offset_mapping"])
    inner = tuple(_token_completing(end, spans) for end in rendered.part_ends[:-1])
    return Encoded(ids, (*inner, len(ids) - 1), _prompt_tokens(rendered.prompt_end, spans))


def cut_prompt(encoded: Encoded, count: int) -> Encoded:
    """Remove `count` tokens from the left of the prompt, after any special tokens that begin the text.

    >>> cut_prompt(Encoded(ids=[1, 7, 8, 9, 2], positions=(4,), prompt=(1, 3)), 1)
    Encoded(ids=[1, 8, 9, 2], positions=(3,), prompt=(1, 2))
    """
    start, stop = encoded.prompt
    return replace(
        encoded,
        ids=encoded.ids[:start] + encoded.ids[start + count :],
        positions=tuple(position - count for position in encoded.positions),
        prompt=(start, stop - count),
    )


def _encode_without_offsets(rendered: Rendered, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    if len(rendered.part_ends) > 1:
        raise UnsupportedModelError(
            f"{type(tokenizer).__name__} does not tell which characters a token covers, so the ends of steps cannot "
            "be found. Load a fast tokenizer: AutoTokenizer.from_pretrained(..., use_fast=True)."
        )
    ids = list(tokenizer(rendered.text, add_special_tokens=rendered.special_tokens)["input_ids"])
    return Encoded(ids, (len(ids) - 1,))


def _token_completing(end: int, spans: list[tuple[int, int]]) -> int:
    return max(i for i, (first, last) in enumerate(spans) if first < last and first < end)


def _prompt_tokens(end: int, spans: list[tuple[int, int]]) -> tuple[int, int]:
    inside = [i for i, (first, last) in enumerate(spans) if first < last <= end]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)
