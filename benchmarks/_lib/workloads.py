"""Models with random weights and data for measurements of run time and memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.tiny_models import build_tokenizer

SIZES = {
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "16M": {"hidden_size": 384, "intermediate_size": 1920, "num_hidden_layers": 6, "num_attention_heads": 6},
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5B": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
}
"""Sizes of Qwen2 models; the last two are those of the published models."""


@dataclass(frozen=True)
class Workload:
    """Rows and their tokenizer.

    Attributes:
        name: name in tables.
        rows: pairs (prompt, chosen, rejected) or lists (prompt, completions, ranks).
        tokenizer: tokenizer of the texts.
    """

    name: str
    rows: list[dict[str, Any]]
    tokenizer: PreTrainedTokenizerFast

    @property
    def dataset(self) -> Dataset:
        """The rows as a dataset."""
        return Dataset.from_list(self.rows)

    def tokenized(self) -> list[list[int]]:
        """Return the token ids of every text."""
        return [ids for row in self.rows for ids in self.tokenized_row(row)]

    def tokenized_row(self, row: dict[str, Any]) -> list[list[int]]:
        """Return the token ids of the texts of one row."""
        answers = row.get("completions") or [row["chosen"], row["rejected"]]
        texts = [row["prompt"] + answer + self.tokenizer.eos_token for answer in answers]
        return [self.tokenizer(text)["input_ids"] for text in texts]


def make_reward_model(
    size: str, tokenizer: PreTrainedTokenizerFast, max_length: int = 8192, attention: str = "sdpa"
) -> PreTrainedModel:
    """Return a Qwen2 sequence classifier with the same random weights in every call.

    Args:
        size: a key of `SIZES`.
        tokenizer: tokenizer of the texts.
        max_length: largest number of tokens of a text.
        attention: attention implementation.
    """
    torch.manual_seed(0)
    config = Qwen2Config(
        **SIZES[size],
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        num_labels=1,
    )
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)


def save_language_model(
    folder: Path, hidden_size: int, layers: int, heads: int, max_length: int
) -> PreTrainedTokenizerFast:
    """Save a Llama with the same random weights in every call, with the tokenizer of the synthetic task.

    Args:
        folder: output folder.
        hidden_size: width of the model.
        layers: number of layers.
        heads: number of attention heads.
        max_length: largest number of tokens of a text.

    Returns:
        The tokenizer.
    """
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def dialogues(count: int, seed: int = 0, max_length: int = 512) -> Workload:
    """Return synthetic pairs with the lengths of public multi-turn dialogues.

    On average, prompts have about 100 tokens and answers about 50, both with log-normal distributions. In random
    batches of 8 pairs, padding and repeated prompts need 3.5 times the distinct tokens.

    Args:
        count: number of pairs.
        seed: seed of the lengths and words.
        max_length: largest number of words of a text.
    """
    generator = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in "bcdfghjklmnpqrst" for b in ("a", "e", "i", "o", "u", "an", "en", "in", "on", "un")]

    def text(length: int) -> str:
        return "".join(f" {words[i]}" for i in generator.integers(len(words), size=length))

    rows = []
    for _ in range(count):
        answers = np.clip(generator.lognormal(3.55, 0.85, 2), 4, max_length // 2).astype(int)
        prompt = int(np.clip(generator.lognormal(4.1, 1.0), 8, max_length - answers.max() - 4))
        rows.append({"prompt": text(prompt), "chosen": text(answers[0]), "rejected": text(answers[1])})
    return Workload("dialogues", rows, train_tokenizer(row["prompt"] for row in rows))


def lists_of_fixed_length(prompts: int, prompt: int, answers: int, answer: int, seed: int = 0) -> Workload:
    """Return rankings with fixed lengths.

    Args:
        prompts: number of prompts.
        prompt: tokens of a prompt.
        answers: number of answers per prompt.
        answer: tokens of an answer.
        seed: seed of the words.
    """
    base = dialogues(200, seed)
    generator = np.random.default_rng(seed)
    words = [token for token in base.tokenizer.get_vocab() if token.startswith("Ġ") and len(token) > 2]

    def text(length: int) -> str:
        return "".join(words[i].replace("Ġ", " ") for i in generator.integers(len(words), size=length))

    rows = [
        {
            "prompt": text(prompt),
            "completions": [text(answer) for _ in range(answers)],
            "ranks": [*range(1, answers + 1)],
        }
        for _ in range(prompts)
    ]
    return Workload(f"{prompts} x ({prompt} + {answers} x {answer})", rows, base.tokenizer)


def all_pairs(workload: Workload) -> Workload:
    """Return every pair of every list as a row, for trainers that accept pairs only."""
    return Workload(workload.name, [pair for row in workload.rows for pair in _pairs(row)], workload.tokenizer)


def _pairs(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    ranked = list(zip(row["completions"], row["ranks"], strict=True))
    for chosen, rank in ranked:
        for rejected, other in ranked:
            if rank < other:
                yield {"prompt": row["prompt"], "chosen": chosen, "rejected": rejected}


def with_distinct_completions(workload: Workload, prompts: int, completions: int) -> Workload:
    """Return prompts with distinct completions: those of the prompt, followed by those of the next prompts.

    Args:
        workload: lists.
        prompts: number of prompts.
        completions: number of completions per prompt.

    Raises:
        ValueError: the workload has too few prompts or completions.
    """
    rows: dict[str, dict[str, Any]] = {}
    distinct: list[str] = []
    for number, row in enumerate(workload.rows):
        in_order = [row, *workload.rows[number + 1 :], *workload.rows[:number]]
        distinct = [*dict.fromkeys(text for one in in_order for text in one["completions"])][:completions]
        rows.setdefault(row["prompt"], {"prompt": row["prompt"], "completions": distinct})
    if len(rows) < prompts or len(distinct) < completions:
        raise ValueError(
            f"{workload.name} has {len(rows)} prompts and {len(distinct)} distinct answers, but {prompts} prompts and "
            f"{completions} completions are required. Use a larger file."
        )
    name = f"{workload.name}, {completions} completions"
    return Workload(name, [*rows.values()][:prompts], workload.tokenizer)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with at most 8,000 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
