"""Registries of the classes that plugins provide, by name."""

import functools
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pluggy

from rlhf_losses.checks.argument_checks import describe_type, require_instance
from rlhf_losses.converters import DatasetConverter, Native
from rlhf_losses.errors import (
    FeedbackMismatchError,
    InvalidArgumentError,
    InvalidLossError,
    PluginError,
    UnknownNameError,
    did_you_mean,
)
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES, Feedback
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks.contracts import CONVERTERS, ESTIMATES, LOSSES, TRANSFORMS, Contract, LossClass
from rlhf_losses.hooks.installed_plugins import BLOCK, BUILT_IN, installed_plugins, status
from rlhf_losses.hooks.manager import build_manager
from rlhf_losses.hooks.plugin_code import plugin_code
from rlhf_losses.losses.base import AnyLoss, Loss, Objective
from rlhf_losses.losses.parser import parse, parse_call
from rlhf_losses.messages.documentation import documentation
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.transforms import ScoreEstimate, ScoreTransform, TransformPipeline, parse_transforms

PLUGIN_FILES = "plugin_files=['FILE.py']"
"""How Python writes the setting `--plugin`."""


class Named(Protocol):
    """A class with a `name()`, by which strings such as the value of `loss` refer to it."""

    @classmethod
    def name(cls) -> str:
        """Return the name."""


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class RegistryEntry(Generic[T]):
    """One class of a registry.

    Attributes:
        name: name of the class in strings such as the value of `loss`, in snake case.
        cls: the class.
        plugin: name of the plugin that provides it.
        version: version of the distribution of the plugin, or `file` for a plugin file.
    """

    name: str
    cls: type[T]
    plugin: str
    version: str


class Registry(Mapping[str, type[T]]):
    """Classes by name, in the order in which plugins provide them.

    Args:
        manager: plugin manager, see `build_manager`.

    Attributes:
        contract: the hook and the checks for each class.
        entries: one entry per class, by name.

    Raises:
        PluginError: a plugin fails, provides a class that breaks the contract, or a name that is taken.
    """

    contract: ClassVar[Contract[Any]]

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.entries: dict[str, RegistryEntry[T]] = {}
        for plugin_name, plugin in manager.list_name_plugin():
            if plugin is None:  # a blocked name
                continue
            for candidate in _provided(manager, self.contract.hook, plugin_name, plugin):
                self._add(self.contract.validate(candidate, plugin_name), plugin_name)

    def __getitem__(self, name: str) -> type[T]:
        return self.entries[name].cls

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        """Return all names."""
        return f"<{type(self).__name__} of {len(self)}: {', '.join(self)}>"

    def lookup(self, name: str) -> type[T]:
        """Return the class with a name.

        Raises:
            UnknownNameError: no plugin provides it; the message contains the nearest name and all names.
        """
        require_instance(name, str, "name", f"the name of a {self.contract.label}", "Pass a string.")
        if name not in self:
            label = self.contract.label
            known = f"Known names: {', '.join(self)}." if self else f"No installed plugin provides a {label}."
            raise UnknownNameError(
                f"Unknown {label} '{name}'.{did_you_mean(name, self)} {known} "
                "Correct the name, install the plugin that provides it "
                f"({documentation('how-to/write-a-plugin.md')} lists the known ones), or add its file: "
                f"{setting('plugin', 'FILE.py', python=PLUGIN_FILES)}."
            )
        return self[name]

    def _add(self, cls: type[T], plugin: str) -> None:
        name = cls.name()
        if name in self.entries:
            other = self.entries[name]
            raise PluginError(
                f"Two plugins provide the {self.contract.label} '{name}': "
                f"{_full_name(other.cls)} (plugin {other.plugin}) and {_full_name(cls)} (plugin {plugin}). "
                f"Rename one of the classes, or block a plugin: {BLOCK}={plugin}."
            )
        self.entries[name] = RegistryEntry(name, cls, plugin, _version(plugin))


class LossRegistry(Registry[LossClass]):
    """Registry of losses and named objectives."""

    contract = LOSSES

    def parse(self, text: str) -> AnyLoss:
        """Return the loss or the objective that a string describes.

        Raises:
            UnknownNameError: a loss or an option is unknown.
            InvalidLossError: the string is not a sum of losses, or an option is out of range.

        Examples:
            >>> loss_registry().parse("bradley_terry(label_smoothing=0.1) + 0.01 * centering").terms[1].weight
            0.01
        """
        return parse(text, self)

    def for_feedback(self, feedback_type: type[Feedback]) -> list[RegistryEntry[LossClass]]:
        """Return the losses that accept a feedback type; those of exactly this type are first.

        Examples:
            >>> from rlhf_losses import Votes
            >>> "davidson" in [entry.name for entry in loss_registry().for_feedback(Votes)]
            True
        """
        accepting = [
            entry
            for entry in self.entries.values()
            if entry.cls.feedback_type in IMPLICIT_TYPES or feedback_type.is_convertible_to(entry.cls.feedback_type)
        ]
        return sorted(accepting, key=lambda entry: entry.cls.feedback_type is not feedback_type)


class ConverterRegistry(Registry[DatasetConverter]):
    """Registry of dataset converters."""

    contract = CONVERTERS

    def detect(self, *rows: Row) -> DatasetConverter:
        """Return the converter that matches the first rows of a dataset, or `Native` if none does.

        A null or empty value shows no format, so the first other value of its column takes its place. A converter
        matches if it matches one of these rows; if several do, those that match every row.

        Columns of this library match `Native`, unless a matching converter has them in its own `columns`: then it reads
        the same feedback in a special form, for example `chosen` and `rejected` as transcripts.

        Args:
            rows: the first rows of a dataset.

        Raises:
            FeedbackMismatchError: several converters match.
        """
        filled = _fill_empty_values(rows)
        others = [cls() for cls in self.values() if cls is not Native]
        matching = [converter for converter in others if any(map(converter.matches, filled))]
        if len(matching) > 1:
            matching = [converter for converter in matching if all(map(converter.matches, filled))] or matching
        if matching and any(_unread_feedback(row, matching) for row in filled):
            matching = [Native(), *matching]
        if len(matching) > 1:
            names = [converter.name() for converter in matching]
            columns = dict.fromkeys(name for row in rows for name in row)
            raise FeedbackMismatchError(
                f"The columns {', '.join(columns)} match several converters: {', '.join(names)}. "
                f"Choose one, for example {setting('converter', names[0])}."
            )
        return matching[0] if matching else Native()


class TransformRegistry(Registry[ScoreTransform]):
    """Registry of score transforms."""

    contract = TRANSFORMS

    def parse(self, text: str) -> TransformPipeline:
        """Return the pipeline of transforms that a string describes.

        Raises:
            UnknownNameError: a transform or an option is unknown.
            InvalidSettingError: the string is not a pipeline of transforms.

        Examples:
            >>> len(transform_registry().parse("standardize | clip(limit=2.0)").transforms)
            2
        """
        return parse_transforms(text, self)


class EstimateRegistry(Registry[ScoreEstimate]):
    """Registry of score estimates."""

    contract = ESTIMATES

    def parse(self, text: str) -> ScoreEstimate:
        """Return the estimate that a string describes, for example `laplace(prior_precision=2.0)`.

        Raises:
            UnknownNameError: the name or an option is unknown.
            InvalidLossError: the string is not a name with keyword options, or an option is out of range.
        """
        self.lookup(text.partition("(")[0].strip())
        return parse_call(text, self)


def loss_registry(plugin_files: Iterable[str | Path] = ()) -> LossRegistry:
    """Return the registry of all losses: built-in, from installed plugins and from plugin files.

    The registry is cached per set of files.

    Args:
        plugin_files: Python files with plugins that are not installed.
    """
    return _plugins(plugin_files).losses


def converter_registry(plugin_files: Iterable[str | Path] = ()) -> ConverterRegistry:
    """Return the registry of all dataset converters.

    The registry is cached per set of files.

    Args:
        plugin_files: Python files with plugins that are not installed.

    Examples:
        >>> converter_registry()["hh_rlhf"].source
        'https://huggingface.co/datasets/Anthropic/hh-rlhf'
    """
    return _plugins(plugin_files).converters


def transform_registry(plugin_files: Iterable[str | Path] = ()) -> TransformRegistry:
    """Return the registry of all score transforms.

    The registry is cached per set of files.

    Args:
        plugin_files: Python files with plugins that are not installed.
    """
    return _plugins(plugin_files).transforms


def estimate_registry(plugin_files: Iterable[str | Path] = ()) -> EstimateRegistry:
    """Return the registry of all score estimates.

    The registry is cached per set of files.

    Args:
        plugin_files: Python files with plugins that are not installed.
    """
    return _plugins(plugin_files).estimates


def parse_loss(text: str) -> AnyLoss:
    """Return the loss or the objective that a string describes, built-in or from an installed plugin.

    Args:
        text: a sum of losses with keyword options and numbers as weights.

    Raises:
        UnknownNameError: a loss or an option is unknown.
        InvalidLossError: the string is not a sum of losses, or an option is out of range.

    Examples:
        >>> parse_loss("hinge(margin=2.0)").margin
        2.0
    """
    return loss_registry().parse(text)


def as_loss(loss: AnyLoss | str) -> AnyLoss:
    """Return a loss or an objective, or the one that a string describes.

    Args:
        loss: a loss, an objective, or the string form of one.

    Raises:
        UnknownNameError: the string contains an unknown loss or option.
        InvalidLossError: neither a loss nor the string form of one.

    Examples:
        >>> str(as_loss("bradley_terry + 0.01 * centering"))
        'bradley_terry + 0.01 * centering'
    """
    if isinstance(loss, Loss | Objective):
        return loss
    if isinstance(loss, str):
        return parse_loss(loss)
    if isinstance(loss, type) and issubclass(loss, Loss | Objective):
        raise InvalidLossError(
            f"`loss` is the class {loss.__name__}, but a run needs one loss with its options. Pass {loss.__name__}()."
        )
    raise InvalidLossError(
        f"`loss` {describe_type(loss)}, but it must be a loss or a string. Pass a loss of rlhf_losses, a string such "
        "as 'bradley_terry', or an instance of your own subclass of Loss."
    )


class _Plugins:
    """The registries of one set of plugins, each built on first use."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager

    @functools.cached_property
    def losses(self) -> LossRegistry:
        return LossRegistry(self._manager)

    @functools.cached_property
    def converters(self) -> ConverterRegistry:
        return ConverterRegistry(self._manager)

    @functools.cached_property
    def transforms(self) -> TransformRegistry:
        return TransformRegistry(self._manager)

    @functools.cached_property
    def estimates(self) -> EstimateRegistry:
        return EstimateRegistry(self._manager)


def _plugins(plugin_files: Iterable[str | Path]) -> _Plugins:
    if isinstance(plugin_files, str | Path):
        raise InvalidArgumentError(
            f"`plugin_files` {describe_type(plugin_files)}, but it must be a list of files. "
            f"Pass plugin_files=['{plugin_files}']."
        )
    return _load_plugins(tuple(str(Path(file)) for file in plugin_files))


@functools.cache
def _load_plugins(plugin_files: tuple[str, ...]) -> _Plugins:
    return _Plugins(build_manager(plugin_files))


def _fill_empty_values(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the first value of a column in place of its null and empty values."""
    values: dict[str, Any] = {}
    for row in rows:
        values |= {name: value for name, value in row.items() if name not in values and not _is_empty(value)}
    return [
        row | {name: value for name, value in values.items() if _is_empty(row.get(name))} for row in map(dict, rows)
    ]


def _unread_feedback(row: Row, converters: Iterable[DatasetConverter]) -> list[type[Feedback]]:
    """Return the feedback types in the columns of a row that no converter has in its own columns."""
    names = {name for name, value in row.items() if value is not None}
    read = [
        name
        for converter in converters
        for alternative in converter.columns
        if names.issuperset(alternative)
        for name in alternative
    ]
    return [one for one in FEEDBACK_TYPES if one.matches_columns([*names]) and not one.matches_columns(read)]


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _provided(manager: pluggy.PluginManager, hook: str, name: str, plugin: object) -> list[object]:
    """Return the classes that one plugin provides through a hook."""
    others = [other for other in manager.get_plugins() if other is not plugin]
    implements = any(caller.name == hook for caller in manager.get_hookcallers(plugin) or [])
    failure = f"Plugin '{name}' fails in {hook}"
    with plugin_code(f"{hook} of plugin '{name}'", failure, f"Fix the plugin, or block it: {BLOCK}={name}."):
        results: list[Any] = manager.subset_hook_caller(hook, others)()
        if implements and not results:
            raise TypeError("it returns None instead of a list of classes")
        return [candidate for result in results for candidate in result]


def _version(plugin: str) -> str:
    if plugin == BUILT_IN:
        return importlib.metadata.version("rlhf-losses")
    installed = installed_plugins()
    versions = {one.name: one.version for one in installed if status(one, installed) == "allowed"}
    return versions.get(plugin, "file")


def _full_name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
