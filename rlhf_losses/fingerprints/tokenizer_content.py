"""Content of tokenizers: vocabulary, rules and special tokens, and the chat template."""

import json
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase
from xxhash import xxh3_128

from rlhf_losses.fingerprints.content import Content


def tokenizer_content(tokenizer: PreTrainedTokenizerBase) -> Content:
    """Return the content of a tokenizer: vocabulary, rules and special tokens, without its chat template."""
    fast: Any = getattr(tokenizer, "backend_tokenizer", None)
    rules = {} if fast is None else json.loads(fast.to_str())
    # Calls with padding or truncation leave these settings behind.
    rules = {name: value for name, value in rules.items() if name not in ("padding", "truncation")}
    vocabulary: Mapping[str, int] = tokenizer.get_vocab() if fast is None else {}
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    text = json.dumps([rules, sorted(vocabulary.items()), special], sort_keys=True, default=str)
    description = f"{type(tokenizer).__name__} with {len(tokenizer):,} tokens, eos {tokenizer.eos_token!r}, pad "
    return Content(xxh3_128(text.encode()).hexdigest(), f"{description}{tokenizer.pad_token!r}")


def template_content(tokenizer: PreTrainedTokenizerBase) -> Content:
    """Return the content of the chat template of a tokenizer."""
    template: Any = tokenizer.chat_template
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    described = f"a template of {len(text)} characters" if template else "no template"
    return Content(xxh3_128(text.encode()).hexdigest(), described)
