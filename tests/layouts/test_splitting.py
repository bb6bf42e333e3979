"""Rows are cut into passes: every row once, as many tokens as there is room for, and common beginnings together."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.data import ForwardPassSplitter
from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout

LAYOUTS = (PaddedLayout(0), PackedLayout(), PrefixSharedLayout())
ROWS = st.lists(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=30), min_size=1, max_size=3), max_size=8)


def draw(length, seed=0):
    return torch.randint(1, 1000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def sizes(layout, rows, passes):
    return [layout.size([text for number in numbers for text in rows[number]]) for numbers in passes]


@given(rows=ROWS, tokens=st.integers(1, 100), layout=st.sampled_from(LAYOUTS))
def test_every_row_once_and_no_pass_beyond_its_tokens(rows, tokens, layout):
    passes = ForwardPassSplitter(tokens)(layout, rows)
    assert sorted(number for numbers in passes for number in numbers) == list(range(len(rows)))
    for numbers, size in zip(passes, sizes(layout, rows, passes), strict=True):
        assert size <= tokens or len(numbers) == 1


def test_rows_that_share_a_long_beginning_stay_together():
    prompt = draw(150)
    rows = [[[*prompt, *draw(20, seed)]] for seed in range(4)]
    assert len(ForwardPassSplitter(180)(PrefixSharedLayout(), rows)) == 4
    (together,) = ForwardPassSplitter(180, repeated=1 / 8)(PrefixSharedLayout(), rows)
    assert sorted(together) == [0, 1, 2, 3]


def test_rows_that_share_little_are_cut():
    opening = draw(10)
    rows = [[[*opening, *draw(150, seed)]] for seed in range(4)]
    passes = ForwardPassSplitter(200, repeated=1 / 8)(PrefixSharedLayout(), rows)
    assert sizes(PrefixSharedLayout(), rows, passes) == [160] * 4


def test_nothing_is_repeated_without_shared_beginnings():
    rows = [[draw(150, seed)] for seed in range(4)]
    for layout in LAYOUTS:
        assert len(ForwardPassSplitter(200, repeated=0.0)(layout, rows)) == 4
