"""Installed plugins and plugin files as they are found on disk, without importing them."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from rlhf_losses.errors import PluginError
from rlhf_losses.hooks.specs import PROJECT

ALLOW = "RLHF_LOSSES_ALLOW"
"""Environment variable with the installed plugins that may be imported, separated by commas. Empty allows none."""

BLOCK = "RLHF_LOSSES_BLOCK"
"""Environment variable with the installed plugins that are not imported, separated by commas."""

BUILT_IN = "built-in"
"""Name of the plugin with the losses and converters of this package."""

CODE_SUFFIXES = (".py", ".so", ".pyd", ".dylib")
"""Files of a module that Python executes. Compiled copies (`.pyc`) are left out, because Python rewrites them."""


@dataclass(frozen=True)
class PluginSource:
    """A plugin before its import.

    Attributes:
        name: name of the plugin: that of its entry point, or of its file without `.py`.
        distribution: name of the installed package, or of the plugin file.
        version: version of the distribution; `file` for a plugin file.
        module: module or file that is imported.
        entry_point: the entry point; None for a plugin file.
    """

    name: str
    distribution: str
    version: str
    module: str
    entry_point: importlib.metadata.EntryPoint | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Return the name, the distribution and the version."""
        return f"'{self.name}' ({self.distribution} {self.version})"

    @property
    def paths(self) -> dict[str, Path]:
        """Return its files, by their path relative to the folder that holds the package."""
        if self.entry_point is None:
            return {self.distribution: Path(self.module)}
        distribution = self.entry_point.dist
        paths = dict(_module_files(self.entry_point.module, distribution))
        for file in (distribution.files if distribution else None) or ():
            if file.suffix != ".pyc" and file.name != "RECORD":
                paths[file.as_posix()] = Path(str(file.locate()))
        return paths

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 hash of each file that exists, by path."""
        files = {name: path for name, path in sorted(self.paths.items()) if path.is_file()}
        return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}

    @property
    def sha256(self) -> str:
        """Return one hash of all paths and files."""
        return hashlib.sha256("\n".join(f"{name} {one}" for name, one in self.hashes.items()).encode()).hexdigest()


def installed_plugins() -> list[PluginSource]:
    """Return all installed plugins, by name. None is imported."""
    points = importlib.metadata.entry_points(group=PROJECT)
    return sorted(map(_installed, points), key=lambda plugin: (plugin.name, plugin.distribution))


def plugin_file(path: str | Path) -> PluginSource:
    """Return the plugin of one Python file, which is not imported.

    Args:
        path: path of the file.
    """
    file = Path(path)
    return PluginSource(file.stem, file.name, "file", str(path))


def status(plugin: PluginSource, installed: Iterable[PluginSource]) -> str:
    """Return `"allowed"`, `"blocked"` or `"not allowed"`.

    `RLHF_LOSSES_BLOCK` takes precedence. A name in either list is that of a distribution or of a plugin. In
    `RLHF_LOSSES_ALLOW`, the name of an installed distribution means this distribution only, so that no other one is
    allowed by naming its plugin like it.

    Args:
        plugin: an installed plugin.
        installed: all installed plugins.
    """
    own = {normalize(plugin.name), normalize(plugin.distribution)}
    if own & {normalize(word) for word in _words(BLOCK) or ()}:
        return "blocked"
    allowed = _words(ALLOW)
    if allowed is None:
        return "allowed"
    distributions = {normalize(one.distribution) for one in installed}
    names = {word for word in allowed if normalize(word) not in distributions}
    is_allowed = plugin.name in names or normalize(plugin.distribution) in map(normalize, allowed)
    return "allowed" if is_allowed else "not allowed"


def require_distinct(plugins: Iterable[PluginSource]) -> None:
    """Raise `PluginError` if two installed plugins have the same name, before either is imported."""
    found: dict[str, PluginSource] = {}
    for plugin in plugins:
        other = found.setdefault(plugin.name, plugin)
        if other is not plugin:
            raise PluginError(
                f"Two installed plugins are named '{plugin.name}': that of {other.distribution} and that of "
                f"{plugin.distribution}. Block one of them: {BLOCK}={plugin.distribution}."
            )


def normalize(distribution: str) -> str:
    """Return the name of a distribution in the spelling by which package indexes compare names.

    Examples:
        >>> normalize("RLHF_losses.focal")
        'rlhf-losses-focal'
    """
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _words(variable: str) -> frozenset[str] | None:
    """Return the names in an environment variable, or None if it is not set."""
    value = os.environ.get(variable)
    return None if value is None else frozenset(word.strip() for word in value.split(",")) - {"", BUILT_IN}


def _installed(point: importlib.metadata.EntryPoint) -> PluginSource:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
    return PluginSource(point.name, name, version, point.value, point)


def _module_files(name: str, distribution: importlib.metadata.Distribution | None) -> Iterator[tuple[str, Path]]:
    """Yield the files of the package of a module, also of one that is installed in editable mode."""
    spec = _find_package(name)
    folders = [Path(one) for one in (spec.submodule_search_locations or ())] if spec else []
    files = [file for folder in folders for file in folder.rglob("*") if file.suffix in CODE_SUFFIXES]
    if spec is not None and spec.origin is not None:
        files.append(Path(spec.origin))
    site = Path(str(distribution.locate_file(""))) if distribution else None
    for file in files:
        roots = [site, *(folder.parent for folder in folders), file.parent]
        root = next(one for one in roots if one is not None and file.is_relative_to(one))
        yield file.relative_to(root).as_posix(), file


def _find_package(name: str) -> ModuleSpec | None:
    """Return where Python finds the outermost package of a module that is not a namespace package.

    Finding the outermost name imports nothing; finding a name inside a package would import the package.
    """
    first, *others = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        return None
    path = first
    for part in others:
        if spec is None or spec.origin is not None:
            break
        path = f"{path}.{part}"
        spec = PathFinder.find_spec(path, list(spec.submodule_search_locations or ()))
    return spec
