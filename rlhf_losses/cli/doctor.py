"""`rlhf-losses doctor`: checks of a reward model, each with its number and its remedy."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.tables import make_table, render_table
from rlhf_losses.scoring.examination import examine
from rlhf_losses.scoring.model_check import ModelCheck


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses doctor",
        description="Check a reward model, also one that was not trained here. The exit code is 1 if a check fails.",
    )
    parser.add_argument("model", metavar="MODEL", help="folder or Hub id of a reward model")
    parser.add_argument("--policy", metavar="MODEL", help="language model whose tokenizer is compared")
    parser.add_argument("--json", action="store_true", help="print a JSON array with all results")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> int:
    """Print the results of the checks, and return 1 if one failed."""
    args = build_parser().parse(argv)
    checks = examine(args.model, args.policy)
    if args.json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print(format_checks(checks))
    return int(any(check.state == "failed" for check in checks))


def format_checks(checks: Sequence[ModelCheck]) -> str:
    """Return the results as a table, then the remedies of failed checks, then a summary.

    Args:
        checks: the results.
    """
    rows = [(check.state, check.name, check.found) for check in checks]
    failed = [check for check in checks if check.state == "failed"]
    remedies = [f"{check.name}: {check.remedy}" for check in failed]
    passed = sum(check.state == "passed" for check in checks)
    table = render_table(make_table(rows, ("RESULT", "CHECK", "FOUND")))
    return "\n".join([table, "", *remedies, f"{passed} passed, {len(failed)} failed, {len(checks)} checks."])
