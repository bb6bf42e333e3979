"""Post-processors of fast tokenizers, which add special tokens to a text."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from tokenizers import Tokenizer
from tokenizers.models import BPE

from rlhf_losses.errors import UnsupportedModelError

State: TypeAlias = Mapping[str, Any]
"""A post-processor as it is in `tokenizer.json`."""

TEXT = {"Sequence": {"id": "A", "type_id": 0}}
SECOND_TEXT = {"Sequence": {"id": "B", "type_id": 0}}

PAIRS_OF_TOKENS = ("BertProcessing", "RobertaProcessing")
"""Types that add one token before and one after a text."""


def for_plain_texts(post_processor: Any, eos: tuple[str, int] | None) -> Any:
    """Return a post-processor that also adds EOS after each text, before other tokens that it adds there.

    Two texts become one: the second follows the first, as a completion follows its prompt. A token that is added twice
    at the beginning is added once.

    Args:
        post_processor: a post-processor of `tokenizers`, or None.
        eos: the EOS token and its id, or None.

    Raises:
        UnsupportedModelError: a type of post-processor that is not known.
    """
    others, single, tokens = _parts(post_processor)
    index = single.index(TEXT)
    before, after = [one for one, _ in groupby(single[:index])], single[index + 1 :]
    if eos is not None and _special(eos[0]) not in after:
        after = [_special(eos[0]), *after]
        tokens[eos[0]] = {"id": eos[0], "ids": [eos[1]], "tokens": [eos[0]]}
    return _built(others, [*before, TEXT, *after], tokens)


def for_templated_texts(post_processor: Any) -> Any:
    """Return a post-processor that adds no tokens.

    Args:
        post_processor: a post-processor of `tokenizers`, or None.

    Raises:
        UnsupportedModelError: a type of post-processor that is not known.
    """
    others, _, _ = _parts(post_processor)
    return _built(others, [TEXT], {})


def _parts(post_processor: Any) -> tuple[list[State], list[State], dict[str, State]]:
    """Return the processors that add no tokens, the template of one text, and the tokens in it."""
    others: list[State] = []
    single: list[State] = [TEXT]
    tokens: dict[str, State] = {}
    for state in _flattened(_state(post_processor)):
        if state["type"] == "TemplateProcessing":
            single = [TEXT if "Sequence" in one else _special(one["SpecialToken"]["id"]) for one in state["single"]]
            tokens = dict(state["special_tokens"])
        elif state["type"] in PAIRS_OF_TOKENS:
            (first, _), (last, _) = state["cls"], state["sep"]
            tokens = {token: {"id": token, "ids": [n], "tokens": [token]} for token, n in (state["cls"], state["sep"])}
            single = [_special(first), TEXT, _special(last)]
            if "trim_offsets" in state:
                others.append({"use_regex": True, **_without(state, "cls", "sep"), "type": "ByteLevel"})
        elif state["type"] == "ByteLevel":
            others.append(state)
        else:
            raise UnsupportedModelError(
                f"The tokenizer has the post-processor {state['type']}, which is not known, so it is not changed. Use "
                "TemplateProcessing of tokenizers."
            )
    return others, single, tokens


def _built(others: Sequence[State], single: Sequence[State], tokens: Mapping[str, State]) -> Any:
    index = list(single).index(TEXT) + 1
    pair = [*single[:index], SECOND_TEXT, *single[index:]]
    template = {"type": "TemplateProcessing", "single": list(single), "pair": pair, "special_tokens": dict(tokens)}
    return _processor({"type": "Sequence", "processors": [*others, template]} if others else template)


def _flattened(state: State | None) -> list[State]:
    if state is None:
        return []
    return [one for part in state["processors"] for one in _flattened(part)] if state["type"] == "Sequence" else [state]


def _special(token: str) -> State:
    return {"SpecialToken": {"id": token, "type_id": 0}}


def _without(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


def _state(post_processor: Any) -> State | None:
    core = Tokenizer(BPE())
    if post_processor is not None:
        core.post_processor = post_processor
    state: State | None = json.loads(core.to_str())["post_processor"]
    return state


def _processor(state: State) -> Any:
    content = json.loads(Tokenizer(BPE()).to_str()) | {"post_processor": state}
    return Tokenizer.from_str(json.dumps(content)).post_processor
