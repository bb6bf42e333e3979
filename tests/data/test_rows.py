"""A row is tokenized whole, each text once, and its scores are read where its parts end."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rlhf_losses.data import Collator, RowReader
from rlhf_losses.data.tokenization import Encoded, cut_prompt
from rlhf_losses.feedback import Labels, Pairs, Rankings, Steps
from rlhf_losses.layouts import PaddedLayout


@pytest.fixture(scope="module")
def tokenizer():
    """Return a tokenizer of single characters, with BOS in front."""
    characters = "abcdefghijklmnopqrstuvwxyz .?!\n"
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def words(tokenizer, ids):
    return "".join(tokenizer.convert_ids_to_tokens(ids))


def test_a_text_ends_in_eos_and_its_score_is_read_there(tokenizer):
    row = RowReader(tokenizer, (Pairs,)).encode({"prompt": "q ", "chosen": "yes", "rejected": "no<eos>"})
    assert [words(tokenizer, ids) for ids in row["text_ids"]] == ["<bos>q yes<eos>", "<bos>q no<eos>"]
    assert row["score_position"] == [len(ids) - 1 for ids in row["text_ids"]]


def test_each_step_is_read_at_the_token_that_completes_it(tokenizer):
    steps = {"prompt": "q ", "completions": ["ab. ", "cd", "e"], "labels": [1, 0, 1]}
    row = RowReader(tokenizer, (Steps,)).encode(steps)
    text = words(tokenizer, row["text_ids"][0])
    assert text == "<bos>q ab. cd\ne<eos>"
    tokens = tokenizer.convert_ids_to_tokens(row["text_ids"][0])
    assert [tokens[position] for position in row["score_position"]] == [" ", "\n", "<eos>"]


def test_a_text_that_two_kinds_share_is_there_once(tokenizer):
    row = {"prompt": "q ", "chosen": "ab. cd", "rejected": "no", "completions": ["ab. ", "cd"], "labels": [1, 0]}
    encoded = RowReader(tokenizer, (Pairs, Steps)).encode(row)
    assert len(encoded["text_ids"]) == 2
    # The chosen answer's score and that of its last step are one and the same.
    chosen, _rejected, _first_step, last_step = encoded["score_of"]
    assert chosen == last_step
    assert len(encoded["score_position"]) == 3


def test_a_null_column_holds_nothing(tokenizer):
    row = {"prompt": "q ", "chosen": None, "rejected": None, "completion": "ab", "label": True}
    assert RowReader(tokenizer, (Pairs, Labels)).encode(row)["kinds"] == ["Labels"]


def test_a_batch_moves_the_feedback_of_each_row_to_its_own_scores(tokenizer):
    reader = RowReader(tokenizer, (Rankings,))
    data = [
        {"prompt": "q ", "completions": ["a", "b", "c"], "ranks": [2, 1, 3]},
        {"prompt": "r ", "completions": ["d", "e"], "ranks": [1, 2]},
    ]
    rows = [{**row, **reader.encode(row)} for row in data]
    (batch,) = Collator(PaddedLayout(tokenizer.pad_token_id), (Rankings,))(rows)["passes"]
    lists = batch["feedback"].convert_to(Rankings)
    assert lists.candidates.tolist() == [0, 1, 2, 3, 4]
    assert lists.sizes.tolist() == [3, 2]
    assert batch["score_row"].tolist() == [0, 0, 0, 1, 1]
    mask = batch["model_inputs"]["attention_mask"]
    assert batch["score_at"].tolist() == [line * mask.shape[1] + len(ids) - 1 for line, ids in enumerate(_texts(rows))]


def _texts(rows):
    return [ids for row in rows for ids in row["text_ids"]]


def test_prompts_of_a_row_are_cut_alike(tokenizer):
    row = {"prompt": "abcdefgh ", "chosen": "yes yes", "rejected": "no"}
    encoded = RowReader(tokenizer, (Pairs,)).encode(row, longest=14)
    texts = [words(tokenizer, ids) for ids in encoded["text_ids"]]
    assert texts == ["<bos>efgh yes yes<eos>", "<bos>efgh no<eos>"]


def test_cutting_moves_the_positions_along():
    cut = cut_prompt(Encoded(ids=[1, 7, 8, 9, 5, 2], positions=(4, 5), prompt=(1, 4)), 2)
    assert cut == Encoded(ids=[1, 9, 5, 2], positions=(2, 3), prompt=(1, 2))


def test_a_pair_that_was_tokenized_before_is_taken_as_it_is(tokenizer):
    row = RowReader(tokenizer, (Pairs,)).encode({"chosen_ids": [1, 5, 2], "rejected_ids": [1, 6, 7, 2]})
    assert row["text_ids"] == [[1, 5, 2], [1, 6, 7, 2]]
    assert row["score_position"] == [2, 3]
