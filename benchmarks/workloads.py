"""What the benchmarks run on: models of settable size with random weights, a tokenizer, and data."""

from collections.abc import Iterator
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
"""Qwen2's shapes: the last two are those of the saved_merged models."""


@dataclass
class Workload:
    """Rows with prompt, chosen and rejected, or with prompt, completions and ranks; and their tokenizer."""

    name: str
    rows: list[dict[str, Any]]
    tokenizer: PreTrainedTokenizerFast

    @property
    def dataset(self) -> Dataset:
        """The rows as a dataset."""
        return Dataset.from_list(self.rows)

    def texts(self) -> Iterator[str]:
        """Yield every text."""
        for row in self.rows:
            for answer in row.get("completions") or [row["chosen"], row["rejected"]]:
                yield row["prompt"] + answer + self.tokenizer.eos_token


def make_model(
    size: str, tokenizer: PreTrainedTokenizerFast, context: int = 8192, attention: str = "sdpa"
) -> PreTrainedModel:
    """Return a Qwen2 sequence classifier with random weights, the same ones every time."""
    torch.manual_seed(0)
    config = Qwen2Config(
        **SIZES[size], num_key_value_heads=2, vocab_size=len(tokenizer), max_position_embeddings=context,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None, num_labels=1,
    )  # fmt: skip
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)


def save_language_model(
    folder: Path, hidden_size: int, layers: int, heads: int, context: int
) -> PreTrainedTokenizerFast:
    """Save a Llama with random weights and the sandbox's tokenizer, the same ones every time; return the tokenizer."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary())
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden_size, intermediate_size=4 * hidden_size, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=context, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def dialogues(count: int, seed: int = 0, longest: int = 512) -> Workload:
    """Return synthetic pairs with the lengths of public multi-turn dialogues.

    Prompts have about 100 tokens and answers about 50 in the mean, both log-normal with a long tail; in batches of
    8 pairs in random order, padding and repeated prompts take 3.5 times the distinct tokens.
    """
    draw = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in "bcdfghjklmnpqrst" for b in ("a", "e", "i", "o", "u", "an", "en", "in", "on", "un")]

    def text(length: int) -> str:
        return "".join(f" {words[i]}" for i in draw.integers(len(words), size=length))

    rows = []
    for _ in range(count):
        answers = np.clip(draw.lognormal(3.55, 0.85, 2), 4, longest // 2).astype(int)
        prompt = int(np.clip(draw.lognormal(4.1, 1.0), 8, longest - answers.max() - 4))
        rows.append({"prompt": text(prompt), "chosen": text(answers[0]), "rejected": text(answers[1])})
    return Workload("dialogues", rows, train_tokenizer(row["prompt"] for row in rows))


def grouped(prompts: int, prompt: int, answers: int, answer: int, seed: int = 0) -> Workload:
    """Return rankings of fixed lengths: so many answers of so many tokens a prompt."""
    base = dialogues(200, seed)
    draw = np.random.default_rng(seed)
    words = [token for token in base.tokenizer.get_vocab() if token.startswith("Ġ") and len(token) > 2]

    def text(length: int) -> str:
        return "".join(words[i].replace("Ġ", " ") for i in draw.integers(len(words), size=length))

    rows = [
        {
            "prompt": text(prompt),
            "completions": [text(answer) for _ in range(answers)],
            "ranks": [*range(1, answers + 1)],
        }
        for _ in range(prompts)
    ]
    return Workload(f"{prompts} x ({prompt} + {answers} x {answer})", rows, base.tokenizer)


def as_pairs(workload: Workload) -> Workload:
    """Return every pair of every list as a row, as a trainer of pairs needs it."""
    rows = [
        {"prompt": row["prompt"], "chosen": better, "rejected": worse}
        for row in workload.rows
        for better, rank in zip(row["completions"], row["ranks"], strict=True)
        for worse, other in zip(row["completions"], row["ranks"], strict=True)
        if rank < other
    ]
    return Workload(workload.name, rows, workload.tokenizer)


def with_answers(workload: Workload, prompts: int, answers: int) -> Workload:
    """Return so many prompts with so many different answers each: their own, and then those of the rows after."""
    rows: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(workload.rows):
        following = [row, *workload.rows[number + 1 :], *workload.rows[:number]]
        found = [*dict.fromkeys(text for one in following for text in one["completions"])][:answers]
        rows.setdefault(row["prompt"], {"prompt": row["prompt"], "completions": found})
    if len(rows) < prompts or len(found) < answers:
        raise ValueError(f"{workload.name}: {len(rows)} prompts and {len(found)} different answers are too few.")
    return Workload(f"{workload.name}, {answers} completions", [*rows.values()][:prompts], workload.tokenizer)


def train_tokenizer(texts: Any) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer of at most 8,000 entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=["<pad>", "<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
