"""Train a process reward model: every sentence of an answer has a label, and one forward pass scores all of them."""

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, segment_hinge
from rlhf_losses.sandbox import build_synthetic_task

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
story = [" They danced under the bright moon.", " The grumpy fox pushed Mia."]
scores = scorer.score_steps(task.heldout_prompts[0], story)
print(dict(zip(story, scores, strict=True)))
assert scores[0] > 0 > scores[1]
