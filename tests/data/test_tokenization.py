"""Padding cannot hide the end of a text, and suggestions name tokens of the vocabulary."""

import pytest

from rlhf_losses.data.tokenization import (
    EOS_TOKEN_HINTS,
    PAD_TOKEN_HINTS,
    adds_final_token,
    configure_special_tokens,
    special_token_candidates,
)
from rlhf_losses.errors import UnsupportedModelError


@pytest.mark.parametrize(("pad_token", "found"), [(None, "no pad token"), ("<eos>", "pad = eos = '<eos>'")])
def test_padding_that_equals_eos_or_is_missing_is_refused(make_character_tokenizer, pad_token, found):
    tokenizer = make_character_tokenizer(pad_token=pad_token)
    with pytest.raises(UnsupportedModelError, match=rf"{found}.*--pad_token TOKEN.*'<unk>'"):
        configure_special_tokens(tokenizer)
    configure_special_tokens(tokenizer, pad_token="<unk>")
    assert tokenizer.pad_token == "<unk>"


def test_a_token_outside_the_vocabulary_is_refused(make_character_tokenizer):
    with pytest.raises(UnsupportedModelError, match=r"pad_token='<none>'.*no embedding.*'<unk>'"):
        configure_special_tokens(make_character_tokenizer(), pad_token="<none>")


def test_a_missing_eos_token_is_refused_unless_the_tokenizer_adds_a_final_token(make_character_tokenizer):
    tokenizer = make_character_tokenizer(eos_token=None)
    assert not adds_final_token(tokenizer)
    with pytest.raises(UnsupportedModelError, match=r"no EOS token.*--eos_token TOKEN"):
        configure_special_tokens(tokenizer)
    configure_special_tokens(tokenizer, eos_token="<eos>")
    assert tokenizer.eos_token == "<eos>"


def test_candidates_are_special_tokens_that_are_not_in_use(make_character_tokenizer):
    tokenizer = make_character_tokenizer(pad_token=None)
    assert special_token_candidates(tokenizer, PAD_TOKEN_HINTS) == ["<unk>", "<pad>"]
    assert special_token_candidates(make_character_tokenizer(eos_token=None), EOS_TOKEN_HINTS) == ["<eos>"]
