"""Combine losses with `+` and `*`, also losses of different feedback types on the same rows."""

from rlhf_losses import RewardConfig, RewardTrainer, bradley_terry, centering, parse_loss, segment_hinge
from rlhf_losses.sandbox import build_synthetic_task
from rlhf_losses.sandbox.gold_reward import sentence_rewards, split_sentences

loss = bradley_terry + 0.01 * centering + 0.5 * segment_hinge
print(loss)
assert parse_loss(str(loss)) == loss

task = build_synthetic_task(seed=0)
pairs = task.feedback(bradley_terry)


def add_steps(row):
    """Label the sentences of the chosen answer. The pair and the steps then have this text in common."""
    return {
        "completions": split_sentences(row["chosen"]),
        "labels": [reward > 0 for reward in sentence_rewards(row["chosen"], row["prompt"])],
    }


trainer = RewardTrainer(
    model=task.reward_model(),
    args=RewardConfig(
        "runs/04_combined_loss",
        max_steps=40,
        logging_steps=10,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=pairs.filter(lambda row: row["chosen"].strip()).map(add_steps),
    processing_class=task.tokenizer,
    loss=loss,
)
trainer.train()

logs = [entry for entry in trainer.state.log_history if "loss" in entry]
names = ("loss/bradley_terry", "loss/centering", "loss/segment_hinge")
print({name: f"{logs[0][name]:.3f} in the first ten steps, {logs[-1][name]:.3f} in the last ten" for name in names})
assert all(logs[-1][name] < logs[0][name] for name in ("loss/bradley_terry", "loss/segment_hinge"))
