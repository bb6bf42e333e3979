"""Attention along a tree is the attention of each text by itself, gradients included."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.layouts.attention import attend
from rlhf_losses.layouts.base import Unfit
from rlhf_losses.layouts.flex import BLOCK, block_mask

MODULE = SimpleNamespace(is_causal=True)
TEXTS = [[1, 2, 3, 4, 5], [1, 2, 3, 6], [1, 2, 3, 6, 7, 8], [9], [1, 2]]
LONG_TEXTS = [[1] * 200 + [2] * 100, [1] * 200 + [3] * 300, [1] * 200 + [3] * 130 + [4] * 10, [5] * 140]
HEADS, DIMENSION = 4, 8


def tensors(tokens: int, key_heads: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, tokens, DIMENSION) for heads in (HEADS, key_heads, key_heads)]
    return tuple(torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)


def by_the_formula(query, key, value, window, softcap) -> Tensor:
    """Attention of one text, written out: softmax of bent scores over what a token may see."""
    key, value = (x.repeat_interleave(HEADS // x.shape[1], dim=1) for x in (key, value))
    scores = query @ key.transpose(-1, -2) / DIMENSION**0.5
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    distance = torch.arange(query.shape[2])[:, None] - torch.arange(query.shape[2])[None, :]
    seen = (distance >= 0) & (distance < (window or query.shape[2]))
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [None, 2, 100])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("dense", [0, 256])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(shortest_shared=1)], ids=["packed", "shared"])
def test_it_equals_the_attention_of_each_text(layout, dense, key_heads, window, softcap):
    arrangement = layout.arrange(TEXTS)
    tree = arrangement.model_inputs["tree"]
    tree.dense = dense
    inputs = tensors(len(tree.reach), key_heads)

    ours = attend(MODULE, *inputs, None, sliding_window=window, softcap=softcap, tree=tree)[0]
    parts = [by_the_formula(*(x[:, :, places] for x in inputs), window, softcap) for places in arrangement.places]

    together = torch.cat([ours[0, places] for places in arrangement.places])
    expected = torch.cat([part[0].transpose(0, 1) for part in parts])
    torch.testing.assert_close(together, expected)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad((together * weights).sum(), inputs, retain_graph=True),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["one block", "several blocks"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_flex_kernel_equals_the_calls(texts, window, softcap):
    """On a CPU it has no backward pass, so the scores alone are compared here."""
    tree = PrefixSharedLayout(shortest_shared=1).arrange(texts).model_inputs["tree"]
    inputs = [x.detach() for x in tensors(len(tree.reach), 2)]
    calls, kernel = (
        attend(MODULE, *inputs, None, sliding_window=window, softcap=softcap, tree=tree, flex=flex)[0]
        for flex in (False, True)
    )
    torch.testing.assert_close(kernel, calls)


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["one block", "several blocks"])
def test_the_kernel_looks_at_every_block_that_is_seen(texts, window):
    tree = PrefixSharedLayout(shortest_shared=1).arrange(texts).model_inputs["tree"]
    mask = block_mask(tree, window, torch.device("cpu"))
    partly = _blocks(mask.kv_num_blocks, mask.kv_indices)
    wholly = _blocks(mask.full_kv_num_blocks, mask.full_kv_indices)
    everything = np.arange(len(tree.reach))
    seen = tree.visible(everything, everything, window)
    for (row, column), listed in np.ndenumerate(partly):
        block = seen[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        assert listed or wholly[row, column] or not block.any()
        assert block.all() or not wholly[row, column]
    assert not (partly & wholly).any()


def _blocks(counts, indices):
    chosen = np.zeros(indices.shape[2:], dtype=bool)
    for row, count in enumerate(counts[0, 0].tolist()):
        chosen[row, indices[0, 0, row, :count].tolist()] = True
    return chosen


def test_without_a_tree_it_is_ordinary_attention():
    query, key, value = tensors(6, 2)
    expected = by_the_formula(query, key, value, None, None).transpose(1, 2)
    torch.testing.assert_close(attend(MODULE, query, key, value, None)[0], expected)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    torch.testing.assert_close(attend(MODULE, query, key, value, mask, softcap=None)[0], expected)


def test_attention_that_looks_ahead_is_refused():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    with pytest.raises(Unfit, match="looks ahead"):
        attend(SimpleNamespace(is_causal=False), *tensors(len(tree.reach), 4), None, tree=tree)


def test_an_argument_that_it_does_not_know_is_refused_by_name():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    with pytest.raises(Unfit, match="s_aux"):
        attend(MODULE, *tensors(len(tree.reach), 4), None, tree=tree, s_aux=torch.zeros(HEADS))


def test_dropout_is_applied():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(len(tree.reach), 4)
    assert not torch.equal(
        attend(MODULE, *inputs, None, dropout=0.5, tree=tree)[0], attend(MODULE, *inputs, None, tree=tree)[0]
    )
