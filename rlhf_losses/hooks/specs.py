"""Specifications of all hooks. A hook returns classes and has no arguments."""

from collections.abc import Iterable
from typing import Any

import pluggy

from rlhf_losses.converters import DatasetConverter
from rlhf_losses.losses import Loss, NamedObjective
from rlhf_losses.transforms import ScoreEstimate, ScoreTransform

PROJECT = "rlhf_losses"
"""Name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

RENAMED_HOOKS = {"provide_adapters": "provide_dataset_converters", "provide_estimates": "provide_score_estimates"}
"""Hooks of earlier versions and their new names."""


@hookspec
def provide_losses() -> Iterable[type[Loss[Any] | NamedObjective]]:
    """Return the loss classes of a plugin.

    Called once, on first use of the loss registry. Each class is a concrete, frozen dataclass that derives from `Loss`
    or `NamedObjective`, with a docstring and a default value for every option. Its name (the class name in snake case)
    must be unique. `rlhf_losses.testing.check_loss` tests the rest of the contract.

    Example:
        ```python
        @hookimpl
        def provide_losses():
            return [Focal]
        ```
    """
    raise NotImplementedError


@hookspec
def provide_dataset_converters() -> Iterable[type[DatasetConverter]]:
    """Return the converter classes of a plugin, one per dataset format.

    Called once, on first use of the converter registry: by a command that loads a dataset (`train`, `evaluate`,
    `inspect`, `score`, `fit`, `ppo`) or by `convert_dataset`. Each class derives from `DatasetConverter`, has a
    docstring, and sets `columns` and `source`. Its name (the class name in snake case) must be unique.

    Example:
        ```python
        @hookimpl
        def provide_dataset_converters():
            return [StanfordPreferences]
        ```
    """
    raise NotImplementedError


@hookspec
def provide_score_transforms() -> Iterable[type[ScoreTransform]]:
    """Return the score transforms of a plugin: functions from the score of a text to another score.

    Called once, on first use of the transform registry. Each class is a concrete, frozen dataclass that derives from
    `ScoreTransform`, with a docstring and a default value for every option. Its name (the class name in snake case)
    must be unique. `rlhf_losses.testing.check_transform` tests the rest of the contract.

    Example:
        ```python
        @hookimpl
        def provide_score_transforms():
            return [Squash]
        ```
    """
    raise NotImplementedError


@hookspec
def provide_score_estimates() -> Iterable[type[ScoreEstimate]]:
    """Return the classes of a plugin that estimate a second number for each score, for example its standard deviation.

    Called once, on first use of the estimate registry. Each class is a concrete, frozen dataclass that derives from
    `ScoreEstimate`, with a docstring and a default value for every option. Its name (the class name in snake case)
    must be unique. `rlhf_losses.testing.check_estimate` tests the rest of the contract.

    Example:
        ```python
        @hookimpl
        def provide_score_estimates():
            return [Laplace]
        ```
    """
    raise NotImplementedError
