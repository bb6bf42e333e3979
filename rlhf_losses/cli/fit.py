"""`rlhf-losses fit`: fit an estimate, like an uncertainty, beside the score of a trained model."""

from pathlib import Path

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.scorer_arguments import CONVERTER, load_scorer, reading_parser, rows_of
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.hooks.estimates import estimates
from rlhf_losses.scoring import fit_estimate
from rlhf_losses.scoring.estimator import file_of


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Fit an estimate and save it in the model's folder."""
    parser = reading_parser(
        "rlhf-losses fit",
        "Fit an estimate to the data that a reward model was trained on; its scores stay as they are.",
    )
    parser.add_argument(
        "--estimate", required=True, help="from a plugin, like laplace or 'laplace(prior_precision=10.0)'"
    )
    parser.add_argument(
        "--overlong",
        choices=("drop", "truncate_prompt", "error"),
        default="drop",
        help="what happens to rows with a text longer than the model's context (default: drop)",
    )
    parser.add_argument("--converter", help=CONVERTER)
    args = parser.parse(argv)
    estimate = estimates(plugins).parse(args.estimate)
    folder = Path(args.model)
    if not folder.is_dir():
        raise CommandLineError(
            f"'{folder}' is no folder, so nothing can be saved there. Save the model into one: --model FOLDER"
        )
    rows = convert_dataset(rows_of(args), args.converter, "data", plugins)
    scorer = load_scorer(args.model, batch_size=args.batch_size, device=args.device)
    fit_estimate(scorer, rows, estimate, folder, args.overlong, plugins)
    print(file_of(estimate, folder))
