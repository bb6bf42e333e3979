"""`rlhf-losses compare`: differences of evaluations of the same data."""

import json
from pathlib import Path

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.evaluation_tables import format_comparisons
from rlhf_losses.evaluation.output_folder import read_evaluation
from rlhf_losses.evaluation.paired_comparison import compare_evaluations


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses compare",
        description="Compare evaluations of the same data with the first one. Folders are from rlhf-losses evaluate "
        "--output_dir.",
    )
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders of two or more evaluations")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the differences of the other evaluations from the first one."""
    args = build_parser().parse(argv)
    if len(args.folders) < 2:
        raise CommandLineError("One folder is given, but a comparison needs two. Run: rlhf-losses compare DIR DIR.")
    first, *others = [read_evaluation(Path(folder)) for folder in args.folders]
    comparisons = [compare_evaluations(first, other) for other in others]
    if args.json:
        found = {
            folder: {**of[0].to_dict(), "further": [one.to_dict() for one in of[1:]]}
            for folder, of in zip(args.folders[1:], comparisons, strict=True)
        }
        print(json.dumps({"reference": args.folders[0], "comparisons": found}, indent=2))
    else:
        print(format_comparisons(args.folders, comparisons))
