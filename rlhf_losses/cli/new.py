"""`rlhf-losses new`: write a plugin package that works, to be changed."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.plugin_package import PluginPackage
from rlhf_losses.errors import OutputExistsError, did_you_mean
from rlhf_losses.hooks import converter_registry, loss_registry, transform_registry
from rlhf_losses.hooks.installed_plugins import installed_plugins
from rlhf_losses.hooks.registry import Registry
from rlhf_losses.messages.printed_commands import printed_command

REGISTRIES: dict[str, Callable[[Iterable[str]], Registry[Any]]] = {
    "loss": loss_registry,
    "converter": converter_registry,
    "transform": transform_registry,
}
"""The registry of each kind of plugin that can be written."""


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses new",
        description="Write a plugin package: a module with a working example, its test, a page and an entry point.",
    )
    parser.add_argument("kind", metavar="KIND", help=f"what the plugin provides: {', '.join(REGISTRIES)}")
    parser.add_argument("name", metavar="NAME", help="name in snake case, for example squared_hinge")
    parser.add_argument(
        "--output_dir", metavar="FOLDER", help="new folder of the package (default: rlhf-losses-NAME in this folder)"
    )
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Write the package and print what to do next."""
    args = build_parser().parse(argv)
    require_kind(args.kind)
    package = PluginPackage(args.kind, args.name)
    require_free_name(package, plugins)
    package.require_valid_name()
    folder = new_folder(package, args.output_dir)
    write_package(package, folder)
    print(next_steps(package, folder))


def require_kind(kind: str) -> None:
    """Raise `CommandLineError` if there is no template for a kind of plugin.

    Args:
        kind: the first argument of the command.
    """
    if kind not in REGISTRIES:
        raise CommandLineError(
            f"'{kind}' is not a kind of plugin that can be written.{did_you_mean(kind, REGISTRIES)} "
            f"Choose one of: {', '.join(REGISTRIES)}."
        )


def require_free_name(package: PluginPackage, plugins: tuple[str, ...]) -> None:
    """Raise `CommandLineError` if a class or an installed plugin has the name of a new one.

    Args:
        package: the new package.
        plugins: plugin files whose names count too.
    """
    entry = REGISTRIES[package.kind](plugins).entries.get(package.name)
    if entry is not None:
        raise CommandLineError(
            f"There is a {package.kind} '{entry.name}' already (plugin {entry.plugin} {entry.version}), and names are "
            f"unique. Choose another name, for example my_{entry.name}."
        )
    installed = next((one for one in installed_plugins() if one.name == package.name), None)
    if installed is not None:
        raise CommandLineError(
            f"A plugin {installed} is installed, and names of plugins are unique. Choose another name, or uninstall "
            f"it: pip uninstall {installed.distribution}."
        )


def new_folder(package: PluginPackage, requested: str | None) -> Path:
    """Return the folder of a new package, which does not exist or is empty.

    Args:
        package: the package.
        requested: the folder that the command names, or None for the name of the distribution.

    Raises:
        CommandLineError: the folder has no name.
        OutputExistsError: the folder has files.
    """
    if requested is not None and not requested.strip():
        raise CommandLineError(
            f"--output_dir is '{requested}', which names no folder. Give a folder: --output_dir {package.distribution}."
        )
    folder = Path(requested or package.distribution)
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputExistsError(
            f"'{folder}' exists, and nothing is overwritten. Choose another folder (--output_dir FOLDER), or remove it."
        )
    return folder


def write_package(package: PluginPackage, folder: Path) -> None:
    """Write the files of a package.

    Args:
        package: the package.
        folder: its folder.
    """
    files = package.files()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def next_steps(package: PluginPackage, folder: Path) -> str:
    """Return the commands that install and test a package that was written.

    Args:
        package: the package.
        folder: its folder.
    """
    use = printed_command("describe", package.name) if package.kind == "loss" else "rlhf-losses plugins"
    path = shlex.quote(str(folder))
    commands = [f"pip install -e {path}", f"python -m pytest {path}", use]
    return "\n".join(
        [
            f"Wrote {folder}: {', '.join(package.files())}.",
            "It works as it is. Install it, run its tests, then change the example:",
            "",
            *(f"    {command}" for command in commands),
        ]
    )
