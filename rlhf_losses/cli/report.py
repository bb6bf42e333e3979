"""`rlhf-losses report`: training runs and evaluations as one HTML file."""

from pathlib import Path

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.report.report_file import require_replaceable
from rlhf_losses.report.report_paths import read_report


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses report",
        description="Show training runs and evaluations side by side in one HTML file. Runs can be of this program, "
        "TRL, OpenRLHF, verl, LLaMA-Factory and ms-swift.",
    )
    parser.add_argument(
        "paths", nargs="+", metavar="DIR", help="folders of runs or of rlhf-losses evaluate --output_dir, or logs"
    )
    parser.add_argument("--output", default="report.html", metavar="FILE", help="the file (default: report.html)")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Write the report and print its place."""
    args = build_parser().parse(argv)
    file = Path(args.output)
    require_replaceable(file)
    read_report([Path(path) for path in args.paths]).write(file)
    print(f"{file} has the report. Open it in a browser.")
