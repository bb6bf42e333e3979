"""Train a reward model on pairs with LoRA, and score two answers."""

from peft import LoraConfig

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, bradley_terry
from rlhf_losses.sandbox import build_synthetic_task

task = build_synthetic_task(seed=0)
trainer = RewardTrainer(
    model=task.reward_model(),
    args=RewardConfig(
        "runs/01_pairs",
        num_train_epochs=3,
        per_device_train_batch_size=16,
        learning_rate=5e-3,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=task.feedback(bradley_terry),
    processing_class=task.tokenizer,
    peft_config=LoraConfig(r=16, target_modules="all-linear"),
    loss=bradley_terry,
)
trainer.train()

scorer = Scorer.from_pretrained(trainer.save_merged())
prompt = task.heldout_prompts[0]
answers = [" They danced and sang. Mia hugged the gentle fox.", " The grumpy fox cried. They were sad."]
positive, negative = scorer([prompt, prompt], answers)
print(f"score of the positive story {positive:.2f}, of the negative story {negative:.2f}")
assert positive > negative
