"""`rlhf-losses fit`: fit a score estimate, for example an uncertainty, for a trained reward model."""

from pathlib import Path

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.scorer_arguments import (
    add_overlong_argument,
    load_scorer,
    model_options,
    scorer_parser,
    selected_rows,
)
from rlhf_losses.data import convert_dataset
from rlhf_losses.files.columns import columns_in_use, parse_columns
from rlhf_losses.hooks import estimate_registry
from rlhf_losses.scoring import fit_estimate
from rlhf_losses.scoring.estimates import estimate_file


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = scorer_parser(
        "rlhf-losses fit",
        "Fit a score estimate, e.g. an uncertainty, to the training data of a reward model. Its scores do not change.",
    )
    parser.add_argument(
        "--estimate",
        required=True,
        help="estimate of a plugin, such as laplace of rlhf-losses-laplace",
    )
    add_overlong_argument(parser)
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Fit an estimate, save it in the folder of the model and print its file."""
    args = build_parser().parse(argv)
    estimate = estimate_registry(plugins).parse(args.estimate)
    folder = Path(args.model)
    if not folder.is_dir():
        raise CommandLineError(
            f"'{folder}' is not a folder, so the estimate cannot be saved. Save the model in a folder: --model FOLDER."
        )
    rows = convert_dataset(selected_rows(args), args.converter, "data", plugins)
    scorer = load_scorer(args.model, **model_options(args))
    with columns_in_use(parse_columns(args.columns)):
        fit_estimate(scorer, rows, estimate, folder, args.overlong, plugins)
    print(estimate_file(estimate, folder))
