"""The plugin manager: loads the built-in plugin, installed plugins and plugin files."""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import pluggy

from rlhf_losses.errors import PluginError, did_you_mean
from rlhf_losses.hooks import builtins, specs
from rlhf_losses.hooks.installed_plugins import (
    ALLOW,
    BLOCK,
    BUILT_IN,
    PluginSource,
    installed_plugins,
    plugin_file,
    require_distinct,
    status,
)
from rlhf_losses.hooks.plugin_code import plugin_code
from rlhf_losses.hooks.plugin_lock import require_locked
from rlhf_losses.hooks.specs import PROJECT, RENAMED_HOOKS
from rlhf_losses.messages.documentation import documentation

logger = logging.getLogger(__name__)


def build_manager(plugin_files: Iterable[str | Path] = ()) -> pluggy.PluginManager:
    """Load all plugins: the built-in one, installed ones by name, then files.

    Installed plugins that `RLHF_LOSSES_BLOCK` names, or that `RLHF_LOSSES_ALLOW` does not name, are not imported. With
    `RLHF_LOSSES_LOCK`, all plugins must be those of the lock file. A plugin file is named by the user, so it is loaded
    even if it is not allowed or an installed plugin of the same name is blocked; a lock file must contain it.

    Args:
        plugin_files: Python files with plugins that are not installed.

    Returns:
        The plugin manager.

    Raises:
        PluginError: a plugin differs from the lock file, cannot be loaded, or breaks the contract.
    """
    installed = installed_plugins()
    states = {plugin: status(plugin, installed) for plugin in installed}
    chosen = [plugin for plugin in installed if states[plugin] == "allowed"]
    files = [Path(file) for file in plugin_files]
    _report_not_allowed([plugin for plugin in installed if states[plugin] == "not allowed"])
    require_distinct(chosen)
    skipped = [plugin for plugin in installed if plugin not in chosen]
    require_locked([*chosen, *map(plugin_file, filter(Path.is_file, files))], skipped)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    register(manager, builtins, BUILT_IN)
    for plugin in skipped:
        manager.set_blocked(plugin.name)
    for plugin in chosen:
        manager.unblock(plugin.name)
        register(manager, _load(plugin), plugin.name)
    for file in files:
        manager.unblock(file.stem)
        register(manager, load_file(file), file.stem)
    return manager


def register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register one plugin.

    Raises:
        PluginError: the name is taken, or the plugin implements no hook, an unknown hook or one with other arguments.
    """
    other = manager.get_plugin(name)
    if other is not None:
        raise PluginError(
            f"Two plugins are named '{name}': {_origin(other)} and {_origin(plugin)}. Rename one of them, or block an "
            f"installed one: {BLOCK}={name}."
        )
    if not _implemented_hooks(manager, plugin):
        raise PluginError(
            f"Plugin '{name}' implements no hook, so it provides nothing. Put @hookimpl above one of: "
            f"{', '.join(_hooks())}."
        )
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_explain(manager, plugin, name, error)) from None


def load_file(path: Path) -> ModuleType:
    """Import a plugin that consists of one Python file.

    Args:
        path: path of the file. The module is named after it, with a prefix: `json.py` does not replace Python's `json`.

    Raises:
        PluginError: there is no such file, it is not Python, or its import fails.
    """
    if not os.path.isfile(path):  # unlike the method of a path, also for a name that no file system accepts
        found = f"'{path}' is a folder" if os.path.isdir(path) else f"There is no plugin file '{path}'"
        raise PluginError(f"{found}. Give the path of a file that ends in .py.")
    name = f"rlhf_losses_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"'{path}' is not a Python file. Give a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        what = f"The import of plugin file '{path}'"
        with plugin_code(what, f"{what} fails", "Fix the file."):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _report_not_allowed(plugins: Sequence[PluginSource]) -> None:
    if plugins:
        logger.warning(
            "Not imported, because %s does not name them: plugins %s. Add a name to use its plugin.",
            ALLOW, ", ".join(map(str, plugins)),
        )  # fmt: skip


def _load(plugin: PluginSource) -> object:
    what = f"The import of plugin '{plugin.name}' ({plugin.module}) of {plugin.distribution} {plugin.version}"
    with plugin_code(what, f"{what} fails", f"Fix it, uninstall it, or block it: {BLOCK}={plugin.name}."):
        loaded: object = None if plugin.entry_point is None else plugin.entry_point.load()
    return loaded


def _explain(manager: pluggy.PluginManager, plugin: object, name: str, error: pluggy.PluginValidationError) -> str:
    unknown = next((hook for hook in _implemented_hooks(manager, plugin) if hook not in _hooks()), None)
    if unknown is None:
        return (
            f"Plugin '{name}' implements a hook with the wrong arguments: {' '.join(str(error).split())}. "
            f"Copy the signature from {documentation('reference/hooks.md')}."
        )
    if unknown in RENAMED_HOOKS:
        return f"Plugin '{name}' implements {unknown}, which has a new name. Rename it to {RENAMED_HOOKS[unknown]}."
    return (
        f"Plugin '{name}' implements {unknown}, which is not a hook.{did_you_mean(unknown, _hooks())} "
        f"Implement one of: {', '.join(_hooks())}."
    )


def _origin(plugin: object) -> str:
    """Return the file of a plugin that is a module."""
    return str(getattr(plugin, "__file__", plugin))


def _hooks() -> list[str]:
    return [name for name in vars(specs) if name.startswith("provide_")]


def _implemented_hooks(manager: pluggy.PluginManager, plugin: object) -> list[str]:
    return [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
