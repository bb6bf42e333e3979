"""Characters that a tokenizer loses: they are not in the text that its tokens are decoded to."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.rows import FeedbackTypes
from rlhf_losses.data.text_problems import answers_of
from rlhf_losses.errors import shown
from rlhf_losses.feedback.base import Row, Text

CHECKED_TEXTS = 400
"""Largest number of texts that are decoded."""

NOTABLE = 0.05
"""Share of the texts that lose characters from which there is a message."""

SHOWN_CHARACTERS = 8
"""Largest number of characters that a message names."""


@dataclass(frozen=True)
class LostCharacters:
    """Characters of some texts that a tokenizer loses.

    Attributes:
        texts: number of texts.
        changed: number of texts that lose a character.
        characters: the lost characters, the most frequent first.
        example: the words of the first such text that lose a character, and what remains of them.
    """

    texts: int
    changed: int
    characters: tuple[str, ...]
    example: tuple[str, str] | None

    @classmethod
    def of(cls, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> "LostCharacters":
        """Return what a tokenizer loses of texts; white space, case and compatibility forms do not count.

        Args:
            texts: the texts.
            tokenizer: the tokenizer.
        """
        lost: Counter[str] = Counter()
        example = None
        count = changed = 0
        for text in texts:
            decoded = _decoded(text, tokenizer)
            of_text = _characters(text) - _characters(decoded)
            count, changed, lost = count + 1, changed + bool(of_text), lost + of_text
            if of_text and example is None:
                example = _example(text, tokenizer)
        return cls(count, changed, tuple(character for character, _ in lost.most_common()), example)

    @property
    def is_notable(self) -> bool:
        """Whether so many texts lose characters that there is a message."""
        return self.changed > NOTABLE * self.texts

    def named(self) -> str:
        """Return the lost characters as text.

        Examples:
            >>> LostCharacters(2, 2, ("ü", "*"), None).named()
            "'ü', '*'"
        """
        more = ", …" if len(self.characters) > SHOWN_CHARACTERS else ""
        return ", ".join(map(repr, self.characters[:SHOWN_CHARACTERS])) + more

    def describe(self) -> str:
        """Return how many texts lose characters, which ones, and what to do."""
        becomes = "" if self.example is None else f" ({shown(self.example[0])} becomes {shown(self.example[1])})"
        return (
            f"The tokenizer loses characters of {self.changed} of {self.texts} texts, most often "
            f"{self.named()}{becomes}. A model does not see them. Use a model whose tokenizer has them, for example a "
            "byte-level one."
        )

    def to_dict(self) -> dict[str, object]:
        """Return the JSON object."""
        return {"texts": self.texts, "changed": self.changed, "characters": list(self.characters)}


def lost_characters(
    rows: Iterable[Row], feedback_types: FeedbackTypes, tokenizer: PreTrainedTokenizerBase
) -> LostCharacters:
    """Return what a tokenizer loses of the prompts and answers of some rows.

    Args:
        rows: rows of a dataset.
        feedback_types: feedback types whose texts are read.
        tokenizer: the tokenizer.
    """
    answers = (answer for row in rows for answer in answers_of(row, feedback_types))
    texts = dict.fromkeys(
        text for answer in answers for part in (answer.prompt, *answer.parts) for text in _texts(part) if text
    )
    step = max(len(texts) // CHECKED_TEXTS, 1)
    return LostCharacters.of(list(texts)[::step][:CHECKED_TEXTS], tokenizer)


def _texts(part: Text | None) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    for message in part if isinstance(part, list) else ():
        if isinstance(message.get("content"), str):
            yield message["content"]


def _decoded(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    known = [token for token in ids if token != tokenizer.unk_token_id]
    return str(tokenizer.decode(known, clean_up_tokenization_spaces=False))


def _characters(text: str) -> Counter[str]:
    return Counter(one for one in unicodedata.normalize("NFKC", text).lower() if not one.isspace())


def _example(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str] | None:
    """Return the first word that loses a character by itself, and what remains of it."""
    decoded = ((word, _decoded(word, tokenizer)) for word in text.split())
    return next(((word, rest.strip()) for word, rest in decoded if _characters(word) - _characters(rest)), None)
