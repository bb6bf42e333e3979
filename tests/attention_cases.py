"""Inputs of attention tests, and a reference of kernels for variable sequence lengths by their documentation."""

from types import SimpleNamespace

import torch
from torch import Tensor

DECODER = SimpleNamespace(is_causal=True)
ENCODER = SimpleNamespace(is_causal=False)
TEXTS = [[1, 2, 3, 4, 5], [1, 2, 3, 6], [1, 2, 3, 6, 7, 8], [9], [1, 2]]
LONG_TEXTS = [[1] * 200 + [2] * 100, [1] * 200 + [3] * 300, [1] * 200 + [3] * 130 + [4] * 10, [5] * 140]
HEADS, HEAD_DIM = 4, 8


def tensors(tokens: int, key_heads: int) -> tuple[Tensor, ...]:
    """Return random query, key and value in float64, with gradients."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, tokens, HEAD_DIM) for heads in (HEADS, key_heads, key_heads)]
    return tuple(torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)


def varlen_reference(q, k, v, cu_seqlens_q, cu_seqlens_k, max_q, max_k, *, scale, window_size, enable_gqa):
    """Attention of concatenated sequences as torch documents `varlen_attn`: causal from the last query and key on."""
    assert q.shape[0] == cu_seqlens_q[-1]
    assert k.shape[0] == v.shape[0] == cu_seqlens_k[-1]
    assert enable_gqa == (q.shape[1] != k.shape[1])
    outputs = []
    for number in range(len(cu_seqlens_q) - 1):
        queries = q[cu_seqlens_q[number] : cu_seqlens_q[number + 1]].transpose(0, 1)
        sequence = slice(int(cu_seqlens_k[number]), int(cu_seqlens_k[number + 1]))
        keys, values = (x[sequence].transpose(0, 1).repeat_interleave(q.shape[1] // k.shape[1], 0) for x in (k, v))
        assert queries.shape[1] <= max_q
        assert keys.shape[1] <= max_k
        first = keys.shape[1] - queries.shape[1]
        distance = first + torch.arange(queries.shape[1])[:, None] - torch.arange(keys.shape[1])[None, :]
        left, right = window_size
        visible = ((distance >= -right) | (right < 0)) & ((distance <= left) | (left < 0))
        scores = queries @ keys.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        outputs.append((scores.masked_fill(~visible, -torch.inf).softmax(-1) @ values).transpose(0, 1))
    return torch.cat(outputs)
