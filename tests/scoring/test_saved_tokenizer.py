"""The tokenizer that is saved with a reward model makes, alone and at its defaults, the tokens of the training."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    ByT5Tokenizer,
    GPTNeoXTokenizer,
    LlamaConfig,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
)

from rlhf_losses.data.added_tokens import AddedTokens, TextEnd
from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import encode
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring.saved_tokenizer import tokenizer_to_save

BOS, EOS = ("<s>", 1), ("</s>", 2)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "[CLS]", "[SEP]"]
TEXTS = ["a b", "Hello there", "two\nlines ", " x ", "1 + 1 = 2.", "é ✓", "a </s>", "a</s>"]
CONFIG = LlamaConfig(vocab_size=512, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}{{ eos_token }}\n{% endfor %}"


def byte_level() -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def byte_fallback() -> Tokenizer:
    tokens = [*SPECIAL, *(f"<0x{n:02X}>" for n in range(256)), "▁", *"abcdehlort"]
    core = Tokenizer(
        models.BPE(vocab={one: i for i, one in enumerate(tokens)}, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return core


def unigram() -> Tokenizer:
    tokens = [*SPECIAL, "▁", *"abcdefghijklmnopqrstuvwxyzHLT123+=.,", "\n", "▁a", "▁the"]
    core = Tokenizer(models.Unigram([(one, -float(i)) for i, one in enumerate(tokens)], unk_id=3))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    return core


def word_piece() -> Tokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789+=."
    tokens = [*SPECIAL, *letters, *(f"##{one}" for one in letters)]
    core = Tokenizer(models.WordPiece({one: i for i, one in enumerate(tokens)}, unk_token="<unk>"))
    core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return core


def word_level() -> Tokenizer:
    core = Tokenizer(models.WordLevel({one: i for i, one in enumerate([*SPECIAL, "a", "b", "Hello"])}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return core


CORES = {f.__name__: f for f in (byte_level, byte_fallback, unigram, word_piece, word_level)}


def template(single: str) -> processors.TemplateProcessing:
    numbers = {token: i for i, token in enumerate(SPECIAL)}
    used = [(one, numbers[one]) for one in single.split() if one in numbers]
    return processors.TemplateProcessing(single=single, pair=f"{single} $B:1", special_tokens=used)


PROCESSORS = {
    "none": lambda: None,
    "bos": lambda: template("<s> $A"),
    "bos and eos": lambda: template("<s> $A </s>"),
    "cls and sep": lambda: template("[CLS] $A [SEP]"),
    "byte level": lambda: processors.ByteLevel(trim_offsets=True),
    "byte level and bos": lambda: processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<s> $A")]),
    "nested": lambda: processors.Sequence([processors.Sequence([processors.ByteLevel(), template("$A:1")])]),
    "bert": lambda: processors.BertProcessing(("[SEP]", 5), ("[CLS]", 4)),
    "roberta": lambda: processors.RobertaProcessing(("[SEP]", 5), ("[CLS]", 4)),
    "roberta with eos": lambda: processors.RobertaProcessing(EOS, BOS),
    "two bos": lambda: template("<s> <s> $A"),
}


def fast(core: Tokenizer, processor=None, **options) -> PreTrainedTokenizerFast:
    if processor is not None:
        core.post_processor = processor
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE, **(names | options))


def saved(tokenizer, tmp_path, form="text", max_length=None, config=CONFIG):
    """Return the tokenizer that others load, and how `Scorer` ends texts."""
    found = tokenizer_to_save(tokenizer, config, frozenset([form]), max_length)
    found.tokenizer.save_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path), found.end_of_texts


def training_tokens(text: str, tokenizer, prompt: str | None = None, cut_off: bool = False) -> list[int]:
    return encode(render(Answer(prompt, (text,), cut_off=cut_off), tokenizer), tokenizer).ids


def scoring_tokens(text: str, tokenizer, rule, prompt: str | None = None, cut_off: bool = False) -> list[int]:
    end = TextEnd.of(tokenizer, rule)
    return encode(render(Answer(prompt, (text,), cut_off=cut_off), tokenizer, end=end), tokenizer).ids


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("core", CORES)
def test_a_tokenizer_of_plain_texts_makes_the_tokens_of_the_training(core, processor, tmp_path):
    tokenizer = fast(CORES[core](), PROCESSORS[processor]())
    before = tokenizer.backend_tokenizer.to_str()
    loaded, rule = saved(tokenizer, tmp_path)
    assert rule == "tokenizer"
    for text in TEXTS:
        trained = training_tokens(text, tokenizer)
        assert trained.count(2) == 1
        assert scoring_tokens(text, loaded, rule) == trained
        if not text.endswith("</s>"):
            assert loaded(text)["input_ids"] == trained
        cut = training_tokens(text, tokenizer, cut_off=True)
        assert scoring_tokens(text, loaded, rule, cut_off=True) == cut
    assert scoring_tokens("there", loaded, rule, prompt="Hello ") == training_tokens(
        "there", tokenizer, prompt="Hello "
    )
    assert loaded("Hello there")["input_ids"] == training_tokens("there", tokenizer, prompt="Hello ")
    assert loaded("a", "a")["input_ids"].count(2) == 1
    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("core", ["byte_level", "word_piece"])
def test_a_tokenizer_of_conversations_adds_no_token_to_templated_texts(core, processor, tmp_path):
    tokenizer = fast(CORES[core](), PROCESSORS[processor]())
    loaded, rule = saved(tokenizer, tmp_path, "conversation")
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "a b"}]
    trained = training_tokens([messages[1]], tokenizer, prompt=messages[:1])
    text = loaded.apply_chat_template(messages, tokenize=False)
    assert rule == "tokenizer"
    assert loaded.chat_template == tokenizer.chat_template
    assert loaded(text)["input_ids"] == trained
    assert scoring_tokens(text, loaded, rule) == trained
    assert list(loaded.apply_chat_template(messages)["input_ids"]) == trained


@pytest.mark.parametrize("kind", ["llama", "llama with eos", "gpt-neox bos"])
def test_classes_that_build_their_post_processor_from_settings_keep_the_saved_one(kind, tmp_path):
    vocabulary = {one: i for i, one in enumerate([*SPECIAL, "▁", *"abHelotr"])}
    names = {"pad_token": "<pad>", "unk_token": "<unk>"}
    if kind.startswith("llama"):
        eos = kind == "llama with eos"
        tokenizer = LlamaTokenizer(vocab=vocabulary, merges=[], add_bos_token=True, add_eos_token=eos, **names)
    else:
        tokenizer = GPTNeoXTokenizer(
            vocab=vocabulary, merges=[], add_bos_token=True, bos_token="<s>", eos_token="</s>", **names
        )
    for form in ("text", "conversation"):
        loaded, rule = saved(tokenizer, tmp_path / form, form)
        expected = (
            training_tokens("a b", tokenizer)
            if form == "text"
            else tokenizer("a b", add_special_tokens=False).input_ids
        )
        assert loaded("a b")["input_ids"] == scoring_tokens("a b", loaded, rule) == expected
        assert rule == "tokenizer"


def test_an_encoder_keeps_its_own_final_token(tmp_path):
    words = {one: i for i, one in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])}
    tokenizer = BertTokenizer(vocab=words)
    loaded, rule = saved(tokenizer, tmp_path, config=BertConfig(vocab_size=7))
    assert (rule, loaded("a b")["input_ids"]) == ("tokenizer", [2, 5, 6, 3])


@pytest.mark.parametrize("form", ["text", "conversation"])
def test_a_class_that_adds_tokens_whatever_its_files_say_is_saved_as_the_generic_class(form, tmp_path):
    words = {one: i for i, one in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "</s>"])}
    tokenizer = BertTokenizer(vocab=words, eos_token="</s>")
    loaded, rule = saved(tokenizer, tmp_path, form, config=BertConfig(vocab_size=8))
    expected = [2, 5, 6, 7, 3] if form == "text" else [5, 6]
    assert (rule, loaded("a b")["input_ids"]) == ("tokenizer", expected)
    assert scoring_tokens("a b", loaded, rule) == expected


def test_padding_and_truncation_do_not_change_the_score_of_a_text(tmp_path):
    core = byte_level()
    core.enable_truncation(3)
    core.enable_padding(length=8)
    tokenizer = fast(core, template("<s> $A"), padding_side="left", truncation_side="right", model_max_length=99)
    loaded, _ = saved(tokenizer, tmp_path, max_length=6)
    assert (tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length) == ("left", "right", 99)
    assert loaded("abcdefgh")["input_ids"] == training_tokens("abcdefgh", tokenizer)
    batch = loaded(["a", "abc"], padding=True)
    assert [ids[0] for ids in batch["input_ids"]] == [1, 1]
    assert "token_type_ids" not in batch
    cut = loaded("abcdefgh", truncation=True)["input_ids"]
    assert (len(cut), cut[0], cut[-1], loaded.decode(cut[1:-1])) == (6, 1, 2, "efgh")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    assert (content["truncation"], content["padding"]) == (None, None)


@pytest.mark.parametrize("token", ["<a:b>", "$eos", "<|end of text|>", "A"])
def test_any_string_can_be_eos(token, tmp_path):
    core = byte_level()
    core.add_special_tokens([token])
    tokenizer = fast(core, template("<s> $A"), eos_token=token)
    loaded, rule = saved(tokenizer, tmp_path)
    assert rule == "tokenizer"
    assert loaded("bcd")["input_ids"] == training_tokens("bcd", tokenizer)
    assert loaded("bcd")["input_ids"][-1] == loaded.eos_token_id


def test_bos_and_eos_can_be_one_token(tmp_path):
    tokenizer = fast(
        byte_level(), processors.TemplateProcessing(single="</s> $A", special_tokens=[EOS]), bos_token="</s>"
    )
    loaded, rule = saved(tokenizer, tmp_path)
    for text in ("abc", "</s>abc", "abc</s>"):
        assert scoring_tokens(text, loaded, rule) == training_tokens(text, tokenizer)
    assert loaded("abc")["input_ids"] == training_tokens("abc", tokenizer)
    assert AddedTokens.of(loaded) == AddedTokens([2], [2])


def test_a_slow_tokenizer_gets_a_message(caplog, tmp_path):
    tokenizer = ByT5Tokenizer()
    found = tokenizer_to_save(tokenizer, CONFIG, frozenset(["text"]), None)
    assert (found.tokenizer, found.end_of_texts) == (tokenizer, "eos")
    assert "slow tokenizer" in caplog.text
