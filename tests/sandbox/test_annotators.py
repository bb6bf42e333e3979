"""Clean annotators say what gold says, in every shape; noisy ones err as often as they are told to."""

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
from rlhf_losses.losses.indifference import is_regularizer
from rlhf_losses.sandbox import Annotator, Sample, annotate, annotators, feedback_for, gold
from rlhf_losses.sandbox.annotators import Taste

BEST, GOOD, BAD = (
    " They sang. They laughed. They danced.",
    " They sang. They laughed. They sat.",
    " They cried. They fought. They sat.",
)
FOX = Sample("Once there was a fox.", [GOOD, BAD, BEST, BEST])


def test_clean_annotators_read_gold(samples):
    clean = Annotator(noise=0.0)
    for sample in samples:
        assert clean.read_all(sample) == [gold.worth(sample.prompt, text) for text in sample.completions]


def test_pairs_prefer_the_better_story(samples):
    for row in annotators.pairs(samples, Annotator()):
        assert gold.worth(row["prompt"], row["chosen"]) > gold.worth(row["prompt"], row["rejected"])


def test_pairs_drop_ties_unless_they_can_say_so():
    assert annotators.pairs([FOX], Annotator()).to_list() == [{"prompt": FOX.prompt, "chosen": GOOD, "rejected": BAD}]
    told = annotators.pairs([FOX], Annotator(), columns=("prompt", "chosen", "rejected", "margin", "preference"))
    assert told["preference"][:] == [1.0, 0.5]
    assert told["margin"][:] == [(1 + 1 + 0) / 3 - (-1 - 1 + 0) / 3, 0.0]


def test_rankings_put_the_best_first_and_keep_ties():
    assert annotators.rankings([FOX], Annotator())["ranks"][:] == [[2, 3, 1, 1]]


def test_ratings_are_gold_in_both_forms():
    golds = [gold.worth(FOX.prompt, text) for text in FOX.completions]
    assert annotators.ratings([FOX], Annotator())["rating"][:] == golds
    assert annotators.rating_lists([FOX], Annotator())["ratings"][:] == [golds]


def test_labels_say_whether_gold_is_above_a_lenient_or_a_strict_bar():
    middling = Sample(FOX.prompt, [" They sat. They walked. They rested."] * 2)
    assert annotators.labels([middling, FOX], Annotator())["label"][:] == [
        0 > -0.5,
        0 > 0.5,
        2 / 3 > -0.5,
        -2 / 3 > 0.5,
        True,
        True,
    ]


def test_steps_are_the_sentences_and_what_each_is_worth():
    labelled, rated = annotators.steps([FOX], Annotator()), annotators.rated_steps([FOX], Annotator())
    assert rated["labels"][:2] == [[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]
    assert labelled["labels"][:2] == [[1 > -0.5, 1 > -0.5, 0 > -0.5], [-1 > 0.5, -1 > 0.5, 0 > 0.5]]
    assert ["".join(steps) for steps in labelled["completions"]] == FOX.completions


def test_the_mean_of_rated_steps_is_the_rating_of_a_whole_story(samples):
    whole = [row for row in annotators.rated_steps(samples, Annotator()) if len(row["labels"]) >= gold.FEWEST_SENTENCES]
    assert len(whole) > 200
    for row in whole:
        assert mean(row["labels"]) == pytest.approx(gold.worth(row["prompt"], "".join(row["completions"])))


def test_annotators_may_have_another_taste():
    keen = Annotator(taste=Taste(lambda sentence: float("fox" in sentence), bars=(0.2, 0.9)))
    sample = Sample("Once.", [" Oh. A fox. It sang.", " One fox. Two foxes. No foxes."])
    assert keen.read_all(sample) == [1 / 3, 1.0]
    assert annotators.labels([sample, sample], keen)["label"][:] == [1 / 3 > 0.2, 1 > 0.9] * 2
    assert [one.read_all(sample) for one in keen.panel(2)] == [[1 / 3, 1.0]] * 2


def test_a_panel_errs_each_in_its_own_way(samples):
    first, second = ([one.read_all(s) for s in samples] for one in Annotator(0.5).panel(2))
    assert first != second


def test_clean_voters_agree():
    told = annotators.votes([FOX], Annotator(), voters=5)
    assert (told["votes"][:], told["ties"][:]) == ([[5, 0], [0, 0]], [0, 5])


def test_noisy_voters_disagree_and_all_vote(samples):
    told = annotators.votes(samples, Annotator(0.5), voters=5)
    assert all(sum(row["votes"]) + row["ties"] == 5 for row in told)
    assert any(min(row["votes"]) > 0 for row in told)


def agreement(samples, noise: float) -> float:
    """Return the share of pairs whose chosen story is better by gold, a tie counting half."""
    told = annotators.pairs(samples, Annotator(noise, seed=5))
    leads = [gold.worth(r["prompt"], r["chosen"]) - gold.worth(r["prompt"], r["rejected"]) for r in told]
    return mean(1.0 if score_difference > 0 else 0.5 if score_difference == 0 else 0.0 for score_difference in leads)


def test_more_noise_agrees_less_with_gold(samples):
    clean, noisy, guessed = (agreement(samples, noise) for noise in (0.0, 0.4, 1.0))
    assert clean == 1.0
    assert clean > noisy > guessed
    assert guessed == pytest.approx(0.5, abs=0.15)


def test_the_same_seed_says_the_same(samples):
    for kind in FEEDBACK_TYPES:
        first, second, other = (annotate(kind, samples, Annotator(0.5, seed)).to_list() for seed in (0, 0, 1))
        assert first == second != other


@pytest.mark.parametrize("kind", FEEDBACK_TYPES, ids=lambda kind: kind.__name__)
def test_every_kind_is_read_back_as_that_kind(kind, samples):
    told = annotate(kind, samples, Annotator())
    assert feedback_types_in_columns(told.column_names) == (kind,)
    assert len(kind.from_row(told[0])) > 0


@pytest.mark.parametrize("name", loss_registry())
def test_every_loss_can_price_the_feedback_given_for_it(name, samples):
    loss = loss_registry()[name]()
    loss = bradley_terry + loss if is_regularizer(loss) else loss
    for row in feedback_for(loss, samples[:4]):
        feedback = Mixed.from_row(row)
        for term in loss.terms:
            held = [kind for kind in feedback.kinds if kind.is_convertible_to(term.loss.feedback_type)]
            for one in held:
                term.loss.check(one.convert_to(term.loss.feedback_type))


def test_a_sum_gets_every_kind_that_its_terms_read(samples):
    told = feedback_for(bradley_terry + segment_hinge, samples[:4])
    assert feedback_types_in_columns(told.column_names) == (Pairs, Steps)
    rows = told.to_list()
    assert any(row["chosen"] for row in rows)
    assert any(row["labels"] for row in rows)


def test_steps_are_rated_only_where_every_loss_takes_ratings(samples):
    dtypes = [
        feedback_for(loss, samples[:4]).features["labels"].feature.dtype
        for loss in (segment_rating, segment_hinge, segment_rating + segment_hinge)
    ]
    assert dtypes == ["float64", "bool", "bool"]


@pytest.mark.parametrize("loss", [centering, score_decay, centering + 0.5 * score_decay], ids=str)
def test_a_regularizer_alone_is_refused_with_what_to_write(loss):
    with pytest.raises(FeedbackMismatchError, match=r"bradley_terry \+ 0\.01 \*"):
        feedback_for(loss, [FOX])


def test_feedback_that_one_table_cannot_hold_is_refused():
    with pytest.raises(FeedbackMismatchError, match="completions"):
        feedback_for(accumulated_pairs + segment_hinge, [FOX])
