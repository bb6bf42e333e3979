"""A world that fits in a laptop: a tiny policy, its prompts, a known gold reward, and annotators who know it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from rlhf_losses.losses import Loss
from rlhf_losses.sandbox.annotators import GOLD, Annotator, Sample, Taste
from rlhf_losses.sandbox.gold import worth
from rlhf_losses.sandbox.simulated_feedback import feedback_for
from rlhf_losses.sandbox.stories import Storyteller, vocabulary
from rlhf_losses.sandbox.threads import one_thread
from rlhf_losses.sandbox.tiny_models import build_language_model, build_reward_model, build_tokenizer

MAX_COMPLETION_LENGTH = 48
"""In tokens; stories end well before, at 33 or fewer."""


@dataclass(frozen=True, eq=False)
class World:
    """Everything the loop needs, made in memory from a seed; nothing here is ever changed by training."""

    seed: int
    tokenizer: PreTrainedTokenizerFast
    language_model: LlamaForCausalLM
    train_prompts: tuple[str, ...]
    heldout_prompts: tuple[str, ...]
    taste: Taste = GOLD

    def policy(self) -> LlamaForCausalLM:
        """Return a copy of the language model, to be trained."""
        return copy.deepcopy(self.language_model)

    def reward_model(self) -> LlamaForSequenceClassification:
        """Return the language model's body with an untrained score head, to be trained."""
        return build_reward_model(self.language_model, self.seed)

    def sample(
        self, prompts: Sequence[str], count: int, seed: int = 0, policy: PreTrainedModel | None = None
    ) -> list[Sample]:
        """Return `count` completions of each prompt, drawn from `policy` or else from the language model."""
        texts = self._generate([prompt for prompt in prompts for _ in range(count)], seed, policy)
        return [Sample(prompt, texts[i * count : (i + 1) * count]) for i, prompt in enumerate(prompts)]

    def annotator(self, noise: float = 0.0, seed: int = 0) -> Annotator:
        """Return somebody who judges by the gold of this world, with chosen noise."""
        return Annotator(noise, seed, self.taste)

    def feedback(self, loss: Loss, count: int = 4, noise: float = 0.0, seed: int = 0) -> Dataset:
        """Return what annotators say, in the shape that `loss` reads, about `count` stories of each train prompt."""
        return feedback_for(loss, self.sample(self.train_prompts, count, seed), self.annotator(noise, seed))

    def gold(self, samples: Sequence[Sample]) -> torch.Tensor:
        """Return the gold of each completion, of shape (prompt, completion)."""
        return torch.tensor([self.gold_rewards([s.prompt] * len(s.completions), s.completions) for s in samples])

    def gold_rewards(self, prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
        """Return the gold of each completion; TRL takes this as a reward function."""
        return [worth(prompt, text, self.taste.judge) for prompt, text in zip(prompts, completions, strict=True)]

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Save policy and untrained reward model with the tokenizer; return the two folders."""
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
        return self.tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def build_world(seed: int = 0, train: int = 192, heldout: int = 64) -> World:
    """Return the world of a seed, with as many different prompts as asked for."""
    tokenizer = build_tokenizer(vocabulary())
    prompts = _different_openings(Storyteller(seed + 1), train + heldout)
    return World(
        seed=seed,
        tokenizer=tokenizer,
        language_model=build_language_model(tokenizer, seed),
        train_prompts=prompts[:train],
        heldout_prompts=prompts[train:],
    )


def _different_openings(teller: Storyteller, count: int) -> tuple[str, ...]:
    openings: dict[str, None] = {}
    while len(openings) < count:
        openings[teller.opening()[0]] = None
    return tuple(openings)
