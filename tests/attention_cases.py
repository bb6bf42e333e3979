"""Rows to attend along, and what kernels for sequences of several lengths document of themselves."""

from types import SimpleNamespace

import torch
from torch import Tensor

MODULE = SimpleNamespace(is_causal=True)
ENCODER = SimpleNamespace(is_causal=False)
TEXTS = [[1, 2, 3, 4, 5], [1, 2, 3, 6], [1, 2, 3, 6, 7, 8], [9], [1, 2]]
LONG_TEXTS = [[1] * 200 + [2] * 100, [1] * 200 + [3] * 300, [1] * 200 + [3] * 130 + [4] * 10, [5] * 140]
HEADS, DIMENSION = 4, 8


def tensors(tokens: int, key_heads: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, tokens, DIMENSION) for heads in (HEADS, key_heads, key_heads)]
    return tuple(torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)


def varlen_by_its_contract(q, k, v, query_ends, key_ends, most_queries, most_keys, *, scale, window_size, enable_gqa):
    """What torch documents of its kernel: sequences end to end, the last query above the last key, no key after it."""
    assert q.shape[0] == query_ends[-1]
    assert k.shape[0] == v.shape[0] == key_ends[-1]
    assert enable_gqa == (q.shape[1] != k.shape[1])
    outputs = []
    for number in range(len(query_ends) - 1):
        queries = q[query_ends[number] : query_ends[number + 1]].transpose(0, 1)
        span = slice(int(key_ends[number]), int(key_ends[number + 1]))
        keys, values = (x[span].transpose(0, 1).repeat_interleave(q.shape[1] // k.shape[1], 0) for x in (k, v))
        assert queries.shape[1] <= most_queries
        assert keys.shape[1] <= most_keys
        first = keys.shape[1] - queries.shape[1]
        distance = first + torch.arange(queries.shape[1])[:, None] - torch.arange(keys.shape[1])[None, :]
        left, right = window_size
        seen = ((distance >= -right) | (right < 0)) & ((distance <= left) | (left < 0))
        scores = queries @ keys.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        outputs.append((scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values).transpose(0, 1))
    return torch.cat(outputs)
