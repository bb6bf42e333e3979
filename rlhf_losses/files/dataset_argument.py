"""Check that an argument is a dataset of the library `datasets`; the message has the conversion from other types."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from rlhf_losses.checks.argument_checks import require_instance


def require_dataset(dataset: Any, name: str = "dataset") -> None:
    """Raise `InvalidArgumentError` unless an argument is a `Dataset` or an `IterableDataset`.

    Args:
        dataset: the argument.
        name: its name.
    """
    remedy = _remedy(dataset, name)
    require_instance(dataset, (Dataset, IterableDataset), name, "a datasets.Dataset or an IterableDataset", remedy)


def _remedy(dataset: Any, name: str) -> str:
    library = type(dataset).__module__.partition(".")[0]
    match dataset:
        case DatasetDict() | IterableDatasetDict():
            splits = [str(split) for split in dataset]
            return f"Pass one of its splits ({', '.join(splits)}): {name}['{next(iter(splits), 'train')}']."
        case str() | Path():
            return (
                f"Load it: datasets.load_dataset('{dataset}'), or for a file datasets.Dataset.from_json('{dataset}')."
            )
        case Mapping():
            return "Convert it: datasets.Dataset.from_dict(columns)."
        case None:
            return f"Pass {name}=DATASET."
        case _ if library in ("pandas", "polars"):
            return f"Convert it: datasets.Dataset.from_{library}(frame)."
    return "Convert its rows, which are dictionaries: datasets.Dataset.from_list(list(rows))."
