"""Prompts as tokens of the policy, and a reward model that reads its tokens, as in TRL's PPO trainer."""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.batches import locate_errors
from rlhf_losses.data.dataset import column_names
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row, Text
from rlhf_losses.feedback.row_values import read_tokens
from rlhf_losses.models.embeddings import count_embeddings
from rlhf_losses.ppo.completion_text import decoded
from rlhf_losses.ppo.prompts import PROMPT_IDS, prompt_tokens
from rlhf_losses.scoring.answer_encoder import AnswerEncoder
from rlhf_losses.scoring.scorer import Scorer

logger = logging.getLogger(__name__)

MODEL_COLUMNS = ("input_ids", "attention_mask", "token_type_ids")
"""Columns of tokenized prompts; a reward function receives `prompt_ids` in their place."""


class PolicyTokenEncoder(AnswerEncoder):
    """Returns the tokens of the policy: those of the prompt and of the completion, and no others."""

    def encode_completions(
        self,
        prompts: Sequence[Text | None],
        completions: Sequence[Text],
        columns: Mapping[str, Any] | None = None,
    ) -> list[Encoded]:
        """Return the tokens of the policy; a text without them is tokenized.

        Args:
            prompts: one prompt per completion.
            completions: the completions.
            columns: the tokens of prompts and completions, `prompt_ids` and `completion_ids`.
        """
        if columns is None or PROMPT_IDS not in columns:
            return super().encode_completions(prompts, completions, columns)
        pairs = zip(columns[PROMPT_IDS], columns["completion_ids"], strict=True)
        return [
            self.require_fit(Encoded([*prompt, *completion], (len(prompt) + len(completion) - 1,), (0, len(prompt))))
            for prompt, completion in pairs
        ]


class PolicyTokenScorer(Scorer):
    """A reward model that reads the tokens of the policy.

    The score is that of the last token. The model needs the policy's tokenizer. A `Scorer` that reads the text renders
    it as in its training, which may give other tokens.
    """

    encoder_class = PolicyTokenEncoder


def with_prompt_tokens(data: Any, tokenizer: PreTrainedTokenizerBase, num_proc: int | None = None) -> Any:
    """Return prompts with a column `prompt_ids`, and a column `prompt` with their text.

    Args:
        data: rows with tokens in `input_ids`, or with a text or a conversation in `prompt`; a dictionary of datasets;
            or None.
        tokenizer: tokenizer of the policy.
        num_proc: number of processes.

    Raises:
        InvalidFeedbackError: a prompt has no tokens.
    """
    if type(data) is dict:  # a DatasetDict is refused
        return {name: with_prompt_tokens(one, tokenizer, num_proc) for name, one in data.items()}
    columns = column_names(data) if isinstance(data, Dataset | IterableDataset) else []
    if "input_ids" not in columns and "prompt" not in columns:
        return data  # the trainer refuses it
    if isinstance(data, Dataset) and not len(data):
        raise InvalidFeedbackError("The dataset has no rows, so there is nothing to complete. Add prompts.")
    options = {"num_proc": num_proc} if isinstance(data, Dataset) else {}
    return data.map(
        _read_prompt,
        with_indices=True,
        remove_columns=[name for name in MODEL_COLUMNS if name in columns],
        fn_kwargs={"tokenizer": tokenizer},
        **options,
    )


def _read_prompt(row: Row, number: int, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    with locate_errors(number, "the prompts"):
        ids = _given_tokens(row, tokenizer) if "input_ids" in row else prompt_tokens(row, tokenizer)
    return {PROMPT_IDS: ids, "prompt": row.get("prompt") or _text(ids, tokenizer)}


def _text(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text of tokens, without BOS where the tokenizer adds it."""
    added = tokenizer("a")["input_ids"][0] == ids[0] == tokenizer.bos_token_id
    return decoded(ids[1:] if added else ids, tokenizer)


def _given_tokens(row: Row, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens of a prompt without padding; `apply_chat_template` returns them with their mask."""
    row = row["input_ids"] if isinstance(row["input_ids"], Mapping) else row
    ids, mask = read_tokens(row, "input_ids"), row.get("attention_mask")
    if mask is None:
        mask = [one != tokenizer.pad_token_id for one in ids]
    kept = [index for index, is_token in enumerate(mask) if is_token]
    if not kept:
        raise InvalidFeedbackError(
            "The prompt has no tokens besides padding, so there is nothing to complete. Drop the row."
        )
    return ids[kept[0] : kept[-1] + 1]


def with_embedded_padding(tokenizer: PreTrainedTokenizerBase, model: Any) -> PreTrainedTokenizerBase:
    """Return a tokenizer whose padding token has an embedding.

    TRL's example adds a padding token and no embedding for it. Completions have lengths here, so EOS can pad.

    Args:
        tokenizer: tokenizer of the policy, which stays unchanged.
        model: the policy.
    """
    count = count_embeddings(model)
    if tokenizer.pad_token_id is not None and (count is None or tokenizer.pad_token_id < count):
        return tokenizer
    changed = copy.deepcopy(tokenizer)
    changed.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is not None:
        logger.warning(
            "The padding token '%s' (id %d) has no embedding: the model has %s. EOS pads instead; it ends completions "
            "as before, because padding is known by lengths.",
            tokenizer.pad_token, tokenizer.pad_token_id, count,
        )  # fmt: skip
    return changed
