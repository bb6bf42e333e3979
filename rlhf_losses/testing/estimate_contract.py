"""The contract of an estimate, rule by rule. `check_estimate(Laplace())` is all that a plugin's test needs."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from rlhf_losses.feedback import Feedback, Pairs
from rlhf_losses.hooks.registry import require_contract
from rlhf_losses.losses.parser import parse_call
from rlhf_losses.testing.examples import batches_read_as, join
from rlhf_losses.transforms.estimate import Evidence, ScoreEstimate

_WIDTH = 5


def check_estimate(estimate: ScoreEstimate) -> None:
    """Raise `AssertionError`, with the estimate, the rule and what was seen, unless `estimate` keeps the contract.

    What its number means is not tested: compare it with something that you know.
    """
    for rule in RULES:
        try:
            rule(estimate)
        except Exception as error:
            kind = estimate if isinstance(estimate, type) else type(estimate)
            seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{kind.__name__} breaks a rule. {rule.__doc__}\n{seen}") from error


def _is_a_documented_frozen_dataclass(estimate: Any) -> None:
    """An estimate is an object of a documented, frozen dataclass with a default for every option."""
    if isinstance(estimate, type):
        raise AssertionError(f"It is a class. Check an object: check_estimate({estimate.__name__}()).")
    require_contract(type(estimate), type(estimate).__module__, ScoreEstimate, "provide_score_estimates")


def _its_text_parses_back(estimate: ScoreEstimate) -> None:
    """The text of an estimate parses back to the same estimate."""
    back = parse_call(str(estimate), {estimate.name(): type(estimate)})
    if back != estimate:
        raise AssertionError(
            f'"{estimate}" parses to {back!r}, which is not {estimate!r}. Let options be numbers or texts.'
        )


def _fits_tensors_that_can_be_saved(estimate: ScoreEstimate) -> None:
    """What is fitted are finite tensors by name."""
    fitted = estimate.fit(iter(_evidence(estimate)))
    for name, value in dict(fitted).items():
        if not isinstance(value, Tensor):
            raise AssertionError(f"{name} is {value!r}. Make it a tensor, as torch.tensor(value).")
        if not bool(torch.isfinite(value).all()):
            raise AssertionError(f"{name} holds numbers that are not finite. Mend the formula for few and like texts.")


def _reads_one_number_a_score(estimate: ScoreEstimate) -> None:
    """An estimate reads one finite number in float32 for every score, and nothing of no scores."""
    fitted, features = _saved(estimate, _evidence(estimate)), _features(7, seed=1)
    for some in (features, 100 * features, features[:0]):
        told = estimate.read(some, some.sum(1), **fitted)
        if told.shape != (len(some),) or told.dtype != torch.float32:
            raise AssertionError(
                f"{len(some)} vectors gave {told.dtype} of the shape {tuple(told.shape)}. Return a vector of float32."
            )
        if not bool(torch.isfinite(told).all()):
            raise AssertionError(f"{len(some)} vectors gave {told.tolist()}. Mend the formula for vectors far away.")


def _reads_each_text_by_itself(estimate: ScoreEstimate) -> None:
    """A text has the same number alone and in a batch, in whatever order texts come."""
    fitted, features = _saved(estimate, _evidence(estimate)), _features(7, seed=1)
    together = estimate.read(features, features.sum(1), **fitted)
    alone = torch.cat([estimate.read(one, one.sum(1), **fitted) for one in features.split(1)])
    backwards = estimate.read(features.flip(0), features.flip(0).sum(1), **fitted).flip(0)
    for told, how in ((alone, "alone"), (backwards, "in the other order")):
        _require_same(together, told, f"in a batch, and {how},", "Use what `fit` returned in place of the batch's own.")


def _fits_to_the_data_and_not_to_their_batches(estimate: ScoreEstimate) -> None:
    """The same data give the same numbers in one batch or in several, whichever comes first."""
    batches = _evidence(estimate)
    features = _features(7, seed=1)
    expected = estimate.read(features, features.sum(1), **_saved(estimate, batches))
    for how, others in (("in one batch", [_joined(batches)]), ("in another order", batches[::-1])):
        told = estimate.read(features, features.sum(1), **_saved(estimate, others))
        _require_same(expected, told, f"of several batches, and {how},", "Add up over batches, and divide at the end.")


def _leaves_what_it_gets_as_it_is(estimate: ScoreEstimate) -> None:
    """Features and scores are not changed in place."""
    batches, features = _evidence(estimate), _features(7, seed=1)
    fitted = estimate.fit(iter(batches))
    estimate.read(features, features.sum(1), **fitted)
    kept = zip(batches, _evidence(estimate), strict=True)
    same = [torch.equal(one.features, other.features) and torch.equal(one.scores, other.scores) for one, other in kept]
    if not all(same) or not torch.equal(features, _features(7, seed=1)):
        raise AssertionError("They hold other numbers afterwards. Write a = a - b in place of a -= b.")


RULES: tuple[Callable[[Any], None], ...] = (
    _is_a_documented_frozen_dataclass,
    _its_text_parses_back,
    _fits_tensors_that_can_be_saved,
    _leaves_what_it_gets_as_it_is,
    _reads_one_number_a_score,
    _reads_each_text_by_itself,
    _fits_to_the_data_and_not_to_their_batches,
)
"""A rule raises, with what it saw, if the estimate breaks it; its docstring is how the rule is told."""


def _evidence(estimate: ScoreEstimate) -> list[Evidence]:
    """Return batches with feedback of the kind that an estimate reads, on scores that a head makes of vectors."""
    kind = Pairs if estimate.feedback_type is Feedback else estimate.feedback_type
    batches = []
    for number, rows in enumerate(batches_read_as(kind)):
        said = join(rows)
        features = _features(said.score_count(), seed=100 + number)
        batches.append(Evidence(features, features.sum(1), said))
    return batches


def _joined(batches: list[Evidence]) -> Evidence:
    features, said = torch.cat([one.features for one in batches]), join([one.feedback for one in batches])
    return Evidence(features, features.sum(1), said)


def _features(count: int, seed: int) -> Tensor:
    return torch.randn(count, _WIDTH, generator=torch.Generator().manual_seed(seed))


def _saved(estimate: ScoreEstimate, batches: list[Evidence]) -> Mapping[str, Tensor]:
    """Return what was fitted, as it comes back from a file."""
    return load(save({name: value.contiguous() for name, value in estimate.fit(iter(batches)).items()}))


def _require_same(expected: Tensor, told: Tensor, how: str, advice: str) -> None:
    if not torch.allclose(expected, told, rtol=1e-3, atol=1e-5):
        raise AssertionError(f"The numbers {how} are {expected.tolist()} and {told.tolist()}. {advice}")
