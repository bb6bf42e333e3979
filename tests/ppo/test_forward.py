"""Texts that are padded on both sides are read in a row, and only where it matters."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_llama import tiny_policy
from torch.distributions import Categorical
from torch.testing import assert_close

from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.ppo.forward import choose_row, in_a_row, read_log_probabilities, read_states

LAYOUTS = [PackedLayout(), PrefixSharedLayout(), PrefixSharedLayout(shortest_shared=1)]
TOKENS = st.lists(st.integers(1, 3), min_size=1, max_size=5)


def padded(rows, length):
    """Return prompts padded on the left, completions on the right."""
    widest = max(len(prompt) for prompt, _ in rows)
    ids = [[0] * (widest - len(p)) + p + c + [0] * (length - len(c)) for p, c in rows]
    mask = [[0] * (widest - len(p)) + [1] * len(p + c) + [0] * (length - len(c)) for p, c in rows]
    return torch.tensor(ids), torch.tensor(mask)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(rows=st.lists(st.tuples(TOKENS, st.lists(st.integers(1, 3), max_size=4)), min_size=1, max_size=5))
def test_each_state_stands_at_the_token_before_its_own(layout, rows):
    row = in_a_row(layout, *padded(rows, length=4), length=4)
    tokens, positions = (row.model_inputs[name][0] for name in ("input_ids", "position_ids"))
    for states, (prompt, completion) in zip(row.states, rows, strict=True):
        text, used = prompt + completion, len(completion) + 1
        assert positions[states[:used]].tolist() == list(range(len(prompt) - 1, len(text)))
        assert tokens[states[:used]].tolist() == text[len(prompt) - 1 :]
        assert set(states[used:].tolist()) <= {states[used - 1].item()}


@pytest.fixture(scope="module")
def model():
    return tiny_policy(initializer_range=0.5)


ROWS = [([3, 4, 5], [6, 7, 8]), ([3, 4, 5], [6, 9]), ([10], [11, 12, 13, 14]), ([3, 4], [])]


@pytest.mark.parametrize("wanted", ["packed", "prefix_shared"])
def test_log_probabilities_and_entropies_are_those_of_each_text_alone(model, wanted):
    layout = choose_row(model, model.base_model, 0, wanted)
    logps, entropies = read_log_probabilities(model, layout, *padded(ROWS, 4), length=4, temperature=0.7)
    for found, spread, (prompt, completion) in zip(logps, entropies, ROWS, strict=True):
        logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        there, used = Categorical(logits=logits / 0.7, validate_args=False), len(completion)
        assert_close(found[:used], there.log_prob(torch.tensor(completion, dtype=torch.long)), rtol=1e-4, atol=1e-5)
        assert_close(spread[:used], there.entropy(), rtol=1e-4, atol=1e-5)
        assert found[used:].eq(0).all()
        assert spread[used:].eq(0).all()


def test_states_are_those_of_the_padded_layout(model):
    ids, mask = padded(ROWS, 4)
    layout = choose_row(model, model.base_model, 0, "prefix_shared")
    expected, found = (read_states(model.base_model, one, ids, mask, 4) for one in (None, layout))
    there = torch.cat([torch.ones(4, 1), mask[:, -4:]], 1).bool()
    assert_close(found[there], expected[there], rtol=1e-4, atol=1e-5)


def test_a_trial_leaves_nothing_behind(model):
    before = [name for name, _ in model.named_modules()]
    assert choose_row(model, model.base_model, 0, "padded") is None
    assert choose_row(model, model.base_model, 0, "auto").name == "prefix_shared"
    assert [name for name, _ in model.named_modules()] == before
    assert not model.base_model._forward_hooks
