"""The whole loop in the sandbox: a loss by name → a reward model → PPO, measured against the known gold."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from scipy import stats
from tqdm import tqdm
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from rlhf_losses.losses import Loss
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.annotators import Sample, rankings
from rlhf_losses.sandbox.outcome import Outcome, Step
from rlhf_losses.sandbox.world import MAX_COMPLETION_LENGTH, World
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer

SMALL_MACHINE: dict[str, Any] = {
    "report_to": "none",
    "save_strategy": "no",
    "bf16": False,
    "gradient_checkpointing": False,
    "use_cpu": True,
    "disable_tqdm": True,  # `Bar` has a name and prints no logs
}
"""What both trainers need where there is no accelerator and models are tiny."""

Tell = Callable[[str], None]


class Bar(TrainerCallback):
    """A progress bar with a name, and nothing else: what is logged goes into the picture."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self.bar = tqdm(total=state.max_steps, desc=self.name, unit="step")

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.bar.update()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.bar.close()


def run_loop(world: World, loss: Loss, folder: Path, tell: Tell, steps: int = 60) -> Outcome:
    """Train a reward model on `loss` and a policy on its scores, save both under `folder`, and measure."""
    start = time.perf_counter()
    tell(f"1/3 reward model: LoRA on {loss}")
    scorer = train_reward_model(world, loss, folder / "reward_model")
    heldout = rankings(world.sample(world.heldout_prompts, 8, seed=world.seed + 1), world.annotator())
    accuracy = evaluate(scorer, heldout)["accuracy"]
    tell("2/3 policy: PPO on the reward model's scores")
    policy, log = train_policy(world, scorer, folder / "policy", steps)
    tell("3/3 gold of the policy, before and after, on held-out prompts")
    before = world.sample(world.heldout_prompts, 8, seed=world.seed + 2)
    after = world.sample(world.heldout_prompts, 8, seed=world.seed + 2, policy=policy)
    gold_before, gold_after = world.gold(before).mean(dim=1), world.gold(after).mean(dim=1)
    return Outcome(
        loss=str(loss),
        accuracy=accuracy,
        gold_before=gold_before.mean().item(),
        gold_after=gold_after.mean().item(),
        gold_gain_ci=_interval((gold_after - gold_before).numpy()),
        kl=completion_kl(world, policy, after),
        seconds=time.perf_counter() - start,
        seed=world.seed,
        steps=log,
        completions=_side_by_side(before, after),
    )


def train_reward_model(world: World, loss: Loss, folder: Path) -> Scorer:
    """Train a reward model on what the annotators say about sixteen stories of each prompt."""
    return train_on_feedback(world, loss, world.feedback(loss, count=16, seed=world.seed), folder)


def train_on_feedback(world: World, loss: Loss, said: Dataset, folder: Path, epochs: int = 2) -> Scorer:
    """Train a reward model with LoRA on feedback, save_merged it, and load what was saved_merged."""
    trainer = RewardTrainer(
        world.reward_model(),
        RewardConfig(
            str(folder),
            num_train_epochs=epochs,
            per_device_train_batch_size=4 if "ranks" in said.column_names else 32,  # a list has many texts
            learning_rate=5e-3,
            lr_scheduler_type="cosine",
            warmup_steps=5,
            logging_strategy="no",
            seed=world.seed,
            **SMALL_MACHINE,
        ),
        said,
        processing_class=world.tokenizer,
        peft_config=lora("embed_tokens"),
        loss=loss,
        callbacks=[Bar("reward model")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return Scorer.from_pretrained(trainer.save_merged(), batch_size=128)


def train_policy(world: World, scorer: Scorer, folder: Path, steps: int = 60) -> tuple[Any, list[Step]]:
    """Train the policy with PPO; gold is measured beside the scores, and counts for nothing in the reward."""
    trainer = PPOTrainer(
        world.policy(),
        [scorer, world.gold_rewards],
        PPOConfig(
            str(folder),
            reward_weights=[1.0, 0.0],
            max_steps=steps,
            per_device_train_batch_size=32,
            num_iterations=2,
            beta=0.1,
            learning_rate=1.5e-3,
            max_completion_length=MAX_COMPLETION_LENGTH,
            logging_steps=1,
            sanity_check=False,
            seed=world.seed,
            **SMALL_MACHINE,
        ),
        Dataset.from_dict({"prompt": list(world.train_prompts)}),
        processing_class=world.tokenizer,
        peft_config=lora(),
        callbacks=[Bar("PPO")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    policy = AutoModelForCausalLM.from_pretrained(trainer.save_merged())
    return policy, [_step(entry, scorer.__name__) for entry in trainer.state.log_history if "objective" in entry]


def lora(*more: str) -> LoraConfig:
    """Return adapters on every linear layer of the model's body, and on `more`."""
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return LoraConfig(r=16, lora_alpha=32, target_modules=[*layers, *more])


@torch.no_grad()
def completion_kl(world: World, policy: Any, samples: Sequence[Sample]) -> float:
    r"""Return the mean :math:`\log \pi(y|x) - \log \pi_\text{ref}(y|x)` of the policy's own completions, in nats."""
    total = count = 0.0
    for sample in samples:
        texts = [sample.prompt + completion + world.tokenizer.eos_token for completion in sample.completions]
        batch = world.tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        start = len(world.tokenizer(sample.prompt)["input_ids"])
        ours, theirs = (_log_likelihood(model, batch, start) for model in (policy, world.language_model))
        total += float((ours - theirs).sum())
        count += len(texts)
    return total / count


def _log_likelihood(model: Any, batch: Any, start: int) -> torch.Tensor:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, start - 1 : -1]
    chosen = batch["input_ids"][:, start:].unsqueeze(-1)
    each = logits.log_softmax(-1).gather(-1, chosen).squeeze(-1)
    return (each * batch["attention_mask"][:, start:]).sum(dim=1)


def _interval(gains: np.ndarray) -> tuple[float, float]:
    drawn = stats.bootstrap((gains,), np.mean, confidence_level=0.95, rng=np.random.default_rng(0))
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def _step(entry: dict[str, float], scorer_name: str) -> Step:
    return Step(
        step=int(entry["step"]),
        proxy=entry[f"rewards/{scorer_name}/mean"],
        gold=entry["rewards/gold_rewards/mean"],
        kl=entry["kl_per_completion"],
    )


def _side_by_side(before: Sequence[Sample], after: Sequence[Sample], count: int = 3) -> list[dict[str, str]]:
    return [
        {"prompt": old.prompt, "before": old.completions[0].strip(), "after": new.completions[0].strip()}
        for old, new in list(zip(before, after, strict=True))[:count]
    ]
