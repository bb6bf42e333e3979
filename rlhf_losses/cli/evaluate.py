"""`rlhf-losses evaluate`: agreement of a reward model with held-out feedback, or its numbers on a public suite."""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from rlhf_losses.cards.card_picture import results_with_picture
from rlhf_losses.cards.reward_model_card import add_results
from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.evaluation_tables import format_evaluation, format_suite
from rlhf_losses.cli.kept_columns import add_keep_argument, require_columns_to_keep
from rlhf_losses.cli.report_argument import add_report_argument, requested_report, write_report
from rlhf_losses.cli.scorer_arguments import (
    add_overlong_argument,
    add_transforms_argument,
    positive_integer,
    scorer_parser,
    selected_rows,
    selected_scorer,
)
from rlhf_losses.data import required_feedback_types
from rlhf_losses.data.conversion import convert_rows
from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.evaluation.output_folder import EvaluationFolder, require_new_folder, write_evaluation
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.slices import require_slice_columns, require_slice_values
from rlhf_losses.evaluation.suites import SUITES
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW
from rlhf_losses.files.columns import columns_in_use, parse_columns
from rlhf_losses.files.locations import file_format
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.report.report_file import Report
from rlhf_losses.scoring import evaluate
from rlhf_losses.scoring.evaluation import further_columns
from rlhf_losses.scoring.suite_evaluation import evaluate_suite, find_suite


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = scorer_parser("rlhf-losses evaluate", "Evaluate a reward model on held-out feedback.", several=True)
    parser.add_argument("--loss", help="also report the value of this loss, e.g. bradley_terry")
    parser.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="also report each value of a column; repeatable"
    )
    add_keep_argument(parser, "into scores.jsonl and the report")
    parser.add_argument(
        "--edits",
        type=positive_integer,
        metavar="ROWS",
        help="also score the answers of some rows in reverse order, and longer, as a list, in bold, with a greeting "
        "and hedged",
    )
    parser.add_argument(
        "--suite",
        help=f"aggregate as the authors of a suite do: {', '.join(SUITES)}; --dataset has its files (default: the Hub)",
    )
    add_transforms_argument(parser)
    add_overlong_argument(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument(
        "--model_card", action="store_true", help="put the result into README.md in the folder of the model"
    )
    parser.add_argument("--output_dir", metavar="DIR", help="write metrics.json, and scores.jsonl with one line a row")
    add_report_argument(parser, "into --output_dir, or into the current folder")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the metrics of a reward model as a table or as JSON."""
    args = build_parser().parse(argv)
    if args.output_dir is not None:
        require_new_folder(Path(args.output_dir))
    requested_report(args.report, args.output_dir, "evaluate")
    with columns_in_use(parse_columns(args.columns)):
        if args.suite is None:
            run_dataset(args, plugins)
        else:
            run_suite(args, plugins)


def run_dataset(args: argparse.Namespace, plugins: tuple[str, ...]) -> None:
    """Evaluate a model on one dataset."""
    if not args.dataset:
        raise CommandLineError(
            "--dataset is missing, but an evaluation needs held-out rows. Add --dataset FILE, or choose a public one "
            "with --suite."
        )
    if len(args.dataset) > 1:
        raise CommandLineError(
            f"{len(args.dataset)} datasets are given, but without --suite an evaluation has one. Evaluate them one "
            "after the other, each with --dataset FILE."
        )
    if args.model_card and not Path(args.model).is_dir():
        raise CommandLineError(
            f"--model_card writes into the folder of the model, but --model '{args.model}' is no folder. Leave out "
            "--model_card, or give a folder."
        )
    loss = None if args.loss is None else loss_registry(plugins).parse(args.loss)
    rows = selected_rows(with_dataset(args, args.dataset[0]))
    require_columns_to_keep(args.keep, rows.column_names, (*COLUMNS, SOURCE_ROW, SOURCE_ITEM))
    conversion = convert_rows(rows, args.converter, "evaluation data", plugins, keep=[*args.by, *args.keep])
    converted = set(conversion.rows.column_names) - {SOURCE_ROW, SOURCE_ITEM}
    require_slice_columns(rows.column_names, args.by, converted)  # these raise before the model is loaded
    for name in args.by:
        require_slice_values(name, conversion.rows[name][:])
    require_kept_values(conversion.rows.select_columns(args.keep))
    required_feedback_types(loss or ScoreDecay(), conversion.rows.column_names, conversion.rows)
    scorer = selected_scorer(args, plugins)
    found = evaluate(
        scorer, conversion.rows, loss=loss, overlong=args.overlong, by=args.by, edited_rows=args.edits or 0
    )
    found = replace(found, dropped=found.dropped.with_unconverted(conversion.dropped))
    if args.model_card:
        folder = Path(args.model)
        add_results(folder, results_with_picture(Path(args.dataset[0]).name, found, folder))
    named = list(dict.fromkeys([*args.by, *args.keep]))
    content = {"model": args.model, "dataset": args.dataset[0], "columns": named, **found.to_dict()}
    show(args, content, format_evaluation(found), found)


def require_kept_values(columns: Dataset) -> None:
    """Raise `CommandLineError` unless `scores.jsonl` can have the values of some columns.

    Args:
        columns: the columns of `--keep`.
    """
    plain = further_columns(columns, ())
    other = next((name for name in columns.column_names if name not in plain), None)
    if other is not None:
        raise CommandLineError(
            f"--keep {other} is a column with {columns.features[other]}, and scores.jsonl has texts, numbers and lists "
            "of them only. Name another column, or write its values as texts."
        )


def run_suite(args: argparse.Namespace, plugins: tuple[str, ...]) -> None:
    """Evaluate a model on the files of a suite."""
    suite = find_suite(args.suite)
    unused = [flag for flag in ("loss", "by", "keep", "edits", "converter", "model_card") if getattr(args, flag)]
    if unused:
        raise CommandLineError(
            f"--{unused[0]} has no effect with --suite {suite.name}, whose authors define what is computed. Leave one "
            "of both out."
        )
    if args.dataset is None:
        args = argparse.Namespace(**{**vars(args), "split": args.split or suite.split})
    files = dict(suite_files(args.dataset or [suite.dataset]))
    parts = {name: selected_rows(with_dataset(args, file)) for name, file in files.items()}
    found = evaluate_suite(selected_scorer(args, plugins), suite.name, parts, overlong=args.overlong)
    content = {"model": args.model, "dataset": list(files.values()), **found.to_dict()}
    show(args, content, format_suite(found.result), found)


def with_dataset(args: argparse.Namespace, name: str) -> argparse.Namespace:
    """Return the arguments with one dataset."""
    return argparse.Namespace(**{**vars(args), "dataset": name})


def suite_files(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield a name and the path of each file; the files of a folder are separate, because their subsets can differ.

    Args:
        names: files, folders, URLs or Hub ids.
    """
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield name, name
            continue
        files = sorted(file for file in path.rglob("*") if file.is_file() and file_format(str(file)) is not None)
        if not files:
            raise CommandLineError(
                f"The folder '{name}' has no data files. Name files, or another folder: --dataset DIR."
            )
        yield from ((str(Path(path.resolve().name) / file.relative_to(path)), str(file)) for file in files)


def show(args: argparse.Namespace, content: dict[str, Any], table: str, found: Any) -> None:
    """Print the result, and write it to the output folder and as a report."""
    if args.output_dir is not None:
        rows: Iterable[ScoredRow] = found.rows
        write_evaluation(Path(args.output_dir), content, rows)
    print(json.dumps(content, indent=2, allow_nan=False) if args.json else table)
    file = requested_report(args.report, args.output_dir, "evaluate")
    if file is not None:
        evaluation = EvaluationFolder(Path(args.output_dir or args.model), content, tuple(found.rows))
        write_report(Report(evaluations=[evaluation]), file, to_stderr=args.json)
