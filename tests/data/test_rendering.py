"""Rendering with all chat templates that TRL contains, and with templates that refuse or lose contents."""

from importlib.resources import files
from itertools import pairwise

import pytest

from rlhf_losses.data.answers import clean_answer
from rlhf_losses.data.rendering import render, requires_parts
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Answer

TEMPLATES = {
    file.name.removesuffix(".jinja"): file.read_text(encoding="utf-8")
    for file in sorted(files("trl.chat_templates").iterdir(), key=lambda file: file.name)
    if file.name.endswith(".jinja")
}
"""Chat templates of many models."""

DROPS_REASONING = {"deepseek_r1_distill", "deepseekv3", "deepseekv3_training"}
"""Templates that remove the text before `</think>` from an answer."""

WITHOUT_TOOL_CALLS = {
    "cohere", "cohere2", "deepseek_r1_distill", "gemma", "gemma3", "idefics3", "lfm2", "llama3", "llava_next", "phi3",
    "phi3_5", "qwen2_5_vl", "smolvlm",
}  # fmt: skip
"""Templates that render no tool calls."""

QUESTION = [{"role": "user", "content": "What is 2 + 2, and 4 + 2?"}]

STEPS = {
    "line ends": ("2 + 2 is 4.\n", "4 + 2 is 6.\n"),
    "white space at the edges": (" a", "b"),
    "more white space": ("  \n first \n\n", "second", "\n\n third  \n"),
    "words of the template": ("assistant", "user", "end"),
    "a step that is repeated": ("yes. ", "yes. ", "yes. "),
}


@pytest.fixture
def templated(make_character_tokenizer):
    """Return a function that makes a tokenizer with a chat template."""

    def make(template: str):
        tokenizer = make_character_tokenizer()
        tokenizer.chat_template = template
        return tokenizer

    return make


def visible(text: str) -> str:
    return "".join(text.split())


@pytest.mark.upstream
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_steps_are_found_in_every_template(templated, template, steps):
    rendered = render(Answer(QUESTION, steps), templated(TEMPLATES[template]))
    ends = rendered.part_ends
    assert ends[-1] == len(rendered.text)
    between = [visible(rendered.text[start:end]) for start, end in pairwise(ends[:-1])]
    assert between == [visible(step) for step in steps[1:-1]]
    assert visible(rendered.text[: ends[0]]).endswith(visible(steps[0]))
    assert visible(rendered.text[ends[-2] :]).startswith(visible(steps[-1]))


@pytest.mark.upstream
@pytest.mark.parametrize("template", TEMPLATES)
def test_steps_with_reasoning_are_found_unless_the_template_removes_it(templated, template):
    answer = Answer(QUESTION, ("<think>\n2 + 2 is 4.\n", "4 + 2 is 6.\n</think>\n\n", "It is 6."))
    if template in DROPS_REASONING:
        with pytest.raises(InvalidFeedbackError, match="changes the text of the assistant's steps"):
            render(answer, templated(TEMPLATES[template]))
        return
    rendered = render(answer, templated(TEMPLATES[template]))
    first, second, _ = rendered.part_ends
    assert visible(rendered.text[first:second]) == "4+2is6.</think>"


@pytest.mark.upstream
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_whole_answer_is_rendered_as_the_tokenizer_renders_it(templated, template):
    tokenizer = templated(TEMPLATES[template])
    reply = [{"role": "assistant", "content": "4, and 6."}]
    parts = requires_parts(TEMPLATES[template])
    expected = tokenizer.apply_chat_template(
        [
            {**message, "content": [{"type": "text", "text": message["content"]}]} if parts else message
            for message in QUESTION + reply
        ],
        tokenize=False,
    )
    assert render(Answer(QUESTION, (reply,)), tokenizer).text == expected
    assert "4, and 6." in expected


@pytest.mark.upstream
def test_templates_of_image_models_receive_parts():
    found = {name.removesuffix("_training") for name in TEMPLATES if requires_parts(TEMPLATES[name])}
    assert found == {"idefics3", "llava_next", "smolvlm"} & set(TEMPLATES)


ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] }}.{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (ALTERNATE, "roles must alternate"),
        ("{{ messages[7].content + 'a' }}", "UndefinedError"),
        ("{% if %}", "Template"),
    ],
)
def test_a_template_that_raises_is_a_refusal_of_the_conversation(templated, template, reason):
    with pytest.raises(InvalidFeedbackError, match=f"roles user, user.*{reason}"):
        render(Answer(QUESTION, ([*QUESTION],)), templated(template))


def test_a_template_that_refuses_the_prompt_alone_renders_the_conversation(templated):
    needs_user = "{% if messages|length < 2 %}{{ raise_exception('too short') }}{% endif %}" + "".join(
        "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}.{% endfor %}"
    )
    rendered = render(Answer(QUESTION, ([{"role": "assistant", "content": "six"}],)), templated(needs_user))
    assert rendered.text[rendered.prompt_end :] == "six."


@pytest.mark.upstream
@pytest.mark.parametrize("template", TEMPLATES)
def test_tool_calls_are_rendered_alike_for_every_form_of_their_message_or_refused(templated, template):
    """Six forms occur in public data: arguments as an object or as JSON text; content missing, empty or null."""
    tokenizer = templated(TEMPLATES[template])
    forms = [
        {
            "role": "assistant",
            "tool_calls": [{"type": "function", "function": {"name": "search", "arguments": arguments}}],
        }
        | content
        for arguments in ({"q": "c"}, '{"q": "c"}')
        for content in ({}, {"content": ""}, {"content": None})
    ]
    answers = [clean_answer(Answer(QUESTION, ([form],))) for form in forms]
    if template.removesuffix("_training") in WITHOUT_TOOL_CALLS:
        for answer in answers:
            with pytest.raises(InvalidFeedbackError, match=r"does not render tool calls|cannot render"):
                render(answer, tokenizer)
        return
    texts = [render(answer, tokenizer).text for answer in answers]
    assert len(set(texts[:3])) == len(set(texts[3:])) == 1
    assert all("search" in text for text in texts)


@pytest.mark.parametrize("post_processor", [True, False])
def test_a_conversation_has_one_bos_token(templated, post_processor):
    """The tokenizer adds BOS to plain texts, and the template has its own."""
    tokenizer = templated("<bos>{% for m in messages %}{{ m['content'] }}<eos>{% endfor %}")
    if not post_processor:
        tokenizer.backend_tokenizer.post_processor = None
    ids = encode(render(Answer(QUESTION, ("yes",)), tokenizer), tokenizer).ids
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id


SYSTEM_FIRST = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
SYSTEM_VARIABLE = "[{{ system }}]{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "prompt", "text"),
    [
        (SYSTEM_FIRST, [{"role": "user", "content": "hi"}], "<system>kind<user>hi<assistant>yes"),
        (SYSTEM_FIRST, [{"role": "system", "content": "own"}, {"role": "user", "content": "hi"}],
         "<system>own<user>hi<assistant>yes"),
        (SYSTEM_VARIABLE, [{"role": "user", "content": "hi"}], "[kind]hiyes"),
    ],
)  # fmt: skip
def test_the_system_prompt_of_a_row_is_rendered_once(templated, template, prompt, text):
    answer = Answer(prompt, ([{"role": "assistant", "content": "yes"}],), system="kind")
    assert render(answer, templated(template)).text == text


def test_a_step_of_a_message_keeps_the_other_keys_of_the_message(templated):
    template = "{% for m in messages %}{{ m['role'] }}{{ m['mood']|default('') }} {{ m['content'] }} {% endfor %}"
    first = [{"role": "assistant", "mood": "?", "content": "one. "}]
    assert render(Answer(QUESTION[:0], (first, "two.")), templated(template)).text == "assistant? one. two. "


@pytest.mark.parametrize("bos", ["<bos>", ""])
def test_cut_prompts_keep_the_bos_token_of_the_template(templated, bos):
    from rlhf_losses.data.tokenization import fit_prompts

    tokenizer = templated(bos + "{% for m in messages %}{{ m['content'] }}<eos>{% endfor %}")
    answer = Answer([{"role": "user", "content": "abcdef"}], ([{"role": "assistant", "content": "yes"}],))
    whole = encode(render(answer, tokenizer), tokenizer)
    (cut,) = fit_prompts([whole], len(whole.ids) - 3)
    assert "".join(tokenizer.convert_ids_to_tokens(cut.ids)) == bos + "def<eos>yes<eos>"
    assert cut.removed == 3


@pytest.mark.upstream
@pytest.mark.parametrize("template", TEMPLATES)
def test_an_answer_that_was_cut_off_ends_with_its_text(templated, template):
    tokenizer = templated(TEMPLATES[template])
    reply = [{"role": "assistant", "content": "4, and 6 and"}]
    whole, cut = (render(Answer(QUESTION, (reply,), cut_off=cut_off), tokenizer) for cut_off in (False, True))
    assert cut.text.endswith("4, and 6 and")
    assert whole.text.startswith(cut.text)
    assert cut.part_ends == (len(cut.text),)


def test_a_text_that_was_cut_off_has_no_eos(templated):
    tokenizer = templated(None)
    ended, cut = (render(Answer("Say", (" it",), cut_off=cut_off), tokenizer).text for cut_off in (False, True))
    assert (ended, cut) == (f"Say it{tokenizer.eos_token}", "Say it")
