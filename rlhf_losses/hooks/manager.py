"""Build the plugin manager: built-ins first, then installed plugins, then files given by hand."""

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pluggy

from rlhf_losses.errors import PluginError, did_you_mean
from rlhf_losses.hooks import builtins, specs
from rlhf_losses.hooks.markers import PROJECT

BLOCK = "RLHF_LOSSES_BLOCK"
"""Environment variable: names of installed plugins to leave out, separated by commas."""

BUILT_IN = "built-in"


def build_manager(plugin_files: Iterable[str | Path] = ()) -> pluggy.PluginManager:
    """Return a manager with the built-in losses, every installed plugin that is not blocked, and the given files."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    register(manager, builtins, BUILT_IN)
    blocked = [name.strip() for name in os.environ.get(BLOCK, "").split(",")]
    for entry_point in sorted(importlib.metadata.entry_points(group=PROJECT), key=lambda e: e.name):
        if entry_point.name not in blocked:
            register(manager, _load(entry_point), entry_point.name)
    for file in plugin_files:
        register(manager, load_file(Path(file)), Path(file).stem)
    return manager


def register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register one plugin, or raise `PluginError` that names it."""
    if manager.has_plugin(name):
        raise PluginError(
            f"Two plugins are called '{name}'. Rename one of them, or leave the installed one out: {BLOCK}={name}."
        )
    if not _marked(manager, plugin):
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
    """Import a plugin that is one Python file."""
    if not path.is_file():
        raise PluginError(f"There is no plugin file '{path}'. Give the path of a Python file: --plugin ./my_loss.py")
    # A name of its own in sys.modules: a plugin in json.py must not replace Python's json.
    name = f"rlhf_losses_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"'{path}' is not a Python file. Give a file that ends in .py: --plugin ./my_loss.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(
            f"Plugin file '{path}' fails when it is imported: {type(error).__name__}: {error}. Mend the file."
        ) from error
    return module


def _load(entry_point: importlib.metadata.EntryPoint) -> object:
    try:
        return entry_point.load()
    except Exception as error:
        raise PluginError(
            f"Plugin '{entry_point.name}' ({entry_point.value}) fails when it is imported: "
            f"{type(error).__name__}: {error}. Mend it, uninstall it, or leave it out: {BLOCK}={entry_point.name}."
        ) from error


def _explain(manager: pluggy.PluginManager, plugin: object, name: str, error: pluggy.PluginValidationError) -> str:
    known = _hooks()
    unknown = next((hook for hook in _marked(manager, plugin) if hook not in known), None)
    if unknown is not None:
        return (
            f"Plugin '{name}' implements {unknown}, which is not a hook.{did_you_mean(unknown, known)} "
            f"The hooks are: {', '.join(known)}."
        )
    return (
        f"Plugin '{name}' implements a hook with the wrong arguments: {' '.join(str(error).split())}. "
        "Copy the signature from docs/reference/hooks.md."
    )


def _hooks() -> list[str]:
    return [name for name in vars(specs) if name.startswith("provide_")]


def _marked(manager: pluggy.PluginManager, plugin: object) -> list[str]:
    return [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
