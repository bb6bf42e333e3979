"""Attention along a tree is the attention of each text by itself, gradients included."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attention_cases import DIMENSION, ENCODER, HEADS, LONG_TEXTS, MODULE, TEXTS, tensors, varlen_by_its_contract
from torch import Tensor

from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.layouts.attention import attend
from rlhf_losses.layouts.base import AttentionOptions, UnsupportedLayout
from rlhf_losses.layouts.experimental.flex import BLOCK, attend_in_one_kernel, block_mask
from rlhf_losses.layouts.experimental.varlen import attend_by_spans, attend_with, kernel_of_torch
from rlhf_losses.layouts.prefix_tree import TokenTree
from rlhf_losses.layouts.sdpa import attend_by_calls, has_kernel_for_groups


def by_the_formula(query, key, value, window, softcap, both_ways=False) -> Tensor:
    """Attention of one text, written out: softmax of bent scores over what a token may see."""
    key, value = (x.repeat_interleave(HEADS // x.shape[1], dim=1) for x in (key, value))
    scores = query @ key.transpose(-1, -2) / DIMENSION**0.5
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    distance = torch.arange(query.shape[2])[:, None] - torch.arange(query.shape[2])[None, :]
    seen = ((distance >= 0) | both_ways) & (distance.abs() < (window or query.shape[2]))
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [None, 2, 100])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("dense", [0, 256])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(shortest_shared=1)], ids=["packed", "shared"])
def test_it_equals_the_attention_of_each_text(layout, dense, key_heads, window, softcap):
    arrangement = layout.arrange(TEXTS)
    tree = arrangement.model_inputs["tree"]
    tree = TokenTree(tree.sizes, tree.parents, dense)
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


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("dense", [0, 256])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["short", "long"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_tokens_that_look_both_ways_see_all_of_their_text_and_no_other(texts, dense, key_heads, window):
    arrangement = PackedLayout(both_ways=True).arrange(texts)
    tree = TokenTree([len(text) for text in texts], [-1] * len(texts), dense, both_ways=True)
    inputs = tensors(len(tree.reach), key_heads)
    parts = [by_the_formula(*(x[:, :, at] for x in inputs), window, None, True) for at in arrangement.places]
    expected = torch.cat([part[0].transpose(0, 1) for part in parts])
    for along in (attend_by_calls, partial(attend_with, varlen_by_its_contract)):
        ours = attend(ENCODER, *inputs, None, sliding_window=window, tree=tree, along=along)[0][0]
        torch.testing.assert_close(ours, expected)
        for mine, theirs in zip(
            torch.autograd.grad(ours.square().sum(), inputs),
            torch.autograd.grad(expected.square().sum(), inputs, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)
    forward_only = [x.detach() for x in inputs]
    ours = attend(ENCODER, *forward_only, None, sliding_window=window, tree=tree, along=attend_in_one_kernel)[0][0]
    torch.testing.assert_close(ours, expected.detach())


@pytest.mark.parametrize(
    ("module", "both_ways", "why"), [(MODULE, True, "looks only back"), (ENCODER, False, "sees the whole text")]
)
def test_a_model_that_looks_another_way_than_the_tree_is_refused(module, both_ways, why):
    tree = PackedLayout(both_ways=both_ways).arrange(TEXTS).model_inputs["tree"]
    with pytest.raises(UnsupportedLayout, match=why):
        attend(module, *tensors(len(tree.reach), 2), None, tree=tree)


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["one block", "several blocks"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_flex_kernel_equals_the_calls(texts, window, softcap):
    """On a CPU it has no backward pass, so the scores alone are compared here."""
    tree = PrefixSharedLayout(shortest_shared=1).arrange(texts).model_inputs["tree"]
    inputs = [x.detach() for x in tensors(len(tree.reach), 2)]
    calls, kernel = (
        attend(MODULE, *inputs, None, sliding_window=window, softcap=softcap, tree=tree, along=along)[0]
        for along in (attend_by_calls, attend_in_one_kernel)
    )
    torch.testing.assert_close(kernel, calls)


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["short", "long"])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(shortest_shared=1)], ids=["packed", "shared"])
def test_the_spans_of_the_varlen_kernel_are_the_tree(layout, texts, key_heads, window):
    """The kernel itself runs on GPUs only: here its contract stands in for it, and what it is handed is compared."""
    tree = layout.arrange(texts).model_inputs["tree"]
    inputs = tensors(len(tree.reach), key_heads)
    spans = partial(attend_with, varlen_by_its_contract)
    calls, kernel = (
        attend(MODULE, *inputs, None, sliding_window=window, tree=tree, along=along)[0]
        for along in (attend_by_calls, spans)
    )
    torch.testing.assert_close(kernel, calls)
    for mine, theirs in zip(
        torch.autograd.grad(kernel.square().sum(), inputs),
        torch.autograd.grad(calls.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("window", [None, 150])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(shortest_shared=1)], ids=["packed", "shared"])
def test_torchs_own_kernel_takes_what_it_is_handed(layout, key_heads, window):
    """On the device that holds no numbers it checks arguments, and gives shapes, forward and backward."""
    tree = layout.arrange(LONG_TEXTS).model_inputs["tree"]
    query, key, value = (
        torch.empty(1, heads, len(tree.reach), 64, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads in (HEADS, key_heads, key_heads)
    )
    output = attend_with(kernel_of_torch(), tree, query, key, value, AttentionOptions(scaling=0.1, window=window))
    assert (output.shape, output.dtype) == (query.shape, query.dtype)
    for gradient, x in zip(torch.autograd.grad(output.sum(), (query, key, value)), (query, key, value), strict=True):
        assert gradient.shape == x.shape


@pytest.mark.parametrize("window", [None, 2])
def test_heads_that_share_keys_may_be_given_keys_of_their_own(window, monkeypatch):
    tree = PrefixSharedLayout(shortest_shared=1).arrange(TEXTS).model_inputs["tree"]
    row = (tree, *tensors(len(tree.reach), 2), AttentionOptions(window=window))
    together = attend_by_calls(*row)
    monkeypatch.setattr("rlhf_losses.layouts.sdpa.has_kernel_for_groups", lambda *_: False)
    apart = attend_by_calls(*row)
    torch.testing.assert_close(apart, together)
    for mine, theirs in zip(*(torch.autograd.grad(x.square().sum(), row[1:4]) for x in (apart, together)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("device", "dtype", "dimension", "mask", "has"),
    [
        ("cpu", torch.float32, 64, MODULE, True),
        ("cuda", torch.bfloat16, 64, None, True),
        ("cuda", torch.bfloat16, 64, MODULE, False),
        ("cuda", torch.float32, 64, None, False),
        ("cuda", torch.bfloat16, 512, None, False),
    ],
)
def test_torch_would_write_down_all_scores_of_grouped_heads(device, dtype, dimension, mask, has):
    query = SimpleNamespace(device=torch.device(device), dtype=dtype, shape=(1, 4, 10, dimension))
    assert has_kernel_for_groups(query, mask) == has


def test_under_autocast_every_kernel_is_handed_one_precision():
    """Rotary positions make queries and keys float32 again, and a kernel is chosen by the precision that arrives."""
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    query, key, value = (x.detach().float() for x in tensors(len(tree.reach), 2))
    arrived = []

    def along(*row):
        arrived.extend(x.dtype for x in row[1:4])
        return attend_by_calls(*row)

    with torch.autocast("cpu", torch.bfloat16):
        by_torch = attend_by_calls(tree, query, key, value.bfloat16(), AttentionOptions())
        ours = attend(MODULE, query, key, value.bfloat16(), None, tree=tree, along=along)[0]
    assert arrived == [torch.bfloat16] * 3
    assert torch.equal(ours[0].transpose(0, 1), by_torch[0])


def test_gradients_that_flex_does_not_compute_on_a_cpu_go_call_by_call(caplog):
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(len(tree.reach), 2)
    with caplog.at_level("WARNING", "rlhf_losses"):
        ours = attend(MODULE, *inputs, None, tree=tree, along=attend_in_one_kernel)[0]
    assert torch.equal(ours, attend(MODULE, *inputs, None, tree=tree, along=attend_by_calls)[0])
    assert "FlexAttention does not compute gradients on a CPU; it goes call by call" in caplog.text
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(ours.square().sum(), inputs))


def test_what_the_varlen_kernel_does_not_compute_goes_call_by_call_and_says_so(caplog):
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(len(tree.reach), 2)
    with caplog.at_level("WARNING", "rlhf_losses"):
        ours, calls = (
            attend(MODULE, *inputs, None, tree=tree, along=along)[0] for along in (attend_by_spans, attend_by_calls)
        )
    torch.testing.assert_close(ours, calls)
    assert "float64 on cpu" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels are for GPUs")
@pytest.mark.parametrize("along", [attend_in_one_kernel, attend_by_spans])
@pytest.mark.parametrize("window", [None, 150])
def test_the_kernels_of_gpus_equal_the_calls(along, window):
    tree = PrefixSharedLayout().arrange(LONG_TEXTS).model_inputs["tree"]
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = [(1, heads, len(tree.reach), 64) for heads in (8, 2, 2)]
    inputs = [
        torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16).requires_grad_()
        for shape in shapes
    ]
    ours, calls = (
        attend(MODULE, *inputs, None, sliding_window=window, tree=tree, along=one)[0]
        for one in (along, attend_by_calls)
    )
    torch.testing.assert_close(ours, calls, rtol=2e-2, atol=2e-2)
    for mine, theirs in zip(
        torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(calls.sum(), inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=5e-2, atol=5e-2)


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


def test_an_argument_that_it_does_not_know_is_refused_by_name():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    with pytest.raises(UnsupportedLayout, match="s_aux"):
        attend(MODULE, *tensors(len(tree.reach), 4), None, tree=tree, s_aux=torch.zeros(HEADS))


def test_dropout_is_applied():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(len(tree.reach), 4)
    assert not torch.equal(
        attend(MODULE, *inputs, None, dropout=0.5, tree=tree)[0], attend(MODULE, *inputs, None, tree=tree)[0]
    )
