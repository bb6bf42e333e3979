"""Common arguments of commands that use a trained reward model: the model, a dataset and the batch size."""

import argparse
from typing import Any

import datasets
import torch

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.training_runs import require_model
from rlhf_losses.errors import RlhfLossesError, first_line
from rlhf_losses.files.columns import parse_columns
from rlhf_losses.files.splits import load_rows
from rlhf_losses.hooks import transform_registry
from rlhf_losses.scoring import Scorer

DATASET_HELP = "Hub id, folder, file (JSON Lines, JSON, CSV, TSV, Excel, Parquet, Arrow), URL or quoted pattern"

COLUMNS_HELP = "rename columns, e.g. chosen=text_chosen,rejected=text_rejected or completion=response.text"

OVERLONG_HELP = "treatment of texts longer than the model allows (default: as in the training of the model)"


def scorer_parser(prog: str, description: str, several: bool = False) -> ArgumentParser:
    """Return a parser with the common arguments.

    Args:
        prog: command, for messages.
        description: text of `--help`.
        several: whether `--dataset` takes any number of datasets; they are None if it is missing.
    """
    parser = ArgumentParser(prog=prog, description=description)
    parser.add_argument("--model", "--model_name_or_path", required=True, help="folder or Hub id of a reward model")
    add_dataset_arguments(parser, several)
    parser.add_argument(
        "--batch_size", type=positive_integer, default=32, help="number of texts per forward pass (default: 32)"
    )
    parser.add_argument(
        "--device", type=available_device, help="e.g. cpu or cuda:0 (default: the accelerator, if there is one)"
    )
    parser.add_argument(
        "--trust_remote_code", action="store_true", help="execute Python code that comes with the model"
    )
    return parser


def add_dataset_arguments(parser: ArgumentParser, several: bool = False) -> None:
    """Add the arguments that select rows.

    Args:
        parser: the parser.
        several: whether `--dataset` takes any number of datasets.
    """
    parser.add_argument(
        "--dataset", "--dataset_name", required=not several, nargs="+" if several else None, help=DATASET_HELP
    )
    parser.add_argument("--dataset_config", help="configuration of a dataset on the Hub")
    parser.add_argument("--split", help="split to load (default: the only one, or test)")
    parser.add_argument("--columns", metavar="NEW=OLD,...", help=COLUMNS_HELP)
    parser.add_argument("--max_rows", type=positive_integer, help="load only the first rows")
    parser.add_argument(
        "--converter",
        help="dataset converter, e.g. hh_rlhf (default: detected from the columns; native converts nothing)",
    )


def add_transforms_argument(parser: ArgumentParser) -> None:
    """Add the argument for score transforms."""
    parser.add_argument(
        "--transforms", help="transform the scores, e.g. 'standardize | clip(limit=5)' (default: raw scores)"
    )


def add_overlong_argument(parser: ArgumentParser) -> None:
    """Add the argument for texts that do not fit into the context of the model."""
    parser.add_argument("--overlong", choices=("drop", "truncate_prompt", "error"), help=OVERLONG_HELP)


def positive_integer(text: str) -> int:
    """Return an integer of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer of at least 1")
    return int(text)


def available_device(text: str) -> str:
    """Return the name of a device that this machine has, for argparse."""
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError, NotImplementedError):  # depends on the build of torch
        raise argparse.ArgumentTypeError(f"device '{text}' is not available; use cpu, or omit the argument") from None
    return text


def selected_rows(args: argparse.Namespace) -> datasets.Dataset:
    """Load the rows that the arguments select."""
    rows = load_rows(args.dataset, args.split, args.dataset_config, parse_columns(args.columns))
    return rows if args.max_rows is None else rows.select(range(min(args.max_rows, len(rows))))


def selected_scorer(args: argparse.Namespace, plugins: tuple[str, ...]) -> Scorer:
    """Load the reward model that the arguments select, with the requested transforms."""
    pipeline = transform_registry(plugins).parse(args.transforms) if args.transforms else None
    scorer = load_scorer(args.model, **model_options(args))
    return scorer if pipeline is None else scorer.with_transforms(pipeline)


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `Scorer.from_pretrained` that the command line gives."""
    return {"batch_size": args.batch_size, "device": args.device, "trust_remote_code": args.trust_remote_code}


def load_scorer(name: str, flag: str = "--model", **options: Any) -> Scorer:
    """Load a reward model.

    Args:
        name: folder or Hub id.
        flag: flag of the argument, for messages.
        options: arguments of `Scorer.from_pretrained`.

    Raises:
        CommandLineError: the model cannot be loaded.
        UnsupportedModelError: the model does not give one score per text.
    """
    require_model(name, flag, trust_remote_code=options.get("trust_remote_code", False))
    try:
        return Scorer.from_pretrained(name, **options)
    except RlhfLossesError:
        raise
    except (ValueError, RuntimeError) as error:
        raise CommandLineError(
            f"'{name}' cannot be loaded as a reward model: {first_line(error)}. Check {flag}."
        ) from error
