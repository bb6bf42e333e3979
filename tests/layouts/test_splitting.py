"""Rows are split into forward passes: every row once, within the token limit, with common prefixes together."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout
from rlhf_losses.layouts.splitting import ForwardPassSplitter

LAYOUTS = (PaddedLayout(0), PackedLayout(), PrefixSharedLayout())
ROWS = st.lists(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=30), min_size=1, max_size=3), max_size=8)


def draw(length, seed=0):
    return torch.randint(1, 1000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def sizes(layout, rows, passes):
    return [layout.size([text for number in numbers for text in rows[number]]) for numbers in passes]


@given(rows=ROWS, max_tokens=st.integers(1, 100), layout=st.sampled_from(LAYOUTS))
def test_passes_contain_every_row_once_within_the_token_limit(rows, max_tokens, layout):
    passes = ForwardPassSplitter(max_tokens)(layout, rows)
    assert sorted(number for numbers in passes for number in numbers) == list(range(len(rows)))
    for numbers, size in zip(passes, sizes(layout, rows, passes), strict=True):
        assert size <= max_tokens or len(numbers) == 1


def test_rows_with_a_long_common_prefix_are_in_one_pass():
    prompt = draw(150)
    rows = [[[*prompt, *draw(20, seed)]] for seed in range(4)]
    assert len(ForwardPassSplitter(180)(PrefixSharedLayout(), rows)) == 4
    (together,) = ForwardPassSplitter(180, max_repeated=1 / 8)(PrefixSharedLayout(), rows)
    assert sorted(together) == [0, 1, 2, 3]


def test_rows_with_a_short_common_prefix_are_split():
    prefix = draw(10)
    rows = [[[*prefix, *draw(150, seed)]] for seed in range(4)]
    passes = ForwardPassSplitter(200, max_repeated=1 / 8)(PrefixSharedLayout(), rows)
    assert sizes(PrefixSharedLayout(), rows, passes) == [160] * 4


def test_without_common_prefixes_a_split_repeats_no_tokens():
    rows = [[draw(150, seed)] for seed in range(4)]
    for layout in LAYOUTS:
        assert len(ForwardPassSplitter(200, max_repeated=0.0)(layout, rows)) == 4
