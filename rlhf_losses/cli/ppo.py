"""`rlhf-losses ppo`: train a language model on the scores of reward models, with the arguments of `trl grpo`."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM

from rlhf_losses.cards.provenance import Provenance, reproducing_command
from rlhf_losses.checkpoints.lost_processes import explained_process_errors
from rlhf_losses.checks.optional_packages import require_reporting
from rlhf_losses.cli import training_runs
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.arguments import (
    ModelArguments,
    Required,
    RewardDataArguments,
    TrainingParser,
    model_options,
    prompt_flags,
    quantization_of,
    require_attention,
)
from rlhf_losses.cli.dataset_loading import load_training_rows
from rlhf_losses.cli.report_argument import ReportArguments, requested_report, write_report
from rlhf_losses.cli.reward_function_arguments import RewardFunctionArguments, require_weights, reward_functions
from rlhf_losses.cli.scorer_arguments import load_scorer
from rlhf_losses.cli.signals import StopSignals
from rlhf_losses.cli.training_help import PROCESSES
from rlhf_losses.converters.compared_answers import SIDES
from rlhf_losses.data import convert_dataset
from rlhf_losses.data.answers import complete_answers, row_answers
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Answer, feedback_types_in_columns
from rlhf_losses.feedback.base import Messages, Row
from rlhf_losses.feedback.source_rows import SOURCE_ROW, source_row
from rlhf_losses.files.column_values import sampled_values
from rlhf_losses.files.columns import renaming
from rlhf_losses.files.splits import load_splits, select_split
from rlhf_losses.files.suggested_columns import suggest_prompt
from rlhf_losses.files.table_reading import Rows
from rlhf_losses.messages.documentation import documentation
from rlhf_losses.messages.printed_commands import plugin_words
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.ppo import PPOConfig, PPOTrainer, scorer_on_base
from rlhf_losses.ppo.config import PUBLISHED
from rlhf_losses.ppo.prompts import describe_repeated_prompts
from rlhf_losses.ppo.run_summary import describe_gain, summarize_run
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_files import read_run
from rlhf_losses.scoring import Scorer
from rlhf_losses.serving.remote_scorer import RemoteScorer, is_server_url

logger = logging.getLogger(__name__)

USAGE = "%(prog)s --model POLICY --reward_model MODEL --dataset PROMPTS --output_dir DIR [--config FILE] [...]"
DESCRIPTION = f"""\
Train a language model with PPO. The arguments are those of TRL's `trl grpo` and
those of PPO, also in the --config file (YAML). On several processes, on CPUs
with --use_cpu: {PROCESSES}."""

REQUIRED = (
    Required("model_name_or_path", "--model", "Qwen/Qwen3-0.6B"),
    Required("reward_model_name_or_path", "--reward_model", "runs/reward-model"),
    Required("dataset_name", "--dataset", "prompts.jsonl", alternative="datasets"),
    Required("output_dir", "--output_dir", "runs/policy"),
)

MOST_USED = (
    *(one.name for one in REQUIRED),
    *("eval_dataset", "converter", "max_completion_length", "beta", "learning_rate", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "num_iterations", "temperature", "use_peft"),
    *(
        "lora_r",
        "bf16",
        "save_steps",
        "logging_steps",
        "report_to",
        "report",
        "resume_from_checkpoint",
        "stop_after",
        "seed",
    ),
)

COMPARISON = (
    "python compare_policies.py --before {before} --after {after} --reward_model {scorer} --dataset HELD_OUT "
    "--max_completion_length {length} --temperature {temperature:g} {words}"
)
"""Command of the script that compares two policies."""

PRESETS = {"n_plus": PUBLISHED}


@dataclass
class PPOArguments(RewardDataArguments):
    """Dataset arguments, of which PPO uses the column `prompt`, the pretraining texts and the critic."""

    critic: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of the initial critic; by default a copy of the reward model."},
    )
    ptx_dataset: str | None = field(
        default=None,
        metadata={
            "help": "Dataset of pretraining texts. Their next-token loss is added with the weight --ptx_coef (PPO-ptx)."
        },
    )
    preset: Literal["n_plus"] | None = field(
        default=None,
        metadata={
            "help": "Other defaults: n_plus for those of the N+ implementation details of PPO (arXiv 2403.17031)."
        },
    )


def build_parser() -> TrainingParser:
    """Return the parser of the command."""
    dataclasses = (
        PPOConfig,
        PPOArguments,
        RewardFunctionArguments,
        ModelArguments,
        trl.DatasetMixtureConfig,
        ReportArguments,
    )
    return TrainingParser(dataclasses, "rlhf-losses ppo", USAGE, DESCRIPTION, MOST_USED, REQUIRED, PRESETS)


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Train a policy and save it merged."""
    with StopSignals() as signals, explained_process_errors():
        _run(argv, plugins, signals)


def _run(argv: list[str], plugins: tuple[str, ...], signals: StopSignals) -> None:
    config, data, rewards, model, mixture, output = build_parser().read(argv)
    require_reporting(config.report_to)
    report = requested_report(output.report, config.output_dir, "ppo")
    require_weights(rewards)
    name = str(model.model_name_or_path)
    require_attention(model.attn_implementation)
    message = training_runs.StopMessage(config.resume_from_checkpoint, output.report)
    checkpoint = training_runs.checkpoint_to_resume(config.output_dir, config.resume_from_checkpoint)
    config.resume_from_checkpoint = checkpoint  # compared with the run before the model is loaded
    models = [(name, "--model"), *((one, "--reward_model") for one in rewards.names), (data.critic, "--critic")]
    for path, flag in models:
        if path is not None and not is_server_url(path):
            training_runs.require_model(path, flag, trust_remote_code=config.trust_remote_code)
    texts = pretraining_texts(data.ptx_dataset, config.ptx_coef)
    splits = load_training_rows(data, mixture, evaluates=config.eval_strategy != "no")
    rows, held_out = (
        None
        if split is None
        else select_prompts(convert_dataset(split, data.converter, part, plugins, texts_only=True), part)
        for split, part in zip(splits, ("train data", "eval data"), strict=True)
    )
    repeated = describe_repeated_prompts(rows) if isinstance(rows, Dataset) else ""
    if repeated:
        logger.info("train data: %s", repeated)
    if rewards.reference_samples:
        config.score_normalization = "reference"
    with training_runs.starting():
        trainer = PPOTrainer(
            args=config,
            train_dataset=rows,
            eval_dataset=held_out,
            peft_config=trl.get_peft_config(model),
            critic=data.critic,
            pretraining_dataset=texts,
            **policy_and_rewards(name, config, rewards, model, data.critic),
        )
    command = reproducing_command(["ppo", *argv])
    trainer.provenance = Provenance(command=command, dataset=data.dataset_name, converter=data.converter)
    with training_runs.explained_interruption(trainer, message):
        if training_runs.train(trainer, signals, checkpoint, message):
            finish(trainer, rewards.names, comparison(name, config, rewards.names, prompt_flags(vars(data))))
            if report is not None and trainer.accelerator.is_main_process:
                write_report(Report([read_run(report.parent)]), report)


def comparison(before: str, config: PPOConfig, reward_models: Sequence[str], flags: Sequence[str]) -> str:
    """Return the command that compares the policy before and after the run on held-out prompts.

    Args:
        before: folder or Hub id of the policy before the run.
        config: training arguments.
        reward_models: folders, Hub ids and addresses of servers.
        flags: flags with which other commands read the same prompts.
    """
    scorer = next((one for one in reward_models if not is_server_url(one)), "REWARD_MODEL")
    return COMPARISON.format(
        words=shlex.join([*plugin_words(), *flags]),
        before=shlex.quote(before),
        after=shlex.quote(str(config.output_dir)),
        scorer=shlex.quote(scorer),
        length=config.max_completion_length,
        temperature=config.temperature,
    ).rstrip()


def finish(trainer: PPOTrainer, reward_models: list[str], compare: str) -> None:
    """Evaluate if there is an evaluation dataset, save the merged policy and print the next commands.

    Args:
        trainer: the trainer.
        reward_models: the reward models, for the message.
        compare: the command that compares the policy before and after the run.
    """
    if trainer.eval_dataset is not None and trainer.args.eval_strategy == "no":
        trainer.save_metrics("eval", trainer.evaluate())
    trainer.save_state()
    folder = trainer.save_merged()
    if trainer.args.push_to_hub:
        trainer.push_to_hub()  # in the merged form
    trainer.accelerator.print(
        f"Trained {training_runs.format_steps(trainer)} on the scores of {', '.join(reward_models)}.\n"
        f"Saved the policy in {folder}. Its checkpoints are the folders checkpoint-* there.\n"
        f"Next: {compare}\n"
        f"      {documentation('how-to/compare-policies.md')} has this script: is the policy better on other prompts?\n"
        f"      AutoModelForCausalLM.from_pretrained({str(folder)!r}) loads the policy."
    )
    summary = summarize_run(trainer.state.log_history)
    if summary is not None:
        trainer.accelerator.print(describe_gain(summary, trainer.args.log_completions))
    trainer.end()


def policy_and_rewards(
    name: str, config: PPOConfig, rewards: RewardFunctionArguments, model: ModelArguments, critic: str | None
) -> dict[str, Any]:
    """Return the trainer arguments for policy and reward functions.

    Args:
        name: folder or Hub id of the policy.
        config: training arguments; `model_init_kwargs` is set.
        rewards: arguments for reward models.
        model: model arguments.
        critic: folder or Hub id of the initial critic, or None.

    Raises:
        CommandLineError: a shared base is requested, and a model is not an adapter of it.
    """
    quantization, options = quantization_of(model), model_options(model, config)
    if not rewards.share_base:
        config.model_init_kwargs = options
        load = partial(load_reward, trust_remote_code=config.trust_remote_code)
        functions = reward_functions(rewards, load)
        return {"model": name, "reward_funcs": functions, "quantization_config": quantization}
    if not model.use_peft or critic is not None:
        other = "--no_use_peft" if critic is None else "--critic"
        raise CommandLineError(
            f"--share_base and {other} exclude each other: with a shared base, all models are adapters of it. "
            "Remove one of them."
        )
    config.model_init_kwargs = None
    with explain_loading(name, "a policy"):
        base = AutoModelForCausalLM.from_pretrained(name, quantization_config=quantization, **options)
    return {"model": base, "reward_funcs": reward_functions(rewards, lambda path: scorer_on_base(base, path))}


def load_reward(name: str, trust_remote_code: bool) -> Scorer | RemoteScorer:
    """Return a reward model, or one on a server.

    Args:
        name: folder, Hub id, or address of `rlhf-losses serve`.
        trust_remote_code: whether Python code that comes with the model is executed.
    """
    if is_server_url(name):
        return RemoteScorer(name)
    return load_scorer(name, flag="--reward_model", trust_remote_code=trust_remote_code)


def pretraining_texts(name: str | None, weight: float | None) -> Rows | None:
    """Return the split `train` of `--ptx_dataset`, or None.

    Args:
        name: value of `--ptx_dataset`.
        weight: value of `--ptx_coef`.

    Raises:
        CommandLineError: only one of them is given.
    """
    if (name is None) != (weight is None):
        given, missing = ("--ptx_coef", "--ptx_dataset") if name is None else ("--ptx_dataset", "--ptx_coef")
        raise CommandLineError(
            f"{given} is set without {missing}, but the pretraining loss needs texts and a weight. "
            "Set both, for example --ptx_dataset texts.jsonl --ptx_coef 0.1, or none."
        )
    return None if name is None else select_split(load_splits(name), "train", name)


def shared_prompt(row: Row) -> Messages | None:
    """Return the messages that all answers of a row share, or None if there are none."""
    types = feedback_types_in_columns(row)
    sides = [Answer(None, (row[name],)) for name in SIDES if row.get(name) is not None]
    answers = row_answers(row, types[0]) if types else complete_answers(sides, row)
    prompt = answers[0].prompt if answers else None
    return prompt if isinstance(prompt, list) else None


def require_prompt(row: Row, index: int) -> Messages:
    """Return the messages that all answers of a row share, and raise `InvalidFeedbackError` if there are none."""
    prompt = shared_prompt(row)
    if prompt is None:
        raise InvalidFeedbackError(
            f"Row {index} has no prompt: its conversations begin with different messages. Drop the row, or add a "
            "column 'prompt'."
        )
    return prompt


def select_prompts(rows: Rows, name: str = "train data") -> Rows:
    """Return the column `prompt`, or the messages that the answers of a row share; feedback is not used.

    Args:
        rows: the rows.
        name: name of the dataset in messages.

    Raises:
        FeedbackMismatchError: there is neither such a column nor such messages.
        InvalidFeedbackError: some rows have such messages, and one has none.
    """
    columns = rows.column_names or list(next(iter(rows)))
    if "prompt" not in columns and shared_prompt(next(iter(rows))) is not None:
        return rows.map(
            lambda row, index: {"prompt": require_prompt(row, source_row(row, index))},
            with_indices=True,
            remove_columns=[name for name in columns if name != SOURCE_ROW],
        )
    if "prompt" not in columns:
        values = {name: [] for name in columns} | sampled_values(rows, columns)
        raise FeedbackMismatchError(
            f"The {name} have the columns {', '.join(columns)} and no column 'prompt', which PPO needs, nor "
            "conversations that begin with the same messages. Rename the column with the prompts: "
            f"{renaming({'prompt': suggest_prompt(values)})}."
        )
    return rows.select_columns([name for name in ("prompt", SOURCE_ROW) if name in columns])
