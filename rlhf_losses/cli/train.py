"""`rlhf-losses train`: a reward model, with the arguments of `trl reward` and any loss."""

from typing import Any

import trl

from rlhf_losses.cli import training_runs
from rlhf_losses.cli.arguments import (
    RewardDataArguments,
    RewardModelArguments,
    TrainingParser,
    model_options,
    quantization_of,
    require_attention,
)
from rlhf_losses.cli.dataset_loading import training_rows
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.hooks import loss_registry
from rlhf_losses.training import RewardConfig, RewardTrainer

USAGE = "%(prog)s --model MODEL --dataset DATASET --loss LOSS --output_dir DIR [--config FILE] [...]"
DESCRIPTION = """\
Train a reward model. The arguments are those of TRL's `trl reward`, and --loss; the most used are --model, --dataset,
--loss, --output_dir, --max_length, --learning_rate, --num_train_epochs and --per_device_train_batch_size.
On several processes: accelerate launch -m rlhf_losses.cli.main train ..."""


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Train and save_merged a reward model."""
    kinds = (RewardConfig, RewardDataArguments, RewardModelArguments, trl.DatasetMixtureConfig)
    config, data, model, mixture = TrainingParser(kinds, "rlhf-losses train", USAGE, DESCRIPTION).read(argv)
    loss = loss_registry(plugins).parse(config.loss)
    name = training_runs.require(model.model_name_or_path, "--model", "Qwen/Qwen3-0.6B")
    quantization = quantization_of(model)
    require_attention(model.attn_implementation)
    checkpoint = training_runs.checkpoint_to_resume(config.output_dir, config.resume_from_checkpoint)
    training_runs.require_model(
        name, "--model", revision=model.model_revision, trust_remote_code=config.trust_remote_code
    )
    rows, held_out = training_rows(data, mixture, evaluates=config.eval_strategy != "no")
    rows = convert_dataset(rows, data.converter, "train data", plugins)
    held_out = None if held_out is None else convert_dataset(held_out, data.converter, "eval data", plugins)
    config.model_init_kwargs = model_options(model, config)
    stop = training_runs.Interruptible()
    with training_runs.starting():
        trainer = RewardTrainer(
            model=name,
            args=config,
            train_dataset=rows,
            eval_dataset=held_out,
            quantization_config=quantization,
            peft_config=trl.get_peft_config(model),
            callbacks=[stop],
            loss=loss,
        )
    training_runs.train(trainer, stop, checkpoint)
    save_merged(trainer, rows)


def save_merged(trainer: RewardTrainer, rows: Any) -> None:
    """Save the model for use, measure it if there is held-out data, and say what to type next."""
    if trainer.eval_dataset is not None and trainer.args.eval_strategy == "no":
        trainer.save_metrics("eval", trainer.evaluate())
    folder = trainer.save_merged(trainer.args.output_dir)
    if trainer.args.push_to_hub:
        training_runs.push(trainer, folder)
    tell = trainer.accelerator.print
    tell(f"{used(trainer, rows)} {training_runs.steps_of(trainer)} with {trainer.loss}.")
    tell(f"Saved the reward model in {folder}; its checkpoints are the folders checkpoint-* there.")
    tell(f"Next: rlhf-losses evaluate --model {folder} --dataset HELD_OUT")
    tell(f"      rlhf-losses ppo --model POLICY --reward_model {folder} --dataset PROMPTS --output_dir DIR")
    trainer.end()


def used(trainer: RewardTrainer, rows: Any) -> str:
    """Say how many rows were used and left out; a stream is not counted beforehand."""
    try:
        kept, given = len(trainer.train_dataset), len(rows)
    except TypeError:
        return "Trained on a stream:"
    return f"Trained on {kept} rows of {given} ({given - kept} left out):"
