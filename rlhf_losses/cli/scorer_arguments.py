"""What commands that read have in common: rows, a trained model, and how many texts at a time."""

import argparse
from typing import Any

import datasets
import torch

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.dataset_loading import load_rows
from rlhf_losses.cli.training_runs import require_model
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.scoring import Scorer

CONVERTER = "layout of the data, like hh_rlhf; by default it is recognised, and native reads rows as they are"


def reading_parser(prog: str, description: str) -> ArgumentParser:
    """Return a parser with the arguments that both commands take."""
    parser = ArgumentParser(prog=prog, description=description)
    parser.add_argument("--model", "--model_name_or_path", required=True, help="folder (or hub id) of a reward model")
    add_rows(parser)
    parser.add_argument("--batch_size", type=at_least_one, default=32, help="texts a forward pass (default: 32)")
    parser.add_argument(
        "--device", type=device_here, help="like cpu or cuda:0; by default the accelerator, if there is one"
    )
    return parser


def add_rows(parser: ArgumentParser) -> None:
    """Add the arguments that name rows."""
    parser.add_argument("--dataset", "--dataset_name", required=True, help="hub id, local folder or file")
    parser.add_argument("--dataset_config", help="configuration of a dataset of the hub")
    parser.add_argument("--split", help="split to read; by default the only one, or test")
    parser.add_argument("--max_rows", type=at_least_one, help="read only the first rows")


def at_least_one(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no count; give a whole number from 1")
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few; give a whole number from 1")
    return int(text)


def device_here(text: str) -> str:
    """Read the name of a device that this machine has."""
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError, NotImplementedError):  # what torch raises depends on how it was built
        raise argparse.ArgumentTypeError(f"there is no device '{text}' here; give cpu, or leave it out") from None
    return text


def rows_of(args: argparse.Namespace) -> datasets.Dataset:
    """Load the rows that the arguments name."""
    rows = load_rows(args.dataset, args.split, args.dataset_config)
    assert isinstance(rows, datasets.Dataset)
    return rows if args.max_rows is None else rows.select(range(min(args.max_rows, len(rows))))


def load_scorer(name: str, flag: str = "--model", **options: Any) -> Scorer:
    """Load the reward model that `flag` names."""
    require_model(name, flag)
    try:
        return Scorer.from_pretrained(name, **options)
    except RlhfLossesError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CommandLineError(f"'{name}' cannot be loaded as a reward model: {reason} Check {flag}.") from error
