"""Batches give the tokens and positions that single texts give, for several kinds of tokenizers."""

import random

import pytest
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import encode, encode_all
from rlhf_losses.feedback.base import Answer

PIECES = ("The cat", " sat", "\n\n", "  ", "é", "日本", "😀", "ﬁ", "İ", "<eos>", "don't", " 12", " \u0301", "a", "🤷‍♂️")


def byte_level(trim_offsets: bool) -> Tokenizer:
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(PIECES, BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<eos>"]))
    return core


def word_piece() -> Tokenizer:
    core = Tokenizer(WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]", "<eos>"]
    core.train_from_iterator(PIECES, WordPieceTrainer(vocab_size=80, special_tokens=special))
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return core


def one_word() -> Tokenizer:
    """Return a tokenizer like that of Llama, with tokens across the end of a prompt."""
    core = Tokenizer(BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    core.decoder = decoders.Metaspace()
    core.train_from_iterator(PIECES, BpeTrainer(vocab_size=120, special_tokens=["<eos>", "<unk>", "<bos>"]))
    core.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return core


def without_bytes() -> Tokenizer:
    core = Tokenizer(BPE(unk_token=None))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.train_from_iterator(["The cat sat don't 12 a\n"], BpeTrainer(vocab_size=40, special_tokens=["<eos>"]))
    core.decoder = decoders.Replace("▁", " ")
    return core


def load(core: Tokenizer) -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>")


TOKENIZERS = {
    "byte_level": lambda: byte_level(trim_offsets=False),
    "byte_level_trimmed": lambda: byte_level(trim_offsets=True),
    "one_word": one_word,
    "word_piece": word_piece,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return load(TOKENIZERS[request.param]())


def random_texts(seed: int) -> list[str]:
    chosen = random.Random(seed)
    return ["".join(chosen.choices(PIECES, k=chosen.randint(1, 12))) for _ in range(150)]


def test_the_prompt_has_the_tokens_whose_characters_it_contains(tokenizer: PreTrainedTokenizerBase) -> None:
    for prompt, answer in zip(random_texts(0), random_texts(1), strict=True):
        encoded = encode(render(Answer(prompt, (answer,)), tokenizer), tokenizer)
        spans = tokenizer(prompt + answer, return_offsets_mapping=True)["offset_mapping"]
        inside = [index for index, (start, stop) in enumerate(spans) if start < stop <= len(prompt)]
        assert encoded.prompt == ((inside[0], inside[-1] + 1) if inside else (0, 0)), (prompt, answer)


def test_a_step_is_scored_at_the_last_token_with_a_character_of_it(tokenizer: PreTrainedTokenizerBase) -> None:
    for first, second in zip(random_texts(2), random_texts(3), strict=True):
        rendered = render(Answer("The cat ", (f"a{first}", second)), tokenizer)
        spans = tokenizer(rendered.text, return_offsets_mapping=True)["offset_mapping"]
        end = rendered.part_ends[0]
        last = max(index for index, (start, stop) in enumerate(spans) if start < stop and start < end)
        assert encode(rendered, tokenizer).positions[0] == last, (first, second)


def test_a_batch_gives_what_single_texts_give(tokenizer: PreTrainedTokenizerBase) -> None:
    answers = [Answer(prompt, (f"a {text}",)) for prompt, text in zip(random_texts(4), random_texts(5), strict=True)]
    rendered = [render(answer, tokenizer) for answer in answers]
    assert list(encode_all(rendered, tokenizer)) == [encode(one, tokenizer) for one in rendered]


def test_a_batch_gives_what_single_texts_give_without_some_characters() -> None:
    tokenizer = load(without_bytes())
    answers = [Answer(prompt, (f"a {text}",)) for prompt, text in zip(random_texts(4), random_texts(5), strict=True)]
    rendered = [render(answer, tokenizer) for answer in answers]
    assert list(encode_all(rendered, tokenizer)) == [encode(one, tokenizer) for one in rendered]
