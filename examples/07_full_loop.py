"""The full loop: feedback → a reward model → PPO on its scores, with the known gold reward measured beside."""

from datasets import Dataset
from peft import LoraConfig

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer, bradley_terry, centering
from rlhf_losses.sandbox import build_world

small = {"bf16": False, "gradient_checkpointing": False, "report_to": "none", "save_strategy": "no"}
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
loss = bradley_terry + 0.01 * centering
world = build_world(seed=0)

reward_trainer = RewardTrainer(
    model=world.reward_model(),
    args=RewardConfig(
        "runs/07_full_loop/reward_model",
        num_train_epochs=3,
        per_device_train_batch_size=32,
        learning_rate=5e-3,
        **small,
    ),
    train_dataset=world.feedback(loss, count=12),
    processing_class=world.tokenizer,
    peft_config=lora,
    loss=loss,
)
reward_trainer.train()
scorer = Scorer.from_pretrained(reward_trainer.save_merged(), batch_size=128)

trainer = PPOTrainer(
    model=world.policy(),
    reward_funcs=[scorer, world.gold_rewards],
    args=PPOConfig(
        "runs/07_full_loop/policy",
        reward_weights=[1.0, 0.0],  # gold is measured and counts for nothing
        max_steps=40,
        per_device_train_batch_size=32,
        num_iterations=2,
        beta=0.1,
        learning_rate=1.5e-3,
        max_completion_length=48,
        logging_steps=2,
        **small,
    ),
    train_dataset=Dataset.from_dict({"prompt": list(world.train_prompts)}),
    processing_class=world.tokenizer,
    peft_config=lora,
)
trainer.train()

gold = [entry["rewards/gold_rewards/mean"] for entry in trainer.state.log_history if "objective" in entry]
print(f"gold of the first completions {gold[0]:+.2f}, of the last {gold[-1]:+.2f}")
