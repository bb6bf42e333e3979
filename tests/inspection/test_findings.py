"""What `inspect` finds in small data whose answers can be counted by hand."""

import pytest
from datasets import Dataset

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect
from rlhf_losses.sandbox.tiny_models import build_tokenizer


def found(*rows, **options):
    return inspect(Dataset.from_list(list(rows)), loss_registry(), **options)


def pair(chosen, rejected, prompt="2 + 2 = ", **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_a_contradiction_is_one_pair_in_two_orders():
    pairs = found(pair("4", "5"), pair("5", "4"), pair("4", "5"), pair("4", "6"))["feedback"]["Pairs"]
    assert (pairs["items"], pairs["annotated_several_times"], pairs["contradictory"]) == (4, 1, 1)
    assert pairs["agreement_ceiling"] == pairs["accuracy_ceiling"] == (2 + 1) / 4
    assert pairs["agreement_of_two_annotators"] == pytest.approx(1 / 3)


def test_the_same_answers_to_another_prompt_are_another_pair():
    pairs = found(pair("4", "5"), pair("5", "4", prompt="2 + 3 = "))["feedback"]["Pairs"]
    assert (pairs["annotated_several_times"], pairs["contradictory"]) == (0, 0)
    assert pairs["agreement_of_two_annotators"] is None


def test_duplicate_rows_and_equal_answers_are_counted():
    told = found(pair("4", "5"), pair("4", "5"), pair("4", "4"))
    assert (told["rows"], told["prompts"], told["duplicate_rows"]) == (3, 1, 1)
    assert told["feedback"]["Pairs"]["equal_answers"] == 1


def test_votes_are_annotators_and_a_row_of_them_is_one_decision():
    row = {"prompt": "2 + 2 = ", "completions": ["4", "5"], "votes": [2, 1], "ties": 1}
    votes = found(row)["feedback"]["Votes"]
    assert votes["agreement_ceiling"] == 2 / 3
    assert votes["accuracy_ceiling"] == 1.0
    assert votes["contradictory"] == 1


def test_ties_are_counted_and_decide_nothing():
    rankings = found({"prompt": "", "completions": ["a", "b", "c"], "ranks": [1, 1, 2]})["feedback"]["Rankings"]
    assert (rankings["comparisons"], rankings["ties"]) == (3, 1)
    assert rankings["agreement_ceiling"] == 1.0


def test_circles_bound_what_a_scorer_can_reach():
    pairs = found(pair("a", "b"), pair("b", "c"), pair("c", "a"))["feedback"]["Pairs"]
    assert pairs["contradictory"] == 0
    assert pairs["accuracy_ceiling"] == 2 / 3


def test_labels_of_one_text_may_contradict_each_other():
    row = {"prompt": "2 + 2 = ", "completion": "4"}
    labels = found(row | {"label": True}, row | {"label": True}, row | {"label": False})["feedback"]["Labels"]
    assert (labels["good"], labels["contradictory"]) == (2, 1)
    assert labels["accuracy_ceiling"] == 2 / 3


def test_steps_are_the_same_after_the_same_steps_alone():
    first = {"prompt": "", "completions": ["a", "b"], "labels": [True, True]}
    second = {"prompt": "", "completions": ["c", "b"], "labels": [True, False]}
    assert found(first, second)["feedback"]["Steps"]["contradictory"] == 0
    assert found(first, first | {"labels": [True, False]})["feedback"]["Steps"]["contradictory"] == 1


def test_single_ratings_are_compared_by_prompt():
    rows = [{"prompt": "2 + 2 = ", "completion": text, "rating": rating} for text, rating in (("4", 5.0), ("5", 1.0))]
    told = found(*rows)
    assert told["feedback"]["Ratings"]["comparisons"] == 1
    assert {"squared_error", "bradley_terry", "plackett_luce"} <= set(told["losses"])


def test_losses_that_compare_refuse_ratings_that_compare_nothing():
    told = found({"prompt": "2 + 2 = ", "completion": "4", "rating": 5.0})
    assert "squared_error" in told["losses"]
    assert "every prompt of the data has one rated answer" in told["losses_that_refuse"]["bradley_terry"]


def test_losses_that_refuse_the_values_say_why():
    told = found({"prompt": "2 + 2 = ", "completions": ["2", "4"], "labels": [0.5, 1.0]})
    assert "segment_rating" in told["losses"]
    assert "segment_hinge got the labels 0.5" in told["losses_that_refuse"]["segment_hinge"]


def test_lengths_are_those_of_the_contents():
    told = found(pair("4", "four", prompt=[{"role": "user", "content": "2 + 2?"}]))["characters"]
    assert told["prompt"]["max"] == len("2 + 2?")
    assert (told["answer"]["min"], told["answer"]["mean"]) == (1, (1 + 4) / 2)


def test_answers_in_steps_have_the_length_of_their_steps_together():
    told = found({"prompt": "", "completions": ["ab", "c"], "labels": [True, True]})["characters"]
    assert (told["answer"]["max"], told["step"]["max"], told["step"]["min"]) == (3, 2, 1)


def test_answers_in_steps_that_were_compared_are_compared():
    first = {"prompt": "", "chosen_steps": ["a", "b"], "rejected_steps": ["c"]}
    second = {"prompt": "", "chosen_steps": ["c"], "rejected_steps": ["a", "b"]}
    said = found(first, second, first)["feedback"]["StepwiseRankings"]
    assert (said["comparisons"], said["contradictory"], said["accuracy_ceiling"]) == (3, 1, 2 / 3)
    assert said["longer_preferred"]["share"] == 2 / 3


def test_the_longer_answer_is_preferred_in_a_share_of_the_decided_comparisons():
    rows = [
        pair("long", "s"),
        pair("longer", "s"),
        pair("s", "longest"),
        pair("s", "l"),
        pair("tie", "t", preference=0.5),
    ]
    longer = found(*(row | {"preference": row.get("preference", 1.0)} for row in rows))["feedback"]["Pairs"]
    assert longer["longer_preferred"]["share"] == 2 / 3
    assert longer["longer_preferred"]["comparisons"] == 3


def test_tokens_are_counted_with_a_tokenizer():
    tokenizer = build_tokenizer(["two", "four"])
    tokens = found(pair("four", "two", prompt="two "), tokenizer=tokenizer)["tokens"]["text"]
    expected = len(tokenizer("two four" + tokenizer.eos_token)["input_ids"])
    assert tokens["max"] == expected


def test_pairs_of_tokens_have_no_characters():
    told = found({"chosen_ids": [1, 2], "rejected_ids": [1, 3]}, {"chosen_ids": [1, 3], "rejected_ids": [1, 2]})
    assert told["characters"] == {}
    assert told["prompts"] == 0
    assert told["feedback"]["Pairs"]["contradictory"] == 1


def test_rows_may_hold_several_kinds():
    row = pair("4", "5", completion="4", label=True)
    assert set(found(row)["feedback"]) == {"Pairs", "Labels"}


def test_unknown_columns_and_impossible_values_are_refused():
    with pytest.raises(FeedbackMismatchError, match="no feedback that is known"):
        found({"question": "2 + 2"})
    with pytest.raises(InvalidFeedbackError, match="Row 1 of data: Pairs got the preference 2"):
        found(pair("4", "5", preference=1.0), pair("4", "5", preference=2.0))
