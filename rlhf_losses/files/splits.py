"""Loading of datasets: from the Hub, from a folder, or from files in JSON Lines, JSON, CSV, Excel, Parquet or Arrow."""

import logging
from collections.abc import Mapping
from pathlib import Path

import datasets
from datasets.table import CastError

from rlhf_losses.errors import (
    InvalidFeedbackError,
    MissingPackageError,
    RlhfLossesError,
    UnreadableDatasetError,
    did_you_mean,
)
from rlhf_losses.files.columns import parse_columns, rename_columns
from rlhf_losses.files.data_files import files_by_split
from rlhf_losses.files.locations import Location, locate, require_one_format
from rlhf_losses.files.nearest_path import nearest_path
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.files.table_reading import Rows, read_tables
from rlhf_losses.files.typed_files import TYPED_FORMATS, read_typed_files

logger = logging.getLogger(__name__)

Splits = Mapping[str, Rows]


def load_rows(
    name: str | Path,
    split: str | None = None,
    config: str | None = None,
    columns: Mapping[str, str] | str | None = None,
) -> datasets.Dataset:
    """Load one split of a dataset.

    In CSV, TSV and Excel files, columns of texts contain the text that is written, and only an empty cell is missing.

    Args:
        name: Hub id, folder, file, pattern such as `data/*.jsonl`, or URL.
        split: name of the split; by default the only one, or `test`.
        config: configuration of a dataset on the Hub.
        columns: old names of columns by new name, or `"NEW=OLD,..."`, see `rename_columns`.

    Raises:
        InvalidArgumentError: an argument of another type.
        UnreadableDatasetError: the dataset cannot be loaded, or has no such split or column.
        InvalidFeedbackError: the split has no rows, or a value has not the type of its column.
        MissingPackageError: the format needs a package that is not installed.
    """
    renamed = parse_columns(columns)
    splits = load_splits(name, config, columns=renamed)
    rows = select_split(splits, split or default_split(splits), str(name))
    return rename_columns(rows, renamed, str(name))


def load_splits(
    name: str | Path, config: str | None = None, streaming: bool = False, columns: Mapping[str, str] | None = None
) -> Splits:
    """Load all splits of a dataset. A file, or a folder with a single dataset, is the split `train`.

    Args:
        name: Hub id, folder, file, pattern or URL.
        config: configuration of a dataset on the Hub.
        streaming: whether to load rows lazily.
        columns: old names of columns by new name. The columns are read as their new names require, and not renamed.

    Raises:
        UnreadableDatasetError: the dataset cannot be loaded.
        InvalidFeedbackError: the dataset has no rows, or a value has not the type of its column.
        MissingPackageError: the format needs a package that is not installed.
    """
    location, name = locate(name), str(name)
    targets = {old: new for new, old in (columns or {}).items()}
    try:
        splits = _load(location, config, streaming, targets)
        return {str(split): readable_rows(rows, name) for split, rows in splits.items()}
    except RlhfLossesError:
        raise
    except ImportError as error:
        reason = str(error).rstrip(".")
        raise MissingPackageError(
            f"'{name}' needs a package that is not installed: {reason}. Install it with pip; 'rlhf-losses[files]' has "
            "those for https, .xlsx and .zst."
        ) from error
    except Exception as error:  # the readers of `datasets`, file systems and the Hub client have many exception classes
        if "corresponds to no data" in str(error):  # how `datasets` reports a file without rows
            raise InvalidFeedbackError(f"'{name}' has no rows. Use a dataset with at least one row.") from error
        raise UnreadableDatasetError(_explain(location, name, error)) from error


def default_split(splits: Splits) -> str:
    """Return the name of the only split, or `test`."""
    return next(iter(splits)) if len(splits) == 1 else "test"


def select_split(splits: Splits, split: str, name: str, alternative: str = "") -> Rows:
    """Return one split of a dataset.

    Args:
        splits: all splits.
        split: name of the split.
        name: name of the dataset, for messages.
        alternative: another remedy for the message.

    Raises:
        UnreadableDatasetError: there is no such split.
        InvalidFeedbackError: the split has no rows.
    """
    if split not in splits:
        raise UnreadableDatasetError(
            f"'{name}' has no split '{split}'.{did_you_mean(split, splits)} "
            f"Choose one of: {', '.join(splits)}{alternative}."
        )
    rows = splits[split]
    if not (len(rows) if isinstance(rows, datasets.Dataset) else next(iter(rows), None)):
        raise InvalidFeedbackError(f"Split '{split}' of '{name}' has no rows. Use a dataset with at least one row.")
    return rows


def _load(location: Location, config: str | None, streaming: bool, targets: Mapping[str, str]) -> Splits:
    saved = _load_saved(Path(location.path)) if location.kind == "folder" and not location.is_remote else None
    if saved is not None:
        return saved
    if location.kind == "hub":
        logger.info("Loading %s from the Hub.", location.path)
    files = files_by_split(location, config)
    if files is None:
        loaded: Splits = datasets.load_dataset(location.path, name=config, streaming=streaming)
        return loaded
    form = require_one_format((path for paths in files.values() for path in paths), location.path)
    if form in TYPED_FORMATS:
        return {split: read_typed_files(paths, split, streaming) for split, paths in files.items()}
    return {split: read_tables(paths, targets, streaming) for split, paths in files.items()}


def _load_saved(folder: Path) -> Splits | None:
    """Return what `save_to_disk` has written to a folder, or None."""
    if (folder / "dataset_dict.json").is_file():
        saved: Splits = datasets.DatasetDict.load_from_disk(folder)
        return saved
    if (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file():
        return {"train": datasets.Dataset.load_from_disk(folder)}
    return None


def _explain(location: Location, name: str, error: BaseException) -> str:
    """Return the message for a dataset that cannot be loaded."""
    is_file = location.kind != "hub"
    while is_file and error.__cause__ is not None:  # the builders wrap the reason in general errors
        error = error.__cause__
    text = f"its rows differ, {error.details()}" if isinstance(error, CastError) else str(error) or type(error).__name__
    lines = text.strip().splitlines()
    reason = " … ".join(dict.fromkeys((lines[0], lines[-1]))).rstrip(".")
    if location.is_remote:
        return f"'{name}' cannot be loaded: {reason}. Check the URL, and that you have access."
    if is_file:
        remedy = "Give one of its files, or fix the data" if location.kind == "folder" else "Fix the data"
        return f"'{name}' cannot be loaded: {reason}. {remedy}; all rows need the same columns."
    folder = Path(name).parent
    neighbours = list(folder.iterdir()) if folder.is_dir() else []
    return (
        f"'{name}' is neither a local file or folder nor a dataset on the Hub: {reason}."
        f"{nearest_path(Path(name), neighbours)} Check the name."
    )
