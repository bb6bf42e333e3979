"""Embeddings of a model and tokens of a tokenizer: checks that every token has one, and resizing on request."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

from peft import PeftConfig, PeftModel
from torch import nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.errors import InvalidSettingError, UnsupportedModelError
from rlhf_losses.messages.setting_names import setting


def count_embeddings(model: Any) -> int | None:
    """Return the number of tokens for which a model has an embedding, or None if it is unknown.

    Args:
        model: a transformers model, bare or wrapped by PEFT, or the configuration of one.
    """
    if isinstance(model, nn.Module):
        rows = getattr(_embedding_of(model), "weight", None)
        if rows is not None and len(rows):  # DeepSpeed ZeRO-3 leaves no rows on a process
            return len(rows)
        model = model.config
    size = getattr(model.get_text_config(), "vocab_size", None)
    return size if isinstance(size, int) else None


def require_embeddings(tokenizer: PreTrainedTokenizerBase, count: int | None, source: str) -> None:
    """Refuse a tokenizer that adds tokens without an embedding to texts: special tokens, and those of the template.

    Other tokens without an embedding are accepted here, because texts need not contain them: the tokenizer of Gemma 3
    has one for images. See `require_embedded`.

    Args:
        tokenizer: the tokenizer.
        count: number of embeddings of the model, or None if it is unknown.
        source: name of the model in messages.

    Raises:
        UnsupportedModelError: such a token has no embedding.
    """
    if count is None or max(tokenizer.get_vocab().values(), default=0) < count:
        return
    ends = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.cls_token, tokenizer.sep_token]
    template = str(tokenizer.chat_template or "")
    missing = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= count)
    for number, token in missing:
        if token in ends or token in template:
            raise _without_embedding(number, tokenizer, count, source)


def require_embedded(
    ids: Iterable[int], tokenizer: PreTrainedTokenizerBase, count: int | None, source: str, text: str = ""
) -> None:
    """Refuse a text with a token that has no embedding.

    Args:
        ids: token ids of the text.
        tokenizer: the tokenizer.
        count: number of embeddings of the model, or None if it is unknown.
        source: name of the model in messages.
        text: the text in messages, for example `"row 3 of train data"`.

    Raises:
        UnsupportedModelError: a token has no embedding.
    """
    if count is not None and (largest := max(ids, default=0)) >= count:
        raise _without_embedding(largest, tokenizer, count, source, text)


def resize_embeddings(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Add embeddings for all tokens of a tokenizer, and return the new ids; larger embeddings stay unchanged.

    The new embeddings are drawn around the mean of the others, see `PreTrainedModel.resize_token_embeddings`.

    Args:
        model: a transformers model, without adapters.
        tokenizer: the tokenizer.

    Raises:
        InvalidSettingError: the model has adapters, which would not train and not save the new embeddings.
    """
    before, after = len(_embedding_of(model).weight), max(tokenizer.get_vocab().values()) + 1
    if after <= before:
        return []
    if isinstance(model, PeftModel):
        raise InvalidSettingError(
            f"resize_embeddings is set, and the model has adapters already, which would neither train nor save the "
            f"{after - before} new embeddings. Pass the model without adapters, and peft_config."
        )
    model.resize_token_embeddings(after)
    return list(range(before, after))


def train_embeddings(peft_config: PeftConfig | None, model: nn.Module, ids: Sequence[int]) -> PeftConfig | None:
    """Return a PEFT configuration that also trains and saves the embeddings of some tokens.

    Args:
        peft_config: the configuration; it stays unchanged.
        model: the model that it is for.
        ids: ids of the tokens.
    """
    if peft_config is None or not ids:
        return peft_config
    name = next(name for name, module in model.named_modules() if module is _embedding_of(model)).rsplit(".", 1)[-1]
    completed: Any = copy(peft_config)
    saved = list(getattr(completed, "modules_to_save", None) or [])
    if name in saved or name in (getattr(completed, "target_modules", None) or []):
        return peft_config
    if not hasattr(completed, "trainable_token_indices"):
        completed.modules_to_save = [*saved, name]
        return peft_config if not hasattr(peft_config, "modules_to_save") else completed
    chosen = completed.trainable_token_indices or {}
    chosen = dict(chosen) if isinstance(chosen, dict) else {name: list(chosen)}
    completed.trainable_token_indices = {**chosen, name: [*chosen.get(name, []), *ids]}
    return completed


def _embedding_of(model: Any) -> Any:
    return model.get_input_embeddings()


def _without_embedding(
    number: int, tokenizer: PreTrainedTokenizerBase, count: int, source: str, text: str = ""
) -> UnsupportedModelError:
    token = tokenizer.convert_ids_to_tokens(number) if number <= max(tokenizer.get_vocab().values()) else None
    named = f"the token '{token}' (id {number})" if token is not None else f"the token id {number}"
    return UnsupportedModelError(
        f"{text[:1].upper() + text[1:] if text else 'A text'} has {named}, for which '{source}' has no embedding: the "
        f"model has {count} embeddings, and the tokenizer has {len(tokenizer)} tokens. Use the tokenizer of the model, "
        "or add embeddings: in training with "
        f"{setting('resize_embeddings', 'true', python='resize_embeddings=True')}, else with "
        "model.resize_token_embeddings(len(tokenizer)) before the model is saved."
    )
