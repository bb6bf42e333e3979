"""One data row: its texts as token ids, each text once, and the feedback on their scores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import Encoded, cut_prompt, encode
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback
from rlhf_losses.feedback.base import Row

FEEDBACK_TYPE_BY_NAME = {kind.__name__: kind for kind in FEEDBACK_TYPES}


@dataclass(frozen=True)
class RowReader:
    """Turn rows into tokens: how texts are written, and which kinds of feedback are read."""

    tokenizer: PreTrainedTokenizerBase
    kinds: tuple[type[Feedback], ...]
    separator: str = "\n"

    def encode(self, row: Row, longest: int | None = None) -> dict[str, Any]:
        """Return the columns that a batch is made of.

        `text_ids` holds each distinct text of the row once, and `length` is that of the longest; score `i` of the
        row is read in text `score_text[i]` at token `score_position[i]`, `score_length[i]` tokens into the answer;
        `score_of[j]` is the score of the row's `j`-th part.
        With `longest`, prompts are cut from the left until the longest text fits.
        """
        kinds = feedback_types_in_row(row, self.kinds)
        template = row.get("chat_template_kwargs") or {}
        texts = tokenized(row) or [
            encode(render(answer, self.tokenizer, self.separator, template), self.tokenizer)
            for kind in kinds
            for answer in kind.answers(row)
        ]
        columns = _deduplicated(_fit(texts, longest))
        length = max((len(ids) for ids in columns["text_ids"]), default=0)
        return {"kinds": [kind.__name__ for kind in kinds], **columns, "length": length}


def feedback_types_in_row(row: Row, wanted: Iterable[type[Feedback]]) -> tuple[type[Feedback], ...]:
    """Return the wanted kinds that this row holds; null columns hold nothing."""
    columns = [name for name, value in row.items() if value is not None]
    return tuple(kind for kind in wanted if kind.held_by(columns))


def tokenized(row: Mapping[str, Any]) -> list[Encoded]:
    """Return the texts of a pair that was tokenized before, as TRL allows, or nothing."""
    if "chosen_ids" not in row or "rejected_ids" not in row:
        return []
    for side in ("chosen_ids", "rejected_ids"):
        if not row[side]:
            raise InvalidFeedbackError(
                f"A row got {side} = {row[side]}, a text without a token, and a score is read at a text's last token. "
                "Leave the row out, or end texts with EOS before they are tokenized."
            )
    return [Encoded(list(row[side]), (len(row[side]) - 1,)) for side in ("chosen_ids", "rejected_ids")]


def _fit(texts: list[Encoded], longest: int | None) -> list[Encoded]:
    """ForwardPassSplitter every prompt by the same number of tokens, so that the answers of a row still share their prompt."""
    excess = max((len(text.ids) for text in texts), default=0) - (longest or 0)
    if longest is None or excess <= 0:
        return texts
    return [cut_prompt(text, min(excess, text.prompt_length)) for text in texts]


def _deduplicated(texts: list[Encoded]) -> dict[str, Any]:
    text_of: dict[tuple[int, ...], int] = {}
    score_of: dict[tuple[int, int], int] = {}
    lengths: list[int] = []
    parts = []
    for text in texts:
        which = text_of.setdefault(tuple(text.ids), len(text_of))
        for position in text.positions:
            parts.append(score_of.setdefault((which, position), len(score_of)))
            lengths += [position + 1 - text.prompt[1]] * (len(score_of) - len(lengths))
    return {
        "text_ids": [list(ids) for ids in text_of],
        "score_text": [which for which, _ in score_of],
        "score_position": [position for _, position in score_of],
        "score_length": lengths,
        "score_of": parts,
    }
