"""Train on the steps of a text: each sentence is labelled good or bad, and all are scored in one forward pass."""

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, segment_hinge
from rlhf_losses.sandbox import build_world

world = build_world(seed=0)
steps = world.feedback(segment_hinge)
print(steps[0]["completions"], steps[0]["labels"])

trainer = RewardTrainer(
    model=world.reward_model(),
    args=RewardConfig(
        "runs/02_segments",
        num_train_epochs=4,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=steps,
    processing_class=world.tokenizer,
    loss=segment_hinge,
)
trainer.train()

scorer = Scorer.from_pretrained(trainer.save_merged())
story = [" They danced and sang.", " The grumpy fox cried."]
print(list(zip(story, scorer.score_steps(world.heldout_prompts[0], story), strict=True)))
