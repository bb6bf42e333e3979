"""Train a reward model on pairs, LoRA included, and score texts with it."""

from peft import LoraConfig

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, bradley_terry
from rlhf_losses.sandbox import build_world

world = build_world(seed=0)
trainer = RewardTrainer(
    model=world.reward_model(),
    args=RewardConfig(
        "runs/01_pairs",
        num_train_epochs=3,
        per_device_train_batch_size=16,
        learning_rate=5e-3,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=world.feedback(bradley_terry),
    processing_class=world.tokenizer,
    peft_config=LoraConfig(r=16, target_modules="all-linear"),
    loss=bradley_terry,
)
trainer.train()

scorer = Scorer.from_pretrained(trainer.save_merged())
prompt = world.heldout_prompts[0]
kind, gloomy = " They danced and sang. Mia hugged the gentle fox.", " The grumpy fox cried. They were sad."
print(dict(zip(("kind", "gloomy"), scorer([prompt, prompt], [kind, gloomy]), strict=True)))
