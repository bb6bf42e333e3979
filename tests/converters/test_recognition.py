"""A layout is recognised from its columns, and only that layout; a name overrides; what happened is told."""

import logging

import pytest
from datasets import Dataset, IterableDataset
from known_formats import BINARIZED, EXAMPLES, HH, NATIVE, TREE, ULTRAFEEDBACK, prm, step

from rlhf_losses.converters import HhRlhf, Native
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, UnknownNameError
from rlhf_losses.feedback import Mixed, feedback_types_in_columns
from rlhf_losses.hooks.builtins import provide_dataset_converters
from rlhf_losses.hooks.converters import converters


@pytest.mark.parametrize("converter", EXAMPLES, ids=lambda converter: converter.name())
def test_every_layout_is_recognised_by_its_own_adapter_alone(converter):
    assert type(converters().recognise(EXAMPLES[converter])) is converter


def test_every_built_in_adapter_has_a_row_of_its_layout():
    assert set(EXAMPLES) | {Native} == set(provide_dataset_converters())


@pytest.mark.parametrize("row", NATIVE)
def test_columns_that_are_ours_are_recognised_as_native(row):
    assert type(converters().recognise(row)) is Native


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "Human: Hi", "rejected": "Human: Bye"},
        {**HH, "prompt": "Hi"},
        {"chosen": [{"role": "user", "content": "Hi"}], "rejected": []},
        {"question": "2 + 2", "label": True},
        {"instruction": "Hi", "completions": ["a", "b"], "ranks": [1, 2]},
        {"input": "2 + 2", "label": 1, "task": "sum"},
    ],
)
def test_the_first_row_decides_where_columns_are_ambiguous(row):
    assert type(converters().recognise(row)) is Native


@pytest.mark.parametrize("converter", [a for a in EXAMPLES if a.name() != "open_assistant"], ids=lambda a: a.name())
def test_every_layout_becomes_feedback_that_can_be_read(converter):
    adapted = convert_dataset(Dataset.from_list([EXAMPLES[converter]]))
    assert feedback_types_in_columns(adapted.column_names)
    assert len(Mixed.from_row(adapted[0])) > 0


def test_what_was_recognised_is_told_in_one_line(caplog):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        convert_dataset(Dataset.from_list([HH]), name="train data")
    assert caplog.messages == [
        "train data: read as hh_rlhf (Pairs), recognised from the columns chosen, rejected.",
    ]


def test_a_name_overrides_what_would_be_recognised(caplog):
    data = Dataset.from_list([HH])
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        assert convert_dataset(data, "native") is data
    assert caplog.messages == ["data: read as native (Pairs), as you chose."]


def test_a_name_that_no_adapter_has_is_refused_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"No converter is called 'hh-rlhf'\. Did you mean 'hh_rlhf'\? The converters are: "
    ):
        convert_dataset(Dataset.from_list([HH]), "hh-rlhf")


def test_a_row_that_cannot_be_read_is_named():
    rows = [HH, {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "c"}]
    with pytest.raises(
        InvalidFeedbackError, match="Row 1 of data, read as hh_rlhf: The transcripts share no beginning"
    ):
        convert_dataset(Dataset.from_list(rows))


def test_a_row_of_another_layout_is_named_too():
    with pytest.raises(
        InvalidFeedbackError, match=r"Row 0 of data cannot be read as arena_votes: KeyError: 'winner'\."
    ):
        convert_dataset(Dataset.from_list([HH]), "arena_votes")


def test_rows_without_feedback_are_counted(caplog):
    rows = [ULTRAFEEDBACK, ULTRAFEEDBACK | {"completions": []}, ULTRAFEEDBACK]
    assert len(convert_dataset(Dataset.from_list(rows))) == 2
    assert "data: 1 of 3 rows hold no feedback that is compared; they are left out." in caplog.messages


def test_data_without_any_feedback_are_refused():
    with pytest.raises(InvalidFeedbackError, match="none of the 1 rows of data holds feedback"):
        convert_dataset(Dataset.from_list([TREE[0]]))


def test_a_row_may_become_several():
    adapted = convert_dataset(Dataset.from_list([prm(step(("a", 1), ("b", -1)))]))
    assert adapted["labels"][:] == [[True], [False]]


def test_streams_are_adapted_as_they_are_read():
    stream = convert_dataset(IterableDataset.from_generator(lambda: iter([HH, HH])))
    assert [row["chosen"] for row in stream] == [" Because.", " Because."]


def test_two_adapters_that_recognise_the_same_columns_ask_for_a_choice():
    known = converters()
    with pytest.raises(
        FeedbackMismatchError, match=r"recognised by ultrafeedback_binarized and by arena_votes, .*--converter"
    ):
        known.recognise({**BINARIZED, "conversation_a": [], "conversation_b": [], "winner": "tie"})


def test_hh_rlhf_is_the_same_text_to_the_character_with_and_without_its_adapter():
    (row,) = convert_dataset(Dataset.from_list([HH]))
    assert row["prompt"] + row["chosen"] == HH["chosen"]
    assert HhRlhf().recognises(HH)
