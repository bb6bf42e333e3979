"""Where a dataset is: a file, a pattern, a folder or the Hub. The checks here need no large package."""

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.files.nearest_path import nearest_path

FORMATS = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".xlsx": "xlsx",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
"""Format of each suffix."""

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes of compressed files, after the suffix of the format."""

ARCHIVE = ".zip"

LARGEST_FOLDER = 20_000
"""Largest number of files and folders in the folder of a dataset."""

FILES_OF_FOLDERS = ("config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""JSON files that describe a model or a dataset, and contain no rows."""

HUB_URL = re.compile(r"(?:hf://datasets/|https://huggingface\.co/datasets/)([^/]+/[^/]+?)/?")

FILE_SUFFIX = re.compile(r"\.[a-z]\w{1,6}")
"""A suffix of a file, unlike the end of a version such as `v1.0`."""

PATTERN_CHARACTERS = "*?["

Kind = Literal["file", "pattern", "folder", "archive", "hub"]


@dataclass(frozen=True)
class Location:
    """Where a dataset is.

    Attributes:
        kind: `"file"`, `"pattern"` for several files, `"folder"`, `"archive"` or `"hub"`.
        path: path or URL, or the id of a dataset on the Hub.
        is_remote: whether the path is a URL.
    """

    kind: Kind
    path: str
    is_remote: bool = False


def file_format(path: str) -> str | None:
    """Return the format of a file from its suffix, or None if files with this suffix cannot be read.

    Args:
        path: path or URL, also of a file in an archive. A suffix for compression is skipped.

    Examples:
        >>> file_format("rows.jsonl.gz"), file_format("https://host/Rows.CSV?download=true"), file_format("rows.txt")
        ('json', 'csv', None)
    """
    return FORMATS.get(_suffix(path))


def inner_path(path: str) -> str:
    """Return the path of a file within its archive, or the path itself.

    Examples:
        >>> inner_path("zip://data/train.csv::/home/rows.zip"), inner_path("rows.csv")
        ('data/train.csv', 'rows.csv')
    """
    member, separator, _ = path.partition("::")
    return member.removeprefix("zip://") if separator else path


def is_archive(path: str) -> bool:
    """Return whether a path is that of an archive, and not of a file within one."""
    return _suffix(path) == ARCHIVE


def locate(name: str | Path) -> Location:
    """Return where a dataset is, without reading it.

    Args:
        name: file, pattern, folder, URL or Hub id.

    Raises:
        InvalidArgumentError: not a name.
        UnreadableDatasetError: there is no such file, or its suffix is unknown; a folder has no dataset; or the name is
            empty.
        InvalidFeedbackError: the file is empty.

    Examples:
        >>> locate("Anthropic/hh-rlhf").kind, locate("s3://bucket/data/*.jsonl").kind
        ('hub', 'pattern')
        >>> locate("Anthropic/hh-rlhf/data/train-*.parquet").path
        'hf://datasets/Anthropic/hh-rlhf/data/train-*.parquet'
    """
    require_instance(
        name, (str, Path), "name", "a file, a pattern, a folder, a URL or a Hub id", "Pass for example 'pairs.jsonl'."
    )
    name = str(name).removeprefix("file://")
    if not name.strip():
        raise UnreadableDatasetError("The name of the dataset is empty. Give a file, a folder, a URL or a Hub id.")
    if "://" in name:
        return _locate_url(name)
    path = Path(name).expanduser()
    if path.is_dir():
        _require_dataset(path)
        return Location("folder", str(path))
    if path.exists():
        return _locate_file(path)
    if _has_pattern(name):
        return _locate_pattern(path, name)
    if _is_path(name):
        _refuse_missing_file(path)
    if name.count("/") > 1:
        return _locate_url(f"hf://datasets/{name}")
    return Location("hub", name)


def require_one_format(files: Iterable[str], name: str) -> str:
    """Return the format of files.

    Args:
        files: paths or URLs.
        name: name of the dataset, for messages.

    Raises:
        UnreadableDatasetError: there are no files that can be read, or files of several formats.
    """
    found = {form: PurePosixPath(inner_path(file)).name for file in sorted(files) if (form := file_format(file))}
    if not found:
        raise UnreadableDatasetError(
            f"'{name}' has no file that can be read. Give a file that ends in one of: {', '.join(FORMATS)}."
        )
    if len(found) > 1:
        raise UnreadableDatasetError(
            f"'{name}' has files of several formats ({', '.join(found.values())}), of which only one "
            "would be loaded. Give one file, or a folder with files of one format."
        )
    return next(iter(found))


def _locate_url(name: str) -> Location:
    if hub := HUB_URL.fullmatch(name):
        return Location("hub", hub[1])
    if any(character in inner_path(name) for character in "*["):
        return Location("pattern", name, is_remote=True)
    if is_archive(name):
        return Location("archive", name, is_remote=True)
    if FILE_SUFFIX.fullmatch(_suffix(name)):
        _require_known_suffix(name)
        return Location("file", name, is_remote=True)
    return Location("folder", name, is_remote=True)


def _locate_file(path: Path) -> Location:
    if is_archive(str(path)):
        return Location("archive", str(path))
    _require_known_suffix(str(path))
    if path.is_file() and not path.stat().st_size:
        raise InvalidFeedbackError(f"'{path}' is empty. Use a file with at least one row.")
    return Location("file", str(path))


def _locate_pattern(path: Path, name: str) -> Location:
    """Return the location of a pattern: local files, unless nothing is there and it can be a path on the Hub."""
    root = next(folder for folder in path.parents if folder.is_dir() or not _has_pattern(str(folder)))
    pattern = str(path.relative_to(root))
    if found := [str(file) for file in root.glob(pattern)]:
        if not any(map(is_archive, found)):
            require_one_format(found, name)
        return Location("pattern", str(Path(glob.escape(str(root)), pattern)))
    if not root.is_dir() and name.count("/") > 1 and not name.startswith((".", "/", "~")):
        return _locate_url(f"hf://datasets/{name}")
    raise UnreadableDatasetError(f"No file matches '{name}'. Check the pattern, and put it in quotes.")


def _has_pattern(name: str) -> bool:
    return any(character in name for character in PATTERN_CHARACTERS)


def _is_path(name: str) -> bool:
    """Return whether a name that does not exist is that of a file, and not of a dataset on the Hub."""
    if name.startswith((".", "/", "~")):
        return True
    if name.count("/") > 1:
        return Path(Path(name).parts[0]).is_dir()
    has_known_suffix = file_format(name) is not None or is_archive(name)
    return has_known_suffix or ("/" not in name and FILE_SUFFIX.fullmatch(Path(name).suffix.lower()) is not None)


def _require_known_suffix(path: str) -> None:
    if file_format(path) is None:
        suffix = _suffix(path)
        received = f"has the suffix '{suffix}', which is not supported" if suffix else "has no suffix"
        compressed = f"also compressed ({', '.join((*COMPRESSIONS, ARCHIVE))})"
        raise UnreadableDatasetError(
            f"'{path}' {received}, so its format is unknown. Use one of: {', '.join(FORMATS)}; {compressed}."
        )


def _require_dataset(folder: Path) -> None:
    """Raise `UnreadableDatasetError` unless a folder contains a dataset."""
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return
    inside = list(islice(folder.rglob("*"), LARGEST_FOLDER + 1))
    if len(inside) > LARGEST_FOLDER:
        raise UnreadableDatasetError(
            f"The folder '{folder}' has more than {LARGEST_FOLDER:,} files and folders, so it is no dataset. "
            "Give the folder of the dataset, or a pattern such as 'data/*.jsonl'."
        )
    files = [str(file) for file in inside if file.name not in FILES_OF_FOLDERS and os.path.isfile(file)]
    if model := next((name for name in ("config.json", "adapter_config.json") if (folder / name).is_file()), None):
        raise UnreadableDatasetError(
            f"The folder '{folder}' contains a model ({model}), not a dataset. Give the folder of a dataset."
        )
    if (folder / "README.md").is_file():
        if "[" in str(folder.resolve()):  # `datasets` takes it for a pattern
            raise UnreadableDatasetError(
                f"The folder '{folder}' has a README.md, whose options for files cannot be read because the path "
                "contains '['. Rename the folder, or give its files."
            )
        return
    if any(map(file_format, files)):
        require_one_format(files, str(folder))
    elif not any(map(is_archive, files)):
        raise UnreadableDatasetError(
            f"The folder '{folder}' has no dataset: neither one from save_to_disk nor files that end in "
            f"{', '.join(FORMATS)}. Give another folder or file."
        )


def _refuse_missing_file(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise UnreadableDatasetError(f"There is no file '{path}' and no folder '{folder}'. Check the path.")
    nearest = nearest_path(path, [Path(file.name) for file in folder.iterdir()])
    place = "this folder" if str(folder) == "." else f"'{folder}'"
    raise UnreadableDatasetError(f"There is no file '{path.name}' in {place}.{nearest} Check the path.")


def _suffix(path: str) -> str:
    """Return the last suffix in lower case, without a suffix for compression."""
    path = inner_path(path).lower()
    if path.startswith(("http://", "https://")):
        path = urlsplit(path).path  # without the query
    name = PurePosixPath(path)
    return (name.with_suffix("") if name.suffix in COMPRESSIONS else name).suffix
