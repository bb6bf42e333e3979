"""A text that begins with BOS already has one BOS token, in training, scoring and PPO alike."""

import pytest
from tokenizers import processors

from rlhf_losses.data import repeated_bos
from rlhf_losses.data.rendering import render
from rlhf_losses.data.repeated_bos import without_repeated_bos
from rlhf_losses.data.tokenization import cut_prompt, encode
from rlhf_losses.feedback.base import Answer
from rlhf_losses.ppo.prompts import prompt_tokens

TEMPLATE = "<bos>{% for m in messages %}{{ m['content'] }}<eos>{% endfor %}"


def encoded(answer, tokenizer):
    return encode(render(answer, tokenizer, separator=""), tokenizer)


@pytest.mark.parametrize("repeated", ["<bos>", "<bos><bos>"])
@pytest.mark.parametrize("parts", [("yes",), ("ye. ", "no")])
def test_a_prompt_that_begins_with_bos_gives_the_tokens_of_one_that_does_not(character_tokenizer, repeated, parts):
    with_bos = encoded(Answer(f"{repeated}abc ", parts), character_tokenizer)
    assert with_bos == encoded(Answer("abc ", parts), character_tokenizer)


def test_a_whole_text_that_begins_with_bos_has_one(character_tokenizer):
    answer = Answer(None, ("<bos>abc",))
    assert encoded(answer, character_tokenizer) == encoded(Answer(None, ("abc",)), character_tokenizer)


def test_a_conversation_whose_first_content_begins_with_bos_has_one(character_tokenizer):
    character_tokenizer.chat_template = TEMPLATE
    reply = ([{"role": "assistant", "content": "yes"}],)
    one, other = ([{"role": "user", "content": content}] for content in ("abc", "<bos>abc"))
    assert encoded(Answer(one, reply), character_tokenizer) == encoded(Answer(other, reply), character_tokenizer)


def test_cutting_a_prompt_keeps_its_bos(character_tokenizer):
    cut = cut_prompt(encoded(Answer("<bos>abc ", ("yes",)), character_tokenizer), 2)
    assert "".join(character_tokenizer.convert_ids_to_tokens(cut.ids)) == "<bos>c yes<eos>"


@pytest.mark.parametrize("prompt", ["<bos>abc", [{"role": "user", "content": "<bos>abc"}]])
def test_prompts_of_a_policy_have_one_bos(character_tokenizer, prompt):
    character_tokenizer.chat_template = TEMPLATE
    tokens = prompt_tokens({"prompt": prompt}, character_tokenizer)
    assert character_tokenizer.decode(tokens).count("<bos>") == 1


def test_an_eos_that_is_the_same_token_as_bos_is_kept(make_character_tokenizer):
    tokenizer = make_character_tokenizer(bos_token="<eos>")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<eos> $A", special_tokens=[("<eos>", 2)]
    )
    assert without_repeated_bos(tokenizer("<eos>")["input_ids"], tokenizer) == [2, 2]


def test_bos_inside_a_text_is_kept(character_tokenizer):
    ids = encoded(Answer("a<bos>b ", ("yes",)), character_tokenizer).ids
    assert ids.count(character_tokenizer.bos_token_id) == 2


def test_the_first_removal_is_a_warning(character_tokenizer, caplog):
    repeated_bos._reported.clear()
    with repeated_bos.unreported():  # a text that is not of the user
        encoded(Answer("<bos>abc ", ("yes",)), character_tokenizer)
    assert not caplog.records
    for _ in range(2):
        encoded(Answer("<bos>abc ", ("yes",)), character_tokenizer)
    [record] = caplog.records
    assert "A text begins with '<bos>'" in record.getMessage()
