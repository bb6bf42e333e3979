"""The special tokens of a tokenizer: EOS, and a padding token that occurs in no text."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.added_tokens import AddedTokens
from rlhf_losses.data.rendering import render
from rlhf_losses.errors import RlhfLossesError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

PAD_TOKEN_HINTS = ("pad", "unused", "reserved", "unk")
"""Parts of the names of tokens that are suitable for padding, best first."""

NEW_PAD_TOKEN = "<|pad|>"
"""Token that is added for padding where the model has an embedding that no token uses."""

BYTE_TOKENS = ("<0xFF>", "ÿ")
"""Tokens of the byte 255, which is in no UTF-8 text, in vocabularies with byte fallback and in byte-level ones."""

EOS_TOKEN_HINTS = ("eos", "end", "eot", "sep", "</s>", "stop")
"""Parts of the names of tokens that are suitable as EOS."""


def adds_final_token(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether a tokenizer appends a special token to every text, as BERT's appends [SEP]."""
    return bool(AddedTokens.of(tokenizer).after)


def configure_special_tokens(
    tokenizer: PreTrainedTokenizerBase,
    eos_token: str | None = None,
    pad_token: str | None = None,
    num_embeddings: int | None = None,
) -> None:
    """Set the EOS and the padding token of a tokenizer so that padding cannot hide the end of a text.

    A sequence classifier uses the score at the last token that is not padding. If there is no padding token, or if it
    is EOS or the last token of conversations, another token that no text ends with is chosen, with a warning. In this
    order it is a token for padding, an unused or reserved one, UNK, a new token with an embedding that no other token
    uses, BOS, or the token of a byte that is in no UTF-8 text.

    Args:
        tokenizer: the tokenizer to configure, with its chat template; it changes in place.
        eos_token: a token of the vocabulary, or None to keep the current one.
        pad_token: the same for padding; a new token is added if the model has an embedding for it.
        num_embeddings: number of embeddings of the model, or None if it is unknown; then no token is new.

    Raises:
        UnsupportedModelError: a token is not in the vocabulary, there is no EOS token, or no token is safe for padding.
    """
    _set_token(tokenizer, "eos_token", eos_token, EOS_TOKEN_HINTS)
    if pad_token is not None and pad_token not in tokenizer.get_vocab() and _next_id(tokenizer) < (num_embeddings or 0):
        tokenizer.add_special_tokens({"pad_token": pad_token})
    _set_token(tokenizer, "pad_token", pad_token, PAD_TOKEN_HINTS)
    if tokenizer.eos_token is None and not adds_final_token(tokenizer):
        raise UnsupportedModelError(
            "The tokenizer has no EOS token, so nothing marks the end of a text, where its score is computed. "
            f"Name a token with {setting('eos_token', 'TOKEN')}, for example "
            f"{_suggestions(tokenizer, EOS_TOKEN_HINTS)}."
        )
    final_ids = _final_ids(tokenizer)
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in final_ids:
        return
    problem = _padding_problem(tokenizer, pad_token)
    chosen = _safe_pad_token(tokenizer, num_embeddings, final_ids)
    if chosen is None:
        raise UnsupportedModelError(
            f"{problem}. A sequence classifier uses the score at the last token that is not padding, so it would skip "
            "the end of a text and use an untrained position, and no other token of the vocabulary is safe. Add a "
            "token and its embedding: tokenizer.add_special_tokens({'pad_token': '<pad>'}) and "
            f"{setting('resize_embeddings', 'true', python='resize_embeddings=True')}."
        )
    tokenizer.add_special_tokens({"pad_token": chosen})
    logger.warning(
        "%s. A sequence classifier uses the score at the last token that is not padding, so '%s' (id %d), which ends "
        "no text, is used for padding. Choose another token with %s.",
        problem, chosen, tokenizer.pad_token_id, setting("pad_token", "TOKEN"),
    )  # fmt: skip


def _padding_problem(tokenizer: PreTrainedTokenizerBase, pad_token: str | None) -> str:
    """Return why padding hides the end of a text."""
    if tokenizer.pad_token_id is None:
        return "The tokenizer has no pad token"
    if tokenizer.pad_token_id != tokenizer.eos_token_id:
        found = (
            f"The tokenizer has pad = '{tokenizer.pad_token}'" if pad_token is None else setting("pad_token", pad_token)
        )
        return f"{found}, and texts end with this token"
    if pad_token is None:
        return f"The tokenizer has pad = eos = '{tokenizer.eos_token}'"
    return f"{setting('pad_token', pad_token)} is the EOS token"


def _final_ids(tokenizer: PreTrainedTokenizerBase) -> set[int | None]:
    """Return the tokens that plain texts and conversations end with."""
    found = {tokenizer.eos_token_id}
    prompt, reply = [{"role": "user", "content": "a"}], [{"role": "assistant", "content": "a"}]
    for answer in [Answer("a", ("a",)), *([Answer(prompt, (reply,))] if tokenizer.chat_template else [])]:
        with suppress(RlhfLossesError):  # the template may refuse this conversation
            rendered = render(answer, tokenizer)
            found |= set(tokenizer(rendered.text, add_special_tokens=rendered.special_tokens)["input_ids"][-1:])
    return found


def special_token_candidates(tokenizer: PreTrainedTokenizerBase, hints: Sequence[str]) -> list[str]:
    """Return up to three tokens whose names contain one of `hints`, special tokens first.

    The current BOS, EOS and padding tokens are left out.

    Args:
        tokenizer: a tokenizer.
        hints: parts of names in lower case, like `PAD_TOKEN_HINTS`.
    """
    used = {tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token}
    marked = [token for token in tokenizer.get_vocab() if token.startswith(("<", "["))]
    fitting = [
        token
        for hint in hints
        for token in (*tokenizer.all_special_tokens, *sorted(marked))
        if token not in used and hint in token.lower()
    ]
    return list(dict.fromkeys(fitting))[:3]


def _next_id(tokenizer: PreTrainedTokenizerBase) -> int:
    return int(max(tokenizer.get_vocab().values())) + 1


def _safe_pad_token(
    tokenizer: PreTrainedTokenizerBase, num_embeddings: int | None, final_ids: set[int | None]
) -> str | None:
    """Return a token that is not in `final_ids` and that has an embedding, or None."""
    ids, next_id = tokenizer.get_vocab(), _next_id(tokenizer)
    limit = next_id if num_embeddings is None else num_embeddings
    for token in _pad_tokens(tokenizer, has_free_embedding=next_id < limit):
        number = ids.get(token, next_id)
        if number < limit and number not in final_ids:
            return token
    return None


def _pad_tokens(tokenizer: PreTrainedTokenizerBase, has_free_embedding: bool) -> Iterator[str]:
    """Return tokens for padding, best first; some may end texts or have no embedding."""
    special = set(tokenizer.all_special_tokens)
    named = special_token_candidates(tokenizer, PAD_TOKEN_HINTS)
    yield from (token for token in named if token in special or token.endswith((">", "]")))
    if has_free_embedding:
        yield NEW_PAD_TOKEN
    if tokenizer.bos_token is not None:
        yield tokenizer.bos_token
    vocabulary = tokenizer.get_vocab()
    yield from (token for token in BYTE_TOKENS if token in vocabulary and not _is_in_texts(token, tokenizer))


def _is_in_texts(token: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the text of a token is tokenized to this token."""
    return tokenizer.convert_tokens_to_ids(token) in tokenizer(token, add_special_tokens=False)["input_ids"]


def _set_token(tokenizer: PreTrainedTokenizerBase, name: str, token: str | None, hints: Sequence[str]) -> None:
    if token is None:
        return
    if token not in tokenizer.get_vocab():
        resize = setting("resize_embeddings", "true", python="resize_embeddings=True")
        raise UnsupportedModelError(
            f"{name}='{token}' is not in the vocabulary of the tokenizer, so the model has no embedding for it. "
            f"Name a token of the vocabulary: {_suggestions(tokenizer, hints)}"
            f"{f', or add the token with {resize}' if name == 'pad_token' else ''}."
        )
    setattr(tokenizer, name, token)


def _suggestions(tokenizer: PreTrainedTokenizerBase, hints: Sequence[str]) -> str:
    found = special_token_candidates(tokenizer, hints)
    return " or ".join(f"'{token}'" for token in found) or "a token added with tokenizer.add_special_tokens"
