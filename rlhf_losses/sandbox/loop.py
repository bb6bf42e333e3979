"""The RLHF loop on the synthetic task: feedback, reward model, PPO, and evaluation with the gold reward."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from peft import LoraConfig
from scipy import stats
from torch import Tensor
from tqdm import tqdm
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.losses import AnyLoss
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.annotators import Sample
from rlhf_losses.sandbox.results import CompletionPair, LoopResult, PPOStep
from rlhf_losses.sandbox.simulated_feedback import rankings
from rlhf_losses.sandbox.synthetic_task import MAX_COMPLETION_LENGTH, SyntheticTask
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer

CPU_SETTINGS: dict[str, Any] = {
    "report_to": "none",
    "save_strategy": "no",
    "bf16": False,
    "gradient_checkpointing": False,
    "use_cpu": True,
    "disable_tqdm": True,  # `ProgressBar` replaces the bar of transformers, which also prints the logs
}
"""Trainer settings for tiny models on a CPU."""

LOGGING_STEPS = 5
"""Number of optimizer steps of the reward model between two logs."""


class ProgressBar(TrainerCallback):
    """A progress bar with a name that prints no logs.

    Args:
        name: text before the bar.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self.bar = tqdm(total=state.max_steps, desc=self.name, unit="step")

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.bar.update()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.bar.close()


def run_loop(
    task: SyntheticTask, loss: AnyLoss, folder: Path, log: Callable[[str], None], steps: int = 60
) -> LoopResult:
    """Train a reward model with a loss and a policy on its scores, save both, and evaluate them.

    Args:
        task: the synthetic task.
        loss: loss of the reward model.
        folder: parent of the folders `reward_model` and `policy`.
        log: function that receives a line of text at the beginning of each phase.
        steps: number of optimizer steps of PPO.
    """
    start = time.perf_counter()
    log(f"1/3 reward model: LoRA training with {loss}")
    scorer = train_reward_model(task, loss, folder / "reward_model")
    heldout = rankings(task.sample(task.heldout_prompts, 8, seed=task.seed + 1), task.annotator())
    found = evaluate(scorer, heldout)
    metrics = {"model": str(folder / "reward_model"), **found.to_dict()}
    log("2/3 policy: PPO with the scores of the reward model")
    policy, ppo_steps = train_policy(task, scorer, folder / "policy", steps)
    log("3/3 evaluation: gold reward on held-out prompts before and after PPO")
    before = task.sample(task.heldout_prompts, 8, seed=task.seed + 2)
    after = task.sample(task.heldout_prompts, 8, seed=task.seed + 2, policy=policy)
    before_each, after_each = task.sample_rewards(before), task.sample_rewards(after)
    gold_before, gold_after = before_each.mean(dim=1), after_each.mean(dim=1)
    return LoopResult(
        loss=str(loss),
        accuracy=found["accuracy"],
        gold_before=gold_before.mean().item(),
        gold_after=gold_after.mean().item(),
        gold_gain_ci=_confidence_interval((gold_after - gold_before).numpy()),
        kl=completion_kl(task, policy, after),
        seconds=time.perf_counter() - start,
        seed=task.seed,
        steps=ppo_steps,
        completions=_completion_pairs(before, after, before_each, after_each),
        evaluation=EvaluationFolder(Path(str(loss)), metrics, found.rows),
        folder=folder,
    )


def train_reward_model(task: SyntheticTask, loss: AnyLoss, folder: Path) -> Scorer:
    """Train a reward model with simulated feedback on sixteen completions of each training prompt.

    Args:
        task: the synthetic task.
        loss: a loss or an objective.
        folder: output folder of the trainer.
    """
    return train_on_feedback(task, loss, task.feedback(loss, count=16, seed=task.seed), folder)


def train_on_feedback(task: SyntheticTask, loss: AnyLoss, feedback: Dataset, folder: Path, epochs: int = 2) -> Scorer:
    """Train a reward model with LoRA, save the merged model, and load it as a scorer.

    Args:
        task: the synthetic task.
        loss: a loss or an objective.
        feedback: training data.
        folder: output folder of the trainer.
        epochs: number of epochs.
    """
    trainer = RewardTrainer(
        task.reward_model(),
        RewardConfig(
            str(folder),
            num_train_epochs=epochs,
            per_device_train_batch_size=4 if "ranks" in feedback.column_names else 32,  # a list has several texts
            learning_rate=5e-3,
            lr_scheduler_type="cosine",
            warmup_steps=5,
            logging_steps=LOGGING_STEPS,
            seed=task.seed,
            **CPU_SETTINGS,
        ),
        feedback,
        processing_class=task.tokenizer,
        peft_config=lora_config("embed_tokens"),
        loss=loss,
        callbacks=[ProgressBar("reward model")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_state()
    return Scorer.from_pretrained(trainer.save_merged(), batch_size=128)


def train_policy(task: SyntheticTask, scorer: Scorer, folder: Path, steps: int = 60) -> tuple[Any, list[PPOStep]]:
    """Train the policy with PPO on the scores; the gold reward is logged with weight 0.

    Args:
        task: the synthetic task.
        scorer: the reward model.
        folder: output folder of the trainer.
        steps: number of optimizer steps.

    Returns:
        The policy with merged adapters, and the metrics of each logged step.
    """
    trainer = PPOTrainer(
        task.policy(),
        [scorer, task.gold_rewards],
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
            seed=task.seed,
            **CPU_SETTINGS,
        ),
        Dataset.from_dict({"prompt": list(task.train_prompts)}),
        processing_class=task.tokenizer,
        peft_config=lora_config(),
        callbacks=[ProgressBar("PPO")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_state()
    policy = AutoModelForCausalLM.from_pretrained(trainer.save_merged())
    logs = [entry for entry in trainer.state.log_history if "objective/rlhf_reward" in entry]
    return policy, [_ppo_step(entry, scorer.__name__) for entry in logs]


def lora_config(*more_modules: str) -> LoraConfig:
    """Return LoRA adapters of rank 16 on all linear layers of the transformer blocks, and on further modules.

    Args:
        more_modules: names of further modules.
    """
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return LoraConfig(r=16, lora_alpha=32, target_modules=[*layers, *more_modules])


@torch.no_grad()
def completion_kl(task: SyntheticTask, policy: Any, samples: Sequence[Sample]) -> float:
    r"""Return an estimate of the KL divergence between the policy and the reference model, in nats per completion.

    $$\frac{1}{n} \sum_{i=1}^n \log \pi(y_i \mid x_i) - \log \pi_\text{ref}(y_i \mid x_i), \qquad y_i \sim \pi$$

    Args:
        task: the synthetic task, whose language model is the reference model.
        policy: the policy.
        samples: completions of the policy.
    """
    total = count = 0.0
    for sample in samples:
        texts = [sample.prompt + completion + task.tokenizer.eos_token for completion in sample.completions]
        batch = task.tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        start = len(task.tokenizer(sample.prompt)["input_ids"])
        of_policy, of_reference = (_log_likelihood(model, batch, start) for model in (policy, task.language_model))
        total += float((of_policy - of_reference).sum())
        count += len(texts)
    return total / count


def _log_likelihood(model: Any, batch: Any, start: int) -> Tensor:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, start - 1 : -1]
    token_ids = batch["input_ids"][:, start:].unsqueeze(-1)
    log_probs = logits.log_softmax(-1).gather(-1, token_ids).squeeze(-1)
    log_likelihood: Tensor = (log_probs * batch["attention_mask"][:, start:]).sum(dim=1)
    return log_likelihood


def _confidence_interval(gains: NDArray[np.float32]) -> tuple[float, float]:
    bootstrap = stats.bootstrap((gains,), np.mean, confidence_level=0.95, rng=np.random.default_rng(0))
    return float(bootstrap.confidence_interval.low), float(bootstrap.confidence_interval.high)


def _ppo_step(entry: dict[str, float], scorer_name: str) -> PPOStep:
    return PPOStep(
        step=int(entry["step"]),
        proxy=entry[f"rewards/{scorer_name}/mean"],
        gold=entry["rewards/gold_rewards/mean"],
        kl=entry["kl_per_completion"],
    )


def _completion_pairs(
    before: Sequence[Sample], after: Sequence[Sample], gold_before: Tensor, gold_after: Tensor, count: int = 3
) -> list[CompletionPair]:
    """Return the first completion of some prompts before and after PPO."""
    return [
        CompletionPair(
            old.prompt,
            old.completions[0].strip(),
            new.completions[0].strip(),
            float(gold_before[index, 0]),
            float(gold_after[index, 0]),
        )
        for index, (old, new) in enumerate(zip(before[:count], after[:count], strict=True))
    ]
