"""Tokens that a tokenizer adds before and after a plain text, and what marks the end of a plain text."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from transformers import PreTrainedTokenizerBase

EndOfTexts: TypeAlias = Literal["eos", "tokenizer"]
"""`"eos"`: EOS is appended to the text. `"tokenizer"`: a text ends as the tokenizer alone ends it."""

PROBES = ("a", "A", "1", "the", ".")
"""Texts of which at least one has tokens in every vocabulary of a language."""


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """Token ids that a tokenizer adds to every plain text.

    Attributes:
        before: ids before the text, such as BOS or CLS.
        after: ids after the text, such as EOS or SEP.
    """

    before: list[int]
    after: list[int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "AddedTokens":
        """Return what a tokenizer adds.

        Args:
            tokenizer: any tokenizer.
        """
        for text in PROBES:
            plain = list(tokenizer(text, add_special_tokens=False)["input_ids"])
            if plain:
                break
        whole = list(tokenizer(text)["input_ids"])
        for start in range(len(whole) - len(plain) + 1):
            if plain and whole[start : start + len(plain)] == plain:
                return cls(whole[:start], whole[start + len(plain) :])
        return cls(whole, [])


@dataclass(frozen=True, slots=True)
class TextEnd:
    """How the end of plain texts is marked with EOS.

    Attributes:
        appended: EOS, if it is appended to texts that do not end with it, else an empty string.
        added: EOS, if the tokenizer adds it to every text, else an empty string. It is removed from the end of texts
            that have it, so that no text has it twice, and after an answer that was cut off.
    """

    appended: str
    added: str

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, rule: EndOfTexts | None = None) -> "TextEnd":
        """Return how texts end.

        Args:
            tokenizer: the tokenizer.
            rule: rule of a saved model; by default EOS is appended unless the tokenizer adds it.
        """
        eos = str(tokenizer.eos_token or "")
        if rule == "eos":
            return cls(appended=eos, added="")
        if eos and tokenizer.eos_token_id in AddedTokens.of(tokenizer).after:
            return cls(appended="", added=eos)
        return cls(appended="" if rule == "tokenizer" else eos, added="")
