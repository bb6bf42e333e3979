"""The tokenizer that is saved with a reward model: by itself it makes the tokens that the model was trained with."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.tokenization_utils_base import TOKENIZER_CONFIG_FILE

from rlhf_losses.data.added_tokens import EndOfTexts
from rlhf_losses.data.answer_forms import AnswerForm
from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import UnsupportedModelError, first_line
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring.canaries import CANARY_TEXTS
from rlhf_losses.scoring.post_processors import for_plain_texts, for_templated_texts

logger = logging.getLogger(__name__)

GENERIC_CLASS = "PreTrainedTokenizerFast"
"""Class of tokenizers that are what their `tokenizer.json` says."""

SETTINGS_OF_CALLS = ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of")
"""Settings that a tokenizer keeps from its file; the tokens of a text depend on none of them."""


@dataclass(frozen=True)
class SavedTokenizer:
    """A tokenizer to save, and how `Scorer` ends plain texts with it.

    Attributes:
        tokenizer: the tokenizer, as it is after it was saved and loaded.
        end_of_texts: see `RewardModelMetadata`.
    """

    tokenizer: PreTrainedTokenizerBase
    end_of_texts: EndOfTexts


def tokenizer_to_save(
    tokenizer: PreTrainedTokenizerBase, config: Any, forms: frozenset[AnswerForm], max_length: int | None
) -> SavedTokenizer:
    """Return the tokenizer that is saved with a reward model, so that all programs make the same tokens.

    After training on plain texts, the tokenizer itself adds EOS. After training on conversations it adds no token at
    all, because the chat template has written them. Besides, it pads on the right, truncates on the left to
    `max_length`, and returns no token types, because training uses none.

    Args:
        tokenizer: tokenizer of the training; it stays unchanged.
        config: configuration of the model.
        forms: forms of the answers in the training data.
        max_length: largest number of tokens of a text, or None if there is no limit.
    """
    if not tokenizer.is_fast:
        logger.warning(
            "%s is a slow tokenizer, which cannot be saved with a rule that adds EOS, so only Scorer appends it: "
            "other programs give plain texts other scores. Use a fast tokenizer: AutoTokenizer.from_pretrained(...).",
            type(tokenizer).__name__,
        )
        return SavedTokenizer(tokenizer, "eos")
    conversations = "conversation" in forms
    expected = [_tokens(text, tokenizer, conversations) for text in CANARY_TEXTS]
    try:
        with _changed(tokenizer, conversations, max_length), TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            candidates = _load_in_each_class(Path(folder))
            loaded = next((one for one in candidates if _tokenized(CANARY_TEXTS, one) == expected), None)
    except (UnsupportedModelError, ValueError, OSError) as error:
        logger.warning("%s. The tokenizer is saved as it is, and only Scorer appends EOS.", first_line(error))
        return SavedTokenizer(tokenizer, "eos")
    if loaded is None:
        logger.warning(
            "%s adds its own special tokens whatever its files say, so it is saved as it is, and other programs than "
            "Scorer make other tokens of a text. Use the generic class PreTrainedTokenizerFast.",
            type(tokenizer).__name__,
        )
        return SavedTokenizer(tokenizer, "eos")
    if forms == {"text", "conversation"}:
        logger.warning(
            "The model was trained on plain texts and on conversations, and its tokenizer is saved for conversations: "
            "other programs than Scorer score plain texts without the tokens at their ends."
        )
        return SavedTokenizer(loaded, "eos")
    return SavedTokenizer(loaded, "tokenizer")


def _load_in_each_class(folder: Path) -> Iterator[PreTrainedTokenizerBase]:
    """Yield a saved tokenizer in its class and in the generic one; some classes write a post-processor of their own."""
    yield AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    file = folder / TOKENIZER_CONFIG_FILE
    content = json.loads(file.read_text(encoding="utf-8")) | {"tokenizer_class": GENERIC_CLASS}
    file.write_text(json.dumps(content), encoding="utf-8")
    yield AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@contextmanager
def _changed(tokenizer: Any, conversations: bool, max_length: int | None) -> Iterator[None]:
    """While the context lasts, a tokenizer has the settings that are saved."""
    core = tokenizer.backend_tokenizer
    names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    values: dict[str, Any] = {"padding_side": "right", "truncation_side": "left", "model_input_names": names}
    if max_length is not None:
        values["model_max_length"] = max_length
    given = {name: getattr(tokenizer, name) for name in values}
    processor, saved_settings = core.post_processor, tokenizer.init_kwargs
    kept = {name: value for name, value in saved_settings.items() if name not in SETTINGS_OF_CALLS}
    try:
        core.post_processor = _post_processor(tokenizer, conversations)
        core.no_truncation()
        core.no_padding()
        _set(tokenizer, values)
        tokenizer.init_kwargs = kept | values
        yield
    finally:
        core.post_processor = processor
        _set(tokenizer, given)
        tokenizer.init_kwargs = saved_settings


def _post_processor(tokenizer: Any, conversations: bool) -> Any:
    given = tokenizer.backend_tokenizer.post_processor
    if conversations:
        return for_templated_texts(given)
    eos = None if tokenizer.eos_token is None else (str(tokenizer.eos_token), int(tokenizer.eos_token_id))
    return for_plain_texts(given, eos)


def _set(tokenizer: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(tokenizer, name, value)


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase, is_templated: bool) -> list[int]:
    """Return the tokens of a text in training."""
    if is_templated:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return encode(render(Answer(None, (text,)), tokenizer), tokenizer).ids


def _tokenized(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Return the tokens of texts that a tokenizer makes at its defaults."""
    return [list(tokenizer(text)["input_ids"]) for text in texts]
