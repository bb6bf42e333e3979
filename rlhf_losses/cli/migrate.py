"""`rlhf-losses migrate`: settings of another system as a file for `rlhf-losses train` or `rlhf-losses ppo`."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.errors import OutputExistsError, RlhfLossesError
from rlhf_losses.migrate import SYSTEMS, Migration, document, migrate, read_run, report_lines

PLACEHOLDERS = {
    "train": {"model": "MODEL", "dataset": "DATASET", "loss": "bradley_terry", "output_dir": "OUTPUT"},
    "ppo": {"model": "MODEL", "reward_model": "REWARD_MODEL", "dataset": "DATASET", "output_dir": "OUTPUT"},
}
"""Values of required arguments while others are checked."""

LONG_NAMES = {"model": "model_name_or_path", "dataset": "dataset_name", "reward_model": "reward_model_name_or_path"}


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses migrate",
        description="Print what becomes of the settings of a run of TRL (PPO, PRM and reward models), OpenRLHF, "
        "LLaMA-Factory, axolotl or ms-swift, and the YAML file for this package. Nothing of the file is executed.",
    )
    parser.add_argument(
        "file", metavar="SCRIPT_OR_YAML", help="Python script, shell script, YAML or JSON file of the run"
    )
    parser.add_argument(
        "--from",
        dest="system",
        metavar="SYSTEM",
        help=f"the system, if the content does not tell: {', '.join(SYSTEMS)}, or its name alone, for example openrlhf",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the YAML file; by default it is printed, with the report as comments"
    )
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the report and the YAML, or write the YAML."""
    args = build_parser().parse(argv)
    output = None if args.output is None else new_file(args.output)
    source = read_run(Path(args.file), args.system)
    migration = migrate(SYSTEMS[source.key], source)
    problems = check(migration)
    if output is None:
        print(document(migration, problems), end="")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(document(migration, problems), encoding="utf-8")
    print("\n".join(report_lines(migration, problems)).replace("config FILE", f"config {output}"))
    print(f"\nWrote {output}.")


def new_file(name: str) -> Path:
    """Return the path of a new file.

    Args:
        name: its path.

    Raises:
        OutputExistsError: it exists.
    """
    file = Path(name)
    if file.exists() or file.is_symlink():
        raise OutputExistsError(f"'{file}' exists, and nothing is overwritten. Choose another file: --output FILE.")
    return file


def check(migration: Migration) -> list[str]:
    """Let the parser of the command read the arguments, and move those that it refuses to the report.

    Args:
        migration: the arguments, which are changed.

    Returns:
        What the parser says about the arguments together.
    """
    command = migration.system.command
    parser = importlib.import_module(f"rlhf_losses.cli.{command}").build_parser
    required = {LONG_NAMES.get(name, name): value for name, value in PLACEHOLDERS[command].items()}
    if "datasets" in migration.arguments:
        required.pop("dataset_name")
    values = {name: argument.value for name, argument in migration.arguments.items()}
    if problem_of(parser, {**required, **values}) is None:
        return []
    accepted = {name: value for name, value in values.items() if problem_of(parser, {**required, name: value}) is None}
    for name in values.keys() - accepted.keys():  # refused alone; others may make it valid
        problem = problem_of(parser, {**required, **accepted, name: values[name]})
        if problem is None:
            accepted[name] = values[name]
        else:
            migration.refuse(name, problem)
    problem = problem_of(parser, {**required, **accepted})
    return [] if problem is None else [f"rlhf-losses {command} refuses these arguments together: {problem}"]


def problem_of(build: Any, arguments: Mapping[str, Any]) -> str | None:
    """Return what the parser of a command says about arguments in a `--config` file, or None if it accepts them.

    Args:
        build: returns the parser.
        arguments: the arguments.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "run.yaml")
        file.write_text(yaml.safe_dump(dict(arguments)), encoding="utf-8")
        try:
            build().read_file(str(file))
        except RlhfLossesError as error:
            return str(error)
    return None
