"""How other programs score a text with a saved model, each as one small function.

`transformers` is run. The others cannot be installed without their accelerators, so their rules are written down from
their sources: which tokens they make of an input, and what they do to the score. The forward pass is that of
transformers in every case.

| function | source |
|---|---|
| `vllm_classify`, `vllm_messages`, `vllm_token_classify` | vLLM 0.33.0: `entrypoints/pooling`, `layers/pooler` |
| `sglang_classify` | SGLang 0.5.23: `srt/managers/tokenizer_manager.py`, `srt/layers/pooler.py` |
| `text_embeddings_inference` | text-embeddings-inference: `core/src/tokenization.rs`, `router/src/http/server.rs` |
| `openrlhf` | OpenRLHF 0.11.2: `openrlhf/models/model.py`, `openrlhf/datasets/reward_dataset.py` |
| `verl` | verl 0.9.1: `verl/experimental/reward_loop/reward_loop.py` |
| `trl_reward_model` | TRL: `GRPOTrainer._calculate_rewards` for a model among `reward_funcs` |
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline


@cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def _raw(folder: Path, ids: list[int]) -> float:
    model, _ = _loaded(folder)
    return float(model(input_ids=torch.tensor([ids])).logits[0, 0])


def _activated(folder: Path, raw: float) -> float:
    """Return the score after the activation that vLLM chooses from the configuration."""
    config = AutoConfig.from_pretrained(folder)
    return raw if config.problem_type == "regression" else float(torch.tensor(raw).sigmoid())


def text_classification(folder: Path, text: str) -> float:
    """The pipeline of transformers at its defaults; run."""
    (found,) = pipeline("text-classification", model=str(folder))(text)
    assert found["label"] == "reward"
    return float(found["score"])


@torch.no_grad()
def auto_model(folder: Path, texts: list[str]) -> list[float]:
    """The model and the tokenizer of transformers at their defaults, with padding; run."""
    model, tokenizer = _loaded(folder)
    logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    return [float(score) for score in logits[:, 0]]


def vllm_classify(folder: Path, text: str) -> float:
    """`/classify` and `/pooling` with `input`: special tokens are added."""
    return _activated(folder, _raw(folder, _loaded(folder)[1](text)["input_ids"]))


def vllm_messages(folder: Path, messages: list[dict[str, str]]) -> float:
    """`/classify` and `/pooling` with `messages`: the chat template, and no special tokens besides."""
    _, tokenizer = _loaded(folder)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return _activated(folder, _raw(folder, tokenizer(text, add_special_tokens=False)["input_ids"]))


@torch.no_grad()
def vllm_token_classify(folder: Path, ids: list[int]) -> list[float]:
    """`/pooling` with the task `token_classify` and token ids: one score for each token.

    With `step_tag_id`, the rows of other tokens are left out.
    """
    model, _ = _loaded(folder)
    hidden = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state
    return [_activated(folder, float(score)) for score in model.score(hidden)[0, :, 0]]


def sglang_classify(folder: Path, text: str) -> float:
    """`/classify` with `text`, `/v1/embeddings` with `input`: special tokens are added, the score is raw."""
    return _raw(folder, _loaded(folder)[1](text)["input_ids"])


def text_embeddings_inference(folder: Path, text: str) -> float:
    """`/predict` with `raw_scores`: `tokenizer.json` alone, with special tokens."""
    return _raw(folder, Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids)


def openrlhf(folder: Path, ids: list[int], normalize: bool = False) -> float:
    """The local reward model: the value head at the last token, standardized by `config.mean` and `config.std`."""
    config = json.loads((folder / "config.json").read_text())
    raw = _raw(folder, ids)
    return (raw - config["mean"]) / config["std"] if normalize else raw


def verl(folder: Path, messages: list[dict[str, str]]) -> float:
    """The discriminative reward model: the template's text without its BOS, which the engine is to add."""
    _, tokenizer = _loaded(folder)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return vllm_classify(folder, text.removeprefix(tokenizer.bos_token or ""))


def trl_reward_model(folder: Path, text: str) -> float:
    """A model among the reward functions of GRPO: no special tokens."""
    return _raw(folder, _loaded(folder)[1](text, add_special_tokens=False)["input_ids"])
