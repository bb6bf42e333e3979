"""`check_transform`: the contract of a score transform, rule by rule."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.feedback import Mixed
from rlhf_losses.hooks.contracts import TRANSFORMS
from rlhf_losses.testing.rule_helpers import (
    Rule,
    check_rules,
    is_equal,
    random_texts,
    require_close,
    require_finite_tensors,
    select,
)
from rlhf_losses.transforms import (
    Evidence,
    Fitted,
    Requirement,
    ScoredTexts,
    ScoreTransform,
    TransformPipeline,
    parse_transforms,
)


def check_transform(transform: ScoreTransform) -> None:
    """Check that a score transform keeps its contract, and that its declared properties are true.

    Args:
        transform: an instance with the options to check.

    Raises:
        AssertionError: the transform breaks a rule; the message names the transform, the rule, the observation and a
            remedy.

    Examples:
        >>> from rlhf_losses.transforms import Clip
        >>> check_transform(Clip(limit=2.0))
    """
    check_rules(RULES, transform)


def _is_a_documented_frozen_dataclass(transform: Any) -> None:
    """A transform is an instance of a documented, frozen dataclass with a default for every option."""
    if isinstance(transform, type):
        raise AssertionError(f"The argument is a class. Pass an instance: check_transform({transform.__name__}()).")
    TRANSFORMS.validate(type(transform), type(transform).__module__)


def _its_string_form_parses_back(transform: ScoreTransform) -> None:
    """The string form of a transform parses to an equal transform."""
    parsed = parse_transforms(str(transform), {transform.name(): type(transform)})
    if parsed != TransformPipeline((transform,)):
        raise AssertionError(
            f'"{transform}" parses to {parsed!r}, which is not {transform!r}. Use numbers and strings as options.'
        )


def _does_not_change_its_inputs(transform: ScoreTransform) -> None:
    """`fit` and `apply` do not change their inputs in place."""
    samples, texts = _random_texts(25, seed=100), _random_texts(7, seed=1)
    fitted = transform.fit(iter([samples.with_feedback(Mixed(()))]))
    before = copy.deepcopy(fitted)
    transform.apply(texts, fitted)
    unchanged = [
        is_equal(samples, _random_texts(25, seed=100)),
        is_equal(texts, _random_texts(7, seed=1)),
        *(torch.equal(value, before[name]) for name, value in fitted.items() if isinstance(value, Tensor)),
    ]
    if not all(unchanged):
        raise AssertionError("A tensor has other values after the call. Use a = a - b instead of a -= b.")


def _uses_only_the_inputs_that_it_requires(transform: ScoreTransform) -> None:
    """Features and lengths have no effect unless `requires` declares them."""
    samples, texts = _random_texts(25, seed=100), _random_texts(7, seed=1)
    expected = _fit_and_apply(transform, samples, texts)
    changes: dict[Requirement, Callable[[ScoredTexts], ScoredTexts]] = {
        Requirement.FEATURES: lambda one: replace(one, features=one.features.flip(0)),
        Requirement.LENGTHS: lambda one: replace(one, lengths=one.lengths.flip(0)),
    }
    for requirement, change in changes.items():
        if requirement not in transform.requires:
            found = _fit_and_apply(transform, change(samples), change(texts))
            how = f"before and after a change of the {str(requirement.name).lower()}"
            require_close(expected, found, how, f"Add Requirement.{requirement.name} to requires.")


def _fits_finite_numbers_if_it_requires_a_reference(transform: ScoreTransform) -> None:
    """`fit` returns finite scalars and vectors if the transform requires a reference, and otherwise nothing."""
    fitted = transform.fit(iter(_evidence(transform)))
    if bool(fitted) is not (Requirement.REFERENCE in transform.requires):
        raise AssertionError(
            f"requires is {transform.requires}, but fit returned {dict(fitted)}. Add Requirement.REFERENCE to requires "
            "if the transform is fitted, and remove it if it is not."
        )
    require_finite_tensors(fitted)
    for name, value in fitted.items():
        if value.dim() > 1:
            raise AssertionError(
                f"{name} has the shape {tuple(value.shape)}. reward_model.json stores scalars and vectors; use a "
                "ScoreEstimate for larger tensors."
            )


def _returns_one_finite_score_per_score(transform: ScoreTransform) -> None:
    """`apply` returns one finite score in the dtype of the scores per score, also for no scores."""
    fitted, texts = _fit(transform), _texts(transform)
    far = ScoredTexts(100 * texts.scores, 100 * texts.features, texts.lengths)
    for some in (texts, far, select(texts, slice(0))):
        found = transform.apply(some, fitted)
        if found.shape != some.scores.shape or found.dtype != some.scores.dtype:
            raise AssertionError(
                f"Scores of dtype {some.scores.dtype} and shape {tuple(some.scores.shape)} have a result of dtype "
                f"{found.dtype} and shape {tuple(found.shape)}. Return a vector like texts.scores."
            )
        if not bool(torch.isfinite(found).all()):
            raise AssertionError(
                f"The scores {some.scores.tolist()} have the result {found.tolist()}. Correct the formula for large "
                "scores."
            )


def _transforms_each_text_independently(transform: ScoreTransform) -> None:
    """The transformed score of a text does not depend on the other texts or on their order."""
    fitted, texts = _fit(transform), _texts(transform)
    expected, count = transform.apply(texts, fitted), len(texts.scores)
    alone = torch.cat([transform.apply(select(texts, slice(i, i + 1)), fitted) for i in range(count)])
    order = torch.arange(count - 1, -1, -1)
    reversed_order = transform.apply(select(texts, order), fitted)[order]
    remedy = "Use the tensors that fit returned, not statistics of the batch."
    require_close(expected, alone, "in a batch and alone", remedy)
    require_close(expected, reversed_order, "in a batch and in reversed order", remedy)


def _fit_does_not_depend_on_batches(transform: ScoreTransform) -> None:
    """A fit to the same samples gives the same scores for every division into batches and every order of batches."""
    batches, texts = _evidence(transform), _texts(transform)
    expected = transform.apply(texts, _fit(transform, batches))
    joined = ScoredTexts.concatenate(batches).with_feedback(Mixed(()))
    for how, others in (("in one batch", [joined]), ("in reversed order", batches[::-1])):
        found = transform.apply(texts, _fit(transform, others))
        require_close(expected, found, f"fitted in several batches and {how}", "Combine the batches before dividing.")


def _is_monotone_if_it_declares_it(transform: ScoreTransform) -> None:
    """If `monotone` is True, a higher score of the same text never has a lower result."""
    if not transform.monotone:
        return
    texts = _texts(transform)
    grid = torch.linspace(-20, 20, 401, dtype=texts.scores.dtype)
    for index in range(len(texts.scores)):
        one = select(texts, torch.full((len(grid),), index))
        found = transform.apply(replace(one, scores=grid), _fit(transform))
        if not bool((found.diff() >= 0).all()):
            fall = int(found.diff().argmin())
            raise AssertionError(
                f"The score {grid[fall]:z.2f} has the result {found[fall]:z.4f}, and {grid[fall + 1]:z.2f} has "
                f"{found[fall + 1]:z.4f}. Set monotone = False."
            )


def _affine_is_exact(transform: ScoreTransform) -> None:
    """`affine` returns None, or the scale and the shift with which `apply` agrees."""
    fitted, texts = _fit(transform), _texts(transform)
    affine = transform.affine(fitted)
    if affine is not None:
        expected = affine[0] * texts.scores + affine[1]
        found = transform.apply(texts, fitted)
        require_close(expected, found, f"of affine() = {affine} and of apply()", "Correct affine, or return None.")


RULES: tuple[Rule, ...] = (
    _is_a_documented_frozen_dataclass,
    _its_string_form_parses_back,
    _does_not_change_its_inputs,
    _uses_only_the_inputs_that_it_requires,
    _fits_finite_numbers_if_it_requires_a_reference,
    _returns_one_finite_score_per_score,
    _transforms_each_text_independently,
    _fit_does_not_depend_on_batches,
    _is_monotone_if_it_declares_it,
    _affine_is_exact,
)
"""The rules, in the order in which they are checked."""


def _random_texts(count: int, seed: int) -> ScoredTexts:
    return random_texts(count, seed, dtype=torch.float64)


def _fit_and_apply(transform: ScoreTransform, samples: ScoredTexts, texts: ScoredTexts) -> Tensor:
    return transform.apply(texts, transform.fit(iter([samples.with_feedback(Mixed(()))])))


def _texts(transform: ScoreTransform, count: int = 7, seed: int = 1) -> ScoredTexts:
    """Return random texts, with features if the transform requires them."""
    texts = _random_texts(count, seed)
    width = None if Requirement.FEATURES in transform.requires else 0
    return replace(texts, features=texts.features[:, :width])


def _evidence(transform: ScoreTransform) -> list[Evidence]:
    """Return batches of reference samples."""
    return [_texts(transform, count, seed=100 + count).with_feedback(Mixed(())) for count in (8, 12, 5)]


def _fit(transform: ScoreTransform, batches: Sequence[Evidence] | None = None) -> Fitted:
    """Return the fitted tensors after they were written to JSON and loaded again."""
    fitted = transform.fit(iter(batches or _evidence(transform)))
    values = json.loads(json.dumps({name: value.tolist() for name, value in fitted.items()}))
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
