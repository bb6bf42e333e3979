"""The manifest of a checkpoint: size and hash of every file, written last. A folder is whole if its files match it.

checkpoint-5/
    manifest.json.unfinished    exists while the checkpoint is written
    manifest.json               replaces it in one operation of the file system, after all other files are on disk
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
UNFINISHED = "manifest.json.unfinished"
CARD = "README.md"
"""The model card, which is not part of the manifest: it can be edited."""

SCHEMA = 1
"""Newest schema of the manifest."""

_verified: dict[Path, Mapping[str, tuple[int, int]]] = {}
"""Size and modification time of the files of each folder that this process has found whole."""


def begin_checkpoint(folder: Path) -> None:
    """Create the folder of a checkpoint, marked as unfinished.

    Args:
        folder: a folder that does not exist, or an empty one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_synced(folder / UNFINISHED, "")


def commit_checkpoint(folder: Path) -> None:
    """Write all files of a folder to disk, and then its manifest.

    Args:
        folder: folder of the checkpoint, with all its files.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "checkpoint-1")
        >>> begin_checkpoint(folder)
        >>> find_damage(folder)
        'it is unfinished: the run stopped while it was written'
        >>> _ = (folder / "trainer_state.json").write_text("{}")
        >>> commit_checkpoint(folder)
        >>> find_damage(folder)
        >>> _ = (folder / "trainer_state.json").write_text("[]")
        >>> find_damage(folder)
        'trainer_state.json has other content than was written'
    """
    names = [name for name in _file_names(folder) if name != CARD]
    files = {}
    for name in names:
        _sync(folder / name)
        files[name] = {"bytes": (folder / name).stat().st_size, "sha256": _file_hash(folder / name)}
    for inner in {(folder / name).parent for name in names}:
        _sync(inner)
    content = {"schema": SCHEMA, "files": files, "sha256": _hash_of_list(files)}
    _write_synced(folder / UNFINISHED, json.dumps(content, indent=1))
    os.replace(folder / UNFINISHED, folder / MANIFEST)
    _sync(folder)
    _sync(folder.parent)


def is_unfinished(folder: Path) -> bool:
    """Return whether the run stopped while the checkpoint was written."""
    return (folder / UNFINISHED).exists()


def has_manifest(folder: Path) -> bool:
    """Return whether the checkpoint was finished; earlier versions wrote no manifest."""
    return (folder / MANIFEST).is_file() and not is_unfinished(folder)


def find_damage(folder: Path, contents: bool = True) -> str | None:
    """Return why a folder is no whole checkpoint, or None.

    Args:
        folder: folder of a checkpoint.
        contents: compare the hashes of the files too. Files that this process has compared are not read again.
    """
    if is_unfinished(folder):
        return "it is unfinished: the run stopped while it was written"
    if not (folder / MANIFEST).is_file():
        return f"it has no {MANIFEST}, which is written last: it is incomplete, or of an earlier version"
    files = _read_manifest(folder)
    if files is None:
        return f"{MANIFEST} has other content than was written"
    try:
        return _first_difference(folder, files, contents)
    except OSError as error:
        return f"{Path(str(error.filename or folder)).name} cannot be read: {error.strerror}"


def _first_difference(folder: Path, files: Mapping[str, Mapping[str, Any]], contents: bool) -> str | None:
    state = {}
    for name, expected in files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        found = (folder / name).stat()
        if found.st_size != expected["bytes"]:
            return f"{name} has {found.st_size} bytes instead of {expected['bytes']}"
        state[name] = (found.st_size, found.st_mtime_ns)
    if not contents or _verified.get(folder.resolve()) == state:
        return None
    for name, expected in files.items():
        if _file_hash(folder / name) != expected["sha256"]:
            return f"{name} has other content than was written"
    _verified[folder.resolve()] = state
    return None


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Return the files of a manifest, or None if it is not one that was written."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = content["files"]
        return files if content["sha256"] == _hash_of_list(files) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file_names(folder: Path) -> list[str]:
    """Return the paths of all files in a folder but the manifest, relative to it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in files)
    return sorted(name for name in names if name not in (MANIFEST, UNFINISHED))


def _file_hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _hash_of_list(files: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _write_synced(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
