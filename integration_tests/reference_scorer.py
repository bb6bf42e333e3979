"""Reference of scorers: a plain transformers model that scores one text at a time, without a layout."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase


class ReferenceScorer:
    """A classifier with given weights and eager attention, which scores one text at a time.

    Args:
        model: the model to save in `folder`; None if the folder holds a model.
        tokenizer: its tokenizer.
        folder: folder of the model.
    """

    def __init__(self, model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        if model is not None:
            model.save_pretrained(folder)
        self.tokenizer = tokenizer
        self.model = AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        ).eval()

    def __call__(self, prompts: list[Any], completions: list[Any]) -> list[float]:
        """Return the score at the end of each text."""
        texts = [self.ids(*both) for both in zip(prompts, completions, strict=True)]
        with torch.no_grad():
            return [self.model(input_ids=torch.tensor([ids])).logits.item() for ids in texts]

    def ids(self, prompt: Any, completion: Any) -> list[int]:
        """Return the token ids of a prompt, its completion and EOS, or of a conversation with its chat template."""
        if isinstance(prompt, str):
            return self.tokenizer(prompt + completion + self.tokenizer.eos_token)["input_ids"]
        text = self.tokenizer.apply_chat_template(prompt + completion, tokenize=False)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt_ids(self, prompt: Any) -> list[int]:
        """Return the common prefix of all texts with a prompt."""
        if isinstance(prompt, str):
            return self.tokenizer(prompt)["input_ids"]
        text = self.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def tokens(self, prompts: list[Any], completions: list[Any]) -> int:
        """Return the number of tokens of all texts, without padding."""
        return sum(len(self.ids(*both)) for both in zip(prompts, completions, strict=True))

    def distinct_tokens(self, prompts: list[Any], completions: list[Any]) -> int:
        """Return the number of tokens with each prompt counted once, and its distinct completions."""
        prefixes = {tuple(self.prompt_ids(prompt)) for prompt in prompts}
        texts = {(tuple(self.prompt_ids(p)), tuple(self.ids(p, c))) for p, c in zip(prompts, completions, strict=True)}
        assert all(text[: len(prefix)] == prefix for prefix, text in texts)
        return sum(map(len, prefixes)) + sum(len(text) - len(prefix) for prefix, text in texts)


class TokensComputed:
    """Counter of the tokens that enter the first layer of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.counted = 0
        model.model.layers[0].register_forward_pre_hook(self._count)

    def _count(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        self.counted += args[0].shape[:2].numel()

    def take(self) -> int:
        """Return the number of tokens since the last call."""
        counted, self.counted = self.counted, 0
        return counted
