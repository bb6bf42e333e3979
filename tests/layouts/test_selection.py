"""`choose_layout` with a probe: models without a score head."""

import logging

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf_losses.errors import UnknownNameError
from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout, choose_layout, require_layout

PADDED = PaddedLayout(pad_token_id=0)


@pytest.fixture
def language_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0,
        initializer_range=0.25,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@torch.no_grad()
def token_logits(model, layout, texts):
    arranged = layout.arrange(texts)
    logits = model(**arranged.model_inputs, use_cache=False).logits.flatten(0, 1)
    return [logits[torch.from_numpy(indices)] for indices in arranged.token_indices]


@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout()], ids=["packed", "prefix_shared"])
def test_a_model_without_a_head_is_checked_with_a_probe(language_model, layout):
    modules = dict(language_model.named_modules())
    assert choose_layout(language_model, PADDED, layout.name, probe=token_logits) == layout
    assert dict(language_model.named_modules()) == modules
    texts = [[5, 6, 7], [5, 6, 8, 9]]
    for ours, theirs in zip(
        token_logits(language_model, layout, texts), token_logits(language_model, PADDED, texts), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_probe_that_differs_gives_the_padded_layout(language_model, caplog):
    def wrong(model, layout, texts):
        return [logits + (layout is not PADDED) for logits in token_logits(model, layout, texts)]

    before = language_model.config._attn_implementation
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        assert choose_layout(language_model, PADDED, probe=wrong) is PADDED
    assert "LlamaForCausalLM does not support prefix_shared: a trial pass differs by" in caplog.text
    assert language_model.config._attn_implementation == before


def test_an_unknown_layout_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"'prefixshared'.*Did you mean 'prefix_shared'.*packed"):
        require_layout("prefixshared")
