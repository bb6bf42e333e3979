"""`rlhf-losses evaluate`: how far a reward model agrees with held-out feedback."""

import json

from rlhf_losses.cli.scorer_arguments import CONVERTER, load_scorer, reading_parser, rows_of
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.hooks import loss_registry
from rlhf_losses.scoring import evaluate


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the metrics of a reward model as a table or as JSON."""
    parser = reading_parser("rlhf-losses evaluate", "Measure a reward model on feedback that it was not trained on.")
    parser.add_argument("--loss", help="report this loss too, like 'bradley_terry'")
    parser.add_argument(
        "--overlong",
        choices=("drop", "truncate_prompt", "error"),
        default="drop",
        help="what happens to rows with a text longer than the model's context (default: drop)",
    )
    parser.add_argument("--converter", help=CONVERTER)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    args = parser.parse(argv)
    loss = None if args.loss is None else loss_registry(plugins).parse(args.loss)
    rows = convert_dataset(rows_of(args), args.converter, "evaluation data", plugins)
    metrics = evaluate(
        load_scorer(args.model, batch_size=args.batch_size, device=args.device), rows, loss=loss, overlong=args.overlong
    )
    print(json.dumps(metrics, indent=2) if args.json else table(metrics))


def table(metrics: dict[str, float]) -> str:
    """Return the metrics in two columns.

    >>> print(table({"rows": 8, "accuracy": 0.75}))
    rows           8
    accuracy  0.7500
    """
    shown = {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in metrics.items()}
    names, values = max(map(len, shown)), max(map(len, shown.values()))
    return "\n".join(f"{name:<{names}}  {value:>{values}}" for name, value in shown.items())
