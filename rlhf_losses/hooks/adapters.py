"""Every adapter by name, and which of them recognises a row."""

import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pluggy

from rlhf_losses.adapters import Adapter, Native
from rlhf_losses.errors import FeedbackMismatch, PluginError, UnknownName, did_you_mean
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks.manager import BLOCK, build_manager
from rlhf_losses.hooks.registry import provided, where


class Adapters(Mapping[str, type[Adapter]]):
    """Names to adapter classes, in the order in which plugins provide them."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.classes: dict[str, type[Adapter]] = {}
        self.plugins: dict[str, str] = {}
        for plugin_name, plugin in manager.list_name_plugin():
            for adapter in provided(manager, "provide_adapters", plugin_name, plugin):
                self._add(adapter, plugin_name)

    def __getitem__(self, name: str) -> type[Adapter]:
        return self.classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def called(self, name: str) -> Adapter:
        """Return the adapter with that name.

        >>> adapters().called("hh_rlhf").source
        'https://huggingface.co/datasets/Anthropic/hh-rlhf'
        """
        if name not in self:
            raise UnknownName(
                f"No adapter is called '{name}'.{did_you_mean(name, self)} The adapters are: {', '.join(self)}."
            )
        return self[name]()

    def recognise(self, row: Row) -> Adapter:
        """Return the adapter for data that begin with this row; what none of them recognises is read as it is."""
        found = [adapter for name in self if self[name] is not Native and (adapter := self[name]()).recognises(row)]
        if len(found) > 1:
            names = [adapter.name() for adapter in found]
            raise FeedbackMismatch(
                f"The columns {', '.join(row)} are recognised by {' and by '.join(names)}, which may read them "
                f"differently. Choose one: --adapter {names[0]}"
            )
        return found[0] if found else Native()

    def _add(self, adapter: Any, plugin: str) -> None:
        require_adapter(adapter, plugin)
        name = adapter.name()
        if name in self.classes:
            raise PluginError(
                f"Two plugins provide an adapter called '{name}': {where(self[name])} (plugin {self.plugins[name]}) "
                f"and {where(adapter)} (plugin {plugin}). Rename one, or leave a plugin out: {BLOCK}={plugin}."
            )
        self.classes[name], self.plugins[name] = adapter, plugin


def adapters(plugin_files: Iterable[str | Path] = ()) -> Adapters:
    """Return every adapter; they are gathered once for each set of plugin files."""
    return _adapters(tuple(str(Path(file)) for file in plugin_files))


def require_adapter(adapter: Any, plugin: str) -> None:
    """Raise `PluginError` unless `adapter` is a documented class that says what it recognises and reads it."""
    if not (inspect.isclass(adapter) and issubclass(adapter, Adapter)):
        raise PluginError(
            f"Plugin '{plugin}' provides {adapter!r}, which is not a class derived from Adapter. "
            "Return classes from provide_adapters, like [StanfordPreferences] (not [StanfordPreferences()])."
        )
    if inspect.isabstract(adapter):
        missing = ", ".join(sorted(adapter.__abstractmethods__))
        raise PluginError(f"Plugin '{plugin}': {adapter.__name__} does not define {missing}. Define it in the class.")
    if not adapter.columns or not all(isinstance(way, tuple) and way for way in adapter.columns):
        raise PluginError(
            f"Plugin '{plugin}': {adapter.__name__} has the columns {adapter.columns!r}, by which nothing is "
            'recognised. Write a tuple of ways: columns = (("history", "score_A"),).'
        )
    if not (adapter.__doc__ or "").strip():
        raise PluginError(
            f"Plugin '{plugin}': {adapter.__name__} has no docstring, so nobody can tell what it makes of the data. "
            "Write one sentence under the class line."
        )
    if not adapter.source:
        raise PluginError(
            f"Plugin '{plugin}': {adapter.__name__} has no source, so nobody can look its layout up. "
            'Write where it is documented: source = "https://...".'
        )


@functools.cache
def _adapters(plugin_files: tuple[str, ...]) -> Adapters:
    return Adapters(build_manager(plugin_files))
