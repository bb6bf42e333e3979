"""The full loop: feedback, reward model, PPO on its scores; the known gold reward is logged with weight 0."""

from datasets import Dataset
from peft import LoraConfig

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer, bradley_terry, centering
from rlhf_losses.sandbox import build_synthetic_task

cpu_settings = {"bf16": False, "gradient_checkpointing": False, "report_to": "none", "save_strategy": "no"}
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
loss = bradley_terry + 0.01 * centering
task = build_synthetic_task(seed=0)

reward_trainer = RewardTrainer(
    model=task.reward_model(),
    args=RewardConfig(
        "runs/07_full_loop/reward_model",
        num_train_epochs=3,
        per_device_train_batch_size=32,
        learning_rate=5e-3,
        **cpu_settings,
    ),
    train_dataset=task.feedback(loss, count=12),
    processing_class=task.tokenizer,
    peft_config=lora,
    loss=loss,
)
reward_trainer.train()
scorer = Scorer.from_pretrained(reward_trainer.save_merged(), batch_size=128)

trainer = PPOTrainer(
    model=task.policy(),
    reward_funcs=[scorer, task.gold_rewards],
    args=PPOConfig(
        "runs/07_full_loop/policy",
        reward_weights=[1.0, 0.0],  # the gold reward is logged only
        max_steps=40,
        per_device_train_batch_size=32,
        num_iterations=2,
        beta=0.1,
        learning_rate=1.5e-3,
        max_completion_length=48,
        logging_steps=2,
        **cpu_settings,
    ),
    train_dataset=Dataset.from_dict({"prompt": list(task.train_prompts)}),
    processing_class=task.tokenizer,
    peft_config=lora,
)
trainer.train()

metric = "rewards/gold_rewards/mean"
gold = [entry[metric] for entry in trainer.state.log_history if metric in entry]
print(f"mean gold reward of the first completions {gold[0]:+.2f}, of the last {gold[-1]:+.2f}")
assert gold[-1] > gold[0] + 0.3
