"""A prefix tree contains every text and every common prefix once, and limits attention to the tokens of a text."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout
from rlhf_losses.layouts.prefix_tree import PrefixTree

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=7)
EVERY_PREFIX = PrefixSharedLayout(min_shared_tokens=1)
LAYOUTS = [PaddedLayout(pad_token_id=9), PackedLayout(), PrefixSharedLayout(), EVERY_PREFIX]


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(texts=TEXTS)
def test_token_indices_recover_every_text(layout, texts):
    arranged = layout.arrange(texts)
    tokens = arranged.model_inputs["input_ids"].flatten().numpy()
    assert [tokens[indices].tolist() for indices in arranged.token_indices] == texts


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(texts=TEXTS)
def test_the_size_is_the_number_of_input_ids(layout, texts):
    assert layout.size(texts) == layout.arrange(texts).model_inputs["input_ids"].numel()


@given(texts=TEXTS)
def test_each_distinct_prefix_occurs_once(texts):
    prefixes = {tuple(text[:length]) for text in texts for length in range(1, len(text) + 1)}
    assert EVERY_PREFIX.size(texts) == len(prefixes)


@given(texts=TEXTS, minimum=st.integers(1, 6))
def test_short_prefixes_are_repeated(texts, minimum):
    assert EVERY_PREFIX.size(texts) <= PrefixSharedLayout(minimum).size(texts) <= PackedLayout().size(texts)


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=repr)
@given(texts=TEXTS)
def test_position_ids_are_positions_in_the_text(layout, texts):
    arranged = layout.arrange(texts)
    positions = arranged.model_inputs["position_ids"][0].numpy()
    of_texts = [positions[indices].tolist() for indices in arranged.token_indices]
    assert of_texts == [list(range(len(text))) for text in texts]


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=repr)
@given(texts=TEXTS, window=st.none() | st.integers(1, 5))
def test_a_token_attends_to_earlier_tokens_of_its_text_only(layout, texts, window):
    arranged = layout.arrange(texts)
    tree: PrefixTree = arranged.model_inputs["tree"]
    all_tokens = np.arange(tree.num_tokens)
    expected = np.zeros((tree.num_tokens, tree.num_tokens), dtype=bool)
    for indices in arranged.token_indices:
        for position, index in enumerate(indices):
            first = 0 if window is None else max(0, position - window + 1)
            expected[index, indices[first : position + 1]] = True
    np.testing.assert_array_equal(tree.attention_mask(all_tokens, all_tokens, window), expected)


@pytest.mark.parametrize("max_merged_tokens", [0, 4, 256])
@given(texts=TEXTS, window=st.none() | st.integers(1, 5))
def test_the_attention_calls_together_are_the_attention_mask(max_merged_tokens, texts, window):
    arranged: PrefixTree = EVERY_PREFIX.arrange(texts).model_inputs["tree"]
    tree = PrefixTree(arranged.sizes, arranged.parents, max_merged_tokens)
    all_tokens = np.arange(tree.num_tokens)
    covered, first = np.zeros((tree.num_tokens, tree.num_tokens), dtype=bool), 0
    for call in tree.attention_calls(window, torch.device("cpu")):
        keys = np.concatenate([np.arange(tree.offsets[node], tree.offsets[node + 1]) for node in call.key_nodes])
        causal = np.tril(np.ones((call.num_queries, len(keys)), dtype=bool))
        mask = causal if call.mask is None else call.mask.numpy()
        covered[np.ix_(range(first, first + call.num_queries), keys)] = mask
        first += call.num_queries
    assert first == tree.num_tokens
    np.testing.assert_array_equal(covered, tree.attention_mask(all_tokens, all_tokens, window))


def test_thousands_of_nested_prefixes_do_not_exhaust_the_stack():
    chain = [[1] * length for length in range(1, 2_000)]
    assert EVERY_PREFIX.size(chain) == 1_999
