"""Loading of datasets: a Hub id, a local folder, or a file in JSON Lines, JSON, Parquet or CSV."""

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

FORMATS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}
"""Builder of `datasets` for each suffix."""

LIST_COLUMNS = ("completions", "ranks", "ratings", "labels", "votes")
"""Columns that contain lists. A CSV file has them as text."""

CONVERSATION_COLUMNS = ("prompt", "completion", "chosen", "rejected", "messages")
"""Columns that contain a text or a list of messages. A CSV file has the messages as text."""

logger = logging.getLogger(__name__)

Rows: TypeAlias = datasets.Dataset | datasets.IterableDataset
Splits = Mapping[Any, Rows]


def load_rows(name: str, split: str | None = None, config: str | None = None) -> Rows:
    """Load one split of a dataset.

    Args:
        name: Hub id, folder or file.
        split: name of the split; by default the only one, or `test`.
        config: configuration of a dataset on the Hub.

    Raises:
        CommandLineError: the dataset cannot be loaded or has no such split.
        InvalidFeedbackError: the split has no rows.
    """
    splits = load_splits(name, config)
    return select_split(splits, split or (next(iter(splits)) if len(splits) == 1 else "test"), name)


def load_training_rows(
    data: DataArguments, mixture: trl.DatasetMixtureConfig, evaluates: bool
) -> tuple[Rows, Rows | None]:
    """Load the training split, and the evaluation split if there is one.

    Args:
        data: dataset arguments.
        mixture: TRL's mixture of datasets from the `--config` file.
        evaluates: whether the run evaluates during training.

    Raises:
        CommandLineError: no dataset or two datasets are given, or one cannot be loaded.
        InvalidFeedbackError: a split has no rows.
    """
    if bool(data.dataset_name) == bool(mixture.datasets):
        received = "--dataset and a mixture of datasets are both set" if data.dataset_name else "--dataset is missing"
        raise CommandLineError(
            f"{received}, but training needs exactly one of them. "
            "Set one: --dataset FILE, or `datasets:` in the --config file."
        )
    name = data.dataset_name or "datasets"
    if mixture.datasets:
        splits = trl.get_dataset(mixture)
    else:
        splits = load_splits(name, data.dataset_config, data.dataset_streaming)
    train = select_split(splits, data.dataset_train_split, name)
    if data.eval_dataset:
        return train, load_rows(data.eval_dataset)
    if evaluates:
        return train, select_split(splits, data.dataset_test_split, name, alternative=" or use --eval_dataset FILE")
    return train, None


def load_splits(name: str, config: str | None = None, streaming: bool = False) -> Splits:
    """Load all splits of a dataset. A file, or a folder with a single dataset, is the split `train`.

    Args:
        name: Hub id, folder or file.
        config: configuration of a dataset on the Hub.
        streaming: whether to load rows lazily.

    Raises:
        CommandLineError: the dataset cannot be loaded.
        InvalidFeedbackError: the dataset has no rows.
    """
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return _load_folder(path, config, streaming)
        if path.is_file() or path.suffix in FORMATS or name.startswith((".", "/", "~")):
            return {"train": _load_file(path, streaming)}
        logger.info("Loading %s from the Hub.", name)
        splits: Splits = datasets.load_dataset(name, name=config, streaming=streaming)
    except (CommandLineError, InvalidFeedbackError):
        raise
    except Exception as error:  # the readers of `datasets` and the Hub client have many exception classes
        if "corresponds to no data" in str(error):  # how `datasets` reports a file without rows
            raise InvalidFeedbackError(f"'{name}' has no rows. Use a dataset with at least one row.") from error
        raise CommandLineError(_explain(path, name, error)) from error
    return splits


def select_split(splits: Splits, split: str, name: str, alternative: str = "") -> Rows:
    """Return one split of a dataset.

    Args:
        splits: all splits.
        split: name of the split.
        name: name of the dataset, for messages.
        alternative: another remedy for the message.

    Raises:
        CommandLineError: there is no such split.
        InvalidFeedbackError: the split has no rows.
    """
    if split not in splits:
        raise CommandLineError(
            f"'{name}' has no split '{split}'.{did_you_mean(split, splits)} "
            f"Choose one of: {', '.join(splits)}{alternative}."
        )
    rows = splits[split]
    if next(iter(rows), None) is None:
        raise InvalidFeedbackError(f"Split '{split}' of '{name}' has no rows. Use a dataset with at least one row.")
    return rows


def parse_list(text: str) -> list[Any]:
    """Return a list that is written as JSON or as a Python literal, as `pandas.DataFrame.to_csv` writes it.

    Args:
        text: the text of a CSV cell.

    Raises:
        ValueError: the text is not a list.

    Examples:
        >>> parse_list('[1, 2]'), parse_list("['a', None]")
        ([1, 2], ['a', None])
    """
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = _parse_literal(text)
    if not isinstance(parsed, list):
        raise ValueError(f"{text!r} is not a list")
    return parsed


def _load_file(path: Path, streaming: bool = False) -> Rows:
    _require_file(path)
    if path.suffix not in FORMATS:
        raise CommandLineError(
            f"'{path}' has the suffix '{path.suffix}', which is not supported. Use one of: {', '.join(FORMATS)}."
        )
    if not path.stat().st_size:
        raise InvalidFeedbackError(f"'{path}' is empty. Use a file with at least one row.")
    rows = datasets.load_dataset(FORMATS[path.suffix], data_files=str(path), split="train", streaming=streaming)
    return _decode_csv(rows, path) if path.suffix == ".csv" else rows


def _load_folder(path: Path, config: str | None, streaming: bool) -> Splits:
    """Load a folder that `save_to_disk` has written, or one with data files."""
    if (path / "dataset_dict.json").is_file():
        saved: Splits = datasets.DatasetDict.load_from_disk(path)
        return saved
    if (path / "dataset_info.json").is_file() and (path / "state.json").is_file():
        return {"train": datasets.Dataset.load_from_disk(path)}
    _require_one_format(path)
    splits = datasets.load_dataset(str(path), name=config, streaming=streaming)
    return {split: _decode_csv(rows, path) for split, rows in splits.items()} if list(path.rglob("*.csv")) else splits


def _require_one_format(folder: Path) -> None:
    """Raise `CommandLineError` unless all data files of a folder have one format, or a README.md selects files."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in FORMATS and file.name not in FILES_TO_IGNORE)
    found = {FORMATS[file.suffix]: file.name for file in files}
    if not found:
        raise CommandLineError(
            f"The folder '{folder}' has no dataset: neither one from save_to_disk nor files that end in "
            f"{', '.join(FORMATS)}. Give another folder or file with --dataset."
        )
    if model := next((name for name in ("config.json", "adapter_config.json") if (folder / name).is_file()), None):
        raise CommandLineError(
            f"The folder '{folder}' contains a model ({model}), not a dataset. "
            "Pass datasets with --dataset and models with --model."
        )
    if len(found) > 1 and not (folder / "README.md").is_file():
        raise CommandLineError(
            f"The folder '{folder}' has files of several formats ({', '.join(found.values())}), of which only one "
            "would be loaded. Give one file, or a folder with files of one format."
        )


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    folder = path.parent
    if not folder.is_dir():
        raise CommandLineError(f"There is no file '{path}' and no folder '{folder}'. Check the path.")
    nearest = did_you_mean(path.name, [file.name for file in folder.iterdir()])
    raise CommandLineError(f"There is no file '{path.name}' in '{folder}'.{nearest} Check the path.")


def _explain(path: Path, name: str, error: BaseException) -> str:
    """Return the message for a dataset that cannot be loaded."""
    while path.exists() and error.__cause__ is not None:  # the builders wrap the reason in general errors
        error = error.__cause__
    text = f"its rows differ, {error.details()}" if isinstance(error, CastError) else str(error) or type(error).__name__
    lines = text.strip().splitlines()
    reason = " … ".join(dict.fromkeys((lines[0], lines[-1]))).rstrip(".")
    if path.exists():
        remedy = "Give one of its files, or fix the data" if path.is_dir() else "Fix the data"
        return f"'{path}' cannot be loaded: {reason}. {remedy}; all rows need the same columns."
    neighbours = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return (
        f"'{name}' is neither a local file or folder nor a dataset on the Hub: {reason}."
        f"{did_you_mean(name, neighbours)} Check the name."
    )


def _decode_csv(rows: Rows, path: Path) -> Rows:
    """Replace the texts of lists and conversations in a CSV file by lists."""
    columns = rows.column_names or list(next(iter(rows), {}))
    decoders = {name: decoder for name in columns if (decoder := _decoder(rows, name)) is not None}
    if not decoders:
        return rows

    def decode(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        return {name: _decode(row[name], decoder, index, path, name) for name, decoder in decoders.items()}

    return rows.map(decode, with_indices=True)


def _decoder(rows: Rows, name: str) -> Callable[[str], Any] | None:
    """Return the decoder of a column: always for lists, for conversations if the first text is a list of messages."""
    column: Any = rows.select_columns([name])
    first = next((row[name] for row in column if row[name] is not None), None)
    if not isinstance(first, str):
        return None
    if name in LIST_COLUMNS or (name in CONVERSATION_COLUMNS and _is_conversation(first)):
        return parse_list
    return None


def _is_conversation(text: str) -> bool:
    try:
        return text.startswith("[") and all(isinstance(message, dict) for message in parse_list(text))
    except ValueError:
        return False


def _decode(value: Any, decoder: Callable[[str], Any], index: int, path: Path, name: str) -> Any:
    try:
        return None if value is None else decoder(value)
    except ValueError:
        raise InvalidFeedbackError(
            f"Column '{name}' of row {index} of '{path}' is {value!r:.80}, which is not a list. "
            'Write lists in CSV files as JSON, for example ["first answer", "second answer"].'
        ) from None


def _parse_literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None
