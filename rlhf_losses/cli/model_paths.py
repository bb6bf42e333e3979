"""Checks of the paths of models, which need no large package."""

from pathlib import Path

from rlhf_losses.checkpoints.manifest import has_manifest, is_unfinished
from rlhf_losses.checkpoints.rotation import checkpoint_folders
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.files.nearest_path import nearest_path

MODEL_FILES = ("config.json", "adapter_config.json")


def require_model_path(name: str, flag: str) -> None:
    """Raise `CommandLineError` for a file, a missing folder, or a folder without a model.

    Args:
        name: folder or Hub id.
        flag: flag of the argument, for messages.
    """
    path = Path(name)
    if path.is_file():
        raise CommandLineError(
            f"'{name}' is a file, but a model is a folder with config.json or a Hub id. "
            f"Pass a model with {flag}; a file with rows is a dataset."
        )
    if not path.is_dir() and name.startswith((".", "/", "~")):
        raise CommandLineError(f"There is no model folder '{name}'.{nearest_folder(path)} Check the path after {flag}.")
    if path.is_dir() and not any((path / file).is_file() for file in MODEL_FILES):
        last = _last_checkpoint(path)
        remedy = f"Use its last checkpoint: {flag} {last}." if last else f"Give a folder with config.json after {flag}."
        raise CommandLineError(f"The folder '{path}' contains no model. {remedy}")


def nearest_folder(path: Path) -> str:
    """Return a suggestion for a folder that does not exist, or an empty string.

    Args:
        path: the folder.
    """
    if path.is_dir() or not path.parent.is_dir():
        return ""
    return nearest_path(path, [other for other in path.parent.iterdir() if other.is_dir()])


def _last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or the newest one of an earlier version."""
    found = [one.path for one in checkpoint_folders(folder) if not is_unfinished(one.path)]
    return next((path for path in found if has_manifest(path)), next(iter(found), None))
