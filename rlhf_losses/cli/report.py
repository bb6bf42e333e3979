"""`rlhf-losses report`: training runs and evaluations as one HTML file."""

from pathlib import Path

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.report_argument import write_report
from rlhf_losses.report.report_file import REPORT_FILE, require_replaceable
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
    parser.add_argument("--output", default=REPORT_FILE, metavar="FILE", help=f"the file (default: {REPORT_FILE})")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Write the report and print its place."""
    args = build_parser().parse(argv)
    file = Path(args.output)
    require_replaceable(file)
    write_report(read_report([Path(path) for path in args.paths], plugins), file)
