"""A Llama with two layers and a vocabulary of twenty tokens, with the same random weights in every call."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

SHAPE = {
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 0,
}


def tiny_policy(seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    """Return a language model; `changes` are options of its configuration."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SHAPE | changes)).eval()


def tiny_classifier(seed: int = 0, labels: int = 1, **changes: Any) -> LlamaForSequenceClassification:
    """Return a sequence classifier; `changes` are options of its configuration."""
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(LlamaConfig(**SHAPE | changes, num_labels=labels)).eval()
