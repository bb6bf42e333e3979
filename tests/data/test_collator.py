"""A batch has the texts, scores and feedback of its rows, in one forward pass or several."""

import pytest
import torch
from accelerate.utils import send_to_device
from transformers.trainer_pt_utils import find_batch_size

from rlhf_losses.data import Collator, RowEncoder
from rlhf_losses.feedback import Lengths, Pairs, Rankings
from rlhf_losses.layouts import PackedLayout, PaddedLayout
from rlhf_losses.layouts.splitting import ForwardPassSplitter

LISTS = [
    {"prompt": "q ", "completions": ["a", "b", "c"], "ranks": [2, 1, 3]},
    {"prompt": "r ", "completions": ["d", "e"], "ranks": [1, 2]},
]


def encoded(tokenizer, data, feedback_types):
    encoder = RowEncoder(tokenizer, feedback_types)
    return [{**row, **encoder.encode(row)} for row in data]


def test_the_feedback_of_each_row_refers_to_the_scores_of_the_row(character_tokenizer):
    rows = encoded(character_tokenizer, LISTS, (Rankings,))
    (one,) = Collator(PaddedLayout(character_tokenizer.pad_token_id), (Rankings,))(rows)["passes"]
    lists = one.feedback.convert_to(Rankings)
    assert lists.candidates.tolist() == [0, 1, 2, 3, 4]
    assert lists.sizes.tolist() == [3, 2]
    assert one.score_row.tolist() == [0, 0, 0, 1, 1]
    mask = one.texts.model_inputs["attention_mask"]
    texts = [ids for row in rows for ids in row["text_ids"]]
    assert one.texts.score_index.tolist() == [line * mask.shape[1] + len(ids) - 1 for line, ids in enumerate(texts)]
    assert one.num_tokens == sum(map(len, texts))


def test_a_batch_needs_no_text_columns(character_tokenizer):
    rows = [
        {name: value for name, value in row.items() if name not in ("prompt", "completions")}
        for row in encoded(character_tokenizer, LISTS, (Rankings,))
    ]
    (one,) = Collator(PaddedLayout(0), (Rankings,))(rows)["passes"]
    assert one.feedback.convert_to(Rankings).ranks.tolist() == [2, 1, 3, 1, 2]


def test_a_splitter_divides_a_batch_into_passes_with_the_rows_of_each(character_tokenizer):
    rows = encoded(character_tokenizer, LISTS * 2, (Rankings,))
    batch = Collator(PackedLayout(), (Rankings,), ForwardPassSplitter(1))(rows)
    assert batch["rows"].tolist() == [0, 1, 2, 3]
    assert sorted(int(index) for one in batch["passes"] for index in one.rows) == [0, 1, 2, 3]
    for one in batch["passes"]:
        (index,) = one.rows.tolist()
        assert one.score_row.tolist() == [0] * len(rows[index]["score_text"])


def test_lengths_of_answers_are_added_where_a_loss_uses_them(character_tokenizer):
    data = [{"prompt": "q ", "chosen": "yes", "rejected": "no"}]
    rows = encoded(character_tokenizer, data, (Pairs, Lengths))
    (one,) = Collator(PaddedLayout(0), (Pairs, Lengths))(rows)["passes"]
    assert one.feedback.convert_to(Lengths).lengths.tolist() == [len("yes") + 1, len("no") + 1]
    (without,) = Collator(PaddedLayout(0), (Pairs,))(rows)["passes"]
    assert Lengths not in [type(part) for part in without.feedback.parts]


@pytest.mark.parametrize("weights", [None, [0.5, 0.25]])
def test_prompt_weights_are_1_unless_the_rows_have_the_column(character_tokenizer, weights):
    rows = encoded(character_tokenizer, LISTS, (Rankings,))
    if weights is not None:
        rows = [{**row, "prompt_weight": weight} for row, weight in zip(rows, weights, strict=True)]
    (one,) = Collator(PaddedLayout(0), (Rankings,))(rows)["passes"]
    assert one.prompt_weight.tolist() == (weights or [1.0, 1.0])


def test_a_pass_moves_to_a_device_with_all_its_tensors(character_tokenizer):
    rows = encoded(character_tokenizer, [{"prompt": "q ", "chosen": "yes", "rejected": "no"}], (Pairs,))
    (one,) = Collator(PaddedLayout(0), (Pairs,))(rows)["passes"]
    moved = one.to("meta", non_blocking=True)
    tensors = [moved.rows, moved.score_row, moved.prompt_weight, moved.texts.score_index]
    tensors += moved.texts.model_inputs.values()
    tensors.append(moved.feedback.item_positions)
    assert {tensor.device for tensor in tensors} == {torch.device("meta")}
    assert moved.num_tokens == one.num_tokens


def test_accelerate_moves_the_passes_of_a_batch_but_not_its_rows(character_tokenizer):
    rows = encoded(character_tokenizer, [{"prompt": "q ", "chosen": "yes", "rejected": "no"}] * 3, (Pairs,))
    batch = Collator(PaddedLayout(0), (Pairs,))(rows)
    moved = send_to_device(batch, torch.device("meta"), non_blocking=True)
    assert moved["passes"][0].texts.score_index.device.type == "meta"
    assert moved["source"] is batch["source"]
    assert find_batch_size(batch) == 3
