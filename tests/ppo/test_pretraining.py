"""Pretraining texts are cut, ordered and priced so that every token counts once and a run finds its place again."""

from itertools import chain, pairwise

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_llama import tiny_policy
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.testing import assert_close
from transformers import PreTrainedTokenizerFast

from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.layouts import PackedLayout, PaddedLayout
from rlhf_losses.ppo.formulas import here
from rlhf_losses.ppo.forward import choose_row
from rlhf_losses.ppo.pretraining import PretrainingLoss, summed_cross_entropy, windows, windows_of

WORDS = ["<eos>", "<unk>", *"abcdefghij"]


@pytest.fixture(scope="module")
def words():
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", unk_token="<unk>")


@pytest.fixture(scope="module")
def model():
    return tiny_policy(initializer_range=0.5)


def mix(count=7, layout=None, rows=2):
    data = Dataset.from_dict({"input_ids": [list(range(2, 4 + i)) for i in range(count)]})
    return PretrainingLoss(data, layout or PaddedLayout(0), rows=rows, seed=3, total=here)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(2, 8))
def test_each_token_but_the_first_is_predicted_once(ids, longest):
    cut = list(windows(ids, longest))
    assert list(chain(*(window[1:] for window in cut))) == ids[1:]
    assert all(2 <= len(window) <= longest for window in cut)
    assert all(after[0] == before[-1] for before, after in pairwise(cut))


def test_texts_end_and_are_cut(words):
    cut = windows_of(Dataset.from_dict({"text": ["a b c d", "j"], "other": [1, 2]}), words, longest=3)
    assert cut["input_ids"][:] == [[2, 3, 4], [4, 5, 0], [11, 0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Dataset.from_dict({"prompt": ["a"]}), r"no column text \(columns prompt arrived\).*rename its column to text"),
        (Dataset.from_dict({"text": ["a"]}).to_iterable_dataset(), r"IterableDataset arrived.*in memory or on disk"),
        (["a text"], r"no column text \(list arrived\)"),
        (Dataset.from_dict({"text": ["a", "", None]}), r"2 of 3 pretraining texts are empty.*Drop them"),
    ],
    ids=["other column", "stream", "list", "empty"],
)
def test_other_data_are_refused(words, data, message):
    with pytest.raises(RlhfLossesError, match=message):
        windows_of(data, words, longest=4)


def test_every_window_is_read_once_a_pass_in_an_order_of_its_own():
    texts = mix(count=6)
    first, second = ([tuple(text) for number in range(3) for text in texts.batch(start + number)] for start in (0, 3))
    assert sorted(first) == sorted(second) == sorted(map(tuple, texts.windows["input_ids"]))
    assert first != second


def test_a_batch_depends_on_its_number_alone():
    assert mix().batch(17) == mix().batch(17) != mix().batch(18)


@pytest.mark.parametrize("wanted", ["padded", "packed"])
def test_the_cost_is_the_cross_entropy_of_the_next_tokens(model, wanted):
    layout = choose_row(model, model.base_model, 0, wanted) or PaddedLayout(0)
    texts = [[2, 3, 4, 5, 0], [6, 0], [7, 8, 9, 0]]
    expected = sum(model(torch.tensor([ids]), labels=torch.tensor([ids])).loss * (len(ids) - 1) for ids in texts)
    assert_close(summed_cross_entropy(model, layout, texts), expected, rtol=1e-5, atol=1e-5)


def test_the_shares_of_the_micro_batches_add_up_to_the_mean_of_the_step(model):
    whole, cut = mix(rows=4), mix(rows=2)
    for texts in (whole, cut):
        texts.on_step_begin()
    assert whole.batch(0) == [*cut.batch(0), *cut.batch(1)]
    shares = [cut.share(model, number, accumulated=2) for number in (0, 1)]
    assert_close(sum(shares), whole.share(model, 0, accumulated=1))
    lengths = [len(text) - 1 for text in whole.batch(0)]
    assert_close(sum(shares), summed_cross_entropy(model, whole.layout, whole.batch(0)) / sum(lengths))


def test_a_step_counts_its_own_tokens(model):
    texts, fresh = mix(), mix()
    texts.share(model, 0, accumulated=1)
    texts.on_step_begin()
    assert_close(texts.share(model, 1, accumulated=1), fresh.share(model, 1, accumulated=1))


def test_packed_windows_do_not_see_each_other(model):
    layout = choose_row(model, model.base_model, 0, "packed")
    assert isinstance(layout, PackedLayout)
    alone, beside = [[2, 3, 4]], [[9, 8, 7], [2, 3, 4]]
    assert_close(
        summed_cross_entropy(model, layout, beside),
        summed_cross_entropy(model, layout, alone) + summed_cross_entropy(model, layout, beside[:1]),
    )
