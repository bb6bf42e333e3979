"""Every converter by name, and which of them recognises a row."""

import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pluggy

from rlhf_losses.converters import DatasetConverter, Native
from rlhf_losses.errors import FeedbackMismatchError, PluginError, UnknownNameError, did_you_mean
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks.manager import BLOCK, build_manager
from rlhf_losses.hooks.registry import provided, where


class ConverterRegistry(Mapping[str, type[DatasetConverter]]):
    """Names to converter classes, in the order in which plugins provide them."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.classes: dict[str, type[DatasetConverter]] = {}
        self.plugins: dict[str, str] = {}
        for plugin_name, plugin in manager.list_name_plugin():
            for converter in provided(manager, "provide_dataset_converters", plugin_name, plugin):
                self._add(converter, plugin_name)

    def __getitem__(self, name: str) -> type[DatasetConverter]:
        return self.classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def called(self, name: str) -> DatasetConverter:
        """Return the converter with that name.

        >>> converters().called("hh_rlhf").source
        'https://huggingface.co/datasets/Anthropic/hh-rlhf'
        """
        if name not in self:
            raise UnknownNameError(
                f"No converter is called '{name}'.{did_you_mean(name, self)} The converters are: {', '.join(self)}."
            )
        return self[name]()

    def recognise(self, row: Row) -> DatasetConverter:
        """Return the converter for data that begin with this row; what none of them recognises is read as it is."""
        found = [converter for name in self if self[name] is not Native and (converter := self[name]()).recognises(row)]
        if len(found) > 1:
            names = [converter.name() for converter in found]
            raise FeedbackMismatchError(
                f"The columns {', '.join(row)} are recognised by {' and by '.join(names)}, which may read them "
                f"differently. Choose one: --converter {names[0]}"
            )
        return found[0] if found else Native()

    def _add(self, converter: Any, plugin: str) -> None:
        require_converter(converter, plugin)
        name = converter.name()
        if name in self.classes:
            raise PluginError(
                f"Two plugins provide an converter called '{name}': {where(self[name])} (plugin {self.plugins[name]}) "
                f"and {where(converter)} (plugin {plugin}). Rename one, or leave a plugin out: {BLOCK}={plugin}."
            )
        self.classes[name], self.plugins[name] = converter, plugin


def converters(plugin_files: Iterable[str | Path] = ()) -> ConverterRegistry:
    """Return every converter; they are gathered once for each set of plugin files."""
    return _converters(tuple(str(Path(file)) for file in plugin_files))


def require_converter(converter: Any, plugin: str) -> None:
    """Raise `PluginError` unless `converter` is a documented class that says what it recognises and reads it."""
    if not (inspect.isclass(converter) and issubclass(converter, DatasetConverter)):
        raise PluginError(
            f"Plugin '{plugin}' provides {converter!r}, which is not a class derived from DatasetConverter. "
            "Return classes from provide_dataset_converters, like [StanfordPreferences] (not [StanfordPreferences()])."
        )
    if inspect.isabstract(converter):
        missing = ", ".join(sorted(converter.__abstractmethods__))
        raise PluginError(f"Plugin '{plugin}': {converter.__name__} does not define {missing}. Define it in the class.")
    if not converter.columns or not all(isinstance(way, tuple) and way for way in converter.columns):
        raise PluginError(
            f"Plugin '{plugin}': {converter.__name__} has the columns {converter.columns!r}, by which nothing is "
            'recognised. Write a tuple of ways: columns = (("history", "score_A"),).'
        )
    if not (converter.__doc__ or "").strip():
        raise PluginError(
            f"Plugin '{plugin}': {converter.__name__} has no docstring, so nobody can tell what it makes of the data. "
            "Write one sentence under the class line."
        )
    if not converter.source:
        raise PluginError(
            f"Plugin '{plugin}': {converter.__name__} has no source, so nobody can look its layout up. "
            'Write where it is documented: source = "https://...".'
        )


@functools.cache
def _converters(plugin_files: tuple[str, ...]) -> ConverterRegistry:
    return ConverterRegistry(build_manager(plugin_files))
