"""Train a process reward model: every sentence of an answer has a label, and one forward pass scores all of them."""

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, Steps, segment_hinge
from rlhf_losses.sandbox import annotate, build_synthetic_task

task = build_synthetic_task(seed=0)
steps = task.feedback(segment_hinge)
print(steps[0]["completions"], steps[0]["labels"])

trainer = RewardTrainer(
    model=task.reward_model(),
    args=RewardConfig(
        "runs/02_segments",
        num_train_epochs=4,
        per_device_train_batch_size=16,
        learning_rate=1e-2,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=steps,
    processing_class=task.tokenizer,
    loss=segment_hinge,
)
trainer.train()

scorer = Scorer.from_pretrained(trainer.save_merged())
heldout = annotate(Steps, task.sample(task.heldout_prompts, count=4), task.annotator())
rows = [(row["labels"], scorer.score_steps(row["prompt"], row["completions"])) for row in heldout]

# Compare each sentence labelled true with each one labelled false of the same story.
ranked = [
    good > bad
    for labels, scores in rows
    for good, is_good in zip(scores, labels, strict=True)
    for bad, is_also_good in zip(scores, labels, strict=True)
    if is_good and not is_also_good
]
share = sum(ranked) / len(ranked)
print(f"the good sentence of a held-out story has the higher score in {share:.0%} of {len(ranked)} comparisons")
assert share > 0.85
