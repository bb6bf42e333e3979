"""`rlhf-losses train`: train a reward model with the arguments of `trl reward` and any loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trl
from datasets import Dataset

from rlhf_losses.cards.provenance import Provenance, reproducing_command
from rlhf_losses.checkpoints.lost_processes import explained_process_errors
from rlhf_losses.checks.optional_packages import require_reporting
from rlhf_losses.cli import training_runs
from rlhf_losses.cli.arguments import (
    Required,
    RewardDataArguments,
    RewardModelArguments,
    TrainingParser,
    data_flags,
    model_options,
    prompt_flags,
    quantization_of,
    require_attention,
)
from rlhf_losses.cli.dataset_loading import load_training_rows
from rlhf_losses.cli.report_argument import ReportArguments, requested_report, write_report
from rlhf_losses.cli.signals import StopSignals
from rlhf_losses.cli.training_help import PROCESSES
from rlhf_losses.data.conversion import Conversion, convert_rows
from rlhf_losses.data.dataset import AnyDataset
from rlhf_losses.files.columns import columns_in_use, parse_columns
from rlhf_losses.hooks import LossRegistry, loss_registry
from rlhf_losses.messages.printed_commands import printed_command
from rlhf_losses.report.dataset_sections import InspectedDataset
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_files import read_run
from rlhf_losses.training import RewardConfig, RewardTrainer
from rlhf_losses.training.accuracy_summary import describe_accuracies, summarize_accuracy, summarize_evaluation
from rlhf_losses.training.card_evaluation import complete_card
from rlhf_losses.training.run_card import evaluation_rows

USAGE = "%(prog)s --model MODEL --dataset DATASET --loss LOSS --output_dir DIR [--config FILE] [...]"
DESCRIPTION = f"""\
Train a reward model. The arguments are those of TRL's `trl reward` and a few
more, also in the --config file (YAML). On several processes, on CPUs with
--use_cpu: {PROCESSES}."""

REQUIRED = (
    Required("model_name_or_path", "--model", "Qwen/Qwen3-0.6B"),
    Required("dataset_name", "--dataset", "pairs.jsonl", alternative="datasets"),
    Required("loss", "--loss", "bradley_terry"),
    Required("output_dir", "--output_dir", "runs/reward-model"),
)

MOST_USED = (
    *(one.name for one in REQUIRED),
    *("eval_dataset", "converter", "max_length", "learning_rate", "num_train_epochs", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "use_peft", "lora_r", "bf16", "eval_strategy"),
    *("save_steps", "logging_steps", "report_to", "report", "resume_from_checkpoint", "stop_after", "seed"),
)


def build_parser() -> TrainingParser:
    """Return the parser of the command."""
    dataclasses = (RewardConfig, RewardDataArguments, RewardModelArguments, trl.DatasetMixtureConfig, ReportArguments)
    return TrainingParser(dataclasses, "rlhf-losses train", USAGE, DESCRIPTION, MOST_USED, REQUIRED)


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Train a reward model and save it merged."""
    with StopSignals() as signals, explained_process_errors():
        _run(argv, plugins, signals)


def _run(argv: list[str], plugins: tuple[str, ...], signals: StopSignals) -> None:
    config, data, model, mixture, output = build_parser().read(argv)
    loss = loss_registry(plugins).parse(config.loss)
    config.loss = str(loss)
    require_reporting(config.report_to)
    report = requested_report(output.report, config.output_dir, "train")
    name = str(model.model_name_or_path)
    quantization = quantization_of(model)
    require_attention(model.attn_implementation)
    message = training_runs.StopMessage(config.resume_from_checkpoint, output.report)
    checkpoint = training_runs.checkpoint_to_resume(config.output_dir, config.resume_from_checkpoint)
    config.resume_from_checkpoint = checkpoint  # compared with the run before the model is loaded
    training_runs.require_model(
        name, "--model", revision=model.model_revision, trust_remote_code=config.trust_remote_code
    )
    rows, held_out = load_training_rows(data, mixture, evaluates=config.eval_strategy != "no")
    given = len(rows) if isinstance(rows, Dataset) else None
    flags = {"evaluate": data_flags(vars(data)), "ppo": prompt_flags(vars(data), rows.column_names or ())}
    train = convert_rows(rows, data.converter, "train data", plugins)
    evaluation = None if held_out is None else convert_rows(held_out, data.converter, "eval data", plugins)
    config.model_init_kwargs = model_options(model, config)
    renaming = parse_columns(data.columns)
    with training_runs.starting(), columns_in_use(renaming):
        trainer = RewardTrainer(
            model=name,
            args=config,
            train_dataset=train.rows,
            eval_dataset=None if evaluation is None else evaluation.rows,
            quantization_config=quantization,
            peft_config=trl.get_peft_config(model),
            loss=loss,
        )
    trainer.provenance = Provenance(
        command=reproducing_command(["train", *argv]),
        dataset=data.dataset_name,
        converter=data.converter,
        rows=given,
        without_feedback=train.dropped,
        eval_dataset=data.eval_dataset or data.dataset_name,
    )
    with training_runs.explained_interruption(trainer, message):
        if training_runs.train(trainer, signals, checkpoint, message):
            finish(trainer, train.rows, evaluation, flags)
            if report is not None and trainer.accelerator.is_main_process:
                with columns_in_use(renaming):
                    write_report(run_report(config.output_dir, train.rows, loss_registry(plugins)), report)


def run_report(folder: str, rows: Any, losses: LossRegistry) -> Report:
    """Return the report of a finished run and of its training data, unless they are a stream.

    Args:
        folder: output folder of the run.
        rows: the training data.
        losses: registry of losses.
    """
    datasets = [InspectedDataset.of(rows, losses, "training data")] if isinstance(rows, Dataset) else []
    return Report([read_run(Path(folder))], datasets=datasets)


def finish(
    trainer: RewardTrainer, rows: AnyDataset, held_out: Conversion | None, flags: Mapping[str, Sequence[str]]
) -> None:
    """Evaluate if there is an evaluation dataset, save the merged model and print the next commands.

    Args:
        trainer: the trainer.
        rows: the training data.
        held_out: the evaluation data after conversion, or None.
        flags: flags with which the next commands read the same columns.
    """
    if trainer.eval_dataset is not None and trainer.args.eval_strategy == "no":
        trainer.save_metrics("eval", trainer.evaluate())
    trainer.save_state()
    folder = trainer.save_merged(trainer.args.output_dir)
    scored = complete_card(trainer, held_out, folder)
    if trainer.args.push_to_hub:
        trainer.push_to_hub()  # in the merged form
    echo = trainer.accelerator.print
    echo(f"{describe_rows(trainer)} {training_runs.format_steps(trainer)} with {trainer.loss}.")
    echo(f"Saved the reward model in {folder}. Its checkpoints are the folders checkpoint-* there.")
    used = len(trainer.train_dataset) if isinstance(trainer.train_dataset, Dataset) else None
    evaluated = evaluation_rows(trainer.eval_dataset)
    logged = summarize_accuracy(trainer.state.log_history, evaluated, rows_per_step(trainer), used)
    for line in describe_accuracies(summarize_evaluation(scored) or logged):
        echo(line)
    evaluate = printed_command("evaluate", "--model", folder, "--dataset", "HELD_OUT", *flags["evaluate"])
    echo(f"Next: {evaluate}")
    prompts = ("--dataset", "PROMPTS", *flags["ppo"])
    ppo = printed_command("ppo", "--model", "POLICY", "--reward_model", folder, *prompts, "--output_dir", "DIR")
    echo(f"      {ppo}")
    trainer.end()


def rows_per_step(trainer: RewardTrainer) -> int:
    """Return the number of rows of an optimizer step, on all processes."""
    args = trainer.args
    return int(args.train_batch_size * args.gradient_accumulation_steps * trainer.accelerator.num_processes)


def describe_rows(trainer: RewardTrainer) -> str:
    """Return how many rows were used and dropped; the length of a stream is unknown."""
    given, checked = trainer.data.given_rows, trainer.data.checked_rows
    if given is None or checked is None:
        return "Trained on a stream:"
    used, unconverted = len(trainer.train_dataset), trainer.provenance.without_feedback
    answers = trainer.data.rated_answers
    rows = "rows" if checked == given else f"lists, which the {answers} rated answers were grouped into by prompt"
    others = f"; {unconverted} others have no feedback" if unconverted else ""
    return f"Trained on {used} of {checked} {rows} ({checked - used} dropped{others}):"
