"""Train on rankings of several answers, with ties: three losses that read the same lists."""

from rlhf_losses import RewardConfig, RewardTrainer, accumulated_pairs, bradley_terry, plackett_luce
from rlhf_losses.sandbox import build_world

world = build_world(seed=0)
rankings = world.feedback(plackett_luce)
print(rankings[0]["ranks"])

for name, loss, average_over in (
    ("the likelihood of the whole ranking", plackett_luce, "items"),
    ("every pair of a list, averaged per prompt", accumulated_pairs, "items"),
    ("every pair counts the same", bradley_terry, "items"),
    ("every prompt counts the same", bradley_terry, "prompts"),
):
    trainer = RewardTrainer(
        model=world.reward_model(),
        args=RewardConfig(
            "runs/03_lists",
            max_steps=40,
            per_device_train_batch_size=8,
            learning_rate=3e-3,
            average_over=average_over,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=rankings.select(range(160)),
        eval_dataset=rankings.select(range(160, 192)),
        processing_class=world.tokenizer,
        loss=loss,
    )
    trainer.train()
    print(f"{name}: held-out accuracy {trainer.evaluate()['eval_accuracy']:.2f}")
