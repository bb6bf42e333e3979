"""Checks of the tokenizer and the chat template of a reward model."""

import string
from collections.abc import Iterator

import torch
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.lost_characters import LostCharacters
from rlhf_losses.data.rendering import render
from rlhf_losses.data.repeated_bos import count_repeated_bos, unreported
from rlhf_losses.data.special_tokens import adds_final_token
from rlhf_losses.data.tokenization import Encoded, encode
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring.canaries import CANARY_CONVERSATION, CANARY_TEXT, CANARY_TEXTS
from rlhf_losses.scoring.identity import describe_other_template
from rlhf_losses.scoring.model_check import ExaminedModel, ModelCheck, raw_scores
from rlhf_losses.scoring.scorer import Scorer

QUESTION, REPLY = (str(message["content"]) for message in CANARY_CONVERSATION)

PAIRS_OF_MESSAGES = ((QUESTION, REPLY), (QUESTION, QUESTION), (REPLY, REPLY))
"""A question with its answer, the same question with another answer, and another question with the same answer."""

OTHER_DATE = "{% macro strftime_now(form) %}01 Jan 2001{% endmacro %}"
"""Beginning of a template that makes the date a day other than today."""


CHARACTERS = (*string.punctuation, *string.digits, *"äéñøßçł", *"αжא中あ한", *"€–“→😀")
"""Signs of ASCII, digits, and letters and signs of several languages."""


def tokenizer_checks(model: ExaminedModel) -> Iterator[ModelCheck]:
    """Yield the results of all checks of the tokenizer.

    Args:
        model: the examined model.
    """
    yield check_padding_token(model)
    with unreported():
        bos = check_bos(model)
    yield bos
    yield check_eos(model.scorer)
    yield check_end_of_conversations(model.scorer.tokenizer)
    yield check_answers(model.scorer.tokenizer)
    yield check_date(model)
    yield check_characters(model.scorer.tokenizer)
    if not model.scorer.metadata.has_recorded_template:
        yield ModelCheck("recorded chat template", "not recorded", "reward_model.json does not have it")
    else:
        change = describe_other_template(model.scorer.tokenizer, model.scorer.metadata)
        remedy = "Restore chat_template.jinja, or save the model again."
        yield ModelCheck.of("recorded chat template", change is None, change or "unchanged", remedy)


def check_padding_token(model: ExaminedModel) -> ModelCheck:
    """Check that there is a padding token, the same for model and tokenizer, that ends no text."""
    tokenizer, last = model.scorer.tokenizer, model.texts[0].ids[-1]
    own, of_model = tokenizer.pad_token_id, model.pad_token_id
    found = f"tokenizer {own}, model {of_model}, last token of texts {last}"
    passed = own is not None and own == of_model and own != last
    remedy = "Choose a token that ends no text, for tokenizer and model: pad_token in training does both."
    return ModelCheck.of("padding token", passed, found, remedy)


def check_bos(model: ExaminedModel) -> ModelCheck:
    """Check that a text that begins with BOS is scored like one without it, and measure the effect of a second BOS."""
    tokenizer = model.scorer.tokenizer
    bos = tokenizer.bos_token or tokenizer.cls_token
    if bos is None:
        return ModelCheck("double BOS", "skipped", "the tokenizer has no BOS")
    always = count_repeated_bos(tokenizer(CANARY_TEXT)["input_ids"], tokenizer)
    if always:
        found = f"the tokenizer puts BOS {1 + always} times before every text; Scorer keeps one"
        return ModelCheck("double BOS", "failed", found, "Correct the post_processor in tokenizer.json.")
    once = encode(
        render(Answer(None, (bos + CANARY_TEXT,)), tokenizer, end=model.scorer.encoder.end_of_texts), tokenizer
    )
    repeated = count_repeated_bos(once.ids, tokenizer)
    added = count_repeated_bos(tokenizer(bos + CANARY_TEXT)["input_ids"], tokenizer)
    if not added:
        found = "the tokenizer adds no second BOS"
    else:
        twice = Encoded([once.ids[0], *once.ids], (len(once.ids),))
        effect = model.in_spreads(_difference(model, twice, once))
        found = f"the tokenizer adds a second BOS, which changes the score by {effect}; Scorer removes it"
    return ModelCheck.of("double BOS", not repeated, found, "Remove BOS from the texts.")


def check_eos(scorer: Scorer) -> ModelCheck:
    """Check that plain texts end with EOS or with another token that the tokenizer adds."""
    tokenizer, end = scorer.tokenizer, scorer.encoder.end_of_texts
    if scorer.metadata.end_of_texts == "tokenizer" and not (end.added or adds_final_token(tokenizer)):
        return ModelCheck("EOS of texts", "skipped", "the model was trained on conversations: the template ends texts")
    ids = encode(render(Answer(None, (CANARY_TEXT,)), tokenizer, end=end), tokenizer).ids
    passed = ids[-1] == tokenizer.eos_token_id or adds_final_token(tokenizer)
    found = f"texts end with '{tokenizer.convert_ids_to_tokens(ids[-1])}'; EOS is '{tokenizer.eos_token}'"
    return ModelCheck.of("EOS of texts", passed, found, "Name EOS in tokenizer_config.json (eos_token in training).")


def check_end_of_conversations(tokenizer: PreTrainedTokenizerBase) -> ModelCheck:
    """Check that the chat template ends an answer with a special token."""
    name = "end of conversations"
    if not tokenizer.chat_template:
        return ModelCheck(name, "skipped", "there is no chat template")
    try:
        ids = _conversation(tokenizer).ids
    except RlhfLossesError as error:
        return ModelCheck(name, "failed", str(error), "Correct chat_template.jinja.")
    added = {token.content for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    last = [tokenizer.convert_ids_to_tokens(token) for token in ids[-2:]]  # a template may end with a new line
    remedy = "End the messages of the assistant with EOS in chat_template.jinja, and train the model with it."
    return ModelCheck.of(name, bool(added & set(last)), f"the last tokens are {last}", remedy)


def check_answers(tokenizer: PreTrainedTokenizerBase) -> ModelCheck:
    """Check that the chat template inserts the prompt and the answer."""
    name = "content of conversations"
    if not tokenizer.chat_template:
        return ModelCheck(name, "skipped", "there is no chat template")
    try:
        ids = [_conversation(tokenizer, question=one, reply=two).ids for one, two in PAIRS_OF_MESSAGES]
    except RlhfLossesError as error:
        return ModelCheck(name, "failed", str(error), "Correct chat_template.jinja.")
    lost = [part for part, other in zip(("answer", "prompt"), ids[1:], strict=True) if ids[0] == other]
    found = f"another {' and another '.join(lost)} has the same tokens" if lost else "prompt and answer have tokens"
    return ModelCheck.of(name, not lost, found, "Insert the content of all messages in chat_template.jinja.")


def check_date(model: ExaminedModel) -> ModelCheck:
    """Check that scores of conversations do not depend on the day, and measure the effect of another day."""
    tokenizer = model.scorer.tokenizer
    if not tokenizer.chat_template:
        return ModelCheck("date in template", "skipped", "there is no chat template")
    if "strftime_now" not in str(tokenizer.chat_template):
        return ModelCheck("date in template", "passed", "the template does not insert the date")
    try:
        today, other = _conversation(tokenizer), _conversation(tokenizer, OTHER_DATE + tokenizer.get_chat_template())
    except RlhfLossesError as error:
        return ModelCheck("date in template", "failed", str(error), "Correct chat_template.jinja.")
    difference = _difference(model, today, other)
    found = (
        f"another day changes {_count_different(today, other)} tokens, and the score by {model.in_spreads(difference)}"
    )
    remedy = "Write a fixed date into chat_template.jinja, and train with it, or pass one in chat_template_kwargs."
    return ModelCheck.of("date in template", today.ids == other.ids, found, remedy)


def check_characters(tokenizer: PreTrainedTokenizerBase) -> ModelCheck:
    """Say which of some characters the tokenizer loses, which is a fault for texts that have them."""
    lost = LostCharacters.of(CHARACTERS, tokenizer)
    if not lost.changed:
        return ModelCheck("characters", "passed", f"all of {len(CHARACTERS)} signs and letters are kept")
    found = f"the tokenizer loses {lost.changed} of {len(CHARACTERS)} signs and letters: {lost.named()}"
    return ModelCheck("characters", "noted", f"{found}; 'rlhf-losses inspect --model' counts texts with such losses")


def policy_checks(tokenizer: PreTrainedTokenizerBase, policy: PreTrainedTokenizerBase) -> Iterator[ModelCheck]:
    """Yield the results of comparing the tokenizer with that of a policy.

    Args:
        tokenizer: tokenizer of the reward model.
        policy: tokenizer of the policy.
    """
    own, other = tokenizer.get_vocab(), policy.get_vocab()
    different = {token for token in own.keys() | other.keys() if own.get(token) != other.get(token)}
    found = f"{len(different)} of {len(own | other)} tokens differ"
    remedy = (
        "Reward functions read texts, so this is no error for them; a critic and a shared base need one vocabulary."
    )
    yield ModelCheck.of("policy vocabulary", not different, found, remedy)
    names = ("bos_token", "eos_token", "pad_token")
    pairs = {name: (getattr(tokenizer, name), getattr(policy, name)) for name in names}
    others = [f"{name} {ours!r}, policy {theirs!r}" for name, (ours, theirs) in pairs.items() if ours != theirs]
    remedy = "Use the tokenizer of the policy for the reward model, or check that completions end as its texts do."
    yield ModelCheck.of("policy special tokens", not others, "; ".join(others) or "the same", remedy)
    texts = {text: policy.decode(policy(text, add_special_tokens=False)["input_ids"]) for text in CANARY_TEXTS}
    changed = [text for text, decoded in texts.items() if _ids(tokenizer, decoded) != _ids(tokenizer, text)]
    found = f"{len(texts) - len(changed)} of {len(texts)} texts have the same tokens after decoding"
    remedy = f"The policy's tokenizer changes texts, e.g. {changed[:1]}: use one that restores them (byte-level)."
    yield ModelCheck.of("policy round trip", not changed, found, remedy)


def _conversation(
    tokenizer: PreTrainedTokenizerBase, template: str | None = None, question: str = QUESTION, reply: str = REPLY
) -> Encoded:
    """Return the tokens of a conversation of two messages, with another chat template if one is given."""
    prompt, answer = [{"role": "user", "content": question}], [{"role": "assistant", "content": reply}]
    arguments = {} if template is None else {"chat_template": template}
    return encode(render(Answer(prompt, (answer,), template=arguments), tokenizer), tokenizer)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _difference(model: ExaminedModel, one: Encoded, other: Encoded) -> float:
    scores: torch.Tensor = raw_scores(model.scorer, [one, other])
    return float((scores[0] - scores[1]).abs())


def _count_different(one: Encoded, other: Encoded) -> int:
    common = sum(a == b for a, b in zip(one.ids, other.ids, strict=False))
    return max(len(one.ids), len(other.ids)) - common
