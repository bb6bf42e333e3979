"""`rlhf-losses plugins`: installed plugins and plugin files, listed without importing them."""

import json
from collections.abc import Sequence
from typing import Any

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.tables import make_table, render_table
from rlhf_losses.hooks.installed_plugins import PluginSource, installed_plugins, plugin_file, status
from rlhf_losses.hooks.plugin_lock import LOCK, is_as_locked, write_lock

HASH_LENGTH = 12
"""Number of digits of a hash in the table; `--json` has all."""


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses plugins",
        description="List installed plugins and --plugin files without importing them.",
    )
    parser.add_argument(
        "--lock", metavar="FILE",
        help=f"write the versions and file hashes of the allowed plugins; {LOCK}=FILE refuses any others",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON array with the hash of each file")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the plugins as a table or as JSON, and write a lock file."""
    args = build_parser().parse(argv)
    installed = installed_plugins()
    states = [(plugin, status(plugin, installed)) for plugin in installed]
    states += [(plugin_file(file), "allowed") for file in plugins]
    if args.lock is not None:
        write_lock([plugin for plugin, state in states if state == "allowed"], args.lock)
    else:
        states = [(plugin, compared_to_lock(plugin, state)) for plugin, state in states]
    if args.json:
        print(json.dumps([summarize(plugin, state) for plugin, state in states], indent=2))
    elif states:
        print(render_table(make_table(table_rows(states), ("PLUGIN", "PACKAGE", "VERSION", "MODULE", "STATE", "HASH"))))
    else:
        print("No plugin is installed.")


def compared_to_lock(plugin: PluginSource, state: str) -> str:
    """Return the state, or `"not as locked"` for an allowed plugin that is not that of the lock file."""
    return "not as locked" if state == "allowed" and not is_as_locked(plugin) else state


def table_rows(states: Sequence[tuple[PluginSource, str]]) -> list[list[str]]:
    """Return the cells of the table.

    Args:
        states: plugins, each with `"allowed"`, `"not as locked"`, `"blocked"` or `"not allowed"`.
    """
    return [
        [one.name, one.distribution, one.version, one.module, state, one.sha256[:HASH_LENGTH]] for one, state in states
    ]


def summarize(plugin: PluginSource, state: str) -> dict[str, Any]:
    """Return the details of one plugin as JSON data.

    Args:
        plugin: the plugin.
        state: `"allowed"`, `"not as locked"`, `"blocked"` or `"not allowed"`.
    """
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": state,
        "sha256": plugin.sha256,
        "files": plugin.hashes,
    }
