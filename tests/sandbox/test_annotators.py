"""Annotators without noise reproduce the gold reward in every feedback type; noise lowers the agreement."""

from statistics import mean

import pytest

from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.feedback import FEEDBACK_TYPES, Mixed, Pairs, Steps, feedback_types_in_columns
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import (
    accumulated_pairs,
    bradley_terry,
    centering,
    score_decay,
    segment_hinge,
    segment_rating,
)
from rlhf_losses.sandbox import Annotator, Preferences, Sample, annotate, feedback_for, simulated_feedback
from rlhf_losses.sandbox.gold_reward import MIN_SENTENCES, completion_reward

pytestmark = pytest.mark.xdist_group("sandbox")

BEST, GOOD, BAD = (
    " They sang. They laughed. They danced.",
    " They sang. They laughed. They sat.",
    " They cried. They fought. They sat.",
)
FOX = Sample("Once there was a fox.", [GOOD, BAD, BEST, BEST])


def test_ratings_without_noise_are_the_gold_reward(samples):
    annotator = Annotator(noise=0.0)
    for sample in samples:
        assert annotator.rate_completions(sample) == [
            completion_reward(sample.prompt, text) for text in sample.completions
        ]


def test_pairs_prefer_the_completion_with_higher_gold_reward(samples):
    for row in simulated_feedback.pairs(samples, Annotator()):
        assert completion_reward(row["prompt"], row["chosen"]) > completion_reward(row["prompt"], row["rejected"])


def test_pairs_drop_ties_without_a_preference_column():
    assert simulated_feedback.pairs([FOX], Annotator()).to_list() == [
        {"prompt": FOX.prompt, "chosen": GOOD, "rejected": BAD}
    ]
    dataset = simulated_feedback.pairs(
        [FOX], Annotator(), columns=("prompt", "chosen", "rejected", "margin", "preference")
    )
    assert dataset["preference"][:] == [1.0, 0.5]
    assert dataset["margin"][:] == [(1 + 1 + 0) / 3 - (-1 - 1 + 0) / 3, 0.0]


def test_rankings_have_rank_one_for_the_best_and_ties():
    assert simulated_feedback.rankings([FOX], Annotator())["ranks"][:] == [[2, 3, 1, 1]]


def test_single_and_listed_ratings_are_the_gold_reward():
    golds = [completion_reward(FOX.prompt, text) for text in FOX.completions]
    assert simulated_feedback.ratings([FOX], Annotator())["rating"][:] == golds
    assert simulated_feedback.rating_lists([FOX], Annotator())["ratings"][:] == [golds]


def test_labels_alternate_between_the_two_thresholds():
    middling = Sample(FOX.prompt, [" They sat. They walked. They rested."] * 2)
    assert simulated_feedback.labels([middling, FOX], Annotator())["label"][:] == [
        0 > -0.5,
        0 > 0.5,
        2 / 3 > -0.5,
        -2 / 3 > 0.5,
        True,
        True,
    ]


def test_steps_are_sentences_with_labels_or_ratings():
    labelled, rated = simulated_feedback.steps([FOX], Annotator()), simulated_feedback.rated_steps([FOX], Annotator())
    assert rated["labels"][:2] == [[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]
    assert labelled["labels"][:2] == [[1 > -0.5, 1 > -0.5, 0 > -0.5], [-1 > 0.5, -1 > 0.5, 0 > 0.5]]
    assert ["".join(steps) for steps in labelled["completions"]] == FOX.completions


def test_the_mean_of_rated_steps_is_the_gold_reward(samples):
    whole = [row for row in simulated_feedback.rated_steps(samples, Annotator()) if len(row["labels"]) >= MIN_SENTENCES]
    assert len(whole) > 200
    for row in whole:
        assert mean(row["labels"]) == pytest.approx(completion_reward(row["prompt"], "".join(row["completions"])))


def test_annotators_can_have_other_preferences():
    other = Annotator(preferences=Preferences(lambda sentence: float("fox" in sentence), label_thresholds=(0.2, 0.9)))
    sample = Sample("Once.", [" Oh. A fox. It sang.", " One fox. Two foxes. No foxes."])
    assert other.rate_completions(sample) == [1 / 3, 1.0]
    assert simulated_feedback.labels([sample, sample], other)["label"][:] == [1 / 3 > 0.2, 1 > 0.9] * 2
    assert [one.rate_completions(sample) for one in other.panel(2)] == [[1 / 3, 1.0]] * 2


def test_annotators_of_a_panel_have_independent_errors(samples):
    first, second = ([one.rate_completions(s) for s in samples] for one in Annotator(0.5).panel(2))
    assert first != second


def test_voters_without_noise_agree():
    dataset = simulated_feedback.votes([FOX], Annotator(), voters=5)
    assert (dataset["votes"][:], dataset["ties"][:]) == ([[5, 0], [0, 0]], [0, 5])


def test_noisy_voters_disagree(samples):
    dataset = simulated_feedback.votes(samples, Annotator(0.5), voters=5)
    assert all(sum(row["votes"]) + row["ties"] == 5 for row in dataset)
    assert any(min(row["votes"]) > 0 for row in dataset)


def agreement(samples, noise: float) -> float:
    """Return the share of pairs in which the gold reward prefers the chosen completion; a tie counts half."""
    dataset = simulated_feedback.pairs(samples, Annotator(noise, seed=5))
    differences = [
        completion_reward(r["prompt"], r["chosen"]) - completion_reward(r["prompt"], r["rejected"]) for r in dataset
    ]
    return mean(1.0 if difference > 0 else 0.5 if difference == 0 else 0.0 for difference in differences)


def test_agreement_with_gold_decreases_with_noise(samples):
    clean, noisy, guessed = (agreement(samples, noise) for noise in (0.0, 0.4, 1.0))
    assert clean == 1.0
    assert clean > noisy > guessed
    assert guessed == pytest.approx(0.5, abs=0.15)


def test_equal_seeds_give_equal_feedback(samples):
    for feedback_type in FEEDBACK_TYPES:
        first, second, other = (annotate(feedback_type, samples, Annotator(0.5, seed)).to_list() for seed in (0, 0, 1))
        assert first == second != other


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES, ids=lambda feedback_type: feedback_type.__name__)
def test_every_dataset_has_the_columns_of_its_feedback_type(feedback_type, samples):
    dataset = annotate(feedback_type, samples, Annotator())
    assert feedback_types_in_columns(dataset.column_names) == (feedback_type,)
    assert len(feedback_type.from_row(dataset[0])) > 0


@pytest.mark.parametrize("name", loss_registry())
def test_every_loss_accepts_its_simulated_feedback(name, samples):
    loss = loss_registry()[name]()
    loss = loss if loss.uses_labels else bradley_terry + loss
    for row in feedback_for(loss, samples[:4]):
        feedback = Mixed.from_row(row)
        for term in loss.as_objective().terms:
            usable = [part for part in feedback.parts if part.is_convertible_to(term.loss.feedback_type)]
            for part in usable:
                term.loss.check(part.convert_to(term.loss.feedback_type))


def test_a_sum_has_the_feedback_types_of_all_terms(samples):
    dataset = feedback_for(bradley_terry + segment_hinge, samples[:4])
    assert feedback_types_in_columns(dataset.column_names) == (Pairs, Steps)
    rows = dataset.to_list()
    assert any(row["chosen"] for row in rows)
    assert any(row["labels"] for row in rows)


def test_steps_are_rated_only_if_every_term_accepts_ratings(samples):
    dtypes = [
        feedback_for(loss, samples[:4]).features["labels"].feature.dtype
        for loss in (segment_rating, segment_hinge, segment_rating + segment_hinge)
    ]
    assert dtypes == ["float64", "bool", "bool"]


@pytest.mark.parametrize("loss", [centering, score_decay, centering + 0.5 * score_decay], ids=str)
def test_a_regularizer_alone_is_refused_with_an_example(loss):
    with pytest.raises(FeedbackMismatchError, match=r"bradley_terry \+ 0\.01 \*"):
        feedback_for(loss, [FOX])


def test_feedback_types_with_conflicting_columns_are_refused():
    with pytest.raises(FeedbackMismatchError, match="completions"):
        feedback_for(accumulated_pairs + segment_hinge, [FOX])
