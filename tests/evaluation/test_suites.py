"""The rules of each suite on scores made by hand, against plain numpy."""

import math
from itertools import product

import numpy as np
import pytest

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites import SUITES
from rlhf_losses.evaluation.suites.base import ORDER, PART
from rlhf_losses.evaluation.suites.rewardbench import SECTIONS, WEIGHTS
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW


def pair_row(number, chosen, rejected, **columns):
    """Return a row with one pair and its outcome."""
    outcome = 1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0
    return scored(number, [chosen, rejected], [0], [1], [outcome], columns)


def list_row(number, right, wrong, **columns):
    """Return a row with right answers before wrong ones, all of which are compared."""
    scores = [*right, *wrong]
    pairs = [(i, j) for i in range(len(right)) for j in range(len(right), len(scores))]
    outcomes = [(1 + np.sign(scores[i] - scores[j])) / 2 for i, j in pairs]
    return scored(number, scores, [i for i, _ in pairs], [j for _, j in pairs], outcomes, columns)


def steps_row(number, scores, labels, **columns):
    row = scored(number, scores, [], [], [], columns)
    return ScoredRow(
        **{
            **row.__dict__,
            "labelled": tuple(range(len(labels))),
            "labels": tuple(1.0 if one else -1.0 for one in labels),
        }
    )


def scored(number, scores, better, worse, outcomes, columns):
    return ScoredRow(
        number, f"key {number}", f"prompt {number}", ("a",) * len(scores), tuple(scores), (1,) * len(scores), 1,
        tuple(better), tuple(worse), outcomes=tuple(outcomes), columns=columns,
    )  # fmt: skip


def result_of(suite, rows):
    result = SUITES[suite].aggregate(rows)
    return result, {one.name: one.value for one in result.scores}


def test_rewardbench_weighs_subsets_by_their_published_sizes():
    random = np.random.default_rng(0)
    subsets = [name for names in SECTIONS.values() for name in names]
    scores = {name: random.integers(0, 3, size=(3, 2)) for name in subsets}
    rows = [pair_row(i, *map(float, one), subset=name) for name in subsets for i, one in enumerate(scores[name])]
    result, found = result_of("rewardbench", rows)
    accuracy = {name: np.mean(one[:, 0] > one[:, 1]) for name, one in scores.items()}  # equal scores are wrong
    sections = [
        sum(accuracy[name] * WEIGHTS[name] for name in names) / sum(WEIGHTS[name] for name in names)
        for names in SECTIONS.values()
    ]
    assert [found[name] for name in SECTIONS] == pytest.approx(sections)
    assert result.overall == pytest.approx(np.mean(sections))
    assert not result.missing
    assert WEIGHTS["math-prm"] == 984 == sum(WEIGHTS[name] for name in SECTIONS["Reasoning"][1:])


def test_a_suite_without_a_section_has_no_overall_number():
    result, found = result_of("rewardbench", [pair_row(0, 1.0, 0.0, subset="donotanswer")])
    assert math.isnan(result.overall)
    assert found["Safety"] == 1.0
    assert "math-prm" in result.missing
    assert result.to_dict()["overall"] is None


def test_rewardbench2_gives_shared_highest_scores_their_share():
    rows = [
        list_row(0, [3.0], [1.0, 2.0, 0.0], subset="Math"),
        list_row(1, [3.0], [3.0, 2.0, 3.0], subset="Math"),
        list_row(2, [1.0], [1.0, 2.0, 0.0], subset="Math"),
    ]
    _, found = result_of("rewardbench2", rows)
    assert found["Math"] == pytest.approx((1 + 1 / 3 + 0) / 3)


def test_the_ties_of_rewardbench2_need_gaps_larger_than_the_spread_of_right_answers():
    """For each number: the reference (one right answer) and the tied prompt (several)."""
    reference = {0: ([5.0], [1.0, 2.0]), 1: ([3.0], [4.0]), 2: ([2.0], [1.5])}
    tied = {0: ([5.0, 6.0], [1.0]), 1: ([5.0, 9.0], [4.0, 1.0]), 2: ([3.0, 3.0], [3.0])}
    rows = [list_row(i, *one, subset="Ties", id=f"ref:{i}") for i, one in reference.items()]
    rows += [list_row(i, *one, subset="Ties", id=f"tied:{i}") for i, one in tied.items()]
    _, found = result_of("rewardbench2", rows)
    gap = {form: np.array([min(one) - max(other) for one, other in of_form.values()]) for form, of_form in
           (("ref", reference), ("tied", tied))}  # fmt: skip
    spread = np.array([max(one) - min(one) for one, _ in tied.values()])
    smaller = np.minimum(gap["ref"], gap["tied"])
    margin = np.tanh(np.divide(smaller, spread, out=np.zeros(3), where=spread > 0) - 1)
    margin[2] = 0  # 0 / 0
    expected = (
        0.3 * np.mean(gap["tied"] > 0) + 0.3 * np.mean(gap["ref"] > 0)
        + 0.2 * np.mean(gap["tied"] > spread) + 0.2 * np.mean(smaller > spread) + 0.01 * np.mean(margin)
    )  # fmt: skip
    assert found["Ties"] == pytest.approx(expected)


def test_the_ties_of_rewardbench2_need_ids_of_the_published_form():
    with pytest.raises(InvalidFeedbackError, match=r"ref:NUMBER or tied:NUMBER"):
        result_of("rewardbench2", [list_row(0, [1.0], [0.0], subset="Ties", id="7")])


def test_rm_bench_separates_styles_and_takes_the_mean_over_domains():
    random = np.random.default_rng(1)
    domains = ("chat", "code", "math", "safety-refuse", "safety-response")
    scores = {name: random.integers(0, 4, size=(4, 2, 3)).astype(float) for name in domains}
    rows = [
        pair_row(0, one[0][i], one[1][j], domain=name, **{SOURCE_ROW: number, SOURCE_ITEM: 3 * i + j})
        for name in domains
        for number, one in enumerate(scores[name])
        for i, j in product(range(3), repeat=2)
    ]
    result, found = result_of("rm_bench", rows)
    merged = {name: scores[name] for name in domains[:3]}
    merged["safety"] = np.concatenate([scores["safety-refuse"], scores["safety-response"]])
    matrices = {name: np.mean(one[:, 0, :, None] > one[:, 1, None, :], axis=0) for name, one in merged.items()}
    hard = {name: one[np.triu_indices(3, 1)].mean() for name, one in matrices.items()}
    normal = {name: np.diag(one).mean() for name, one in matrices.items()}
    easy = {name: one[np.tril_indices(3, -1)].mean() for name, one in matrices.items()}
    for name in merged:
        assert found[name] == pytest.approx((hard[name] + normal[name] + easy[name]) / 3)
    for name, values in (("hard", hard), ("normal", normal), ("easy", easy)):
        assert found[name] == pytest.approx(np.mean(list(values.values())))
    assert result.overall == pytest.approx(np.mean([found[name] for name in merged]))


def test_judgebench_counts_pairs_that_are_right_in_both_orders():
    sources = ["mmlu-pro-law", "mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench"]
    first, second = [1, 1, 0, 1, 1], [1, 0, 0, 1, 1]
    rows = [
        pair_row(i, float(is_right), 0.5, source=source, **{PART: "gpt", ORDER: order})
        for order, outcomes in ((1, first), (2, second))
        for i, (source, is_right) in enumerate(zip(sources, outcomes, strict=True))
    ]
    result, found = result_of("judgebench", rows)
    assert found == {"knowledge": 0.5, "reasoning": 0.0, "math": 1.0, "coding": 1.0}
    assert result.overall == pytest.approx(3 / 5)


def test_llmbar_is_the_mean_of_both_orders_by_subset():
    parts = ("LLMBar/Natural/dataset", *(f"LLMBar/Adversarial/{name}/dataset" for name in
             ("Neighbor", "GPTInst", "GPTOut", "Manual")))  # fmt: skip
    outcomes = np.random.default_rng(2).integers(0, 2, size=(2, 5, 4))
    rows = [
        pair_row(i, float(outcomes[order, p, i]), 0.5, **{PART: part, ORDER: order + 1})
        for order, (p, part), i in product(range(2), enumerate(parts), range(4))
    ]
    result, found = result_of("llmbar", rows)
    by_subset = outcomes.mean(axis=(0, 2))
    assert [found[name] for name in ("Natural", "Neighbor", "GPTInst", "GPTOut", "Manual")] == pytest.approx(by_subset)
    assert found["adversarial"] == pytest.approx(by_subset[1:].mean())
    assert found["same_in_both_orders"] == pytest.approx(np.mean(outcomes[0] == outcomes[1]))
    assert not result.missing


def test_processbench_is_the_mean_of_harmonic_means():
    rows = [
        steps_row(0, [1.0, -1.0, 1.0], [True, False], id="gsm8k-0"),  # found
        steps_row(1, [-1.0, -1.0], [True, False], id="gsm8k-1"),  # too early
        steps_row(2, [1.0, 0.0], [True, True], id="gsm8k-2"),  # no error: 0 is not negative
        steps_row(3, [1.0, -2.0], [True, True], id="gsm8k-3"),
        steps_row(4, [1.0, 2.0], [True, True], id="gsm8k-4"),
        steps_row(5, [-1.0], [False], id="math-0"),
        steps_row(6, [1.0], [True], id="math-1"),
        steps_row(7, [1.0, 3.0], [True, False], id="olympiadbench-0"),
        steps_row(8, [1.0, 3.0], [True, True], id="olympiadbench-1"),
        steps_row(9, [-1.0], [False], id="omnimath-0"),
        steps_row(10, [-1.0], [True], id="omnimath-1"),
    ]
    result, found = result_of("processbench", rows)
    error, correct = 1 / 2, 2 / 3
    expected = {"gsm8k": 2 * error * correct / (error + correct), "math": 1.0, "olympiadbench": 0.0, "omnimath": 0.0}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert (found["gsm8k error"], found["gsm8k correct"]) == pytest.approx((error, correct))
    assert result.overall == pytest.approx(np.mean(list(expected.values())))


def f1(predicted, labels):
    right = np.sum(predicted & labels)
    precision, recall = right / max(predicted.sum(), 1), right / max(labels.sum(), 1)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_prmbench_is_the_mean_of_two_f1_over_the_steps_of_a_class():
    random = np.random.default_rng(3)
    classes = ("redundency", "circular", "counterfactual", "step_contradiction", "domain_inconsistency", "confidence",
               "missing_condition", "deception", "multi_solutions")  # fmt: skip
    scores, labels, rows = {}, {}, []
    for name in classes:
        scores[name] = random.normal(size=(3, 4))
        labels[name] = np.ones((3, 4), dtype=bool) if name == "multi_solutions" else random.random((3, 4)) > 0.4
        of_class = [steps_row(i, scores[name][i].tolist(), labels[name][i], classification=name, idx=f"p{i}")
                    for i in range(3)]  # fmt: skip
        rows += [*of_class, of_class[0]]  # a repeated row counts once
    result, found = result_of("prmbench", rows)

    def score(names, only_right=False):
        predicted, truth = (np.concatenate([one[name].ravel() for name in names]) for one in (scores, labels))
        of_right = f1(predicted > 0, truth)
        return of_right if only_right else (of_right + f1(predicted <= 0, ~truth)) / 2

    by_class = {name: score([name], only_right=name == "multi_solutions") for name in classes}
    assert {name: found[name] for name in classes} == pytest.approx(by_class)
    assert found["sensitivity"] == pytest.approx(np.mean([by_class[name] for name in classes[6:]]))
    assert result.overall == pytest.approx(score(classes))


def test_ppe_uses_the_sampled_pairs_and_leaves_out_ties():
    names = ("PPE-MMLU-Pro-Best-of-K", "PPE-MATH-Best-of-K", "PPE-GPQA-Best-of-K", "PPE-IFEval-Best-of-K",
             "PPE-MBPP-Plus-Best-of-K")  # fmt: skip
    random = np.random.default_rng(4)
    scores = random.normal(size=(5, 2, 4))  # the first two of four responses are right
    sampled = [[0, 2], [3, 1]]
    rows = [
        list_row(
            i, scores[b, i, :2].tolist(), scores[b, i, 2:].tolist(), sampled_conflict_pairs=sampled, **{PART: name}
        )
        for (b, name), i in product(enumerate(names), range(2))
    ]
    rows += [pair_row(0, 2.0, 1.0, **{PART: "preference"}), pair_row(1, 0.0, 1.0, **{PART: "preference"})]
    rows.append(scored(2, [1.0, 0.0], [], [], [], {PART: "preference"}))  # a tie of the annotators
    result, found = result_of("ppe", rows)
    accuracy = np.mean([scores[:, :, 0] > scores[:, :, 2], scores[:, :, 1] > scores[:, :, 3]], axis=(0, 2))
    best = (scores.argmax(axis=2) < 2).mean(axis=1)
    assert [found[name] for name in ("mmlu_pro", "math", "gpqa", "ifeval", "mbpp_plus")] == pytest.approx(accuracy)
    assert found["correctness"] == pytest.approx(accuracy.mean())
    assert found["correctness best_of_k"] == pytest.approx(best.mean())
    assert found["human_preference"] == 0.5
    assert not result.missing


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_cites_its_rules(name):
    suite = SUITES[name]
    assert suite.source.startswith("https://github.com/")
    assert suite.paper.startswith("https://arxiv.org/abs/")
    assert type(suite).__doc__
