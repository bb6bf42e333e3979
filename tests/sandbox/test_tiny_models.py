"""The tiny tokenizer and models behave like those of the Hub."""

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rlhf_losses.sandbox.stories import StoryGenerator, vocabulary
from rlhf_losses.sandbox.tiny_models import build_language_model, build_reward_model, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(vocabulary())


@pytest.fixture(scope="module")
def stories() -> list[str]:
    generator = StoryGenerator(seed=5)
    return [generator.story() for _ in range(50)]


def test_stories_decode_to_themselves(tokenizer, stories):
    assert tokenizer.batch_decode(tokenizer(stories)["input_ids"]) == stories


def test_prompt_and_completion_have_equal_tokens_separately_and_together(tokenizer):
    opening, name, animal = (generator := StoryGenerator(seed=6)).opening()
    story = generator.continuation(name, animal)
    separately = tokenizer(opening)["input_ids"] + tokenizer(story)["input_ids"]
    assert separately == tokenizer(opening + story)["input_ids"]
    assert tokenizer.decode(tokenizer(story)["input_ids"]) == story


def test_offsets_are_those_of_the_words(tokenizer):
    text = "Once there was a fox,\nand they sang."
    encoded = tokenizer(text, return_offsets_mapping=True)
    words = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert words == ["Once", "there", "was", "a", "fox", ",", "and", "they", "sang", "."]


def test_the_four_special_tokens_are_distinct(tokenizer):
    special = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    assert len(set(special)) == 4
    assert None not in special


def test_only_words_outside_the_vocabulary_are_unknown(tokenizer, stories):
    assert tokenizer("quark")["input_ids"] == [tokenizer.unk_token_id]
    assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(stories)["input_ids"])


def test_a_saved_tokenizer_is_equal(tokenizer, stories, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(stories)["input_ids"] == tokenizer(stories)["input_ids"]
    assert loaded.batch_decode(loaded(stories)["input_ids"]) == stories
    assert (loaded.pad_token, loaded.eos_token) == (tokenizer.pad_token, tokenizer.eos_token)


def test_equal_seeds_give_equal_language_models(tokenizer):
    first, second, other = (build_language_model(tokenizer, seed, steps=3) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_building_models_leaves_the_random_state_unchanged(tokenizer):
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    build_reward_model(build_language_model(tokenizer, steps=1))
    assert torch.equal(torch.rand(3), untouched)


def test_the_reward_model_has_the_layers_of_the_language_model_and_one_output(task):
    model = build_reward_model(task.language_model)
    assert model.config.num_labels == 1
    assert model.score.out_features == 1
    expected = task.language_model.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.model.state_dict().items())
    assert not any(a is b for a, b in zip(model.model.parameters(), task.language_model.parameters(), strict=False))


def test_saved_models_can_be_loaded(task, tmp_path):
    policy_path, reward_path = task.save(tmp_path)
    policy = AutoModelForCausalLM.from_pretrained(policy_path)
    reward_model = AutoModelForSequenceClassification.from_pretrained(reward_path)
    batch = AutoTokenizer.from_pretrained(policy_path)(
        list(task.heldout_prompts[:2]), return_tensors="pt", padding=True
    )
    with torch.no_grad():
        assert_close(policy(**batch).logits, task.language_model(**batch).logits)
        assert_close(reward_model(**batch).logits, task.reward_model()(**batch).logits)
