"""The files of a dataset, by split."""

import atexit
import dataclasses
import glob
import logging
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from datasets import load_dataset_builder
from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns

from rlhf_losses.files.locations import COMPRESSIONS, FILES_OF_FOLDERS, Location, file_format, inner_path, is_archive
from rlhf_losses.files.records import open_binary

logger = logging.getLogger(__name__)

OPTIONS_WITHOUT_EFFECT = ("name", "version", "data_dir", "data_files", "description", "features", "sep", "delimiter")
"""Options of a builder of `datasets` that do not change how its files are read here."""


def files_by_split(location: Location, config: str | None = None) -> dict[str, list[str]] | None:
    """Return the paths or URLs of the files of each split.

    The names of the files in a folder contain the names of splits, as on the Hub: `train.jsonl`,
    `data/test-00000-of-00002.csv`. A single file, or all files of a pattern, are the split `train`.

    Args:
        location: where the dataset is.
        config: configuration of a dataset on the Hub.

    Returns:
        The files, or None if `datasets` has to read them: they are not tables, or a README.md has options for them.
    """
    match location.kind:
        case "file":
            files = {"train": [location.path]}
        case "pattern":
            files = {"train": _matching(location.path)}
        case "archive":
            files = _files_in_folder(f"zip://::{location.path}")
        case _ if location.kind == "hub" or (Path(location.path) / "README.md").is_file():
            return _files_of_builder(location.path, config)
        case _:
            files = _files_in_folder(location.path)
    return {split: [file for path in paths for file in _expanded(path)] for split, paths in files.items()}


def decompressed(path: str) -> str:
    """Return the path of a file that is not compressed: the file itself, or a copy that exists until the process ends.

    Args:
        path: path or URL, also of a file in an archive.
    """
    if "::" not in path and not path.lower().endswith(COMPRESSIONS):
        return path
    folder = tempfile.mkdtemp(prefix="rlhf-losses-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = Path(folder, PurePosixPath(inner_path(path)).name)
    copy = copy.with_suffix("") if copy.name.lower().endswith(COMPRESSIONS) else copy
    with open_binary(path) as file, copy.open("wb") as target:
        shutil.copyfileobj(file, target)
    return str(copy)


def stamp(path: str) -> str:
    """Return the properties of a file that differ after a change: size, time of the last change, and others.

    Args:
        path: path or URL.
    """
    system, inner = fsspec.core.url_to_fs(path)
    return str(system.info(inner))


def _matching(pattern: str) -> list[str]:
    """Return the files that match a pattern and can be read."""
    system, inner = fsspec.core.url_to_fs(pattern)
    found = sorted(str(path) for path in system.glob(inner))
    return [path if "://" not in pattern else system.unstrip_protocol(path) for path in found if _is_readable(path)]


def _files_in_folder(folder: str) -> dict[str, list[str]]:
    """Return the files of a local or remote folder, or of an archive, by the split in their names."""
    every = _resolved({"train": ["**"]}, folder).get("train", [])
    try:
        files = _resolved(get_data_patterns(_literal(folder)), folder)
    except EmptyDatasetError:
        files = {}
    used = {path for paths in files.values() for path in paths}
    if not used:
        return {"train": every}
    if unused := [PurePosixPath(inner_path(path)).name for path in every if path not in used]:
        logger.warning(
            "'%s': not read, because other names contain the name of a split: %s.", folder, ", ".join(unused)
        )
    return files


def _resolved(patterns: Mapping[Any, list[str]], folder: str) -> dict[str, list[str]]:
    """Return the files of each split that can be read."""
    found = DataFilesDict.from_patterns(dict(patterns), base_path=_literal(folder))
    readable = {str(split): list(filter(_is_readable, dict.fromkeys(paths))) for split, paths in found.items()}
    return {split: paths for split, paths in readable.items() if paths}


def _literal(folder: str) -> str:
    """Return a pattern that matches one folder, whose name can have characters of patterns."""
    return folder if "://" in folder else glob.escape(folder)


def _files_of_builder(path: str, config: str | None) -> dict[str, list[str]] | None:
    """Return the files of a folder with a README.md or of a dataset on the Hub."""
    builder = load_dataset_builder(path, name=config)
    files = {str(split): list(paths) for split, paths in (builder.config.data_files or {}).items()}
    defaults = type(builder.config)()
    changed = [
        field.name
        for field in dataclasses.fields(defaults)
        if field.name not in OPTIONS_WITHOUT_EFFECT
        and getattr(builder.config, field.name) != getattr(defaults, field.name)
    ]
    readable = all(file_format(path) is not None for paths in files.values() for path in paths)
    return files if files and readable and not changed else None


def _expanded(path: str) -> Iterable[str]:
    """Return the files of an archive that can be read, or the path of another file."""
    if not is_archive(path):
        return [path]
    system, inner = fsspec.core.url_to_fs(f"zip://**::{path}")
    return [f"zip://{member}::{path}" for member in sorted(system.glob(inner)) if _is_readable(member)]


def _is_readable(path: str) -> bool:
    file = PurePosixPath(inner_path(path))
    is_data = file_format(path) is not None or is_archive(path)
    return is_data and file.name not in FILES_OF_FOLDERS and not file.name.startswith((".", "~$"))
