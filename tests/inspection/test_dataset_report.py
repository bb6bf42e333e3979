"""The dataset report of small datasets equals counts by hand."""

import pytest
from datasets import Dataset

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.sandbox.tiny_models import build_tokenizer


def report(*rows, **options):
    return inspect_dataset(Dataset.from_list(list(rows)), loss_registry(), **options).to_dict()


def pair(chosen, rejected, prompt="2 + 2 = ", **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_a_contradiction_is_one_pair_in_both_orders():
    rows = [pair("4", "5"), pair("5", "4"), pair("4", "5"), pair("4", "6")]
    pairs = report(*(row | {"annotator": f"r{i}"} for i, row in enumerate(rows)))["feedback"]["Pairs"]
    assert (pairs["items"], pairs["annotated_several_times"], pairs["contradictory"]) == (4, 1, 1)
    assert pairs["agreement_ceiling"] == pairs["accuracy_ceiling"] == (2 + 1) / 4
    assert pairs["agreement_of_two_annotators"] == pytest.approx(1 / 3)


def test_every_row_counts_in_the_accuracy():
    pairs = report(pair("4", "5"), pair("5", "4"), pair("4", "5"), pair("4", "6"))["feedback"]["Pairs"]
    assert (pairs["items"], pairs["annotated_several_times"], pairs["contradictory"]) == (4, None, 1)
    assert pairs["accuracy_ceiling"] == (2 + 1) / 4
    assert pairs["agreement_ceiling"] is pairs["agreement_of_two_annotators"] is None


def test_the_same_answers_to_another_prompt_are_another_pair():
    pairs = report(pair("4", "5"), pair("5", "4", prompt="2 + 3 = "))["feedback"]["Pairs"]
    assert (pairs["annotated_several_times"], pairs["contradictory"]) == (0, 0)
    assert pairs["agreement_of_two_annotators"] is None


def test_duplicate_rows_and_equal_answers_are_counted():
    found = report(pair("4", "5"), pair("4", "5"), pair("4", "4"))
    assert (found["rows"], found["prompts"], found["duplicate_rows"]) == (3, 1, 1)
    assert found["feedback"]["Pairs"]["equal_answers"] == 1
    assert found["feedback"]["Pairs"]["accuracy_ceiling"] == (2 + 0.5) / 3


def test_each_vote_is_an_annotation_and_each_row_one_majority():
    row = {"prompt": "2 + 2 = ", "completions": ["4", "5"], "votes": [2, 1], "ties": 1}
    votes = report(row)["feedback"]["Votes"]
    assert votes["agreement_ceiling"] == 2 / 3
    assert votes["accuracy_ceiling"] == 1.0
    assert votes["contradictory"] == 1


def test_ties_do_not_lower_the_ceiling():
    row = {"prompt": "", "completions": ["a", "b", "c"], "ranks": [1, 1, 2]}
    rankings = report({**row, "annotator": "x"}, {**row, "annotator": "y"})["feedback"]["Rankings"]
    assert (rankings["comparisons"], rankings["ties"]) == (6, 2)
    assert rankings["agreement_ceiling"] == 1.0


def test_cycles_lower_the_accuracy_ceiling():
    pairs = report(pair("a", "b"), pair("b", "c"), pair("c", "a"))["feedback"]["Pairs"]
    assert pairs["contradictory"] == 0
    assert pairs["accuracy_ceiling"] == 2 / 3


def test_labels_of_one_text_can_be_contradictory():
    row = {"prompt": "2 + 2 = ", "completion": "4"}
    labels = report(row | {"label": True}, row | {"label": True}, row | {"label": False})["feedback"]["Labels"]
    assert (labels["good"], labels["contradictory"]) == (2, 1)
    assert labels["accuracy_ceiling"] == 2 / 3


def test_steps_are_equal_only_after_equal_steps():
    first = {"prompt": "", "completions": ["a", "b"], "labels": [True, True]}
    second = {"prompt": "", "completions": ["c", "b"], "labels": [True, False]}
    assert report(first, second)["feedback"]["Steps"]["contradictory"] == 0
    assert report(first, first | {"labels": [True, False]})["feedback"]["Steps"]["contradictory"] == 1


def test_single_ratings_are_grouped_by_prompt(caplog):
    rows = [{"prompt": "2 + 2 = ", "completion": text, "rating": rating} for text, rating in (("4", 5.0), ("5", 1.0))]
    with caplog.at_level("INFO"):
        found = report(*rows, {"prompt": "3 + 3 = ", "completion": "6", "rating": 2.0})
    assert not caplog.messages  # the report has these numbers
    ratings = found["feedback"]["Ratings"]
    assert (ratings["comparisons"], ratings["single_answers"]) == (1, 1)
    assert {"squared_error", "bradley_terry", "plackett_luce"} <= set(found["losses"])


def test_pairwise_losses_are_incompatible_with_one_rating_per_prompt():
    found = report({"prompt": "2 + 2 = ", "completion": "4", "rating": 5.0})
    assert "squared_error" in found["losses"]
    assert "every prompt of the data has one rated answer" in found["incompatible_losses"]["bradley_terry"]


def test_incompatible_losses_have_a_reason():
    found = report({"prompt": "2 + 2 = ", "completions": ["2", "4"], "labels": [0.5, 1.0]})
    assert "segment_rating" in found["losses"]
    reason = found["incompatible_losses"]["segment_hinge"]
    assert "0.5" in reason
    assert "segment_rating" in reason


def test_lengths_are_those_of_the_message_contents():
    found = report(pair("4", "four", prompt=[{"role": "user", "content": "2 + 2?"}]))["characters"]
    assert found["prompt"]["max"] == len("2 + 2?")
    assert (found["answer"]["min"], found["answer"]["mean"]) == (1, (1 + 4) / 2)


def test_answer_length_is_the_sum_of_the_step_lengths():
    found = report({"prompt": "", "completions": ["ab", "c"], "labels": [True, True]})["characters"]
    assert (found["answer"]["max"], found["step"]["max"], found["step"]["min"]) == (3, 2, 1)


def test_rankings_of_stepwise_answers_are_comparisons():
    first = {"prompt": "", "chosen_steps": ["a", "b"], "rejected_steps": ["c"]}
    second = {"prompt": "", "chosen_steps": ["c"], "rejected_steps": ["a", "b"]}
    steps = report(first, second, first)["feedback"]["StepwiseRankings"]
    assert (steps["comparisons"], steps["contradictory"], steps["accuracy_ceiling"]) == (3, 1, 2 / 3)
    assert steps["longer_preferred"]["share"] == 2 / 3


def test_length_bias_is_over_comparisons_without_ties():
    rows = [
        pair("long", "s"),
        pair("longer", "s"),
        pair("s", "longest"),
        pair("s", "l"),
        pair("tie", "t", preference=0.5),
    ]
    longer = report(*(row | {"preference": row.get("preference", 1.0)} for row in rows))["feedback"]["Pairs"]
    assert longer["longer_preferred"]["share"] == 2 / 3
    assert longer["longer_preferred"]["comparisons"] == 3


def test_tokens_are_counted_with_a_tokenizer():
    tokenizer = build_tokenizer(["two", "four"])
    tokens = report(pair("four", "two", prompt="two "), tokenizer=tokenizer)["tokens"]["text"]
    expected = len(tokenizer("two four" + tokenizer.eos_token)["input_ids"])
    assert tokens["max"] == expected


def test_tokenized_pairs_have_no_character_lengths():
    found = report({"chosen_ids": [1, 2], "rejected_ids": [1, 3]}, {"chosen_ids": [1, 3], "rejected_ids": [1, 2]})
    assert found["characters"] == {}
    assert found["prompts"] == 0
    assert found["feedback"]["Pairs"]["contradictory"] == 1


def test_rows_can_have_several_feedback_types():
    row = pair("4", "5", completion="4", label=True)
    assert set(report(row)["feedback"]) == {"Pairs", "Labels"}


def test_unknown_columns_and_invalid_values_are_refused():
    with pytest.raises(FeedbackMismatchError, match="no known feedback"):
        report({"question": "2 + 2"})
    with pytest.raises(InvalidFeedbackError, match=r"Row 0 of data: .*preference 2.* row 0 is row 2 of a sheet"):
        report(pair("4", "5", preference=2.0))


def test_all_invalid_rows_are_reported_and_left_out():
    good = pair("4", "5", margin=1)
    rows = [good, pair(None, "5", margin=1), pair("4", "5", margin="x"), good, pair(None, "5", margin=1)]
    found = report(*(row | {"margin": str(row["margin"])} for row in rows))
    null, text = found["invalid_rows"]
    assert (null["rows"], text["rows"]) == ([1, 4], [2])
    assert "Column 'chosen' is null" in null["problem"]
    assert "'x', which is not a number" in text["problem"]
    assert (found["rows"], found["feedback"]["Pairs"]["items"]) == (2, 2)


def test_optional_columns_and_the_ties_of_losses_are_counted():
    rows = [pair("4", "5", margin=margin) for margin in (0, 0, 1, 3)]
    pairs = report(*rows)["feedback"]["Pairs"]
    assert pairs["optional_columns"]["margin"] == {
        "rows": 4, "missing": 0, "zero": 2, "low": 0.0, "high": 3.0, "mean": 1.0
    }  # fmt: skip
    assert (pairs["ties"], pairs["ties_by_loss"]) == (0, {"ordinal_preference": 2})
    found = report(*rows, pair("4", "5", margin=None), {"completion": "4", "label": True})
    assert found["feedback"]["Pairs"]["optional_columns"]["margin"]["missing"] == 1
    assert (
        "needs the column margin in every row, but it is null in 1 rows"
        in (found["incompatible_losses"]["ordinal_preference"])
    )


def test_rows_whose_prompt_and_answer_meet_are_counted_once():
    assert report(pair("4", "5", prompt="2 + 2 ="), pair("4", "5"))["joined_rows"] == 1
