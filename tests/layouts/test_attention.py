"""Attention along a prefix tree equals the attention of each separate text, including gradients."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attention_cases import DECODER, ENCODER, HEAD_DIM, HEADS, LONG_TEXTS, TEXTS, tensors, varlen_reference
from thorough_cases import each_value
from torch import Tensor
from transformers import AttentionInterface

from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.layouts.attention import EXPERIMENTAL_TREE_ATTENTIONS, TREE_ATTENTION, tree_attention_forward
from rlhf_losses.layouts.base import AttentionOptions, UnsupportedLayoutError
from rlhf_losses.layouts.experimental import TREE_ATTENTIONS
from rlhf_losses.layouts.experimental.flex import BLOCK, attend_flex, block_mask
from rlhf_losses.layouts.experimental.varlen import attend_varlen, attend_with_kernel, torch_kernel
from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.layouts.sdpa import attend_sdpa, has_fused_gqa_kernel


def reference(query, key, value, window, softcap, bidirectional=False) -> Tensor:
    """Attention of one text by its formula: softmax of soft-capped scores over the visible tokens."""
    key, value = (x.repeat_interleave(HEADS // x.shape[1], dim=1) for x in (key, value))
    scores = query @ key.transpose(-1, -2) / HEAD_DIM**0.5
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    distance = torch.arange(query.shape[2])[:, None] - torch.arange(query.shape[2])[None, :]
    visible = ((distance >= 0) | bidirectional) & (distance.abs() < (window or query.shape[2]))
    return scores.masked_fill(~visible, -torch.inf).softmax(-1) @ value


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [None, 2, 100])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("max_merged_tokens", [0, 256])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(min_shared_tokens=1)], ids=["packed", "shared"])
def test_it_equals_the_attention_of_each_text(layout, max_merged_tokens, key_heads, window, softcap):
    arranged = layout.arrange(TEXTS)
    tree = arranged.model_inputs["tree"]
    tree = PrefixTree(tree.sizes, tree.parents, max_merged_tokens)
    inputs = tensors(tree.num_tokens, key_heads)

    ours = tree_attention_forward(DECODER, *inputs, None, sliding_window=window, softcap=softcap, tree=tree)[0]
    parts = [reference(*(x[:, :, indices] for x in inputs), window, softcap) for indices in arranged.token_indices]

    together = torch.cat([ours[0, indices] for indices in arranged.token_indices])
    expected = torch.cat([part[0].transpose(0, 1) for part in parts])
    torch.testing.assert_close(together, expected)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad((together * weights).sum(), inputs, retain_graph=True),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("texts", "max_merged_tokens", "key_heads", "window"),
    each_value([TEXTS, LONG_TEXTS], [0, 256], [4, 2], [None, 2, 150]),
)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_bidirectional_attention_covers_all_of_a_text_and_no_other(texts, max_merged_tokens, key_heads, window):
    arranged = PackedLayout(bidirectional=True).arrange(texts)
    tree = PrefixTree([len(text) for text in texts], [-1] * len(texts), max_merged_tokens, bidirectional=True)
    inputs = tensors(tree.num_tokens, key_heads)
    parts = [reference(*(x[:, :, indices] for x in inputs), window, None, True) for indices in arranged.token_indices]
    expected = torch.cat([part[0].transpose(0, 1) for part in parts])
    for attend in (attend_sdpa, partial(attend_with_kernel, varlen_reference)):
        ours = tree_attention_forward(ENCODER, *inputs, None, sliding_window=window, tree=tree, attend=attend)[0][0]
        torch.testing.assert_close(ours, expected)
        for mine, theirs in zip(
            torch.autograd.grad(ours.square().sum(), inputs),
            torch.autograd.grad(expected.square().sum(), inputs, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)
    detached = [x.detach() for x in inputs]
    ours = tree_attention_forward(ENCODER, *detached, None, sliding_window=window, tree=tree, attend=attend_flex)[0][0]
    torch.testing.assert_close(ours, expected.detach())


@pytest.mark.parametrize(
    ("module", "bidirectional", "reason"),
    [(DECODER, True, "attention is causal"), (ENCODER, False, "attention is bidirectional")],
)
def test_a_layer_with_another_direction_than_the_tree_is_refused(module, bidirectional, reason):
    tree = PackedLayout(bidirectional=bidirectional).arrange(TEXTS).model_inputs["tree"]
    with pytest.raises(UnsupportedLayoutError, match=reason):
        tree_attention_forward(module, *tensors(tree.num_tokens, 2), None, tree=tree)


@pytest.mark.parametrize(("texts", "window", "softcap"), each_value([TEXTS, LONG_TEXTS], [None, 2, 150], [None, 1.5]))
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_equals_sdpa(texts, window, softcap):
    """On a CPU it has no backward pass, so the outputs alone are compared here."""
    tree = PrefixSharedLayout(min_shared_tokens=1).arrange(texts).model_inputs["tree"]
    inputs = [x.detach() for x in tensors(tree.num_tokens, 2)]
    sdpa, flex = (
        tree_attention_forward(
            DECODER, *inputs, None, sliding_window=window, softcap=softcap, tree=tree, attend=attend
        )[0]
        for attend in (attend_sdpa, attend_flex)
    )
    torch.testing.assert_close(flex, sdpa)


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["short", "long"])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(min_shared_tokens=1)], ids=["packed", "shared"])
def test_the_sequences_of_the_varlen_kernel_equal_sdpa(layout, texts, key_heads, window):
    """The kernel runs on GPUs only; a reference with its documented behaviour replaces it here."""
    tree = layout.arrange(texts).model_inputs["tree"]
    inputs = tensors(tree.num_tokens, key_heads)
    varlen = partial(attend_with_kernel, varlen_reference)
    sdpa, kernel = (
        tree_attention_forward(DECODER, *inputs, None, sliding_window=window, tree=tree, attend=attend)[0]
        for attend in (attend_sdpa, varlen)
    )
    torch.testing.assert_close(kernel, sdpa)
    for mine, theirs in zip(
        torch.autograd.grad(kernel.square().sum(), inputs),
        torch.autograd.grad(sdpa.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("window", [None, 150])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout(min_shared_tokens=1)], ids=["packed", "shared"])
def test_the_varlen_kernel_of_torch_accepts_the_arguments(layout, key_heads, window):
    """On the meta device it checks arguments and returns shapes, forward and backward."""
    tree = layout.arrange(LONG_TEXTS).model_inputs["tree"]
    query, key, value = (
        torch.empty(1, heads, tree.num_tokens, 64, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads in (HEADS, key_heads, key_heads)
    )
    options = AttentionOptions(scaling=0.1, sliding_window=window)
    output = attend_with_kernel(torch_kernel(), tree, query, key, value, options)
    assert (output.shape, output.dtype) == (query.shape, query.dtype)
    for gradient, x in zip(torch.autograd.grad(output.sum(), (query, key, value)), (query, key, value), strict=True):
        assert gradient.shape == x.shape


@pytest.mark.parametrize("window", [None, 2])
def test_repeated_keys_and_values_equal_grouped_query_attention(window, monkeypatch):
    tree = PrefixSharedLayout(min_shared_tokens=1).arrange(TEXTS).model_inputs["tree"]
    row = (tree, *tensors(tree.num_tokens, 2), AttentionOptions(sliding_window=window))
    grouped = attend_sdpa(*row)
    monkeypatch.setattr("rlhf_losses.layouts.sdpa.has_fused_gqa_kernel", lambda *_: False)
    repeated = attend_sdpa(*row)
    torch.testing.assert_close(repeated, grouped)
    for mine, theirs in zip(
        *(torch.autograd.grad(x.square().sum(), row[1:4]) for x in (repeated, grouped)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("device", "dtype", "head_dim", "mask", "has"),
    [
        ("cpu", torch.float32, 64, DECODER, True),
        ("cuda", torch.bfloat16, 64, None, True),
        ("cuda", torch.bfloat16, 64, DECODER, False),
        ("cuda", torch.float32, 64, None, False),
        ("cuda", torch.bfloat16, 512, None, False),
    ],
)
def test_a_fused_kernel_for_grouped_queries_exists_in_some_cases_only(device, dtype, head_dim, mask, has):
    query = SimpleNamespace(device=torch.device(device), dtype=dtype, shape=(1, 4, 10, head_dim))
    assert has_fused_gqa_kernel(query, mask) == has


def test_under_autocast_queries_keys_and_values_have_one_dtype():
    """Rotary embeddings make queries and keys float32, and the kernel is selected by the dtype."""
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    query, key, value = (x.detach().float() for x in tensors(tree.num_tokens, 2))
    dtypes = []

    def attend(*row):
        dtypes.extend(x.dtype for x in row[1:4])
        return attend_sdpa(*row)

    with torch.autocast("cpu", torch.bfloat16):
        by_torch = attend_sdpa(tree, query, key, value.bfloat16(), AttentionOptions())
        ours = tree_attention_forward(DECODER, query, key, value.bfloat16(), None, tree=tree, attend=attend)[0]
    assert dtypes == [torch.bfloat16] * 3
    assert torch.equal(ours[0].transpose(0, 1), by_torch[0])


def test_gradients_of_flex_attention_on_a_cpu_fall_back_to_sdpa(caplog):
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(tree.num_tokens, 2)
    with caplog.at_level("WARNING", "rlhf_losses"):
        ours = tree_attention_forward(DECODER, *inputs, None, tree=tree, attend=attend_flex)[0]
    assert torch.equal(ours, tree_attention_forward(DECODER, *inputs, None, tree=tree, attend=attend_sdpa)[0])
    assert "FlexAttention does not support gradients on a CPU. SDPA is used" in caplog.text
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(ours.square().sum(), inputs))


def test_cases_without_varlen_support_fall_back_to_sdpa_with_a_warning(caplog):
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(tree.num_tokens, 2)
    with caplog.at_level("WARNING", "rlhf_losses"):
        ours, sdpa = (
            tree_attention_forward(DECODER, *inputs, None, tree=tree, attend=attend)[0]
            for attend in (attend_varlen, attend_sdpa)
        )
    torch.testing.assert_close(ours, sdpa)
    assert "float64 on cpu" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels are for GPUs")
@pytest.mark.parametrize("attend", [attend_flex, attend_varlen])
@pytest.mark.parametrize("window", [None, 150])
def test_the_kernels_of_gpus_equal_sdpa(attend, window):
    tree = PrefixSharedLayout().arrange(LONG_TEXTS).model_inputs["tree"]
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = [(1, heads, tree.num_tokens, 64) for heads in (8, 2, 2)]
    inputs = [
        torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16).requires_grad_()
        for shape in shapes
    ]
    ours, sdpa = (
        tree_attention_forward(DECODER, *inputs, None, sliding_window=window, tree=tree, attend=one)[0]
        for one in (attend, attend_sdpa)
    )
    torch.testing.assert_close(ours, sdpa, rtol=2e-2, atol=2e-2)
    for mine, theirs in zip(
        torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(sdpa.sum(), inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("texts", [TEXTS, LONG_TEXTS], ids=["one block", "several blocks"])
def test_the_block_mask_lists_every_visible_block(texts, window):
    tree = PrefixSharedLayout(min_shared_tokens=1).arrange(texts).model_inputs["tree"]
    mask = block_mask(tree, window, torch.device("cpu"))
    partial_blocks = _blocks(mask.kv_num_blocks, mask.kv_indices)
    full_blocks = _blocks(mask.full_kv_num_blocks, mask.full_kv_indices)
    all_tokens = np.arange(tree.num_tokens)
    visible = tree.attention_mask(all_tokens, all_tokens, window)
    for (row, column), listed in np.ndenumerate(partial_blocks):
        block = visible[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        assert listed or full_blocks[row, column] or not block.any()
        assert block.all() or not full_blocks[row, column]
    assert not (partial_blocks & full_blocks).any()


def _blocks(counts, indices):
    selected = np.zeros(indices.shape[2:], dtype=bool)
    for row, count in enumerate(counts[0, 0].tolist()):
        selected[row, indices[0, 0, row, :count].tolist()] = True
    return selected


def test_without_a_tree_it_is_ordinary_attention():
    query, key, value = tensors(6, 2)
    expected = reference(query, key, value, None, None).transpose(1, 2)
    torch.testing.assert_close(tree_attention_forward(DECODER, query, key, value, None)[0], expected)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    torch.testing.assert_close(tree_attention_forward(DECODER, query, key, value, mask, softcap=None)[0], expected)


def test_an_unknown_argument_is_refused_by_its_name():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    with pytest.raises(UnsupportedLayoutError, match="s_aux"):
        tree_attention_forward(DECODER, *tensors(tree.num_tokens, 4), None, tree=tree, s_aux=torch.zeros(HEADS))


def test_dropout_is_applied():
    tree = PackedLayout().arrange(TEXTS).model_inputs["tree"]
    inputs = tensors(tree.num_tokens, 4)
    assert not torch.equal(
        tree_attention_forward(DECODER, *inputs, None, dropout=0.5, tree=tree)[0],
        tree_attention_forward(DECODER, *inputs, None, tree=tree)[0],
    )


def test_the_default_name_is_sdpa_on_every_device():
    registered = AttentionInterface()[TREE_ATTENTION]
    assert registered.func is tree_attention_forward
    assert registered.keywords == {"attend": attend_sdpa}


def test_every_experimental_name_has_a_function_of_its_own():
    assert tuple(TREE_ATTENTIONS) == EXPERIMENTAL_TREE_ATTENTIONS
    assert len({attend_sdpa, *TREE_ATTENTIONS.values()}) == 5
    assert all(name in AttentionInterface() for name in EXPERIMENTAL_TREE_ATTENTIONS)


DEFAULT_PATH = """
import sys
from rlhf_losses.layouts import PackedLayout, PaddedLayout, choose_layout
from transformers import LlamaConfig, LlamaForSequenceClassification

config = LlamaConfig(
    vocab_size=40, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, num_labels=1,
    pad_token_id=0,
)
assert choose_layout(LlamaForSequenceClassification(config), PaddedLayout(0), "packed") == PackedLayout()
experimental = [name for name in sys.modules if name.startswith("rlhf_losses.layouts.experimental")]
assert not experimental, experimental
"""


@pytest.mark.slow
def test_the_default_does_not_import_experimental_kernels():
    subprocess.run([sys.executable, "-c", DEFAULT_PATH], check=True)
