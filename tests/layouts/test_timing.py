"""The fastest kernel is found by measuring, and only among those that compute the same."""

import logging
from types import ModuleType, SimpleNamespace

import pytest
import torch
from attention_cases import LONG_TEXTS, MODULE, TEXTS, tensors, varlen_by_its_contract
from torch.utils.checkpoint import checkpoint

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import PackedLayout, PrefixSharedLayout
from rlhf_losses.layouts.attention import WAYS, attend
from rlhf_losses.layouts.base import AttentionOptions
from rlhf_losses.layouts.experimental.flex import attend_in_one_kernel
from rlhf_losses.layouts.experimental.timing import attend_fastest, candidates, fastest_of
from rlhf_losses.layouts.experimental.varlen import (
    attend_by_flash_attn,
    attend_by_spans,
    attend_with,
    kernel_of_flash_attn,
)
from rlhf_losses.layouts.sdpa import attend_by_calls

TREE = PrefixSharedLayout(shortest_shared=1).arrange(TEXTS).model_inputs["tree"]
INPUTS = tuple(x.detach().float() for x in tensors(len(TREE.reach), 2))


def same(*row):
    return attend_by_calls(*row)


def wrong(*row):
    return 1.01 * attend_by_calls(*row)


def wrong_backwards(*row):
    """The right output, but as if it did not depend on the keys."""
    tree, query, key, value, how = row
    return attend_by_calls(tree, query, key.detach() + 0 * key, value, how)


def not_a_number_backwards(*row):
    """The right output, but gradients of the keys that are no numbers."""
    key = row[2]
    return attend_by_calls(*row) + 0 * (key - key.detach()).sqrt().sum()


def failing(*_):
    raise RuntimeError("no kernel image is available")


def clock(*seconds):
    """Return a clock that gives these times, one after the other."""
    times = iter(seconds)
    return lambda _work: next(times)


@pytest.mark.parametrize(("seconds", "best"), [((3.0, 1.0), same), ((1.0, 3.0), attend_by_calls)])
def test_the_fastest_is_taken_and_told(seconds, best, caplog):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        assert fastest_of({"another": same}, TREE, INPUTS, AttentionOptions(), clock(*seconds)) is best
    name = "another" if best is same else "call by call"
    assert (
        f"Attention: {name} for rows of about {len(TREE.reach)} tokens in {len(TREE.sizes)} nodes on cpu" in caplog.text
    )
    assert f"{3.0 if best is same else 1.0:.1f} times as fast" in caplog.text


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (wrong, "differs by"),
        (wrong_backwards, "differs by"),
        (not_a_number_backwards, "differs by nan"),
        (failing, "failed with RuntimeError: no kernel image"),
    ],
)
def test_what_computes_something_else_or_nothing_is_left_out(way, why, caplog):
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        assert fastest_of({"broken": way}, TREE, INPUTS, AttentionOptions(), clock(1.0)) is attend_by_calls
    assert f"broken is left out, because it {why}" in caplog.text


def test_measuring_for_real_leaves_nothing_behind():
    with torch.inference_mode():
        inputs = tuple(x.clone() for x in INPUTS)
        assert fastest_of({"another": same}, TREE, inputs, AttentionOptions()) in (same, attend_by_calls)
    assert not any(x.requires_grad for x in inputs)


def test_measuring_inside_a_checkpoint_saves_nothing_there():
    """What a checkpoint sees saved, it computes again: the layer, with the measurement in it, and so on for ever."""
    measured = []

    def layer(query, key, value):
        if not measured:
            measured.append(True)
            fastest_of({"another": same}, TREE, (query, key, value), AttentionOptions(), clock(1.0, 2.0))
        return attend_by_calls(TREE, query, key, value, AttentionOptions()).square().sum()

    plain, kept = ([x.clone().requires_grad_() for x in INPUTS] for _ in range(2))
    checkpoint(layer, *kept, use_reentrant=False).backward()
    layer(*plain).backward()
    for ours, theirs in zip(kept, plain, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_where_no_memory_is_left_to_measure_it_goes_call_by_call(caplog):
    def full(_work):
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert fastest_of({"another": same}, TREE, INPUTS, AttentionOptions(), full) is attend_by_calls
    assert "no memory is left to measure kernels in" in caplog.text


def test_on_a_cpu_it_goes_call_by_call():
    tree = PackedLayout().arrange([[1] * 1500]).model_inputs["tree"]
    inputs = [x.detach() for x in tensors(1500, 4)]
    row = (tree, *inputs, AttentionOptions())
    assert torch.equal(attend_fastest(*row), attend_by_calls(*row))


def test_a_row_is_measured_for_its_tokens_and_for_its_nodes(monkeypatch):
    """One long text is fast call by call, a hundred short ones are not."""
    measured = []

    def choose(_ways, tree, *_):
        measured.append(len(tree.sizes))
        return lambda *_: "the attention"

    monkeypatch.setattr("rlhf_losses.layouts.experimental.timing._chosen", {})
    monkeypatch.setattr("rlhf_losses.layouts.experimental.timing.fastest_of", choose)
    on_a_gpu = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16, shape=(1, 4, 2048, 64))
    for texts in ([[1] * 2048], [[1] * 32] * 64, [[1] * 2048], [[1] * 64] * 32):
        tree = PackedLayout().arrange(texts).model_inputs["tree"]
        assert attend_fastest(tree, on_a_gpu, on_a_gpu, on_a_gpu, AttentionOptions()) == "the attention"
    assert measured == [1, 64, 32]


def test_every_precision_has_its_kernels(monkeypatch):
    assert set(candidates(torch.float32, AttentionOptions()).values()) == {attend_in_one_kernel}
    assert set(candidates(torch.bfloat16, AttentionOptions()).values()) == {attend_by_spans}
    assert set(candidates(torch.bfloat16, AttentionOptions(softcap=50.0)).values()) == {attend_in_one_kernel}
    monkeypatch.setattr("rlhf_losses.layouts.experimental.varlen.find_spec", lambda name: SimpleNamespace(name=name))
    assert set(candidates(torch.bfloat16, AttentionOptions()).values()) == {attend_by_spans, attend_by_flash_attn}


def flash_attn_by_its_contract(q, k, v, query_ends, key_ends, most_q, most_k, *, softmax_scale, causal, window_size):
    """What flash-attn documents: as torch's kernel, causal by a flag of its own, grouped heads found by itself."""
    left, right = window_size
    return varlen_by_its_contract(
        q, k, v, query_ends, key_ends, most_q, most_k, scale=softmax_scale, window_size=(left, 0 if causal else right),
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


@pytest.mark.parametrize("window", [None, 2, 150])
@pytest.mark.parametrize("both_ways", [False, True])
def test_flash_attn_is_handed_the_tree(both_ways, window, monkeypatch):
    """The package runs on GPUs only: here its contract stands in for it, and what it is handed is compared."""
    module = ModuleType("flash_attn")
    module.flash_attn_varlen_func = flash_attn_by_its_contract
    monkeypatch.setitem(__import__("sys").modules, "flash_attn", module)
    monkeypatch.setattr("rlhf_losses.layouts.experimental.varlen.has_flash_attn", lambda: True)
    layout = PackedLayout(both_ways=True) if both_ways else PrefixSharedLayout(shortest_shared=1)
    tree = layout.arrange(LONG_TEXTS).model_inputs["tree"]
    row = (tree, *tensors(len(tree.reach), 2), AttentionOptions(window=window))
    torch.testing.assert_close(attend_with(kernel_of_flash_attn(), *row), attend_by_calls(*row))


def test_flash_attn_that_is_not_installed_is_refused_with_what_to_do():
    with pytest.raises(InvalidSettingError, match=r"flash-attn is not installed.*pip install flash-attn"):
        kernel_of_flash_attn()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels are for GPUs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_the_fastest_equals_the_calls(dtype):
    tree = PrefixSharedLayout().arrange([text * 4 for text in LONG_TEXTS]).model_inputs["tree"]
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = [(1, heads, len(tree.reach), 64) for heads in (8, 2, 2)]
    inputs = [torch.randn(shape, generator=generator, device="cuda", dtype=dtype) for shape in shapes]
    ours, calls = (attend(MODULE, *inputs, None, tree=tree, along=way)[0] for way in (attend_fastest, attend_by_calls))
    torch.testing.assert_close(ours, calls, rtol=3e-2, atol=3e-2)


def test_every_way_has_a_name_of_its_own():
    assert len(WAYS) == len(set(WAYS.values())) == 5
