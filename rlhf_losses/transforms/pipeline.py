"""Pipelines of score transforms, and their string form: `standardize | clip(limit=5)`."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import TypeVar

from rlhf_losses.errors import InvalidSettingError, UnknownNameError, UnsupportedModelError, did_you_mean
from rlhf_losses.losses.parser import parse_call, syntax_tree
from rlhf_losses.shapes import Scores
from rlhf_losses.transforms.base import Evidence, Fitted, Requirement, ScoredTexts, ScoreTransform

Texts = TypeVar("Texts", bound=ScoredTexts)


@dataclass(frozen=True)
class TransformPipeline:
    """Score transforms that are applied one after the other.

    Args:
        transforms: at least one; the first one is applied first.

    Raises:
        InvalidSettingError: there is no transform.
    """

    transforms: tuple[ScoreTransform, ...]

    def __post_init__(self) -> None:
        if not self.transforms:
            raise InvalidSettingError(
                "The pipeline has no transforms, so it changes no score. Give at least one, for example 'standardize'."
            )

    @property
    def requires(self) -> Requirement:
        """Return the inputs that the transforms require together."""
        return reduce(or_, (one.requires for one in self.transforms))

    @property
    def monotone(self) -> bool:
        """Whether all transforms are monotone."""
        return all(one.monotone for one in self.transforms)

    def fit(self, evidence: Iterable[Evidence]) -> "FittedPipeline":
        """Return the pipeline with fitted tensors; each transform is fitted to the output of the transforms before it.

        Args:
            evidence: batches of reference samples with raw scores.
        """
        batches, fitted = list(evidence), []
        for transform in self.transforms:
            fitted.append(dict(transform.fit(batches)) if Requirement.REFERENCE in transform.requires else {})
            batches = [replace(one, scores=transform.apply(one, fitted[-1])) for one in batches]
        return FittedPipeline(self, tuple(fitted))

    def prefixes(self) -> tuple[str, ...]:
        """Return, for each transform, the string form of the pipeline up to and including it.

        The tensors of a transform depend on the transforms before it, so they are saved under this string.

        >>> from rlhf_losses.transforms import Clip, standardize
        >>> TransformPipeline((Clip(limit=9.0), standardize)).prefixes()
        ('clip(limit=9.0)', 'clip(limit=9.0) | standardize')
        """
        strings = [str(one) for one in self.transforms]
        return tuple(" | ".join(strings[: end + 1]) for end in range(len(strings)))

    def __str__(self) -> str:
        """Return the string form, which parses to an equal pipeline."""
        return " | ".join(map(str, self.transforms))


@dataclass(frozen=True)
class FittedPipeline:
    """A pipeline with the fitted tensors of each transform.

    Attributes:
        pipeline: the transforms.
        fitted: the tensors of each transform, by name.
    """

    pipeline: TransformPipeline
    fitted: tuple[Fitted, ...]

    def apply(self, texts: ScoredTexts) -> Scores:
        """Return the transformed scores.

        Args:
            texts: raw scores, with features and lengths if the pipeline requires them.
        """
        for transform, fitted in zip(self.pipeline.transforms, self.fitted, strict=True):
            with _explained(transform):
                scores = transform.apply(texts, fitted)
            if scores.shape != texts.scores.shape:
                raise _damaged(transform, f"{len(texts.scores)} scores become a tensor of shape {tuple(scores.shape)}")
            _require_finite(transform, scores[texts.scores.isfinite()])
            texts = replace(texts, scores=scores)
        return texts.scores

    def affine(self) -> tuple[float, float] | None:
        """Return scale and shift if the pipeline is `scale * score + shift`, else None."""
        scale, shift = 1.0, 0.0
        for transform, fitted in zip(self.pipeline.transforms, self.fitted, strict=True):
            with _explained(transform):
                step = transform.affine(fitted)
            if step is None:
                return None
            scale, shift = step[0] * scale, step[0] * shift + step[1]
        return scale, shift

    def __str__(self) -> str:
        return str(self.pipeline)


@contextmanager
def _explained(transform: ScoreTransform) -> Iterator[None]:
    """Convert errors about fitted values that are missing or damaged."""
    try:
        yield
    except (LookupError, RuntimeError, ZeroDivisionError, ValueError) as error:
        raise _damaged(transform, f"{type(error).__name__}: {error}") from error


def _require_finite(transform: ScoreTransform, scores: Scores) -> None:
    if not bool(scores.isfinite().all()):
        raise _damaged(transform, "a score becomes NaN or infinite")


def _damaged(transform: ScoreTransform, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The fitted values of the score transform '{transform}' cannot be used: {reason}. Fit it again to reference "
        "samples, or download the files of the model again."
    )


def parse_transforms(text: str, transforms: Mapping[str, type[ScoreTransform]]) -> TransformPipeline:
    """Return the pipeline that a string describes. Nothing in the string is evaluated.

    Args:
        text: transforms with keyword options, separated by `|`.
        transforms: classes by name.

    Raises:
        UnknownNameError: a transform or an option is unknown.
        InvalidSettingError: the string is not a pipeline of transforms.

    Examples:
        >>> from rlhf_losses.transforms import Clip, Standardize
        >>> known = {"standardize": Standardize, "clip": Clip}
        >>> print(parse_transforms("standardize|clip( limit = 2.0 )", known))
        standardize | clip(limit=2.0)
    """
    try:
        calls = _calls(syntax_tree(text, InvalidSettingError))
    except (SyntaxError, RecursionError):
        raise InvalidSettingError(
            f"'{text[:200]}' is not a pipeline of score transforms. Separate transforms by |, for example "
            "'standardize | clip(limit=5)'."
        ) from None
    return TransformPipeline(tuple(_parse_one(call, transforms) for call in calls))


def _calls(node: ast.expr) -> list[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_calls(node.left), *_calls(node.right)]
    called = node.func if isinstance(node, ast.Call) else node
    if not isinstance(called, ast.Name):
        raise SyntaxError
    return [ast.unparse(node)]


def _parse_one(call: str, transforms: Mapping[str, type[ScoreTransform]]) -> ScoreTransform:
    name = call.partition("(")[0]
    if name not in transforms:
        raise UnknownNameError(
            f"Unknown score transform '{name}'.{did_you_mean(name, transforms)} "
            f"Choose one of: {', '.join(transforms)}. Or install the plugin that provides it."
        )
    return parse_call(call, transforms)
