"""A `TextBatch` contains equal texts once and moves to a device as a whole."""

import numpy as np
import pytest
import torch
from accelerate.utils import send_to_device

from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout
from rlhf_losses.models.text_batch import TextBatch

TEXTS = [[5, 6], [7], [5, 6]]


def test_equal_texts_occur_once_with_a_score_each():
    batch = PackedLayout().batch(TEXTS, score_text=[0, 1, 2], score_position=[1, 0, 1])
    assert batch.model_inputs["input_ids"].tolist() == [[5, 6, 7]]
    assert batch.score_index.tolist() == [1, 2, 1]


@pytest.mark.parametrize("layout", [PaddedLayout(pad_token_id=0), PackedLayout(), PrefixSharedLayout()], ids=repr)
def test_equal_texts_have_equal_keys_in_different_batches(layout):
    first = layout.batch(TEXTS, [0], [0])
    second = layout.batch([[7], [8]], [0], [0])
    assert first.texts[1].key == second.texts[0].key
    assert len({text.key for text in (*first.texts, *second.texts)}) == 3
    tokens = first.model_inputs["input_ids"].flatten().numpy()
    assert [tokens[text.token_indices].tolist() for text in first.texts] == [[5, 6], [7]]


@pytest.mark.parametrize("move", [send_to_device, TextBatch.to])
def test_all_tensors_move_to_the_device(move):
    batch = PackedLayout().batch(TEXTS, score_text=[0, 1], score_position=[1, 0])
    moved = move(batch, torch.device("meta"))
    assert {value.device.type for value in moved.model_inputs.values() if isinstance(value, torch.Tensor)} == {"meta"}
    assert moved.score_index.device.type == "meta"
    assert moved.model_inputs["tree"] is batch.model_inputs["tree"]
    np.testing.assert_array_equal(moved.texts[0].token_indices, batch.texts[0].token_indices)
    assert batch.score_index.device.type == "cpu"


def test_all_tensors_are_pinned(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    batch = PackedLayout().batch(TEXTS, score_text=[0, 1], score_position=[1, 0])
    assert batch.pin_memory().model_inputs.keys() == batch.model_inputs.keys()
    assert len(pinned) == 4
