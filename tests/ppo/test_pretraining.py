"""Pretraining texts: windows, their order, and their loss."""

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
from rlhf_losses.ppo.forward import choose_sequence_layout
from rlhf_losses.ppo.pretraining import PretrainingLoss, cut_windows, summed_cross_entropy, tokenize_windows

WORDS = ["<eos>", "<unk>", *"abcdefghij"]


@pytest.fixture(scope="module")
def words():
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", unk_token="<unk>")


@pytest.fixture(scope="module")
def model():
    return tiny_policy(initializer_range=0.5)


def pretraining_loss(count=7, layout=None, batch_size=2):
    data = Dataset.from_dict({"input_ids": [list(range(2, 4 + i)) for i in range(count)]})
    return PretrainingLoss(data, layout or PaddedLayout(0), batch_size, seed=3)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(2, 8))
def test_each_token_but_the_first_is_predicted_once(ids, max_length):
    cut = list(cut_windows(ids, max_length))
    assert list(chain(*(window[1:] for window in cut))) == ids[1:]
    assert all(2 <= len(window) <= max_length for window in cut)
    assert all(after[0] == before[-1] for before, after in pairwise(cut))


def test_texts_get_eos_and_are_cut(words):
    cut = tokenize_windows(Dataset.from_dict({"text": ["a b c d", "j"], "other": [1, 2]}), words, max_length=3)
    assert cut["input_ids"][:] == [[2, 3, 4], [4, 5, 0], [11, 0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Dataset.from_dict({"prompt": ["a"]}), r"no column text \(.*columns prompt\).*rename its column to text"),
        (Dataset.from_dict({"text": ["a"]}).to_iterable_dataset(), r"IterableDataset.*in memory or on disk"),
        (["a text"], r"no column text \(.*list\)"),
        (Dataset.from_dict({"text": ["a", "", None]}), r"2 of 3 pretraining texts are empty.*Drop them"),
    ],
    ids=["other column", "stream", "list", "empty"],
)
def test_other_pretraining_data_are_refused(words, data, message):
    with pytest.raises(RlhfLossesError, match=message):
        tokenize_windows(data, words, max_length=4)


def test_every_epoch_has_each_window_once_in_a_new_order():
    loss = pretraining_loss(count=6)
    first, second = ([tuple(text) for number in range(3) for text in loss.batch(start + number)] for start in (0, 3))
    assert sorted(first) == sorted(second) == sorted(map(tuple, loss.windows["input_ids"]))
    assert first != second


def test_batch_depends_on_its_number_only():
    assert pretraining_loss().batch(17) == pretraining_loss().batch(17) != pretraining_loss().batch(18)


@pytest.mark.parametrize("requested", ["padded", "packed"])
def test_loss_is_the_cross_entropy_of_the_next_tokens(model, requested):
    layout = choose_sequence_layout(model, model.base_model, 0, requested) or PaddedLayout(0)
    texts = [[2, 3, 4, 5, 0], [6, 0], [7, 8, 9, 0]]
    expected = sum(model(torch.tensor([ids]), labels=torch.tensor([ids])).loss * (len(ids) - 1) for ids in texts)
    assert_close(summed_cross_entropy(model, layout, texts), expected, rtol=1e-5, atol=1e-5)


def test_micro_batch_losses_add_up_to_the_mean_of_the_step(model):
    whole, cut = pretraining_loss(batch_size=4), pretraining_loss(batch_size=2)
    for loss in (whole, cut):
        loss.on_step_begin()
    assert whole.batch(0) == [*cut.batch(0), *cut.batch(1)]
    losses = [cut.micro_batch_loss(model, number, accumulation_steps=2) for number in (0, 1)]
    assert_close(sum(losses), whole.micro_batch_loss(model, 0, accumulation_steps=1))
    lengths = [len(text) - 1 for text in whole.batch(0)]
    assert_close(sum(losses), summed_cross_entropy(model, whole.layout, whole.batch(0)) / sum(lengths))


def test_each_step_counts_its_own_tokens(model):
    used, fresh = pretraining_loss(), pretraining_loss()
    used.micro_batch_loss(model, 0, accumulation_steps=1)
    used.on_step_begin()
    losses = [loss.micro_batch_loss(model, 1, accumulation_steps=1) for loss in (used, fresh)]
    assert_close(*losses)


def test_packed_windows_are_independent(model):
    layout = choose_sequence_layout(model, model.base_model, 0, "packed")
    assert isinstance(layout, PackedLayout)
    single, pair = [[2, 3, 4]], [[9, 8, 7], [2, 3, 4]]
    assert_close(
        summed_cross_entropy(model, layout, pair),
        summed_cross_entropy(model, layout, single) + summed_cross_entropy(model, layout, pair[:1]),
    )
