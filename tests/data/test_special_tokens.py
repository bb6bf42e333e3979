"""Padding cannot hide the end of a text, and suggestions name tokens of the vocabulary."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rlhf_losses.data.rendering import Rendered, render
from rlhf_losses.data.special_tokens import (
    EOS_TOKEN_HINTS,
    NEW_PAD_TOKEN,
    PAD_TOKEN_HINTS,
    adds_final_token,
    configure_special_tokens,
    special_token_candidates,
)
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.feedback.base import Answer


@pytest.mark.parametrize(("pad_token", "found"), [(None, "no pad token"), ("<eos>", "pad = eos = '<eos>'")])
def test_padding_that_equals_eos_or_is_missing_is_replaced_with_a_warning(
    make_character_tokenizer, pad_token, found, caplog
):
    tokenizer = make_character_tokenizer(pad_token=pad_token)
    configure_special_tokens(tokenizer)
    assert tokenizer.pad_token == "<pad>"
    assert found in caplog.text
    assert "'<pad>' (id" in caplog.text
    assert "pad_token=" in caplog.text


def test_a_padding_token_that_is_named_and_is_not_eos_is_used(make_character_tokenizer, caplog):
    tokenizer = make_character_tokenizer(pad_token=None)
    configure_special_tokens(tokenizer, pad_token="<unk>")
    assert tokenizer.pad_token == "<unk>"
    assert not caplog.text


def word_tokenizer(*special_tokens: str, **names: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of a few words and special tokens."""
    words = [*special_tokens, "a", "b", "<pads"]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="a"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with one special token, as that of GPT-2."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, "<|endoftext|>"])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=end, eos_token=end, unk_token=end)


@pytest.mark.parametrize(
    ("make", "num_embeddings", "chosen"),
    [
        (lambda: word_tokenizer("</s>", "<unk>", "<pad>", eos_token="</s>", unk_token="<unk>"), 6, "<pad>"),
        (lambda: word_tokenizer("</s>", "<|reserved_1|>", "<unk>", eos_token="</s>"), 6, "<|reserved_1|>"),
        (lambda: word_tokenizer("</s>", "<unk>", eos_token="</s>", unk_token="<unk>"), 9, "<unk>"),
        (lambda: word_tokenizer("</s>", "<s>", eos_token="</s>", bos_token="<s>"), 6, NEW_PAD_TOKEN),
        (lambda: word_tokenizer("</s>", "<s>", eos_token="</s>", bos_token="<s>"), 5, "<s>"),
        (lambda: word_tokenizer("</s>", "<s>", eos_token="</s>", bos_token="<s>"), None, "<s>"),
        (bytes_tokenizer, 258, NEW_PAD_TOKEN),
        (bytes_tokenizer, 257, "ÿ"),
    ],
    ids=["padding", "reserved", "unknown", "free", "full", "unknown_size", "bytes_free", "bytes_full"],
)
def test_the_chosen_padding_token_ends_no_text_and_has_an_embedding(make, num_embeddings, chosen):
    """The word `<pads` of the vocabulary is not chosen: a text may end with it."""
    tokenizer = make()
    configure_special_tokens(tokenizer, num_embeddings=num_embeddings)
    assert tokenizer.pad_token == chosen
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.pad_token_id < (num_embeddings or len(tokenizer))
    assert tokenizer.convert_ids_to_tokens(tokenizer.pad_token_id) == chosen


def test_a_tokenizer_without_a_safe_token_is_refused():
    tokenizer = word_tokenizer("</s>", eos_token="</s>")
    with pytest.raises(UnsupportedModelError, match=r"no pad token.*no other token.*safe.*resize_embeddings=True"):
        configure_special_tokens(tokenizer, num_embeddings=len(tokenizer))


def test_a_token_outside_the_vocabulary_is_refused(make_character_tokenizer):
    with pytest.raises(UnsupportedModelError, match=r"pad_token='<none>'.*no embedding.*'<unk>'"):
        configure_special_tokens(make_character_tokenizer(), pad_token="<none>")


MESSAGES = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def chat_tokenizer(template: str = MESSAGES, pad_token: str | None = "<|im_end|>") -> PreTrainedTokenizerFast:
    """Return a tokenizer whose conversations end with another token than EOS."""
    tokenizer = word_tokenizer(
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>", eos_token="<|endoftext|>", pad_token=pad_token
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("named", [None, "<|im_end|>"])
def test_padding_that_ends_conversations_is_replaced_with_a_warning(named, caplog):
    tokenizer = chat_tokenizer(pad_token=None if named else "<|im_end|>")
    configure_special_tokens(tokenizer, pad_token=named)
    assert tokenizer.pad_token == "<pad>"
    source = "pad_token='<|im_end|>'" if named else "The tokenizer has pad = '<|im_end|>'"
    assert f"{source}, and texts end with this token" in caplog.text


@pytest.mark.parametrize("template", [None, MESSAGES.replace("<|im_end|>", "<|im_end|>a"), "{{ raise_exception('') }}"])
def test_padding_that_ends_no_conversation_is_kept(template, caplog):
    tokenizer = chat_tokenizer(template)
    configure_special_tokens(tokenizer)
    assert tokenizer.pad_token == "<|im_end|>"
    assert not caplog.text


def test_the_end_of_conversations_is_not_chosen_for_padding():
    end = "<|reserved_end|>"
    tokenizer = word_tokenizer("</s>", end, "<unk>", eos_token="</s>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": [end]})
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}" + end + "{% endfor %}"
    configure_special_tokens(tokenizer)
    assert tokenizer.pad_token == "<unk>"


def test_a_padding_token_that_is_named_is_added_if_there_is_an_embedding_for_it(caplog):
    tokenizer = word_tokenizer("</s>", eos_token="</s>")
    count = len(tokenizer)
    configure_special_tokens(tokenizer, pad_token="[PAD]", num_embeddings=count + 1)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("[PAD]", count)
    assert not caplog.text
    with pytest.raises(UnsupportedModelError, match=r"'\[NEW\]' is not in the vocabulary.*resize_embeddings=True"):
        configure_special_tokens(tokenizer, pad_token="[NEW]", num_embeddings=count + 1)


def test_a_padding_token_that_is_named_and_is_eos_is_replaced_with_the_name_of_the_setting(
    make_character_tokenizer, caplog
):
    tokenizer = make_character_tokenizer()
    configure_special_tokens(tokenizer, pad_token="<eos>")
    assert tokenizer.pad_token == "<pad>"
    assert "pad_token='<eos>' is the EOS token" in caplog.text
    assert "The tokenizer has" not in caplog.text


def test_a_missing_eos_token_is_refused_unless_the_tokenizer_adds_a_final_token(make_character_tokenizer):
    tokenizer = make_character_tokenizer(eos_token=None)
    assert not adds_final_token(tokenizer)
    with pytest.raises(UnsupportedModelError, match=r"no EOS token.*eos_token='TOKEN'"):
        configure_special_tokens(tokenizer)
    configure_special_tokens(tokenizer, eos_token="<eos>")
    assert tokenizer.eos_token == "<eos>"


def test_candidates_are_special_tokens_that_are_not_in_use(make_character_tokenizer):
    tokenizer = make_character_tokenizer(pad_token=None)
    assert special_token_candidates(tokenizer, PAD_TOKEN_HINTS) == ["<pad>", "<unk>"]
    assert special_token_candidates(make_character_tokenizer(eos_token=None), EOS_TOKEN_HINTS) == ["<eos>"]


def dropping_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer without UNK, which drops characters that are not in its vocabulary."""
    words = ["<s>", "</s>", *"abc.\n\u2581", ".\n", "\u2581b", "\na"]
    merges = [(".", "\n"), ("\u2581", "b"), ("\n", "a")]
    core = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.Metaspace(split=False, prepend_scheme="never")
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("dropped", ["", "\\", "\\)", "\u2264\u2265"])
def test_scores_of_steps_are_at_their_ends_where_the_tokenizer_drops_characters(dropped):
    steps = (f"a{dropped} b.\n", f"{dropped}{dropped}c b.\n", f"a{dropped}", "\na c")
    encoded = encode(render(Answer(f"c{dropped}b ", steps), dropping_tokenizer(), separator=""), dropping_tokenizer())
    tokens = dropping_tokenizer().convert_ids_to_tokens(encoded.ids)
    assert tokens == [
        "<s>",
        "c",
        "b",
        "\u2581",
        "a",
        "\u2581b",
        ".\n",
        "c",
        "\u2581b",
        ".\n",
        "a",
        "\na",
        "\u2581",
        "c",
        "</s>",
    ]
    assert encoded.positions == (6, 9, 10, 14)
    assert encoded.prompt == (1, 4)


def test_a_token_of_two_steps_has_the_score_of_the_first_where_the_tokenizer_drops_characters():
    encoded = encode(Rendered("b\\c\nab</s>", 0, (4, 11), special_tokens=True), dropping_tokenizer())
    assert dropping_tokenizer().convert_ids_to_tokens(encoded.ids) == ["<s>", "b", "c", "\na", "b", "</s>"]
    assert encoded.positions == (3, 5)


def test_a_step_without_any_token_is_refused_where_the_tokenizer_drops_characters():
    tokenizer = dropping_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    with pytest.raises(UnsupportedModelError, match=r"drops them, so the token at the end of '\(\(' is unknown. Use"):
        encode(Rendered("((ab</s>", 0, (2, 8), special_tokens=True), tokenizer)
