"""Lock files: the plugins that may be imported, with their versions and the hashes of their files."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlhf_losses.errors import PluginError
from rlhf_losses.hooks.installed_plugins import BLOCK, PluginSource, normalize

LOCK = "RLHF_LOSSES_LOCK"
"""Environment variable with the path of a lock file; see `require_locked`."""

WRITE_LOCK = "rlhf-losses plugins --lock FILE"


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
        Path(file).write_text(json.dumps({"plugins": entries}, indent=2) + "\n", encoding="utf-8")
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
    locked = {entry.key: entry for entry in _read(Path(file))}
    found = [LockedPlugin.of(plugin) for plugin in plugins]
    for plugin in found:
        change = _describe_change(plugin, locked.get(plugin.key))
        if change is not None:
            raise PluginError(
                f"Plugin '{plugin.name}' ({plugin.distribution} {plugin.version}) is not imported: {change} the lock "
                f"file '{file}'. Restore the plugin, block it ({BLOCK}={plugin.distribution}), or lock it again after "
                f"a review: {WRITE_LOCK}."
            )
    present = {plugin.key for plugin in found} | {(normalize(one.distribution), one.name) for one in skipped}
    missing = next((entry for key, entry in locked.items() if key not in present and entry.version != "file"), None)
    if missing is not None:
        raise PluginError(
            f"Plugin '{missing.name}' ({missing.distribution} {missing.version}) of the lock file '{file}' is not "
            f"installed, so a run could have other results. Install it, or write the lock file again: {WRITE_LOCK}."
        )


def _describe_change(plugin: LockedPlugin, locked: LockedPlugin | None) -> str | None:
    """Return how a plugin differs from its entry, as the beginning of a clause that ends with the lock file."""
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


def _read(file: Path) -> list[LockedPlugin]:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, Mapping):
            raise TypeError("it is not a JSON object")
        return [LockedPlugin(**entry) for entry in content["plugins"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PluginError(
            f"{LOCK}='{file}' cannot be read as a lock file: {error}. No plugin is imported without it. "
            f"Write it: {WRITE_LOCK}."
        ) from error
