"""Loading of the datasets that arguments of the command line select."""

import trl

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.arguments import DataArguments
from rlhf_losses.errors import UnreadableDatasetError, first_line
from rlhf_losses.files.columns import applicable_columns, parse_columns, rename_columns
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.files.splits import Splits, default_split, load_splits, select_split
from rlhf_losses.files.table_reading import Rows


def load_training_rows(
    data: DataArguments, mixture: trl.DatasetMixtureConfig, evaluates: bool
) -> tuple[Rows, Rows | None]:
    """Load the training split, and the evaluation split if there is one, with renamed columns.

    Args:
        data: dataset arguments.
        mixture: TRL's mixture of datasets from the `--config` file.
        evaluates: whether the run evaluates during training.

    Raises:
        CommandLineError: no dataset or two datasets are given.
        InvalidSettingError: the renaming of columns is invalid.
        UnreadableDatasetError: a dataset cannot be loaded, or has no such column.
        InvalidFeedbackError: a split has no rows.
    """
    if bool(data.dataset_name) == bool(mixture.datasets):
        received = "--dataset and a mixture of datasets are both set" if data.dataset_name else "--dataset is missing"
        raise CommandLineError(
            f"{received}, but training needs exactly one of them. "
            "Set one: --dataset FILE, or `datasets:` in the --config file."
        )
    columns = parse_columns(data.columns)
    name = data.dataset_name or "datasets"
    if mixture.datasets:
        splits: Splits = _load_mixture(mixture)
    else:
        splits = load_splits(name, data.dataset_config, data.dataset_streaming, columns)
    train = rename_columns(select_split(splits, data.dataset_train_split, name), columns, "train data")
    held_out = None
    if data.eval_dataset is not None:
        evaluation = load_splits(data.eval_dataset, columns=columns)
        held_out = select_split(evaluation, default_split(evaluation), data.eval_dataset)
    elif evaluates:
        held_out = select_split(splits, data.dataset_test_split, name, alternative=" or use --eval_dataset FILE")
    if held_out is not None:
        names = list(held_out.column_names or next(iter(held_out), {}))
        held_out = rename_columns(held_out, applicable_columns(columns, names), "eval data")
    return train, held_out


def _load_mixture(mixture: trl.DatasetMixtureConfig) -> Splits:
    """Load the splits of TRL's mixture of datasets."""
    try:
        return {split: readable_rows(rows) for split, rows in trl.get_dataset(mixture).items()}
    except Exception as error:  # the readers of `datasets` and the Hub client have many exception classes
        raise UnreadableDatasetError(
            f"The mixture of datasets cannot be loaded: {first_line(error)}. Correct `datasets:` in the --config file: "
            "a list of mappings such as {path: json, data_files: pairs.jsonl, split: train}."
        ) from error
