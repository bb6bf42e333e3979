"""Preparation in batches and in several processes gives what it gives row by row, and is cached by content."""

import copy
from pathlib import Path

import pyarrow
import pytest
from datasets import Dataset, load_from_disk
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from rlhf_losses import RewardConfig
from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, prepare, tokenization
from rlhf_losses.data.batches import BATCH_SIZE
from rlhf_losses.errors import InvalidFeedbackError, InvalidSettingError
from rlhf_losses.feedback import Mixed, Pairs, Steps, shift_positions
from rlhf_losses.feedback.base import Row
from rlhf_losses.losses import BradleyTerry

NO_LIMIT = LengthLimit(None, "no limit")


def pairs(count: int) -> list[Row]:
    return [{"prompt": f"q {index} ", "chosen": "yes", "rejected": "no" * (1 + index % 3)} for index in range(count)]


def test_a_wrong_row_of_a_later_batch_is_named() -> None:
    rows = pairs(BATCH_SIZE + 20)
    rows[BATCH_SIZE + 3] = {"prompt": None, "chosen": "", "rejected": "no"}
    with pytest.raises(InvalidFeedbackError, match=f"^Row {BATCH_SIZE + 3} of held-out: A text is empty"):
        check_dataset(Dataset.from_list(rows), BradleyTerry(), "held-out")


@pytest.mark.parametrize("num_proc", [None, 2])
def test_a_wrong_row_is_named_by_tokenization(
    character_tokenizer: PreTrainedTokenizerBase, num_proc: int | None
) -> None:
    rows = [{"chosen_ids": [1, 2], "rejected_ids": [1] * (index != 30)} for index in range(40)]
    with pytest.raises(InvalidFeedbackError, match=r"^Row 30 of data: .*without tokens"):
        prepare(Dataset.from_list(rows), RowEncoder(character_tokenizer, (Pairs,)), NO_LIMIT, num_proc=num_proc)


def test_processes_give_the_rows_of_one_process(character_tokenizer: PreTrainedTokenizerBase) -> None:
    dataset, encoder = Dataset.from_list(pairs(30)), RowEncoder(character_tokenizer, (Pairs,))
    together = prepare(dataset, encoder, LengthLimit(12, "max_length"), num_proc=2)
    assert together[:] == prepare(dataset, encoder, LengthLimit(12, "max_length"))[:]
    assert 0 < len(together) < 30


@pytest.mark.parametrize("num_proc", [None, 2])
def test_other_columns_are_not_read(character_tokenizer: PreTrainedTokenizerBase, num_proc: int | None) -> None:
    """No `datetime` can hold the dates, and no signed integer the margins."""
    table = pyarrow.table(
        {
            "chosen": ["yes"] * 3,
            "rejected": ["no"] * 3,
            "margin": pyarrow.array([2**64 - 1] * 3, pyarrow.uint64()),
            "date": pyarrow.array([2**30] * 3, pyarrow.date32()),
        }
    )
    dataset = Dataset(table)
    check_dataset(dataset, BradleyTerry())
    prepared = prepare(dataset, RowEncoder(character_tokenizer, (Pairs,)), NO_LIMIT, num_proc=num_proc)
    assert prepared["margin"][:] == [2**64 - 1] * 3
    assert {"text_ids", "row_number"} < set(prepared.column_names)
    assert "date" not in prepared.column_names


def test_tokens_of_a_file_are_read_again_until_something_changes(
    character_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    Dataset.from_list(pairs(5)).save_to_disk(tmp_path)

    def files(encoder: RowEncoder, limit: LengthLimit = NO_LIMIT) -> list[str]:
        return [file["filename"] for file in prepare(load_from_disk(tmp_path), encoder, limit).cache_files]

    encoder = RowEncoder(character_tokenizer, (Pairs,))
    first = files(encoder)
    assert files(RowEncoder(character_tokenizer, (Pairs,))) == first
    assert files(RowEncoder(character_tokenizer, (Pairs, Steps))) != first
    assert files(RowEncoder(character_tokenizer, (Pairs,), " ")) != first
    assert files(encoder, LengthLimit(12, "max_length", "truncate_prompt")) != first
    template = character_tokenizer.chat_template
    try:
        character_tokenizer.chat_template = "{{ messages }}"
        assert files(encoder) != first
    finally:
        character_tokenizer.chat_template = template
    assert files(encoder) == first


TEXTS = st.text("ab .\n", min_size=1, max_size=6)
MESSAGES = st.builds(lambda content: [{"role": "user", "content": content}], TEXTS)
ANSWERS = st.builds(lambda content: [{"role": "assistant", "content": content}], TEXTS)
IDS = st.lists(st.integers(4, 9), min_size=1, max_size=3)
ROWS = st.one_of(
    st.fixed_dictionaries({"prompt": TEXTS | st.none(), "chosen": TEXTS, "rejected": TEXTS}),
    st.fixed_dictionaries({"prompt": MESSAGES, "chosen": ANSWERS, "rejected": ANSWERS}),
    st.fixed_dictionaries({"chosen_ids": IDS, "rejected_ids": IDS}),
    st.fixed_dictionaries({"prompt": TEXTS, "chosen": TEXTS, "rejected": st.none()}),
    st.fixed_dictionaries({"prompt": TEXTS, "completions": st.lists(TEXTS, min_size=2, max_size=3)}).map(
        lambda row: row | {"labels": [True] * len(row["completions"])}
    ),
)


@given(rows=st.lists(ROWS, max_size=12), max_length=st.sampled_from([None, 8]))
def test_rows_that_are_tokenized_ahead_have_the_tokens_of_single_rows(
    character_tokenizer: PreTrainedTokenizerBase, rows: list[Row], max_length: int | None
) -> None:
    tokenizer = copy.deepcopy(character_tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}. {{ m.content }}{% endfor %}"
    encoder = RowEncoder(tokenizer, (Pairs, Steps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenization, "TEXTS_AT_ONCE", 3)
        together = list(encoder.encode_rows(rows, max_length))
    assert together == [encoder.encode(row, max_length, number) for number, row in enumerate(rows)]


@pytest.mark.parametrize("count", [0, -1])
def test_a_number_of_processes_below_one_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match=f"dataset_num_proc={count} is out of range"):
        RewardConfig(str(tmp_path), dataset_num_proc=count)


def as_lists(feedback: Mixed) -> list[tuple[str, dict[str, list[float] | None]]]:
    return [
        (type(part).__name__, {name: None if value is None else value.tolist() for name, value in vars(part).items()})
        for part in feedback.parts
    ]


def test_feedback_of_several_rows_is_that_of_the_rows() -> None:
    rows: list[Row] = [
        {"chosen": "a", "rejected": "b", "preference": 0.5},
        {"chosen": "a", "rejected": "b", "tie": 1.0, "completions": ["a", "b"], "labels": [1, None]},
        {"chosen": "a", "rejected": "b", "margin": 2.0, "weight": None},
        {"completions": ["a"], "labels": [0]},
    ]
    types = [(Pairs,), (Pairs, Steps), (Pairs,), (Steps,)]
    one_by_one = [Mixed.from_row(row, found) for row, found in zip(rows, types, strict=True)]
    counts = [2, 4, 2, 1]
    assert as_lists(Mixed.from_rows(rows, types)) == as_lists(Mixed.concatenate(shift_positions(one_by_one, counts)))
    assert as_lists(Mixed.from_rows(rows, types))[0][1]["tie"] == [1.0, 1.0, 0.0]
