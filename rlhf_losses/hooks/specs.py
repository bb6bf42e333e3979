"""Every hook on one screen. Hooks return things; they never call back."""

from collections.abc import Iterable

from rlhf_losses.converters import DatasetConverter
from rlhf_losses.hooks.markers import hookspec
from rlhf_losses.losses import Loss
from rlhf_losses.transforms.estimate import ScoreEstimate


@hookspec
def provide_losses() -> Iterable[type[Loss]]:  # type: ignore[empty-body]
    """Return the loss classes of a plugin.

    Called once, when the loss_registry is first needed. Each class must be a final, frozen dataclass that
    derives from `Loss`, with a docstring and a default for every option; its name (the class in snake
    case) must not be taken. `rlhf_losses.testing.check_loss` tests the rest of the contract.

    Example::

        @hookimpl
        def provide_losses():
            return [Focal]
    """


@hookspec
def provide_dataset_converters() -> Iterable[type[DatasetConverter]]:  # type: ignore[empty-body]
    """Return the converter classes of a plugin, each for one layout of data.

    Called once, when rows are first read for `train`, `evaluate`, `inspect` or `convert_dataset`. Each class must derive
    from `DatasetConverter`, with a docstring, the columns that it is recognised by and the place where its layout is
    documented; its name (the class in snake case) must not be taken.

    Example::

        @hookimpl
        def provide_dataset_converters():
            return [StanfordPreferences]
    """


@hookspec
def provide_score_estimates() -> Iterable[type[ScoreEstimate]]:  # type: ignore[empty-body]
    """Return the estimate classes of a plugin: what is fitted beside the score, and read beside it.

    Called once, when an estimate is first fitted or read by name. Each class must be a final, frozen dataclass that
    derives from `ScoreEstimate`, with a docstring and a default for every option; its name (the class in snake case) must
    not be taken.

    Example::

        @hookimpl
        def provide_score_estimates():
            return [Laplace]
    """
