"""Where rows come from: a hub id, a local folder, or JSON Lines, Parquet and CSV files."""

import ast
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import trl
from datasets.data_files import FILES_TO_IGNORE
from datasets.table import CastError

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.arguments import DataArguments
from rlhf_losses.errors import InvalidFeedbackError, did_you_mean

READERS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}

LISTS = ("completions", "ranks", "ratings", "labels", "votes")
"""Columns that always hold lists; CSV has them as text."""

CONVERSATIONS = ("prompt", "completion", "chosen", "rejected", "messages")
"""Columns that hold a text or a list of messages; CSV has the messages as text."""

logger = logging.getLogger(__name__)

Rows: TypeAlias = datasets.Dataset | datasets.IterableDataset
Splits = Mapping[Any, Rows]


def load_rows(name: str, split: str | None = None, config: str | None = None) -> Rows:
    """Load one split of a dataset: the one that is named, or the only one, or `test`."""
    splits = load_splits(name, config)
    return pick(splits, split or (next(iter(splits)) if len(splits) == 1 else "test"), name)


def training_rows(data: DataArguments, mixture: trl.DatasetMixtureConfig, evaluates: bool) -> tuple[Rows, Rows | None]:
    """Return the rows to train on, and those to evaluate on if there is a wish to."""
    if bool(data.dataset_name) == bool(mixture.datasets):
        arrived = "Both --dataset and a mixture of datasets" if data.dataset_name else "No --dataset"
        raise CommandLineError(f"{arrived} came. Name one: --dataset FILE, or `datasets:` in the file of --config.")
    name = data.dataset_name or "datasets"
    if mixture.datasets:
        splits = trl.get_dataset(mixture)
    else:
        splits = load_splits(name, data.dataset_config, data.dataset_streaming)
    train = pick(splits, data.dataset_train_split, name)
    if data.eval_dataset:
        return train, load_rows(data.eval_dataset)
    if evaluates:
        return train, pick(splits, data.dataset_test_split, name, or_else=", or give a file: --eval_dataset FILE")
    return train, None


def load_splits(name: str, config: str | None = None, streaming: bool = False) -> Splits:
    """Load every split of a dataset; a file, and a folder that holds one dataset, is the split `train`."""
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return load_folder(path, config, streaming)
        if path.is_file() or path.suffix in READERS or name.startswith((".", "/", "~")):
            return {"train": load_file(path, streaming)}
        logger.info("Loading %s from the hub.", name)
        return datasets.load_dataset(name, name=config, streaming=streaming)
    except (CommandLineError, InvalidFeedbackError):
        raise
    except Exception as error:  # every reader and the hub client have exceptions of their own
        if "corresponds to no data" in str(error):  # how `datasets` says that there is no row
            raise InvalidFeedbackError(f"'{name}' has no rows. Give a dataset with at least one row.") from error
        raise CommandLineError(unreadable(path, name, error)) from error


def pick(splits: Splits, split: str, name: str, or_else: str = "") -> Rows:
    """Return one split, and refuse it if it has no rows."""
    if split not in splits:
        raise CommandLineError(
            f"'{name}' has no split '{split}'; it has {', '.join(splits)}.{did_you_mean(split, splits)} "
            f"Name one of them{or_else}."
        )
    rows = splits[split]
    if next(iter(rows), None) is None:
        raise InvalidFeedbackError(
            f"'{name}' has no rows in its split '{split}'. Give a dataset with at least one row."
        )
    return rows


def load_file(path: Path, streaming: bool = False) -> Rows:
    """Load one file by its suffix."""
    require_file(path)
    if path.suffix not in READERS:
        raise CommandLineError(
            f"'{path}' ends in '{path.suffix}', which is not read here. Give a file that ends in {', '.join(READERS)}."
        )
    if not path.stat().st_size:
        raise InvalidFeedbackError(f"'{path}' is empty. Give a file with at least one row.")
    rows = datasets.load_dataset(READERS[path.suffix], data_files=str(path), split="train", streaming=streaming)
    return with_lists(rows, path) if path.suffix == ".csv" else rows


def load_folder(path: Path, config: str | None, streaming: bool) -> Splits:
    """Load a folder written by `save_to_disk`, or one with data files in it."""
    if (path / "dataset_dict.json").is_file():
        return datasets.DatasetDict.load_from_disk(path)
    if (path / "dataset_info.json").is_file() and (path / "state.json").is_file():
        return {"train": datasets.Dataset.load_from_disk(path)}
    require_one_kind(path)
    splits = datasets.load_dataset(str(path), name=config, streaming=streaming)
    return {split: with_lists(rows, path) for split, rows in splits.items()} if list(path.rglob("*.csv")) else splits


def require_one_kind(folder: Path) -> None:
    """Raise `CommandLineError` unless a folder holds files with rows, all of one kind; a README.md may choose among them."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in READERS and file.name not in FILES_TO_IGNORE)
    kinds = {READERS[file.suffix]: file.name for file in files}
    if not kinds:
        raise CommandLineError(
            f"The folder '{folder}' holds no dataset: neither one written by save_to_disk nor files that end in "
            f"{', '.join(READERS)}. Name the folder or the file with the rows."
        )
    if model := next((name for name in ("config.json", "adapter_config.json") if (folder / name).is_file()), None):
        raise CommandLineError(
            f"The folder '{folder}' holds a model ({model}), not rows. Name the folder or the file with the rows; a "
            "model comes after --model."
        )
    if len(kinds) > 1 and not (folder / "README.md").is_file():
        raise CommandLineError(
            f"The folder '{folder}' holds files of several kinds ({', '.join(kinds.values())}), of which only one kind "
            "would be read. Name the file with the rows, or a folder with files of one kind."
        )


def require_file(path: Path) -> None:
    """Raise `CommandLineError` with the nearest name in the folder if there is no such file."""
    if path.is_file():
        return
    folder = path.parent
    if not folder.is_dir():
        raise CommandLineError(f"There is no file '{path}', nor a folder '{folder}'. Check the path.")
    nearest = did_you_mean(path.name, [file.name for file in folder.iterdir()])
    raise CommandLineError(f"There is no file '{path.name}' in '{folder}'.{nearest} Check the path.")


def unreadable(path: Path, name: str, error: Exception) -> str:
    """Say why a dataset could not be read."""
    if path.exists():
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]  # the compatible_losses wrap what went wrong in general errors
    told = f"its rows differ, {error.details()}" if isinstance(error, CastError) else str(error) or type(error).__name__
    lines = told.strip().splitlines()
    reason = " … ".join(dict.fromkeys((lines[0], lines[-1]))).rstrip(".")
    if path.exists():
        advice = "Name one of its files, or mend the data" if path.is_dir() else "Mend the data"
        return f"'{path}' cannot be read: {reason}. {advice}; every row needs the same columns."
    beside = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return (
        f"There is no file or folder '{name}' here, and as a dataset of the hub it cannot be had: {reason}. "
        f"Check the name.{did_you_mean(name, beside)}"
    )


def with_lists(rows: Rows, path: Path) -> Rows:
    """Read the lists that CSV holds as text, like `["a", "b"]`."""
    columns = rows.column_names or list(next(iter(rows), {}))
    decoders = {name: decoder for name in columns if (decoder := _decoder(rows, name)) is not None}
    if not decoders:
        return rows

    def decode(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        return {
            name: _decoded(row[name], decoder, f"row {index} of '{path}'", name) for name, decoder in decoders.items()
        }

    return rows.map(decode, with_indices=True)


def _decoder(rows: Rows, name: str) -> Callable[[str], Any] | None:
    """Return how to read a column: lists always, conversations if the first text is a list of messages."""
    column: Any = rows.select_columns([name])
    first = next((row[name] for row in column if row[name] is not None), None)
    if not isinstance(first, str):
        return None
    if name in LISTS or (name in CONVERSATIONS and _is_conversation(first)):
        return read_list
    return None


def _is_conversation(text: str) -> bool:
    try:
        return text.startswith("[") and all(isinstance(message, dict) for message in read_list(text))
    except ValueError:
        return False


def _decoded(value: Any, decoder: Callable[[str], Any], where: str, name: str) -> Any:
    try:
        return None if value is None else decoder(value)
    except ValueError:
        raise InvalidFeedbackError(
            f"In {where} the column {name} is {value!r:.80}, which is no list. "
            'Write lists in CSV as JSON, like ["first answer", "second answer"].'
        ) from None


def read_list(text: str) -> list[Any]:
    """Read a list written as JSON, or as Python writes it; raise `ValueError` for anything else.

    >>> read_list('[1, 2]'), read_list("['a', None]")
    ([1, 2], ['a', None])
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = _literal(text)
    if not isinstance(found, list):
        raise ValueError(f"{text!r} is not a list")
    return found


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None
