"""Prompts as the policy reads them, with the template arguments of their rows, as reward models read them too."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.answers import complete_answers
from rlhf_losses.data.batches import locate_errors
from rlhf_losses.data.chat_messages import clean_messages
from rlhf_losses.data.rating_groups import json_key
from rlhf_losses.data.rendering import ChatTemplate
from rlhf_losses.data.repeated_bos import without_repeated_bos
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS, with_template_arguments
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Answer
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import SOURCE_ROW, source_row

PROMPT_IDS = "prompt_ids"
"""Column with the tokens of a prompt; where a row has it, the policy reads these and not the text."""


def prompt_tokens(row: Row, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None) -> list[int]:
    """Return the tokens of a prompt, with the beginning of an answer that the chat template adds.

    Args:
        row: a row with a prompt, and with its tokens or with arguments of the chat template.
        tokenizer: tokenizer of the policy.
        chat_template: a template in place of that of the tokenizer.

    Raises:
        InvalidFeedbackError: the prompt is null, or the chat template refuses it.
    """
    if row.get(PROMPT_IDS) is not None:
        return list(row[PROMPT_IDS])
    prompt = row.get("prompt")
    if prompt is None:
        raise InvalidFeedbackError(
            "The prompt is null, so there is nothing to complete. Add the prompt, or drop the row."
        )
    (answer,) = complete_answers([Answer(prompt, ("",))], row)
    if not isinstance(answer.prompt, list):  # JSON may hold a number
        return without_repeated_bos(tokenizer(str(answer.prompt))["input_ids"], tokenizer)
    own = {} if chat_template is None else {"chat_template": chat_template}
    template = ChatTemplate(tokenizer, own | dict(answer.template), answer.system)
    text = template.render(list(answer.prompt or []), generation_prompt=True)
    return without_repeated_bos(tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer)


def describe_repeated_prompts(rows: Dataset) -> str:
    """Return how many rows and different prompts there are, or an empty text if no prompt is repeated.

    As in TRL's trainers, a row is one prompt of a pass over the data, also if other rows have the same prompt.

    Args:
        rows: rows with a prompt.

    Examples:
        >>> describe_repeated_prompts(Dataset.from_dict({"prompt": ["Why?", "Who?", "Why?"]}))[:32]
        '3 rows have 2 different prompts.'
    """
    distinct = len({json_key(prompt) for prompt in rows["prompt"]})
    if distinct == len(rows):
        return ""
    prompts = "the same prompt" if distinct == 1 else f"{distinct} different prompts"
    return (
        f"{len(rows)} rows have {prompts}. A prompt of several rows is used as often; keep one row of each to change "
        "this."
    )


def clean_prompts(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows whose prompts have no null keys and no content in parts, for policy and reward models alike.

    Args:
        rows: rows with a prompt.
    """
    cleaned = [dict(row) for row in rows]
    for row in cleaned:
        if isinstance(row.get("prompt"), list):
            row["prompt"] = clean_messages(row["prompt"])
    return cleaned


def has_own_tokens(rows: Iterable[Row]) -> bool:
    """Return whether a row has the tokens of its prompt, or arguments of the chat template."""
    return any(row.get(name) for row in rows for name in (PROMPT_IDS, *TEMPLATE_COLUMNS))


def prompt_rows(datasets: Iterable[Any], arguments: Mapping[str, Any] | None = None) -> Iterator[Row]:
    """Yield the prompts of datasets with their tokens or the arguments of the chat template, and their row numbers.

    Streams are skipped. The column `source_row` has the number of the row in messages.

    Args:
        datasets: datasets, or mappings of them by name.
        arguments: `chat_template_kwargs` of the run.
    """
    for data in _map_style(datasets):
        columns = [name for name in ("prompt", PROMPT_IDS, *TEMPLATE_COLUMNS, SOURCE_ROW) if name in data.column_names]
        for position, row in enumerate(with_template_arguments(data.select_columns(columns), arguments or {})):
            yield {**row, SOURCE_ROW: source_row(row, position)}


def all_prompt_tokens(
    datasets: Iterable[Any], tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any] | None = None
) -> Iterator[tuple[int, list[int]]]:
    """Yield the row number and the tokens of each prompt; for the arguments see `prompt_rows` and `prompt_tokens`.

    Raises:
        InvalidFeedbackError: a prompt cannot be read; the message has its row.
    """
    for row in prompt_rows(datasets, arguments):
        with locate_errors(row[SOURCE_ROW], "the prompts"):
            tokens = prompt_tokens(row, tokenizer)
        yield row[SOURCE_ROW], tokens


def _map_style(datasets: Iterable[Any]) -> Iterator[Dataset]:
    for data in datasets:
        if isinstance(data, dict):
            yield from _map_style(data.values())
        elif isinstance(data, Dataset) and "prompt" in data.column_names:
            yield data
