"""Agreement of annotators equals the definitions, computed here pair by pair, and tells annotators from rows."""

import dataclasses
from itertools import combinations, permutations

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.inspection.annotator_agreement import agreement_of_counts, annotator_agreement
from rlhf_losses.inspection.comparisons import Comparisons


def compared(*counts):
    """Return comparisons from (first, second, wins, ties, defeats)."""
    return Comparisons(*np.array(counts, dtype=float).reshape(-1, 5).T)


def alpha(*items, difference=lambda a, b: a != b):
    """Return Krippendorff's alpha of lists of values, 1 − D_o / D_e, over all ordered pairs of values."""
    items = [values for values in items if len(values) > 1]
    pooled = [value for values in items for value in values]
    within = sum(difference(a, b) / (len(values) - 1) for values in items for a, b in permutations(values, 2))
    between = sum(difference(a, b) for a, b in permutations(pooled, 2)) / (len(pooled) - 1)
    return 1 - within / between


def test_annotator_agreement_is_over_pairs_of_annotators():
    found = annotator_agreement(compared((0, 1, 2, 0, 1), (2, 3, 0, 3, 0), (4, 5, 1, 0, 0)))
    assert found.items == 2
    assert found.per_item == pytest.approx((1 / 3 + 1) / 2)  # one of three pairs agrees
    assert found.pooled == (1 + 3) / (3 + 3)
    assert found.alpha == pytest.approx(alpha("wwl", "ttt", "w"))


def test_items_with_many_annotations_count_more_in_the_pooled_share():
    found = annotator_agreement(compared((0, 1, 2, 0, 0), (2, 3, 2, 0, 2)))
    assert (found.per_item, found.pooled) == ((1 + 2 / 6) / 2, (1 + 2) / (1 + 6))


def test_ties_can_be_left_out():
    found = annotator_agreement(compared((0, 1, 2, 1, 0), (2, 3, 1, 1, 1), (4, 5, 1, 1, 0)), with_ties=False)
    assert (found.items, found.per_item) == (2, (1 + 0) / 2)
    assert found.alpha == pytest.approx(alpha("ww", "wl"))


def test_annotator_agreement_needs_two_annotations():
    assert annotator_agreement(compared((0, 1, 1, 0, 0))) is None
    assert annotator_agreement(compared((0, 1, 0.5, 0, 0.5))) is None


def test_annotator_agreement_is_unbiased():
    draws = np.random.default_rng(0).multinomial(3, [0.6, 0.1, 0.3], size=20_000)
    comparisons = Comparisons(np.arange(20_000), np.arange(20_000) + 20_000, *draws.T.astype(float))
    assert annotator_agreement(comparisons).per_item == pytest.approx(0.6**2 + 0.1**2 + 0.3**2, abs=0.01)
    assert annotator_agreement(comparisons).alpha == pytest.approx(0, abs=0.02)  # the draws are independent


def test_equal_annotations_have_no_alpha_with_positions_and_1_without():
    all_agree = compared((0, 1, 2, 0, 0), (2, 3, 3, 0, 0))
    assert annotator_agreement(all_agree).alpha is None
    assert annotator_agreement(all_agree, has_positions=False).alpha == 1.0


def test_alpha_is_0_for_a_single_disagreement():
    """A case that users of two libraries reported: alpha is 0 by definition although almost all annotations agree."""
    rows = {"a": "33333", "b": "33333", "c": "333", "d": "33331", "e": "3333"}
    counts = np.array([[column.count("1"), column.count("3")] for column in rows.values()], dtype=float)
    found = agreement_of_counts(counts)
    assert alpha(*rows.values()) == pytest.approx(1 - (2 / 1) / (2 * 21 / 21))
    assert found.alpha == pytest.approx(0, abs=1e-12)
    assert found.per_item == (4 + 6 / 10) / 5


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=6))
def test_alpha_equals_its_definition(items):
    counts = np.array([np.bincount(values, minlength=3) for values in items], dtype=float)
    found = agreement_of_counts(counts)
    several = [values for values in items if len(values) > 1]
    if not several:
        assert found is None
    elif len({value for values in several for value in values}) == 1:
        assert found.alpha is None
    else:
        assert found.alpha == pytest.approx(alpha(*items))
        squared = agreement_of_counts(counts, np.array([1.0, 2.0, 5.0]))
        numbers = [[(1.0, 2.0, 5.0)[value] for value in values] for values in items]
        assert squared.alpha == pytest.approx(alpha(*numbers, difference=lambda a, b: (a - b) ** 2))


@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=4), min_size=1, max_size=6), st.randoms())
def test_without_positions_the_order_of_the_sides_does_not_matter(items, random):
    def of(items):
        counts = (np.bincount(values, minlength=3) for values in items)
        return annotator_agreement(compared(*((0, 1, *count) for count in counts)), has_positions=False)

    turned = of([[2 - value for value in values] if random.random() < 0.5 else values for values in items])
    assert dataclasses.astuple(turned) == pytest.approx(dataclasses.astuple(of(items)), nan_ok=True)


def inspected(*rows):
    report = inspect_dataset(Dataset.from_list(list(rows)), loss_registry()).to_dict()
    (feedback,) = report["feedback"].values()
    return report, feedback


def pair(chosen, rejected, **more):
    return {"prompt": "2 + 2 = ", "chosen": chosen, "rejected": rejected, **more}


def rated_by(raters, agreeing, items=100):
    """Return rows in which all raters agree on the first items, and one of them disagrees on each of the others."""
    for item in range(items):
        for rater in range(raters):
            sides = ("4", "5") if item < agreeing or rater else ("5", "4")
            yield pair(*sides, prompt=f"{item} = ", index=raters * item + rater), rater


@pytest.mark.parametrize("as_label", [False, True])
def test_without_ids_the_agreement_is_unknown_and_with_ids_it_is_that_of_the_annotators(as_label):
    """95 of 100 items have three equal annotations; in the others, one of three pairs of annotations is equal."""
    rows = []
    for row, rater in rated_by(3, 95):
        label = {"prompt": row["prompt"], "completion": "4", "label": row["chosen"] == "4", "index": row["index"]}
        rows.append((label if as_label else row, rater))
    _, unknown = inspected(*(row for row, _ in rows))
    assert (unknown["unknown_annotators"], unknown["annotated_several_times"]) == (True, None)
    assert (unknown["agreement"], unknown["agreement_without_ties"]) == ({}, {})
    assert unknown["agreement_of_two_annotators"] is unknown["agreement_ceiling"] is None
    assert unknown["contradictory"] == 5
    _, known = inspected(*(row | {"annotator": f"r{rater}"} for row, rater in rows))
    assert (known["unknown_annotators"], known["annotated_several_times"]) == (False, 100)
    assert known["agreement"]["per_item"] == pytest.approx((95 + 5 / 3) / 100)
    assert known["agreement_ceiling"] == pytest.approx((95 * 3 + 5 * 2) / 300)
    assert unknown["accuracy_ceiling"] == known["accuracy_ceiling"] == known["agreement_ceiling"]


def test_ratings_without_ids_have_no_agreement():
    rows = [{"prompt": "2 + 2 = ", "completion": "4", "rating": rating} for rating in (5.0, 5.0, 4.0)]
    assert "rating_agreement" not in inspected(*rows)[1]


@pytest.mark.parametrize("more", [{}, {"id": True}, {"index": True}, {"source": True}])
def test_copies_are_duplicates_whatever_their_other_columns_are(more):
    rows = [pair("4", f"{i % 50 + 5}", **{name: f"{i}" for name in more}) for i in range(150)]
    report, pairs = inspected(*rows)
    assert (report["rows"], report["duplicate_rows"], pairs["items"]) == (150, 100, 150)
    assert (pairs["agreement"], pairs["annotated_several_times"], pairs["unknown_annotators"]) == ({}, None, True)


@pytest.mark.parametrize(
    "more", [{"margin": 1.0}, {"system": "Be brief."}, {"annotator": "Ann"}, {"prompt": "2+2="}, {"chosen": "four"}]
)
def test_rows_that_differ_in_a_column_that_is_read_are_no_duplicates(more):
    row = pair("4", "5", margin=2.0, system="Be right.", annotator="Bob")
    assert inspected(row, row | more)[0]["duplicate_rows"] == 0


def test_columns_without_a_meaning_do_not_change_the_agreement():
    rows = [pair("4", "5"), pair("5", "4"), pair("4", "6")]
    with_ids = [row | {"id": i} for i, row in enumerate(rows)]
    assert inspected(*rows)[1] == inspected(*with_ids)[1]
    assert inspected(*rows)[1]["unknown_annotators"]
    assert not inspected(rows[0], rows[2])[1]["unknown_annotators"]


def test_copies_by_known_annotators_do_not_change_the_agreement():
    rows = [pair("4", "5", annotator="Ann"), pair("5", "4", annotator="Bob"), pair("4", "5", annotator="Eve")]
    once, again = inspected(*rows)[1], inspected(*rows, rows[1], rows[1])[1]
    assert once["agreement"] == again["agreement"]
    assert once["agreement"]["per_item"] == pytest.approx(1 / 3)
    assert once["agreement_ceiling"] == again["agreement_ceiling"] == 2 / 3


def test_votes_within_a_row_are_annotators_also_if_there_are_copies_of_the_row():
    row = {"prompt": "2 + 2 = ", "completions": ["4", "5"], "votes": [2, 1], "ties": 0}
    other = row | {"prompt": "2 + 3 = ", "votes": [0, 3]}
    _, once = inspected(row, other)
    _, copied = inspected(row, other, row)
    assert once["agreement"] == copied["agreement"]
    assert once["agreement"]["per_item"] == pytest.approx((1 / 3 + 1) / 2)
    assert (once["agreement_ceiling"], copied["agreement_ceiling"]) == (5 / 6, None)


@pytest.mark.parametrize("column", ["annotator", "annotator_id", "worker", "WorkerId", "rater_id", "labeler", "judge"])
def test_the_same_annotator_does_not_agree_with_herself(column):
    rows = [pair("4", "5", **{column: name, "id": i}) for i, name in enumerate(["Ann", "Ann", "Ann", "Bob"])]
    report, pairs = inspected(*rows[:3])
    assert (report["annotators"]["column"], report["annotators"]["count"]) == (column, 1)
    assert (pairs["annotated_several_times"], pairs["repeated_by_annotator"]) == (0, 2)
    assert pairs["agreement"] == {}
    _, pairs = inspected(*rows)
    assert (pairs["annotated_several_times"], pairs["repeated_by_annotator"]) == (1, 2)
    assert pairs["agreement"]["per_item"] == 1.0


def test_equal_answers_of_one_list_are_no_annotators():
    """The two wrong answers are compared with the right one by the same annotator."""
    row = {"prompt": "2 + 2 = ", "completions": ["4", "5", "5"], "ranks": [1, 2, 2]}
    _, rankings = inspected(row)
    assert (rankings["comparisons"], rankings["annotated_several_times"], rankings["agreement"]) == (3, 0, {})
    _, ratings = inspected({"prompt": "2 + 2 = ", "completions": ["4", "5", "5"], "ratings": [3.0, 1.0, 1.0]})
    assert "rating_agreement" not in ratings


def test_texts_with_other_system_prompts_are_other_items():
    rows = [pair("4", "5", system="Be right."), pair("5", "4", system="Be wrong.")]
    _, pairs = inspected(*rows)
    assert (pairs["annotated_several_times"], pairs["contradictory"]) == (0, 0)


def test_prompts_within_conversations_are_prompts():
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    report, _ = inspected({"chosen": turns, "rejected": [turns[0], {"role": "assistant", "content": "5"}]})
    assert report["prompts"] == 1
    assert report["characters"]["answer"]["max"] == 1


def test_votes_of_one_row_are_annotators():
    _, votes = inspected({"prompt": "2 + 2 = ", "completions": ["4", "5"], "votes": [2, 1], "ties": 0})
    assert votes["agreement"]["per_item"] == pytest.approx(1 / 3)


def test_shares_of_annotators_are_not_annotations():
    _, pairs = inspected(pair("4", "5", preference=0.75, id=1), pair("4", "5", preference=1.0, id=2))
    assert pairs["agreement"] == {}


def vote(item, name, value):
    """Return a vote: `a` for the first answer, `b` for the second, `=` for a tie."""
    votes = [int(value == "a"), int(value == "b")]
    row = {"prompt": f"{item} = ", "completions": ["a", "b"], "votes": votes, "ties": int(value == "=")}
    return row | {"annotator": name}


VOTES = {1: "aaa", 2: "ab", 3: "bb=", 4: "a", 5: "==", 6: "bab"}
"""Votes of the first annotators on each item."""


def test_agreement_by_annotator_is_that_of_the_votes():
    _, found = inspected(*(vote(item, f"w{i}", v) for item, of in VOTES.items() for i, v in enumerate(of)))
    several = [of for of in VOTES.values() if len(of) > 1]
    agree = [[x == y for x, y in combinations(of, 2)] for of in several]
    assert found["agreement"] == {
        "items": len(several),
        "per_item": pytest.approx(np.mean([np.mean(of) for of in agree])),
        "pooled": pytest.approx(np.mean([one for of in agree for one in of])),
        "alpha": pytest.approx(alpha(*VOTES.values())),
    }
    assert found["agreement_without_ties"]["alpha"] == pytest.approx(alpha("aaa", "ab", "bb", "bab"))
    assert found["agreement_without_ties"]["per_item"] == pytest.approx((1 + 0 + 1 + 1 / 3) / 4)


def test_an_annotator_who_votes_twice_counts_once_with_the_majority():
    rows = [vote(1, "Ann", "a"), vote(1, "Ann", "b"), vote(1, "Ann", "b"), vote(1, "Bob", "b"), vote(2, "Bob", "a")]
    _, found = inspected(*({**row, "id": i} for i, row in enumerate(rows)))
    assert found["agreement"]["per_item"] == 1.0
    assert found["contradictory"] == 1


def test_rows_without_an_annotator_are_compared_with_no_other_row():
    rows = [vote(1, None, "a"), vote(1, None, "a"), vote(1, "Ann", "b"), vote(2, "Ann", "b"), vote(2, "Bob", "b")]
    _, found = inspected(*rows)
    assert (found["unknown_annotators"], found["agreement_ceiling"]) == (True, None)
    assert (found["agreement"]["items"], found["agreement"]["per_item"]) == (1, 1.0)
    assert not inspected(*rows[3:], rows[0])[1]["unknown_annotators"]


def test_labels_have_an_alpha_by_annotator():
    labels = {"4": "++-", "5": "--", "6": "+"}
    rows = [
        {"prompt": "2 + 2 = ", "completion": text, "label": label == "+", "worker_id": i}
        for text, of in labels.items()
        for i, label in enumerate(of)
    ]
    _, found = inspected(*rows)
    assert found["agreement"]["alpha"] == pytest.approx(alpha(*labels.values()))
    assert found["agreement"] == found["agreement_without_ties"]


def test_ratings_agree_by_their_squared_differences():
    ratings = {"4": [5, 5, 4], "5": [1, 2], "6": [3]}
    rows = [
        {"prompt": "2 + 2 = ", "completion": text, "rating": float(rating), "rater": f"r{i}"}
        for text, of in ratings.items()
        for i, rating in enumerate(of)
    ]
    again = {**rows[3], "id": 9}  # the same rating by the same annotator
    _, found = inspected(*({**row, "id": 1} for row in rows), again)
    agreement = found["rating_agreement"]
    assert (agreement["items"], agreement["per_item"]) == (2, pytest.approx((1 / 3 + 0) / 2))
    assert agreement["alpha"] == pytest.approx(alpha(*ratings.values(), difference=lambda a, b: (a - b) ** 2))
    assert not {"agreement", "annotated_several_times", "contradictory"} & set(found)  # of the mean ratings
