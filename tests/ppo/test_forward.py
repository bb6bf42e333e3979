"""Packed forward passes give the results of padded ones and compute only what is needed."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_llama import tiny_policy
from torch.distributions import Categorical
from torch.testing import assert_close
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel

from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.ppo.forward import (
    SequenceForward,
    choose_policy_layout,
    choose_sequence_layout,
    pack_sequences,
    set_position_ids,
)

pytestmark = pytest.mark.upstream

LAYOUTS = [PackedLayout(), PrefixSharedLayout(), PrefixSharedLayout(min_shared_tokens=1)]
TOKENS = st.lists(st.integers(1, 3), min_size=1, max_size=5)


def padded(rows, length):
    """Return prompts padded on the left, completions on the right."""
    widest = max(len(prompt) for prompt, _ in rows)
    ids = [[0] * (widest - len(p)) + p + c + [0] * (length - len(c)) for p, c in rows]
    mask = [[0] * (widest - len(p)) + [1] * len(p + c) + [0] * (length - len(c)) for p, c in rows]
    return torch.tensor(ids), torch.tensor(mask)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(rows=st.lists(st.tuples(TOKENS, st.lists(st.integers(1, 3), max_size=4)), min_size=1, max_size=5))
def test_each_state_is_at_the_token_before_its_own(layout, rows):
    row = pack_sequences(layout, *padded(rows, length=4), num_tokens=4)
    tokens, positions = (row.model_inputs[name][0] for name in ("input_ids", "position_ids"))
    for states, (prompt, completion) in zip(row.state_index, rows, strict=True):
        text, used = prompt + completion, len(completion) + 1
        assert positions[states[:used]].tolist() == list(range(len(prompt) - 1, len(text)))
        assert tokens[states[:used]].tolist() == text[len(prompt) - 1 :]
        assert set(states[used:].tolist()) <= {states[used - 1].item()}


@pytest.fixture(scope="module")
def model():
    return tiny_policy(initializer_range=0.5)


ROWS = [([3, 4, 5], [6, 7, 8]), ([3, 4, 5], [6, 9]), ([10], [11, 12, 13, 14]), ([3, 4], [])]


def trl_log_probs(model, input_ids, attention_mask, num_tokens, batch_size=None, compute_entropy=False):
    """Return what TRL's method returns, which uses the same padded sequences and no position ids."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits[:, -num_tokens - 1 : -1]
    distribution = Categorical(logits=logits / 0.7, validate_args=False)
    return distribution.log_prob(input_ids[:, -num_tokens:]), distribution.entropy(), None


def forward_in(model, layout):
    chosen = None if layout == "padded" else choose_sequence_layout(model, model.base_model, 0, layout)
    assert layout == ("padded" if chosen is None else chosen.name)
    return SequenceForward(chosen, temperature=0.7)


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("requested", ["packed", "prefix_shared"])
def test_packed_log_probs_and_entropies_equal_those_of_single_texts(model, requested, batch_size):
    forward = forward_in(model, requested)
    logps, entropies, _ = forward.log_probs(
        model, *padded(ROWS, 4), 4, padded=trl_log_probs, batch_size=batch_size, compute_entropy=True
    )
    for found, entropy, (prompt, completion) in zip(logps, entropies, ROWS, strict=True):
        logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        expected, used = Categorical(logits=logits / 0.7, validate_args=False), len(completion)
        assert_close(found[:used], expected.log_prob(torch.tensor(completion, dtype=torch.long)), rtol=1e-4, atol=1e-5)
        assert_close(entropy[:used], expected.entropy(), rtol=1e-4, atol=1e-5)
        assert found[used:].eq(0).all()
        assert entropy[used:].eq(0).all()


def test_packed_hidden_states_equal_padded_ones(model):
    ids, mask = padded(ROWS, 4)
    forwards = [forward_in(model, layout) for layout in ("padded", "prefix_shared")]
    expected, found = (forward.hidden_states(model.base_model, ids, mask, 4) for forward in forwards)
    real = torch.cat([torch.ones(4, 1), mask[:, -4:]], 1).bool()
    assert_close(found[real], expected[real], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["padded", "packed", "prefix_shared"])
def test_recording_has_the_latest_log_probs_and_hidden_states(model, layout):
    forward, (ids, mask) = forward_in(model, layout), padded(ROWS, 4)
    forward.log_probs(model, ids, mask, 4, padded=trl_log_probs)
    with forward.record(model.base_model) as recorded:
        assert recorded.logps is recorded.hidden_states is None
        forward.log_probs(model, ids.flip(0), mask.flip(0), 4, padded=trl_log_probs)
        logps, *_ = forward.log_probs(model, ids, mask, 4, padded=trl_log_probs)
    assert_close(recorded.logps, logps)
    assert logps.requires_grad
    assert not recorded.logps.requires_grad
    assert recorded.hidden_states.requires_grad
    real = torch.cat([torch.ones(4, 1), mask[:, -4:]], 1).bool()
    expected = forward.hidden_states(model.base_model, ids, mask, 4)
    assert_close(recorded.hidden_states[real], expected[real], rtol=1e-4, atol=1e-5)
    assert not model.base_model._forward_hooks
    with forward.record() as logps_only:
        forward.log_probs(model, ids, mask, 4, padded=trl_log_probs)
    assert logps_only.hidden_states is None


def test_language_model_head_runs_before_completion_tokens_only(model):
    rows = [([3, 4, 5], [6, 7, 8]), ([3, 4, 5], [6, 9]), ([10], [11, 12, 13, 14]), ([10], [11])]
    ids, mask = padded(rows, 4)
    computed = []
    hook = model.lm_head.register_forward_hook(lambda _module, args, _output: computed.append(args[0].shape[1]))
    forward_in(model, "prefix_shared").log_probs(model, ids, mask, 4, padded=trl_log_probs)
    hook.remove()
    before = {tuple(prompt + completion[:k]) for prompt, completion in rows for k in range(len(completion))}
    assert len(before) <= computed[-1] <= sum(len(completion) for _, completion in rows)


def test_shared_prompt_is_computed_once(model):
    prompt = list(range(3, 15))
    ids, mask = padded([(prompt, [15, 16]), ([4], [5]), (prompt, [17]), ([*prompt, 18], [19])], 2)
    forward, computed = forward_in(model, "prefix_shared"), []
    layer = model.base_model.layers[0]
    hook = layer.register_forward_hook(lambda _module, args, _output: computed.append(args[0].shape[:2]))
    forward.log_probs(model, ids, mask, 2, padded=trl_log_probs)
    hook.remove()
    assert [lines for lines, _ in computed] == [1]
    assert computed[0][1] <= mask.sum() - 2 * len(prompt)


def test_position_ids_do_not_count_left_padding():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=32, n_embd=16, n_layer=2, n_head=2)).eval()
    rows = [([3, 4, 5], [6, 7]), ([3], [4])]
    logps, *_ = SequenceForward(temperature=0.7).log_probs(model, *padded(rows, 2), 2, padded=trl_log_probs)
    alone, *_ = trl_log_probs(model, torch.tensor([[3, 4]]), torch.ones(1, 2), 1)
    assert_close(logps[1, :1], alone[0], rtol=1e-4, atol=1e-5)
    with set_position_ids(model.base_model):
        assert model.base_model._forward_pre_hooks
    assert not model.base_model._forward_pre_hooks


def test_choosing_a_layout_does_not_change_the_model(model):
    before = [name for name, _ in model.named_modules()]
    assert choose_sequence_layout(model, model.base_model, 0, "padded") is None
    assert choose_sequence_layout(model, model.base_model, 0, "auto").name == "prefix_shared"
    assert [name for name, _ in model.named_modules()] == before
    assert not model.base_model._forward_hooks


def test_policy_and_reference_have_the_same_layout(model, caplog):
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=20, hidden_size=16, n_layer=1, n_head=2)
    other = BloomForCausalLM(config).eval()
    assert choose_policy_layout([model, model], 0, "auto").name == "prefix_shared"
    assert choose_policy_layout([model, other], 0, "auto") is None
    for requested, level in (("auto", logging.INFO), ("packed", logging.WARNING)):
        caplog.clear()
        with caplog.at_level(logging.INFO, "rlhf_losses"):
            assert choose_policy_layout([model], 0, requested, padding_reason="a reason") is None
        assert [record.levelno for record in caplog.records] == [level]
        assert "LlamaForCausalLM supports no other layout: a reason." in caplog.text
