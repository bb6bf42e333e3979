"""Every loss by name, with the plugin it comes from."""

import functools
import importlib.metadata
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import pluggy

from rlhf_losses.errors import PluginError, RlhfLossesError
from rlhf_losses.feedback import IMPLICIT_TYPES, Feedback
from rlhf_losses.hooks.manager import BLOCK, BUILT_IN, build_manager
from rlhf_losses.hooks.markers import PROJECT
from rlhf_losses.losses import Loss
from rlhf_losses.losses.base import require_dataclass
from rlhf_losses.losses.parser import parse


@dataclass(frozen=True)
class LossEntry:
    """One loss, the plugin that provides it, and that plugin's version."""

    name: str
    loss: type[Loss]
    plugin: str
    version: str


class LossRegistry(Mapping[str, type[Loss]]):
    """Names to loss classes, in the order in which plugins provide them."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.entries: dict[str, LossEntry] = {}
        for plugin_name, plugin in manager.list_name_plugin():
            for loss in provided(manager, "provide_losses", plugin_name, plugin):
                self._add(loss, plugin_name)

    def __getitem__(self, name: str) -> type[Loss]:
        return self.entries[name].loss

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def parse(self, text: str) -> Loss:
        """Return the loss that `text` names.

        >>> loss_registry().parse("bradley_terry(label_smoothing=0.1) + 0.01 * centering").terms[1].weight
        0.01
        """
        return parse(text, self)

    def for_feedback(self, kind: type[Feedback]) -> list[LossEntry]:
        """Return the losses that can price feedback of `kind`, those made for it first."""
        entries = self.entries.values()
        fitting = [
            one
            for one in entries
            if one.loss.feedback_type in IMPLICIT_TYPES or kind.is_convertible_to(one.loss.feedback_type)
        ]
        return sorted(fitting, key=lambda entry: entry.loss.feedback_type is not kind)

    def _add(self, loss: Any, plugin: str) -> None:
        require_contract(loss, plugin)
        name = loss.name()
        if name in self.entries:
            other = self.entries[name]
            raise PluginError(
                f"Two plugins provide a loss called '{name}': {where(other.loss)} (plugin {other.plugin}) and "
                f"{where(loss)} (plugin {plugin}). Rename one, or leave a plugin out: {BLOCK}={plugin}."
            )
        self.entries[name] = LossEntry(name, loss, plugin, version_of(plugin))


def loss_registry(plugin_files: Iterable[str | Path] = ()) -> LossRegistry:
    """Return the loss_registry of every loss; it is built once for each set of plugin files."""
    return _catalogue(tuple(str(Path(file)) for file in plugin_files))


def parse_loss(text: str) -> Loss:
    """Return the loss that `text` names, built-in or from an installed plugin.

    >>> parse_loss("hinge(margin=2.0)").margin
    2.0
    """
    return loss_registry().parse(text)


def require_contract(thing: Any, plugin: str, base: Any = Loss, hook: str = "provide_losses") -> None:
    """Raise `PluginError` unless `thing` is a final, documented, frozen dataclass with a default for every option."""
    is_derived = inspect.isclass(thing) and issubclass(thing, base)
    if not is_derived:
        raise PluginError(
            f"Plugin '{plugin}' provides {thing!r}, which is not a class derived from {base.__name__}. "
            f"Return classes from {hook}, like [Focal] (not [Focal()])."
        )
    try:
        require_dataclass(thing)
    except RlhfLossesError as error:
        raise PluginError(f"Plugin '{plugin}': {error}") from None
    if inspect.isabstract(thing):
        missing = ", ".join(sorted(thing.__abstractmethods__))
        raise PluginError(f"Plugin '{plugin}': {thing.__name__} does not define {missing}. Define it in the class.")
    without = [f.name for f in fields(thing) if f.default is MISSING]
    if without:
        raise PluginError(
            f"Plugin '{plugin}': {thing.__name__} has no default for {', '.join(without)}, so its name alone is no "
            f"{base.__name__.lower()}. Write a default: {without[0]}: float = 1.0."
        )
    if not (thing.__doc__ or "").strip() or (thing.__doc__ or "").startswith(f"{thing.__name__}("):
        raise PluginError(
            f"Plugin '{plugin}': {thing.__name__} has no docstring, so nobody can tell what it computes. "
            "Write one sentence under the class line."
        )


@functools.cache
def _catalogue(plugin_files: tuple[str, ...]) -> LossRegistry:
    return LossRegistry(build_manager(plugin_files))


def provided(manager: pluggy.PluginManager, hook: str, name: str, plugin: object) -> list[Any]:
    """Return what one plugin provides through a hook, or raise `PluginError` that names it."""
    others = [other for other in manager.get_plugins() if other is not plugin]
    implements = any(caller.name == hook for caller in manager.get_hookcallers(plugin) or [])
    try:
        answers = manager.subset_hook_caller(hook, others)()
        if implements and not answers:
            raise TypeError(f"it returns None instead of a list of {hook.removeprefix('provide_')}")
        return [thing for answer in answers for thing in answer]
    except Exception as error:
        raise PluginError(
            f"Plugin '{name}' fails in {hook}: {type(error).__name__}: {error}. "
            f"Mend it, or leave it out: {BLOCK}={name}."
        ) from error


def version_of(plugin: str) -> str:
    """Return the version of the distribution that a plugin comes from, or `file`."""
    if plugin == BUILT_IN:
        return importlib.metadata.version("rlhf-losses")
    installed = {e.name: e.dist for e in importlib.metadata.entry_points(group=PROJECT)}
    distribution = installed.get(plugin)
    return distribution.version if distribution is not None else "file"


def where(thing: type) -> str:
    """Return the full name of a class."""
    return f"{thing.__module__}.{thing.__qualname__}"
