"""Texts that a client has rendered with the chat template have the tokens of the conversation."""

import pytest

from rlhf_losses.serving.batching import TextToScore
from rlhf_losses.serving.served_model import RequestedText, ServedModel
from rlhf_losses.serving.server_metrics import ServerMetrics
from rlhf_losses.serving.server_settings import ServerSettings
from rlhf_losses.serving.templated_text import TemplateMarks

CONVERSATION = [{"role": "user", "content": "Once a"}, {"role": "assistant", "content": "fox sang. It slept."}]


@pytest.fixture(scope="module")
def served(scorer):
    """Return a served model without a running queue."""
    return ServedModel("m", scorer, ServerSettings(), ServerMetrics().of("m"))


@pytest.fixture(scope="module")
def rendered(scorer):
    """Return the conversation as the chat template renders it."""
    return scorer.tokenizer.apply_chat_template(CONVERSATION, tokenize=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.removeprefix("<s>"),  # verl
        lambda text: "<s>" + text,
        lambda text: text.removesuffix("\n"),  # OpenRLHF stops at EOS
        lambda text: text.removeprefix("<s>").removesuffix("\n"),
    ],
    ids=["whole", "without BOS", "two BOS", "until EOS", "without both"],
)
def test_a_rendered_conversation_has_the_tokens_of_the_conversation(served, scorer, rendered, change):
    expected = scorer.encoder.encode_completions([CONVERSATION[:1]], [CONVERSATION[1:]])[0]
    found = served.encode(RequestedText(change(rendered)))
    assert (found.ids, found.positions, found.prompt) == (expected.ids, expected.positions, expected.prompt)


def test_a_rendered_prompt_with_a_response_has_the_tokens_of_the_conversation(served, scorer):
    prompt = scorer.tokenizer.apply_chat_template(CONVERSATION[:1], tokenize=False, add_generation_prompt=True)
    found = served.encode(RequestedText(CONVERSATION[1]["content"] + "</s>", prompt))
    assert found.ids == scorer.encoder.encode_completions([None], [CONVERSATION])[0].ids


def test_an_answer_that_was_cut_off_gets_no_eos(served, scorer, rendered):
    cut = rendered.removesuffix("</s>\n")
    assert scorer.tokenizer.eos_token_id not in served.encode(RequestedText(cut)).ids[-2:]


def test_a_plain_text_gets_one_eos(served, scorer):
    expected = scorer.encoder.encode_completions([None], ["Once a fox sang."])[0].ids
    for text in ("Once a fox sang.", "Once a fox sang.</s>"):
        assert served.encode(RequestedText(text)).ids == expected
    assert expected.count(scorer.tokenizer.eos_token_id) == 1


def test_steps_of_a_rendered_conversation_are_those_of_the_conversation(step_scorer, rendered):
    served = ServedModel("m", step_scorer, ServerSettings(), ServerMetrics().of("m"))
    expected = step_scorer.encoder.encode_completions([None], [CONVERSATION])[0]
    found = served.encode(RequestedText(rendered))
    assert len(found.positions) == 2
    assert (found.ids, found.positions) == (expected.ids, expected.positions)


def test_the_prompt_of_a_rendered_conversation_is_truncated(served, scorer):
    long = [{"role": "user", "content": "fox " * 300}, CONVERSATION[1]]
    found = served.encode(RequestedText(scorer.tokenizer.apply_chat_template(long, tokenize=False)))
    assert len(found.ids) == scorer.encoder.length_limit.tokens
    assert found.ids == scorer.encoder.encode_completions([None], [long])[0].ids


def test_a_template_without_text_around_an_answer_is_not_recognized(scorer):
    import copy

    tokenizer = copy.deepcopy(scorer.tokenizer)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    assert TemplateMarks.of(tokenizer, None) is None
    tokenizer.chat_template = None
    assert TemplateMarks.of(tokenizer, None) is None


def test_token_ids_are_scored_as_they_are(served):
    assert served.encode(RequestedText(token_ids=(5, 6, 7))).ids == [5, 6, 7]
    assert TextToScore(served.encode(RequestedText(token_ids=(5,)))).whole
