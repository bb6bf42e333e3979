"""Contracts of the hooks: which classes a plugin may provide, and the checks at registration."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, Generic, TypeVar

from rlhf_losses.converters import DatasetConverter
from rlhf_losses.errors import PluginError, RlhfLossesError
from rlhf_losses.losses import Loss, NamedObjective
from rlhf_losses.losses.options import require_dataclass
from rlhf_losses.transforms import ScoreEstimate, ScoreTransform

T = TypeVar("T")
LossClass = Loss[Any] | NamedObjective


@dataclass(frozen=True)
class Contract(Generic[T]):
    """The classes that one hook provides.

    Attributes:
        hook: name of the hook.
        label: noun for an instance of such a class in messages, in the singular, for example `"loss"`.
        bases: base classes, of which a provided class must have one.
        checks: further checks; each raises `PluginError` for a class that cannot be registered.
    """

    hook: str
    label: str
    bases: tuple[type, ...]
    checks: tuple[Callable[[type[Any]], None], ...]

    def validate(self, candidate: object, plugin: str) -> type[T]:
        """Return the class that a plugin provides.

        Args:
            candidate: one element of the result of the hook.
            plugin: name of the plugin, for messages.

        Raises:
            PluginError: the candidate is not such a class, or is incomplete.
        """
        if not (isinstance(candidate, type) and issubclass(candidate, self.bases)):
            names = " or ".join(base.__name__ for base in self.bases)
            raise PluginError(
                f"Plugin '{plugin}' provides {candidate!r}, which is not a class derived from {names}. "
                f"Return classes, not instances, from {self.hook}."
            )
        try:
            _require_concrete(candidate)
            for check in self.checks:
                check(candidate)
            _require_docstring(candidate)
        except RlhfLossesError as error:
            raise PluginError(f"Plugin '{plugin}': {error}") from None
        provided: type[Any] = candidate
        return provided


def _require_concrete(cls: type[Any]) -> None:
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise PluginError(
            f"{cls.__name__} does not define {missing}, so it cannot be instantiated. Define it in the class."
        )


def _require_docstring(cls: type[Any]) -> None:
    text = (cls.__doc__ or "").strip()
    if not text or text.startswith(f"{cls.__name__}("):  # dataclasses writes the signature where there is no docstring
        raise PluginError(
            f"{cls.__name__} has no docstring, so it has no documentation. Write one sentence under the class line."
        )


def _require_defaults(cls: type[Any]) -> None:
    without = [f.name for f in fields(cls) if f.default is MISSING]
    if without:
        raise PluginError(
            f"{cls.__name__} has no default for {', '.join(without)}, so it cannot be created from its name alone. "
            f"Add a default: {without[0]}: float = 1.0."
        )


def _require_columns(cls: type[DatasetConverter]) -> None:
    if not cls.columns or not all(isinstance(alternative, tuple) and alternative for alternative in cls.columns):
        raise PluginError(
            f"{cls.__name__} has columns = {cls.columns!r}, so no dataset matches it. "
            'Set a tuple of alternatives, each a tuple of column names: columns = (("history", "score_A"),).'
        )


def _require_source(cls: type[DatasetConverter]) -> None:
    if not cls.source:
        raise PluginError(
            f"{cls.__name__} has no source, so the format is not documented. "
            'Set the URL of its documentation: source = "https://...".'
        )


LOSSES = Contract[LossClass]("provide_losses", "loss", (Loss, NamedObjective), (require_dataclass, _require_defaults))
CONVERTERS = Contract[DatasetConverter](
    "provide_dataset_converters", "converter", (DatasetConverter,), (_require_columns, _require_source)
)
TRANSFORMS = Contract[ScoreTransform](
    "provide_score_transforms", "score transform", (ScoreTransform,), (require_dataclass, _require_defaults)
)
ESTIMATES = Contract[ScoreEstimate](
    "provide_score_estimates", "score estimate", (ScoreEstimate,), (require_dataclass, _require_defaults)
)
