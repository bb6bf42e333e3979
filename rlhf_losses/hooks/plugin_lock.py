"""Lock files: the plugins that may be imported, with their versions and the hashes of their files.

File format: a JSON object with the keys `schema` and `plugins`, a list of `LockedPlugin`.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rlhf_losses.errors import PluginError, first_line
from rlhf_losses.hooks.installed_plugins import BLOCK, PluginSource, normalize

LOCK = "RLHF_LOSSES_LOCK"
"""Environment variable with the path of a lock file; see `require_locked`."""

WRITE_LOCK = "rlhf-losses plugins --lock FILE"

SCHEMA = 1
"""Newest schema. Files of the first versions have none, and are read as this one."""


@dataclass(frozen=True)
class LockedPlugin:
    """One plugin of a lock file.

    Attributes:
        name: name of the plugin.
        distribution: name of the installed package, or of the plugin file.
        version: version of the distribution.
        files: SHA-256 hash of each file, by path.
    """

    name: str
    distribution: str
    version: str
    files: dict[str, str]

    def __post_init__(self) -> None:
        texts = [self.name, self.distribution, self.version, *self.files, *self.files.values()]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("names, versions and hashes must be texts")

    @classmethod
    def of(cls, plugin: PluginSource) -> "LockedPlugin":
        """Return the entry of a plugin."""
        return cls(plugin.name, plugin.distribution, plugin.version, plugin.hashes)

    @property
    def key(self) -> tuple[str, str]:
        """Return what identifies the plugin."""
        return normalize(self.distribution), self.name


def write_lock(plugins: Iterable[PluginSource], file: str | Path) -> None:
    """Write a lock file.

    Args:
        plugins: the plugins that may be imported.
        file: path of the file.

    Raises:
        PluginError: the file cannot be written.
    """
    entries = [asdict(LockedPlugin.of(plugin)) for plugin in plugins]
    try:
        Path(file).write_text(json.dumps({"schema": SCHEMA, "plugins": entries}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise PluginError(
            f"The lock file '{file}' cannot be written: {error.strerror}. Give the path of a file in a folder that "
            "exists."
        ) from error


def require_locked(plugins: Iterable[PluginSource], skipped: Iterable[PluginSource] = ()) -> None:
    """Raise `PluginError` if plugins differ from the lock file that `RLHF_LOSSES_LOCK` names. None is imported.

    A plugin that is not in the file, another version, a changed, missing or additional file, and a plugin of the lock
    file that is not installed are differences.

    Args:
        plugins: the plugins that are about to be imported.
        skipped: installed plugins that are not imported; the lock file may contain them.
    """
    file = os.environ.get(LOCK)
    if file is None:
        return
    locked, plugins = _locked(file), list(plugins)
    for plugin in plugins:
        change = _describe_change(LockedPlugin.of(plugin), locked)
        if change is not None:
            raise PluginError(
                f"Plugin {plugin} is not imported: {change} the lock file '{file}'. Restore the plugin, block it "
                f"({BLOCK}={plugin.distribution}), or lock it again after a review: {WRITE_LOCK}."
            )
    present = {(normalize(one.distribution), one.name) for one in (*plugins, *skipped)}
    missing = next((entry for key, entry in locked.items() if key not in present and entry.version != "file"), None)
    if missing is not None:
        raise PluginError(
            f"Plugin '{missing.name}' ({missing.distribution} {missing.version}) of the lock file '{file}' is not "
            f"installed, so a run could have other results. Install it, or write the lock file again: {WRITE_LOCK}."
        )


def is_as_locked(plugin: PluginSource) -> bool:
    """Return whether a plugin is that of the lock file that `RLHF_LOSSES_LOCK` names; True without a lock file.

    Args:
        plugin: the plugin.

    Raises:
        PluginError: the file cannot be read.
    """
    file = os.environ.get(LOCK)
    return file is None or _describe_change(LockedPlugin.of(plugin), _locked(file)) is None


def _locked(file: str) -> dict[tuple[str, str], LockedPlugin]:
    """Return the entries of a lock file by their key."""
    return {entry.key: entry for entry in _read(file)}


def _describe_change(plugin: LockedPlugin, entries: Mapping[tuple[str, str], LockedPlugin]) -> str | None:
    """Return how a plugin differs from its entry, as the beginning of a clause that ends with the lock file."""
    locked = entries.get(plugin.key)
    if locked is None:
        return "it is not in"
    if plugin.version != locked.version:
        return f"it is not version {locked.version} of"
    for name in sorted({*plugin.files, *locked.files}):
        if name not in plugin.files:
            return f"its file {name} is missing, but it is in"
        if name not in locked.files:
            return f"its file {name} is not in"
        if plugin.files[name] != locked.files[name]:
            return f"its file {name} has another hash than in"
    return None


def _read(file: str) -> list[LockedPlugin]:
    try:
        content: Any = json.loads(Path(file).read_text(encoding="utf-8"))
        return [_parse_entry(entry) for entry in _plugins_of(content)]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        raise PluginError(
            f"{LOCK}='{file}' cannot be read as a lock file: {reason}. No plugin is imported without it. "
            f"Write it: {WRITE_LOCK}."
        ) from error


def _plugins_of(content: Any) -> list[Any]:
    """Return the list of plugins in the content of a lock file."""
    if not isinstance(content, Mapping) or not isinstance(content.get("plugins"), list):
        raise TypeError("it is not a JSON object with a list 'plugins'")
    schema = content.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise ValueError(f"it has schema {schema}, and this version of rlhf-losses reads schema {SCHEMA}")
    plugins: list[Any] = content["plugins"]
    return plugins


def _parse_entry(entry: Any) -> LockedPlugin:
    names = [field.name for field in fields(LockedPlugin)]
    if not isinstance(entry, Mapping) or sorted(entry) != sorted(names) or not isinstance(entry["files"], Mapping):
        raise TypeError(f"a plugin in it does not have the keys {', '.join(names)}")
    return LockedPlugin(**entry)
