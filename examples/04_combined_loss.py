"""Combine losses with `+` and `*`, also of different kinds of feedback on the same rows."""

from rlhf_losses import RewardConfig, RewardTrainer, bradley_terry, centering, parse_loss, segment_hinge
from rlhf_losses.sandbox import build_world
from rlhf_losses.sandbox.gold import sentences, split_sentences

loss = bradley_terry + 0.01 * centering + 0.5 * segment_hinge
print(loss)
assert parse_loss(str(loss)) == loss

world = build_world(seed=0)
pairs = world.feedback(bradley_terry)


def with_steps(row):
    """Label the sentences of the chosen answer: pair and steps then share that text, which is scored once."""
    return {
        "completions": split_sentences(row["chosen"]),
        "labels": [worth > 0 for worth in sentences(row["chosen"], row["prompt"])],
    }


trainer = RewardTrainer(
    model=world.reward_model(),
    args=RewardConfig(
        "runs/04_combined_loss",
        max_steps=40,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=pairs.filter(lambda row: row["chosen"].strip()).map(with_steps),
    processing_class=world.tokenizer,
    loss=loss,
)
trainer.train()
print({name: value for name, value in trainer.state.log_history[-2].items() if name.startswith("loss")})
