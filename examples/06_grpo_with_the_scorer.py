"""Use a reward model in TRL's GRPO trainer: a scorer is a reward function."""

from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, plackett_luce
from rlhf_losses.sandbox import build_synthetic_task

task = build_synthetic_task(seed=0)
policy, _ = task.save(Path("runs/06_grpo/start"))
reward_trainer = RewardTrainer(
    model=task.reward_model(),
    args=RewardConfig(
        "runs/06_grpo/reward_model",
        max_steps=60,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=task.feedback(plackett_luce),
    processing_class=task.tokenizer,
    loss=plackett_luce,
)
reward_trainer.train()

trainer = GRPOTrainer(
    model=str(policy),
    reward_funcs=Scorer.from_pretrained(reward_trainer.save_merged()),
    args=GRPOConfig(
        "runs/06_grpo/policy",
        max_steps=10,
        per_device_train_batch_size=32,
        num_generations=8,
        max_completion_length=40,
        learning_rate=1e-3,
        logging_steps=1,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=Dataset.from_dict({"prompt": list(task.train_prompts)}),
)
trainer.train()
rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
print(f"mean score in the first step {rewards[0]:.2f}, in the last step {rewards[-1]:.2f}")
assert rewards[-1] > rewards[0]
