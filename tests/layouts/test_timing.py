"""The fastest kernel is found by measurement, among the kernels with the result of SDPA."""

import logging
from types import ModuleType, SimpleNamespace

import pytest
import torch
from attention_cases import DECODER, LONG_TEXTS, TEXTS, tensors, varlen_reference
from torch.utils.checkpoint import checkpoint

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.layouts.attention import tree_attention_forward
from rlhf_losses.layouts.base import AttentionOptions
from rlhf_losses.layouts.experimental.flex import attend_flex
from rlhf_losses.layouts.experimental.timing import attend_fastest, candidates, select_fastest
from rlhf_losses.layouts.experimental.varlen import (
    attend_flash_attn,
    attend_varlen,
    attend_with_kernel,
    flash_attn_kernel,
)
from rlhf_losses.layouts.sdpa import attend_sdpa

TREE = PrefixSharedLayout(min_shared_tokens=1).arrange(TEXTS).model_inputs["tree"]
INPUTS = tuple(x.detach().float() for x in tensors(TREE.num_tokens, 2))


def same(*row):
    return attend_sdpa(*row)


def wrong(*row):
    return 1.01 * attend_sdpa(*row)


def wrong_backward(*row):
    """The right output, but without a dependence on the keys."""
    tree, query, key, value, options = row
    return attend_sdpa(tree, query, key.detach() + 0 * key, value, options)


def nan_backward(*row):
    """The right output, but the gradients of the keys are NaN."""
    key = row[2]
    return attend_sdpa(*row) + 0 * (key - key.detach()).sqrt().sum()


def failing(*_):
    raise RuntimeError("no kernel image is available")


def clock(*seconds):
    """Return a clock that returns these times, one after the other."""
    times = iter(seconds)
    return lambda _work: next(times)


@pytest.mark.parametrize(("seconds", "best"), [((3.0, 1.0), same), ((1.0, 3.0), attend_sdpa)])
def test_the_fastest_kernel_is_selected_and_logged(seconds, best, caplog):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        assert select_fastest({"another": same}, TREE, INPUTS, AttentionOptions(), clock(*seconds)) is best
    name = "another" if best is same else "SDPA"
    assert f"Attention: {name} for rows of about {TREE.num_tokens} tokens in {len(TREE.sizes)} nodes" in caplog.text
    assert f"{3.0 if best is same else 1.0:.1f} times as fast" in caplog.text


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (wrong, "differs by"),
        (wrong_backward, "differs by"),
        (nan_backward, "differs by nan"),
        (failing, "failed with RuntimeError: no kernel image"),
    ],
)
def test_kernels_that_fail_or_differ_are_excluded(kernel, reason, caplog):
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        assert select_fastest({"broken": kernel}, TREE, INPUTS, AttentionOptions(), clock(1.0)) is attend_sdpa
    assert f"broken is excluded because it {reason}" in caplog.text


def test_a_real_measurement_has_no_side_effects():
    with torch.inference_mode():
        inputs = tuple(x.clone() for x in INPUTS)
        assert select_fastest({"another": same}, TREE, inputs, AttentionOptions()) in (same, attend_sdpa)
    assert not any(x.requires_grad for x in inputs)


def test_a_measurement_inside_a_checkpoint_saves_nothing_there():
    """A checkpoint recomputes saved tensors: a saved measurement would repeat itself in an endless recursion."""
    measured = []

    def layer(query, key, value):
        if not measured:
            measured.append(True)
            select_fastest({"another": same}, TREE, (query, key, value), AttentionOptions(), clock(1.0, 2.0))
        return attend_sdpa(TREE, query, key, value, AttentionOptions()).square().sum()

    plain, checkpointed = ([x.clone().requires_grad_() for x in INPUTS] for _ in range(2))
    checkpoint(layer, *checkpointed, use_reentrant=False).backward()
    layer(*plain).backward()
    for ours, theirs in zip(checkpointed, plain, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_without_memory_for_a_measurement_it_is_sdpa(caplog):
    def out_of_memory(_work):
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert select_fastest({"another": same}, TREE, INPUTS, AttentionOptions(), out_of_memory) is attend_sdpa
    assert "not enough memory to measure kernels" in caplog.text


def test_on_a_cpu_the_fastest_is_sdpa():
    tree = PackedLayout().arrange([[1] * 1500]).model_inputs["tree"]
    inputs = [x.detach() for x in tensors(1500, 4)]
    row = (tree, *inputs, AttentionOptions())
    assert torch.equal(attend_fastest(*row), attend_sdpa(*row))


def test_rows_are_measured_per_number_of_tokens_and_of_nodes(monkeypatch):
    """SDPA is fast for one long text and slow for a hundred short ones."""
    measured = []

    def select(_kernels, tree, *_):
        measured.append(len(tree.sizes))
        return lambda *_: "the attention"

    monkeypatch.setattr("rlhf_losses.layouts.experimental.timing._fastest", {})
    monkeypatch.setattr("rlhf_losses.layouts.experimental.timing.select_fastest", select)
    on_a_gpu = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16, shape=(1, 4, 2048, 64))
    for texts in ([[1] * 2048], [[1] * 32] * 64, [[1] * 2048], [[1] * 64] * 32):
        tree = PackedLayout().arrange(texts).model_inputs["tree"]
        assert attend_fastest(tree, on_a_gpu, on_a_gpu, on_a_gpu, AttentionOptions()) == "the attention"
    assert measured == [1, 64, 32]


def test_every_dtype_has_its_kernels(monkeypatch):
    assert set(candidates(torch.float32, AttentionOptions()).values()) == {attend_flex}
    assert set(candidates(torch.bfloat16, AttentionOptions()).values()) == {attend_varlen}
    assert set(candidates(torch.bfloat16, AttentionOptions(softcap=50.0)).values()) == {attend_flex}
    monkeypatch.setattr("rlhf_losses.layouts.experimental.varlen.find_spec", lambda name: SimpleNamespace(name=name))
    assert set(candidates(torch.bfloat16, AttentionOptions()).values()) == {attend_varlen, attend_flash_attn}


def flash_attn_reference(q, k, v, cu_seqlens_q, cu_seqlens_k, max_q, max_k, *, softmax_scale, causal, window_size):
    """flash-attn by its documentation: like torch's kernel, with a flag for causal attention and inferred groups."""
    left, right = window_size
    return varlen_reference(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_q, max_k, scale=softmax_scale,
        window_size=(left, 0 if causal else right), enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_arguments_of_flash_attn_equal_sdpa(bidirectional, window, monkeypatch):
    """The package runs on GPUs only; a reference with its documented behaviour replaces it here."""
    module = ModuleType("flash_attn")
    module.flash_attn_varlen_func = flash_attn_reference
    monkeypatch.setitem(__import__("sys").modules, "flash_attn", module)
    monkeypatch.setattr("rlhf_losses.layouts.experimental.varlen.has_flash_attn", lambda: True)
    layout = PackedLayout(bidirectional=True) if bidirectional else PrefixSharedLayout(min_shared_tokens=1)
    tree = layout.arrange(LONG_TEXTS).model_inputs["tree"]
    row = (tree, *tensors(tree.num_tokens, 2), AttentionOptions(sliding_window=window))
    torch.testing.assert_close(attend_with_kernel(flash_attn_kernel(), *row), attend_sdpa(*row))


def test_a_missing_flash_attn_is_refused_with_a_remedy():
    with pytest.raises(InvalidSettingError, match=r"flash-attn, which is not installed.*pip install flash-attn"):
        flash_attn_kernel()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels are for GPUs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_the_fastest_equals_sdpa(dtype):
    tree = PrefixSharedLayout().arrange([text * 4 for text in LONG_TEXTS]).model_inputs["tree"]
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = [(1, heads, tree.num_tokens, 64) for heads in (8, 2, 2)]
    inputs = [torch.randn(shape, generator=generator, device="cuda", dtype=dtype) for shape in shapes]
    ours, sdpa = (
        tree_attention_forward(DECODER, *inputs, None, tree=tree, attend=attend)[0]
        for attend in (attend_fastest, attend_sdpa)
    )
    torch.testing.assert_close(ours, sdpa, rtol=3e-2, atol=3e-2)
