"""A synthetic RLHF task that runs on a laptop: prompts, a tiny policy, a gold reward and simulated annotators."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from rlhf_losses.losses import AnyLoss
from rlhf_losses.sandbox.annotators import GOLD_PREFERENCES, Annotator, Preferences, Sample
from rlhf_losses.sandbox.feedback_for_loss import feedback_for
from rlhf_losses.sandbox.gold_reward import completion_reward
from rlhf_losses.sandbox.stories import StoryGenerator, vocabulary
from rlhf_losses.sandbox.threads import one_thread
from rlhf_losses.sandbox.tiny_models import build_language_model, build_reward_model, build_tokenizer

MAX_COMPLETION_LENGTH = 48
"""In tokens. A story has at most 33."""


@dataclass(frozen=True, eq=False)
class SyntheticTask:
    """A task with a known gold reward: complete the opening of a story so that its sentiment is positive.

    Training does not change the task; `policy` and `reward_model` return new models.

    Attributes:
        seed: seed of the task.
        tokenizer: tokenizer with left padding.
        language_model: initial policy and reference model.
        train_prompts: prompts for feedback and for PPO.
        heldout_prompts: prompts for evaluation.
        preferences: preferences of the annotators, which define the gold reward.
    """

    seed: int
    tokenizer: PreTrainedTokenizerFast
    language_model: LlamaForCausalLM
    train_prompts: tuple[str, ...]
    heldout_prompts: tuple[str, ...]
    preferences: Preferences = GOLD_PREFERENCES

    def policy(self) -> LlamaForCausalLM:
        """Return a copy of the language model for training."""
        return copy.deepcopy(self.language_model)

    def reward_model(self) -> LlamaForSequenceClassification:
        """Return an untrained reward model with the layers of the language model."""
        return build_reward_model(self.language_model, self.seed)

    def sample(
        self, prompts: Sequence[str], count: int, seed: int = 0, policy: PreTrainedModel | None = None
    ) -> list[Sample]:
        """Return sampled completions of each prompt.

        Args:
            prompts: the prompts.
            count: number of completions per prompt.
            seed: seed of the sampling.
            policy: model to sample from; by default the language model.
        """
        texts = self._generate([prompt for prompt in prompts for _ in range(count)], seed, policy)
        return [Sample(prompt, texts[i * count : (i + 1) * count]) for i, prompt in enumerate(prompts)]

    def annotator(self, noise: float = 0.0, seed: int = 0) -> Annotator:
        """Return an annotator with the preferences of the task.

        Args:
            noise: probability that the annotator misjudges a sentence.
            seed: seed of the errors.
        """
        return Annotator(noise, seed, self.preferences)

    def feedback(self, loss: AnyLoss, count: int = 4, noise: float = 0.0, seed: int = 0) -> Dataset:
        """Return simulated feedback on completions of the training prompts, of the types that a loss requires.

        Args:
            loss: a loss or an objective.
            count: number of completions per prompt.
            noise: probability that an annotator misjudges a sentence.
            seed: seed of the sampling and of the errors.
        """
        return feedback_for(loss, self.sample(self.train_prompts, count, seed), self.annotator(noise, seed))

    def sample_rewards(self, samples: Sequence[Sample]) -> Tensor:
        """Return the gold reward of each completion, of shape (prompt, completion)."""
        return torch.tensor([self.gold_rewards([s.prompt] * len(s.completions), s.completions) for s in samples])

    def gold_rewards(self, prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
        """Return the gold reward of each completion; the signature is that of a TRL reward function."""
        return [
            completion_reward(prompt, completion, self.preferences.sentence_reward)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Save the policy and the untrained reward model with the tokenizer, and return their folders."""
        folders = Path(folder) / "policy", Path(folder) / "untrained_reward_model"
        for model, path in zip((self.language_model, self.reward_model()), folders, strict=True):
            model.save_pretrained(path)
            self.tokenizer.save_pretrained(path)
        return folders

    @torch.no_grad()
    def _generate(self, prompts: list[str], seed: int, policy: PreTrainedModel | None) -> list[str]:
        model: Any = policy or self.language_model
        batch = self.tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ids = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=MAX_COMPLETION_LENGTH)
        new_ids = ids[:, batch["input_ids"].shape[1] :]
        texts: list[str] = self.tokenizer.batch_decode(new_ids, skip_special_tokens=True)
        return texts


def build_synthetic_task(seed: int = 0, num_train_prompts: int = 192, num_heldout_prompts: int = 64) -> SyntheticTask:
    """Train a tiny language model and return the synthetic task of a seed.

    Args:
        seed: seed of the prompts and of the language model.
        num_train_prompts: number of distinct prompts for training.
        num_heldout_prompts: number of further distinct prompts for evaluation.
    """
    tokenizer = build_tokenizer(vocabulary())
    prompts = _distinct_openings(StoryGenerator(seed + 1), num_train_prompts + num_heldout_prompts)
    return SyntheticTask(
        seed=seed,
        tokenizer=tokenizer,
        language_model=build_language_model(tokenizer, seed),
        train_prompts=prompts[:num_train_prompts],
        heldout_prompts=prompts[num_train_prompts:],
    )


def _distinct_openings(generator: StoryGenerator, count: int) -> tuple[str, ...]:
    openings: dict[str, None] = {}
    while len(openings) < count:
        openings[generator.opening()[0]] = None
    return tuple(openings)
