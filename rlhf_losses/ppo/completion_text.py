"""Completions as the policy wrote them: the text that reward functions receive."""

from collections.abc import Collection, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.answers import CUT_OFF
from rlhf_losses.feedback.base import Row, Text


def as_written(
    completions: Sequence[Text],
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerBase,
    end_tokens: Collection[int],
) -> list[Text]:
    """Return completions with the text of their tokens: all special tokens but those that end a completion.

    Completions that TRL has parsed, for example those with tool calls, stay as they are.

    Args:
        completions: completions of TRL.
        prompt_ids: tokens of the prompts.
        completion_ids: tokens of the completions, without padding.
        tokenizer: tokenizer of the policy.
        end_tokens: tokens that end a completion.
    """
    rows = zip(completions, prompt_ids, completion_ids, strict=True)
    return [_as_written(one, prompt, ids, tokenizer, end_tokens) for one, prompt, ids in rows]


def _as_written(
    completion: Text,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    end_tokens: Collection[int],
) -> Text:
    ids = without_end(completion_ids, end_tokens)
    if isinstance(completion, str):
        return completion_text(prompt_ids, ids, tokenizer)
    content = tokenizer.decode(completion_ids, skip_special_tokens=True)
    if completion == [{"role": "assistant", "content": content}]:  # not parsed
        return [{**completion[0], "content": decoded(ids, tokenizer)}]
    return completion


def completion_text(prompt_ids: Sequence[int], ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text that a completion adds to its prompt.

    Tokenizers of SentencePiece drop the space at the beginning of a text, so a completion is decoded with its prompt.
    If that changes the text of the prompt, the completion is decoded alone.

    Args:
        prompt_ids: tokens of the prompt.
        ids: tokens of the completion.
        tokenizer: the tokenizer.
    """
    special = set(tokenizer.all_special_ids)
    first = next((index for index, token in enumerate(prompt_ids) if token not in special), len(prompt_ids))
    prompt = list(prompt_ids[first:])
    before, whole = decoded(prompt, tokenizer), decoded([*prompt, *ids], tokenizer)
    return whole[len(before) :] if whole.startswith(before) else decoded(ids, tokenizer)


def without_end(ids: Sequence[int], end_tokens: Collection[int]) -> list[int]:
    """Return the tokens of a completion without the tokens at its end that end it.

    Examples:
        >>> without_end([5, 2, 6, 2, 0], end_tokens={0, 2})
        [5, 2, 6]
    """
    kept = len(ids)
    while kept and ids[kept - 1] in end_tokens:
        kept -= 1
    return list(ids[:kept])


def decoded(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text of tokens, with special tokens and with the spaces that were written.

    Args:
        ids: tokens.
        tokenizer: the tokenizer.
    """
    return str(
        tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False, spaces_between_special_tokens=False
        )
    )


def mark_cut_off(
    rows: Sequence[Row], completion_ids: Sequence[Sequence[int]], end_tokens: Collection[int]
) -> list[dict[str, Any]]:
    """Return rows with a column that says which completions were cut off before EOS.

    Args:
        rows: a row with a prompt for each completion.
        completion_ids: tokens of the completions.
        end_tokens: tokens that end a completion.

    Examples:
        >>> mark_cut_off([{"prompt": "a"}, {"prompt": "b"}], [[5, 2], [5, 6]], end_tokens={2})[1]
        {'prompt': 'b', 'completion_cut_off': True}
    """
    return [
        {**row, CUT_OFF: not ids or ids[-1] not in end_tokens} for row, ids in zip(rows, completion_ids, strict=True)
    ]
