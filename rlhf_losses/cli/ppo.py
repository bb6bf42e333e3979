"""`rlhf-losses ppo`: a language model against the scores of a reward model, with the arguments of `trl grpo`."""

from dataclasses import dataclass, field
from typing import Any

import trl
from transformers import AutoModelForCausalLM

from rlhf_losses.cli import training_runs
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.arguments import (
    ModelArguments,
    RewardDataArguments,
    TrainingParser,
    model_options,
    quantization_of,
    require_attention,
)
from rlhf_losses.cli.dataset_loading import Rows, load_splits, pick, training_rows
from rlhf_losses.cli.reward_models import RewardFunctionArguments, reward_functions
from rlhf_losses.cli.scorer_arguments import load_scorer
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.ppo import PPOConfig, PPOTrainer, scorer_on_base

USAGE = "%(prog)s --model POLICY --reward_model MODEL --dataset PROMPTS --output_dir DIR [--config FILE] [...]"
DESCRIPTION = """\
Improve a language model by PPO. The arguments are those of TRL's `trl grpo`, and PPO's; the most used are --model,
--reward_model, --dataset, --output_dir, --beta, --max_completion_length, --learning_rate and --max_steps.
On several processes: accelerate launch -m rlhf_losses.cli.main ppo ..."""


@dataclass
class PPOArguments(RewardDataArguments):
    """The data, whose column `prompt` is read, pretraining texts, and the critic."""

    critic: str | None = field(
        default=None,
        metadata={"help": "Folder or hub id of the critic to start from; by default a copy of the reward model."},
    )
    ptx_dataset: str | None = field(
        default=None,
        metadata={"help": "Rows with a text whose next-token loss is mixed in, with the weight --ptx_coef (PPO-ptx)."},
    )


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Train and save_merged a policy."""
    kinds = (PPOConfig, PPOArguments, RewardFunctionArguments, ModelArguments, trl.DatasetMixtureConfig)
    config, data, judges, model, mixture = TrainingParser(kinds, "rlhf-losses ppo", USAGE, DESCRIPTION).read(argv)
    name = training_runs.require(model.model_name_or_path, "--model", "Qwen/Qwen3-0.6B")
    require_attention(model.attn_implementation)
    checkpoint = training_runs.checkpoint_to_resume(config.output_dir, config.resume_from_checkpoint)
    for path, flag in ((name, "--model"), *((judge, "--reward_model") for judge in judges.names)):
        training_runs.require_model(path, flag, trust_remote_code=config.trust_remote_code)
    if data.critic is not None:
        training_runs.require_model(data.critic, "--critic", trust_remote_code=config.trust_remote_code)
    texts = pretraining_texts(data.ptx_dataset, config.ptx_coef)
    found = training_rows(data, mixture, evaluates=config.eval_strategy != "no")
    rows, held_out = (
        None if split is None else prompts(convert_dataset(split, data.converter, what, plugins))
        for split, what in zip(found, ("train data", "eval data"), strict=True)
    )
    if judges.reference_samples:
        config.score_normalization = "reference"
    stop = training_runs.Interruptible()
    with training_runs.starting():
        trainer = PPOTrainer(
            args=config,
            train_dataset=rows,
            eval_dataset=held_out,
            peft_config=trl.get_peft_config(model),
            critic=data.critic,
            pretraining_dataset=texts,
            callbacks=[stop],
            **policy_and_rewards(name, config, judges, model, data.critic),
        )
    training_runs.train(trainer, stop, checkpoint)
    if held_out is not None and config.eval_strategy == "no":
        trainer.save_metrics("eval", trainer.evaluate())
    folder = trainer.save_merged()
    if config.push_to_hub:
        training_runs.push(trainer, folder)
    trainer.accelerator.print(
        f"Trained {training_runs.steps_of(trainer)} on the scores of {', '.join(judges.names)}.\n"
        f"Saved the policy in {folder}; its checkpoints are the folders checkpoint-* there.\n"
        f"Next: AutoModelForCausalLM.from_pretrained({str(folder)!r}), or rlhf-losses ppo --model {folder} to go on."
    )
    trainer.end()


def policy_and_rewards(
    name: str, config: PPOConfig, judges: RewardFunctionArguments, model: ModelArguments, critic: str | None
) -> dict[str, Any]:
    """Return policy and reward functions as the trainer takes them: the policy by name, or as a base that all share."""
    quantization, options = quantization_of(model), model_options(model, config)
    if not judges.share_base:
        config.model_init_kwargs = options
        rewards = reward_functions(judges, lambda judge: load_scorer(judge, "--reward_model"))
        return {"model": name, "reward_funcs": rewards, "quantization_config": quantization}
    if not model.use_peft or critic is not None:
        arrived = "--no_use_peft" if critic is None else "--critic"
        raise CommandLineError(
            f"--share_base and {arrived} came, but roles can share a base only if each is an adapter of it. "
            f"Leave one of them out."
        )
    config.model_init_kwargs = None
    base = AutoModelForCausalLM.from_pretrained(name, quantization_config=quantization, **options)
    return {"model": base, "reward_funcs": reward_functions(judges, lambda judge: scorer_on_base(base, judge))}


def pretraining_texts(name: str | None, weight: float | None) -> Rows | None:
    """Load the split `train` of `--ptx_dataset`, which comes together with `--ptx_coef`."""
    if (name is None) != (weight is None):
        arrived, missing = ("--ptx_coef", "--ptx_dataset") if name is None else ("--ptx_dataset", "--ptx_coef")
        raise CommandLineError(
            f"{arrived} came without {missing}, but a pretraining loss needs texts and a weight. "
            "Give both, like --ptx_dataset texts.jsonl --ptx_coef 0.1, or none."
        )
    return None if name is None else pick(load_splits(name), "train", name)


def prompts(rows: Rows) -> Rows:
    """Keep the column `prompt` alone: what people said of other answers means nothing to new ones."""
    columns = rows.column_names or list(next(iter(rows)))
    if "prompt" not in columns:
        raise FeedbackMismatchError(
            f"The dataset has the columns {', '.join(columns)} and no prompt, so there is nothing to complete. "
            "Rename the column with the prompts to prompt."
        )
    return rows.select_columns(["prompt"])
