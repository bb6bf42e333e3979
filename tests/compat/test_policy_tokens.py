"""Prompts as tokens, and a reward model that reads them."""

import pytest
import torch
from datasets import Dataset, IterableDataset
from ppo_runs import byte_tokenizer
from tiny_llama import tiny_classifier, tiny_policy
from tokenizers import processors

from rlhf_losses.compat.trl.policy_tokens import PolicyTokenScorer, with_embedded_padding, with_prompt_tokens
from rlhf_losses.errors import InvalidFeedbackError

pytestmark = pytest.mark.upstream

PAD = 0


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture(scope="module")
def classifier(tokenizer):
    return tiny_classifier(vocab_size=len(tokenizer))


def test_the_score_is_that_of_the_last_token_of_prompt_and_completion(classifier, tokenizer):
    columns = {"prompt_ids": [[5, 6], [7]], "completion_ids": [[8, 9, 1], [5, 6]]}
    scores = PolicyTokenScorer(classifier, tokenizer)(prompts=["", ""], completions=["", ""], **columns)
    for score, ids in zip(scores, ([5, 6, 8, 9, 1], [7, 5, 6]), strict=True):
        states = classifier.model(torch.tensor([ids])).last_hidden_state
        assert score == pytest.approx(classifier.score(states)[0, -1].item(), abs=1e-5)


def test_a_text_without_tokens_is_tokenized(classifier, tokenizer):
    scorer = PolicyTokenScorer(classifier, tokenizer)
    assert scorer(["a"], ["b"]) == scorer.score(["ab"])


@pytest.mark.parametrize(
    "row",
    [
        {"input_ids": [PAD, PAD, 40, 41, 42]},
        {"input_ids": [40, 41, 42, PAD]},
        {"input_ids": [1, 40, 41, 42], "attention_mask": [0, 1, 1, 1], "token_type_ids": [0] * 4},
        {"input_ids": {"input_ids": [40, 41, 42], "attention_mask": [1, 1, 1]}},
        {"prompt": "ab"},
    ],
    ids=["padded on the left", "padded on the right", "with a mask", "of a chat template", "as a text"],
)
def test_prompts_have_tokens_and_a_text(row, tokenizer):
    expected = [40, 41, 42] if "input_ids" in row else tokenizer("ab")["input_ids"]
    for data in (Dataset.from_list([row]), IterableDataset.from_generator(lambda: iter([row]))):
        (read,) = with_prompt_tokens({"test": data}, tokenizer)["test"]
        assert read["prompt_ids"] == expected
        assert read["prompt"] == tokenizer.decode(expected)
        assert "input_ids" not in read


@pytest.mark.parametrize("adds_bos", [True, False])
def test_the_text_of_a_prompt_has_no_bos_that_the_tokenizer_adds(adds_bos):
    tokenizer = byte_tokenizer(bos_token="!")
    bos = tokenizer.bos_token_id
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("! $A", special_tokens=[("!", bos)])
    ids = [bos, *tokenizer("Hi!", add_special_tokens=False)["input_ids"]]
    (read,) = with_prompt_tokens(Dataset.from_list([{"input_ids": ids}]), tokenizer)
    assert read["prompt"] == ("Hi!" if adds_bos else "!Hi!")
    assert read["prompt_ids"] == ids


def test_conversations_are_rendered(tokenizer):
    tokenizer = byte_tokenizer(chat_template="{% for m in messages %}{{ m.content }}{% endfor %}>")
    prompt = [{"role": "user", "content": "Hi"}]
    (read,) = with_prompt_tokens(Dataset.from_list([{"prompt": prompt}]), tokenizer)
    assert read["prompt"] == prompt
    assert tokenizer.decode(read["prompt_ids"]) == "Hi>"


def test_a_prompt_without_tokens_is_refused(tokenizer):
    with pytest.raises(InvalidFeedbackError, match=r"[Rr]ow 1 of the prompts.*no tokens besides padding.*Drop the row"):
        with_prompt_tokens(Dataset.from_dict({"input_ids": [[5], [PAD]]}), tokenizer)
    with pytest.raises(InvalidFeedbackError, match=r"[Rr]ow 0 of the prompts.*input_ids"):
        with_prompt_tokens(Dataset.from_dict({"input_ids": [["a"]]}), tokenizer)


def test_a_padding_token_without_embedding_is_replaced_by_eos(caplog):
    tokenizer = byte_tokenizer()
    policy = tiny_policy(vocab_size=len(tokenizer))
    assert with_embedded_padding(tokenizer, policy) is tokenizer
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    changed = with_embedded_padding(tokenizer, policy)
    assert (changed.pad_token, tokenizer.pad_token) == ("<eos>", "[PAD]")
    assert f"'[PAD]' (id {len(tokenizer) - 1}) has no embedding" in caplog.text
