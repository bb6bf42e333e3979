"""`rlhf-losses evaluate`: agreement of a reward model with held-out feedback."""

import json

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.scorer_arguments import (
    add_overlong_argument,
    add_transforms_argument,
    scorer_parser,
    selected_rows,
    selected_scorer,
)
from rlhf_losses.cli.tables import make_table, render_table
from rlhf_losses.data import convert_dataset, required_feedback_types
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import ScoreDecay
from rlhf_losses.scoring import evaluate


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = scorer_parser("rlhf-losses evaluate", "Evaluate a reward model on held-out feedback.")
    parser.add_argument("--loss", help="also report the value of this loss, e.g. bradley_terry")
    add_transforms_argument(parser)
    add_overlong_argument(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the metrics of a reward model as a table or as JSON."""
    args = build_parser().parse(argv)
    loss = None if args.loss is None else loss_registry(plugins).parse(args.loss)
    rows = convert_dataset(selected_rows(args), args.converter, "evaluation data", plugins)
    required_feedback_types(loss or ScoreDecay(), rows.column_names)  # raises before the model is loaded
    metrics = evaluate(selected_scorer(args, plugins), rows, loss=loss, overlong=args.overlong)
    print(json.dumps(metrics, indent=2) if args.json else format_metrics(metrics))


def format_metrics(metrics: dict[str, float]) -> str:
    """Return the metrics as a table with two columns.

    Examples:
        >>> print(format_metrics({"rows": 8, "accuracy": 0.75}))
        rows           8
        accuracy  0.7500
    """
    rows = [(name, f"{value:.4f}" if isinstance(value, float) else str(value)) for name, value in metrics.items()]
    return render_table(make_table(rows, right=[1]))
