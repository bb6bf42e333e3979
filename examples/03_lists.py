"""Train on rankings of several answers with ties: three losses, and two ways to average one of them."""

from rlhf_losses import RewardConfig, RewardTrainer, accumulated_pairs, bradley_terry, plackett_luce
from rlhf_losses.sandbox import build_synthetic_task

task = build_synthetic_task(seed=0)
rankings = task.feedback(plackett_luce)
print(rankings[0]["ranks"])

for name, loss, average_over in (
    ("likelihood of the whole ranking", plackett_luce, "items"),
    ("mean over the pairs of each list", accumulated_pairs, "items"),
    ("mean over all pairs", bradley_terry, "items"),
    ("mean over prompts of the mean over pairs", bradley_terry, "prompts"),
):
    trainer = RewardTrainer(
        model=task.reward_model(),
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
        processing_class=task.tokenizer,
        loss=loss,
    )
    trainer.train()
    accuracy = trainer.evaluate()["eval_accuracy"]
    print(f"{name}: held-out accuracy {accuracy:.2f}")
    assert accuracy > 0.8
