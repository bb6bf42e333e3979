"""A tree of tokens holds every text whole, every shared token once, and shows each token its own text only."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout
from rlhf_losses.layouts.prefix_tree import TokenTree

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=7)
EVERY_PREFIX = PrefixSharedLayout(shortest_shared=1)
LAYOUTS = [PaddedLayout(pad_token_id=9), PackedLayout(), PrefixSharedLayout(), EVERY_PREFIX]


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(texts=TEXTS)
def test_every_text_can_be_read_back(layout, texts):
    arrangement = layout.arrange(texts)
    tokens = arrangement.model_inputs["input_ids"].flatten().numpy()
    assert [tokens[places].tolist() for places in arrangement.places] == texts


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(texts=TEXTS)
def test_the_size_is_that_of_the_row(layout, texts):
    assert layout.size(texts) == layout.arrange(texts).model_inputs["input_ids"].numel()


@given(texts=TEXTS)
def test_each_distinct_beginning_stands_once(texts):
    beginnings = {tuple(text[:length]) for text in texts for length in range(1, len(text) + 1)}
    assert EVERY_PREFIX.size(texts) == len(beginnings)


@given(texts=TEXTS, shortest=st.integers(1, 6))
def test_shorter_beginnings_are_repeated(texts, shortest):
    assert EVERY_PREFIX.size(texts) <= PrefixSharedLayout(shortest).size(texts) <= PackedLayout().size(texts)


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=repr)
@given(texts=TEXTS)
def test_positions_are_those_in_the_text(layout, texts):
    arrangement = layout.arrange(texts)
    positions = arrangement.model_inputs["position_ids"][0].numpy()
    assert [positions[places].tolist() for places in arrangement.places] == [list(range(len(text))) for text in texts]


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=repr)
@given(texts=TEXTS, window=st.none() | st.integers(1, 5))
def test_a_token_sees_what_comes_before_it_in_its_text_and_nothing_else(layout, texts, window):
    arrangement = layout.arrange(texts)
    tree: TokenTree = arrangement.model_inputs["tree"]
    everything = np.arange(len(tree.reach))
    expected = np.zeros((len(everything), len(everything)), dtype=bool)
    for places in arrangement.places:
        for later, place in enumerate(places):
            first = 0 if window is None else max(0, later - window + 1)
            expected[place, places[first : later + 1]] = True
    np.testing.assert_array_equal(tree.visible(everything, everything, window), expected)


@pytest.mark.parametrize("dense", [0, 4, 256])
@given(texts=TEXTS, window=st.none() | st.integers(1, 5))
def test_the_calls_cover_exactly_what_is_seen(dense, texts, window):
    made: TokenTree = EVERY_PREFIX.arrange(texts).model_inputs["tree"]
    tree = TokenTree(made.sizes, made.parents, dense)
    everything = np.arange(len(tree.reach))
    covered, first = np.zeros((len(everything), len(everything)), dtype=bool), 0
    for call in tree.calls(window, torch.device("cpu")):
        keys = np.concatenate([np.arange(tree.starts[node], tree.starts[node + 1]) for node in call.nodes])
        mask = np.tril(np.ones((call.size, len(keys)), dtype=bool)) if call.mask is None else call.mask.numpy()
        covered[np.ix_(range(first, first + call.size), keys)] = mask
        first += call.size
    assert first == len(everything)
    np.testing.assert_array_equal(covered, tree.visible(everything, everything, window))


def test_equal_texts_are_laid_out_once_and_read_each():
    laid_out = PackedLayout().lay_out([[5, 6], [7], [5, 6]], score_text=[0, 1, 2], score_position=[1, 0, 1])
    assert laid_out["model_inputs"]["input_ids"].tolist() == [[5, 6, 7]]
    assert laid_out["score_at"].tolist() == [1, 2, 1]


def test_hundreds_of_texts_that_each_continue_the_last_do_not_exhaust_the_stack():
    chain = [[1] * length for length in range(1, 2_000)]
    assert EVERY_PREFIX.size(chain) == 1_999
