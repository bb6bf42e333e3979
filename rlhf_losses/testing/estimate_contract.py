"""`check_estimate`: the contract of a score estimate, rule by rule."""

from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load, save

from rlhf_losses.feedback import Feedback, Pairs
from rlhf_losses.hooks.contracts import ESTIMATES
from rlhf_losses.losses.parser import parse_call
from rlhf_losses.testing.examples import example_batches_of, join
from rlhf_losses.testing.rule_helpers import (
    Rule,
    check_rules,
    is_equal,
    random_texts,
    require_close,
    require_finite_tensors,
    select,
)
from rlhf_losses.transforms import Evidence, Fitted, ScoredTexts, ScoreEstimate


def check_estimate(estimate: ScoreEstimate) -> None:
    """Check that a score estimate keeps its contract.

    The meaning of the number is not checked: compare it with known values in a test of your own.

    Args:
        estimate: an instance with the options to check.

    Raises:
        AssertionError: the estimate breaks a rule; the message names the estimate, the rule, the observation and a
            remedy.
    """
    check_rules(RULES, estimate)


def _is_a_documented_frozen_dataclass(estimate: Any) -> None:
    """An estimate is an instance of a documented, frozen dataclass with a default for every option."""
    if isinstance(estimate, type):
        raise AssertionError(f"The argument is a class. Pass an instance: check_estimate({estimate.__name__}()).")
    ESTIMATES.validate(type(estimate), type(estimate).__module__)


def _its_string_form_parses_back(estimate: ScoreEstimate) -> None:
    """The string form of an estimate parses to an equal estimate."""
    parsed = parse_call(str(estimate), {estimate.name(): type(estimate)})
    if parsed != estimate:
        raise AssertionError(
            f'"{estimate}" parses to {parsed!r}, which is not {estimate!r}. Use numbers and strings as options.'
        )


def _fits_finite_tensors(estimate: ScoreEstimate) -> None:
    """`fit` returns finite tensors by name."""
    require_finite_tensors(estimate.fit(iter(_evidence(estimate))))


def _does_not_change_its_inputs(estimate: ScoreEstimate) -> None:
    """`fit` and `predict` do not change features and scores in place."""
    batches, texts = _evidence(estimate), random_texts(7, seed=1)
    estimate.predict(texts, estimate.fit(iter(batches)))
    unchanged = [is_equal(one, other) for one, other in zip(batches, _evidence(estimate), strict=True)]
    if not all(unchanged) or not is_equal(texts, random_texts(7, seed=1)):
        raise AssertionError("A tensor has other values after the call. Use a = a - b instead of a -= b.")


def _predicts_one_finite_number_per_score(estimate: ScoreEstimate) -> None:
    """`predict` returns one finite number in float32 per score, also for no scores."""
    fitted, texts = _fit(estimate, _evidence(estimate)), random_texts(7, seed=1)
    far = ScoredTexts(100 * texts.scores, 100 * texts.features, texts.lengths)
    for some in (texts, far, select(texts, slice(0))):
        found, count = estimate.predict(some, fitted), len(some.scores)
        if found.shape != (count,) or found.dtype != torch.float32:
            raise AssertionError(
                f"{count} texts have a result of dtype {found.dtype} and shape {tuple(found.shape)}. "
                f"Return a float32 vector of shape ({count},)."
            )
        if not bool(torch.isfinite(found).all()):
            raise AssertionError(
                f"{count} texts have the result {found.tolist()}. Correct the formula for features far from the data."
            )


def _predicts_each_text_independently(estimate: ScoreEstimate) -> None:
    """The number of a text does not depend on the other texts or on their order."""
    fitted, texts = _fit(estimate, _evidence(estimate)), random_texts(7, seed=1)
    expected = estimate.predict(texts, fitted)
    alone = torch.cat([estimate.predict(select(texts, slice(i, i + 1)), fitted) for i in range(7)])
    order = torch.arange(6, -1, -1)
    reversed_order = estimate.predict(select(texts, order), fitted)[order]
    remedy = "Use the tensors that fit returned, not statistics of the batch."
    require_close(expected, alone, "in a batch and alone", remedy)
    require_close(expected, reversed_order, "in a batch and in reversed order", remedy)


def _fit_does_not_depend_on_batches(estimate: ScoreEstimate) -> None:
    """A fit to the same data gives the same numbers for every division into batches and every order of batches."""
    batches, texts = _evidence(estimate), random_texts(7, seed=1)
    expected = estimate.predict(texts, _fit(estimate, batches))
    for how, others in (("in one batch", [_join(batches)]), ("in reversed order", batches[::-1])):
        found = estimate.predict(texts, _fit(estimate, others))
        remedy = "Add over batches, and divide at the end."
        require_close(expected, found, f"fitted in several batches and {how}", remedy)


RULES: tuple[Rule, ...] = (
    _is_a_documented_frozen_dataclass,
    _its_string_form_parses_back,
    _fits_finite_tensors,
    _does_not_change_its_inputs,
    _predicts_one_finite_number_per_score,
    _predicts_each_text_independently,
    _fit_does_not_depend_on_batches,
)
"""The rules, in the order in which they are checked."""


def _evidence(estimate: ScoreEstimate) -> list[Evidence]:
    """Return batches with feedback of the type of an estimate."""
    feedback_type = Pairs if estimate.feedback_type is Feedback else estimate.feedback_type
    feedback = [join(rows) for rows in example_batches_of(feedback_type)]
    return [random_texts(one.score_count(), 100 + i).with_feedback(one) for i, one in enumerate(feedback)]


def _join(batches: Sequence[Evidence]) -> Evidence:
    return ScoredTexts.concatenate(batches).with_feedback(join([batch.feedback for batch in batches]))


def _fit(estimate: ScoreEstimate, batches: Sequence[Evidence]) -> Fitted:
    """Return the fitted tensors after they were written to a file and loaded again."""
    tensors: Fitted = load(save({name: value.contiguous() for name, value in estimate.fit(iter(batches)).items()}))
    return tensors
