"""The first row determines the converter of a dataset; an explicit name overrides it; one log line reports it."""

import logging

import pytest
from datasets import Dataset, IterableDataset
from known_formats import (
    BINARIZED,
    EXAMPLES,
    HH,
    JUDGE_BENCH,
    MT_BENCH,
    NATIVE,
    PROCESS_BENCH,
    STACK_EXCHANGE_PAIRED,
    TREE,
    ULTRAFEEDBACK,
    prm,
    step,
)

from rlhf_losses.converters import HhRlhf, Native
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, UnknownNameError
from rlhf_losses.feedback import Mixed, feedback_types_in_columns
from rlhf_losses.hooks import converter_registry
from rlhf_losses.hooks.builtins import provide_dataset_converters


@pytest.mark.parametrize("converter", EXAMPLES, ids=lambda converter: converter.name())
def test_every_format_matches_its_own_converter_only(converter):
    assert type(converter_registry().detect(EXAMPLES[converter])) is converter


def test_every_built_in_converter_has_an_example_row():
    assert set(EXAMPLES) | {Native} == set(provide_dataset_converters())


@pytest.mark.parametrize("row", NATIVE)
def test_native_columns_are_detected_as_native(row):
    assert type(converter_registry().detect(row)) is Native


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "Human: Hi", "rejected": "Human: Bye"},
        {**HH, "prompt": "Hi"},
        {"chosen": [{"role": "user", "content": "Hi"}], "rejected": []},
        {"question": "2 + 2", "label": True},
        {"instruction": "Hi", "completions": ["a", "b"], "ranks": [1, 2]},
        {"input": "2 + 2", "label": 1, "task": "sum"},
        {"problem": "2 + 2", "steps": ["4"], "label": [True]},
        {"question": "2 + 2", "response_A": "4", "response_B": "5", "label": 1},
        {"question": "2 + 2", "solution": ["4"], "is_correct": True},
        {"prompt": "Hi", "chosen": "a", "rejected": "b", "subset": "easy"},
        {"prompt": "Hi", "answers": ["a", "b"]},
        {"trajectory": [{"state": 1}], "chosen": "a", "rejected": "b"},
    ],
)
def test_the_first_row_decides_if_columns_are_ambiguous(row):
    assert type(converter_registry().detect(row)) is Native


@pytest.mark.parametrize("converter", [c for c in EXAMPLES if c.name() != "open_assistant"], ids=lambda c: c.name())
def test_every_format_becomes_valid_feedback(converter):
    converted = convert_dataset(Dataset.from_list([EXAMPLES[converter]]))
    assert feedback_types_in_columns(converted.column_names)
    assert len(Mixed.from_row(converted[0])) > 0


def test_one_log_line_reports_the_converter(caplog):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        convert_dataset(Dataset.from_list([HH]), name="train data")
    assert caplog.messages == [
        "train data: read as hh_rlhf (Pairs), detected from the columns chosen, rejected.",
    ]


@pytest.mark.parametrize(("column", "lines"), [("Antwort", 0), ("completion", 1), ("messages", 1)])
def test_texts_are_reported_only_where_a_column_has_them(caplog, column, lines):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        convert_dataset(Dataset.from_dict({"id": [1], column: ["a"]}), texts_only=True)
    assert len(caplog.messages) == lines


def test_a_converter_name_overrides_the_detection(caplog):
    data = Dataset.from_list([HH])
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        assert convert_dataset(data, "native") is data
    assert caplog.messages == ["data: read as native (Pairs), as requested."]


def test_an_unknown_converter_name_is_refused_with_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"'hh-rlhf'\. Did you mean 'hh_rlhf'\? .*native, .*plugin_files"):
        convert_dataset(Dataset.from_list([HH]), "hh-rlhf")


def test_errors_name_the_row():
    rows = [HH, {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "c"}]
    with pytest.raises(
        InvalidFeedbackError, match="Row 1 of data, converted by hh_rlhf: The transcripts have no common beginning"
    ):
        convert_dataset(Dataset.from_list(rows))


def test_errors_name_a_row_of_another_format():
    with pytest.raises(
        InvalidFeedbackError, match=r"Row 0 of data cannot be converted by arena_votes: KeyError: 'winner'\."
    ):
        convert_dataset(Dataset.from_list([HH]), "arena_votes")


def test_rows_without_feedback_are_counted(caplog):
    rows = [ULTRAFEEDBACK, ULTRAFEEDBACK | {"completions": []}, ULTRAFEEDBACK]
    assert len(convert_dataset(Dataset.from_list(rows))) == 2
    assert "data: 1 of 3 rows have no feedback and are dropped." in caplog.messages


def test_datasets_without_feedback_are_refused():
    with pytest.raises(InvalidFeedbackError, match=r"open_assistant .* 1 rows of data.*converter='NAME'"):
        convert_dataset(Dataset.from_list([TREE[0]]))


@pytest.mark.parametrize("row", [JUDGE_BENCH, PROCESS_BENCH])
def test_a_dataset_without_any_label_is_refused_by_its_converter(row):
    with pytest.raises(InvalidFeedbackError, match=r"\w+_bench found no feedback in the 2 rows of data"):
        convert_dataset(Dataset.from_list([row | {"label": None}] * 2))


def test_a_row_may_become_several():
    converted = convert_dataset(Dataset.from_list([prm(step(("a", 1), ("b", -1)))]))
    assert converted["labels"][:] == [[True], [False]]


def test_streams_are_converted_lazily():
    stream = convert_dataset(IterableDataset.from_generator(lambda: iter([HH, HH])))
    assert [row["chosen"] for row in stream] == [" Because.", " Because."]


@pytest.mark.parametrize("converter", [c for c in EXAMPLES if c.name() != "open_assistant"], ids=lambda c: c.name())
def test_a_first_row_without_values_does_not_hide_the_format(converter):
    row = EXAMPLES[converter]
    detect = converter_registry().detect
    assert type(detect(dict.fromkeys(row), row)) is converter
    for name, value in row.items():
        empty = type(value)() if isinstance(value, str | list) else None
        assert type(detect(row | {name: empty}, row | {name: None}, row)) is converter


def test_a_null_in_the_first_row_is_not_the_format_of_a_file():
    first = {**dict.fromkeys(ULTRAFEEDBACK), "completions": []}
    converted = convert_dataset(Dataset.from_list([first, ULTRAFEEDBACK]))
    assert converted["ratings"][:] == [[4.0, 1.5]]


def test_two_matching_converters_require_a_choice():
    known = converter_registry()
    with pytest.raises(FeedbackMismatchError, match=r"ultrafeedback_binarized, arena_votes\. .*converter="):
        known.detect({**BINARIZED, "conversation_a": [], "conversation_b": [], "winner": "tie"})


VERIFIED = {"question": "2 + 2?", "response": "5", "is_correct": False}


@pytest.mark.parametrize(
    ("native", "other", "converter"),
    [
        (NATIVE[1], VERIFIED, "solutions"),
        (NATIVE[0], VERIFIED, "solutions"),
        (NATIVE[1], {"solution": "4", "is_correct": False}, "solutions"),
        (NATIVE[2], PROCESS_BENCH, "process_bench"),
        (NATIVE[0], STACK_EXCHANGE_PAIRED, "stack_exchange_paired"),
        (NATIVE[0], JUDGE_BENCH, "judge_bench"),
        (NATIVE[1], BINARIZED, "ultrafeedback_binarized"),
        (NATIVE[0], {"chosen_input_ids": [1], "rejected_input_ids": [2]}, "tokenized_pairs"),
    ],
)
def test_native_columns_beside_another_format_require_a_choice(native, other, converter):
    row = native | other
    with pytest.raises(FeedbackMismatchError, match=rf"native, {converter}\. .*converter='native'"):
        converter_registry().detect(row)
    with pytest.raises(FeedbackMismatchError, match=rf"native, {converter}\."):
        converter_registry().detect(dict.fromkeys(row), row)
    without_feedback = dict.fromkeys({"chosen", "rejected", "label", "labels"} - set(other))
    assert converter_registry().detect(row | without_feedback).name() == converter


def test_annotators_and_template_arguments_are_kept():
    more = {"tools": [{"name": "search"}], "system": "Be brief."}
    converted = convert_dataset(Dataset.from_list([MT_BENCH | more]))
    assert converted[0] | more | {"judge": MT_BENCH["judge"]} == converted[0]
    stream = convert_dataset(IterableDataset.from_generator(lambda: iter([HH | {"worker_id": 7}])))
    assert next(iter(stream))["worker_id"] == 7


def test_hh_rlhf_conversion_keeps_the_text_exactly():
    (row,) = convert_dataset(Dataset.from_list([HH]))
    assert row["prompt"] + row["chosen"] == HH["chosen"]
    assert HhRlhf().matches(HH)
