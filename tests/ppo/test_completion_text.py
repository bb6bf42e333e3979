"""The text of a completion is the one that was written, with tokenizers of all kinds."""

import pytest
from ppo_runs import byte_tokenizer
from tiny_llama import tiny_classifier
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rlhf_losses.ppo.completion_text import as_written, completion_text
from rlhf_losses.ppo.read_tokens import WrittenTexts, describe_reading
from rlhf_losses.scoring import Scorer

SPECIAL = ("<think>", "</think>")


def sentencepiece_tokenizer():
    """Return a tokenizer like Llama's: `▁` begins each word and each text, and BOS is added."""
    words = ["▁", "▁the", "▁end", "▁", "▁fox", "en", "d", *"abcdefghijklmnopqrstuvwxyz.,!TGO"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(["<pad>", "<s>", "</s>", "<unk>", *words]))}
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e"), ("e", "n"), ("▁", "en"), ("▁en", "d")]
    vocabulary |= {
        "".join(pair): len(vocabulary) + i for i, pair in enumerate(merges) if "".join(pair) not in vocabulary
    }
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


@pytest.fixture(params=[byte_tokenizer, sentencepiece_tokenizer], ids=["byte-level", "SentencePiece"])
def tokenizer(request):
    tokenizer = request.param()
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(one, special=True) for one in SPECIAL]})
    return tokenizer


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Go to", " the end."),
        ("Go to", "gether ,  the end !"),
        ("", "the end"),
        ("Go to", " the <think>fox</think> end"),
        ("Go to<think>", "the fox</think> end."),
        ("Go", ""),
    ],
)
def test_the_text_is_what_the_tokens_after_the_prompt_write(tokenizer, prompt, completion):
    whole = tokenizer(prompt + completion)["input_ids"]
    length = next(
        count for count in range(len(whole) + 1) if tokenizer(prompt)["input_ids"] == whole[:count]
    )  # the case is one in which the prompt has the same tokens alone
    assert completion_text(whole[:length], whole[length:], tokenizer) == completion


def test_only_the_tokens_at_the_end_are_dropped(tokenizer):
    prompt, eos, pad = tokenizer("Go to")["input_ids"], tokenizer.eos_token_id, tokenizer.pad_token_id
    ids = tokenizer("Go to the end <think>")["input_ids"][len(prompt) :]
    rows = [[*ids, eos], ids, [*ids, eos, pad], [*ids, eos, *ids, eos]]
    texts = as_written([""] * 4, [prompt] * 4, rows, tokenizer, {eos, pad})
    assert texts[:3] == [" the end <think>"] * 3
    assert texts[3].count(tokenizer.eos_token) == 1


def test_content_of_a_message_keeps_special_tokens_and_parsed_messages_stay(tokenizer):
    ids = tokenizer("the <think>fox</think> end", add_special_tokens=False)["input_ids"]
    with_calls = [{"role": "assistant", "content": "x", "tool_calls": []}]
    parsed = [{"role": "assistant", "content": "end"}]  # without the reasoning
    message = [{"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}]
    written = as_written([message, with_calls, parsed], [[]] * 3, [ids] * 3, tokenizer, {tokenizer.eos_token_id})
    assert written == [[{"role": "assistant", "content": "the <think>fox</think> end"}], with_calls, parsed]


def written(tokenizer, prompt, completion, ids=None):
    prompt_ids = tokenizer(prompt)["input_ids"]
    ids = tokenizer(prompt + completion)["input_ids"][len(prompt_ids) :] if ids is None else ids
    return WrittenTexts.of([{"prompt": prompt}], [completion], [prompt_ids], [ids], {tokenizer.eos_token_id})


def test_a_reward_model_that_reads_the_same_tokens_is_reported(tokenizer):
    scorer = Scorer(tiny_classifier(vocab_size=len(tokenizer)), tokenizer)
    same, cut_off = describe_reading(scorer, written(tokenizer, "Go to", " the end <think>"), tokenizer)
    assert same == "reward_model reads the tokens that the policy wrote."
    assert cut_off.startswith("reward_model scores 1 of 1 completions as if they ended with EOS")


def test_other_tokens_are_reported_with_the_first_difference():
    tokenizer = sentencepiece_tokenizer()
    scorer = Scorer(tiny_classifier(vocab_size=len(tokenizer)), tokenizer)
    letters = tokenizer.convert_tokens_to_ids(["▁", "t", "h", "e", "</s>"])  # the tokenizer writes one token, ▁the
    (line,) = describe_reading(scorer, written(tokenizer, "Go", " the", letters), tokenizer)
    assert "other tokens than the policy wrote in 1 of 1 texts" in line
    assert "the policy wrote ['▁', 't', 'h'], and the reward model reads ['▁the', '</s>']" in line
