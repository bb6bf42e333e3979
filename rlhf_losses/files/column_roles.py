"""Columns of prompts, answers and grades, recognized by their values where their names say nothing."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_losses.feedback.label_words import read_label_word
from rlhf_losses.files.verdict_columns import PARTS, words_of

SHARE = 0.9
"""Share of the values from which a column is one of numbers or ids, and below which distinct values repeat."""

FILLED = 0.7
"""Share of the rows from which a column has the texts, and not comments."""

WORDS_OF_SENTENCE = 3
"""Mean number of words from which the values of a column are sentences."""

CATEGORIES, SHARE_OF_CATEGORIES = 20, 0.2
"""Largest number of distinct texts that are categories, and their largest share of the values."""

GRADES, LARGEST_GRADE = 11, 100
"""Largest number of distinct grades in a short column, and the largest size of one."""

OTHER_NUMBERS = PARTS | {
    *("id", "nr", "no", "n", "num", "number", "index", "row", "count", "counts", "votes", "age", "year", "time"),
    *("seconds", "minutes", "tokens", "length", "margin", "weight", "strength", "difficulty"),
}
"""Words in the names of columns of numbers that are no grades."""


def find_texts(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return the columns that are most likely the answers and, if there is another one of sentences, their prompts.

    Prompts repeat. If no texts do, the first column of texts has the prompts. The answers are the longest other texts.
    Texts with a few different values are categories, unless there are no others.

    Args:
        columns: some values of each column.

    Examples:
        >>> find_texts({"Nr": [1, 2], "Frage": ["Wo ist das?"] * 2, "Antwort": ["Es ist hier.", "Das ist dort."]})
        {'prompt': 'Frage', 'completion': 'Antwort'}
    """
    texts = {name: _filled(values) for name, values in columns.items() if _are_sentences(values)}
    if not texts:
        return {}
    lengths = {name: sum(map(len, values)) / len(values) for name, values in texts.items()}
    varied = [name for name, values in texts.items() if not _are_categories(values)]
    if len(varied) < 2:
        categories = sorted(set(texts) - set(varied), key=lambda name: -lengths[name])
        varied = [name for name in texts if name in [*varied, *categories][:2]]
    if len(varied) == 1:
        return {"completion": varied[0]}
    shares = {name: len(set(texts[name])) / len(texts[name]) for name in varied}
    repeated = [name for name in varied if shares[name] < SHARE]
    prompt = min(repeated, key=shares.__getitem__, default=varied[0])
    return {"prompt": prompt, "completion": max((name for name in varied if name != prompt), key=lengths.__getitem__)}


def find_grade(columns: Mapping[str, Sequence[Any]], kinds: Sequence[str] = ("rating", "label")) -> dict[str, str]:
    """Return the column that is most likely the rating, or else the label, by its new name; nothing if several can be.

    Args:
        columns: some values of each column.
        kinds: the new names to choose from, `"rating"` and `"label"`.

    Examples:
        >>> find_grade({"Nr": [1, 2, 3], "Sterne": ["4,5", "3", "3"]}), find_grade({"Gut": [True, False, True]})
        ({'rating': 'Sterne'}, {'label': 'Gut'})
    """
    found = {name: _grade_kind(name, values) for name, values in columns.items()}
    for kind in kinds:
        names = [name for name, one in found.items() if one == kind]
        if names:
            return {kind: names[0]} if len(names) == 1 else {}
    return {}


def are_sentences(values: Sequence[Any]) -> bool:
    """Return whether the texts among some values have several words on average.

    Args:
        values: values of a column.

    Examples:
        >>> are_sentences(["Where is it?", None]), are_sentences(["Max", "Zoë"]), are_sentences(["如何重置密码"])
        (True, False, True)
    """
    words = [_count_words(value) for value in values if isinstance(value, str)]
    return bool(words) and sum(words) >= WORDS_OF_SENTENCE * len(words)


def are_ids(values: Sequence[Any]) -> bool:
    """Return whether nearly all values are numbers, or words with digits.

    Args:
        values: values of a column.

    Examples:
        >>> are_ids(["N-001", "007"]), are_ids([1, 2]), are_ids(["Why?", "What is 2 + 2?"])
        (True, True, False)
    """
    filled = [str(value) for value in _filled(values)]
    ids = [value for value in filled if len(value.split()) == 1 and any(map(str.isdigit, value))]
    return bool(filled) and len(ids) >= SHARE * len(filled)


def _are_sentences(values: Sequence[Any]) -> bool:
    """Return whether nearly all values are sentences, and not dates."""
    filled = _filled(values)
    texts = "".join(value for value in filled if isinstance(value, str))
    is_full = len(filled) >= FILLED * len(values) and all(isinstance(value, str) for value in filled)
    return is_full and are_sentences(filled) and sum(map(str.isalpha, texts)) > len(texts) / 2


def _are_categories(values: Sequence[str]) -> bool:
    return len(set(values)) <= min(CATEGORIES, SHARE_OF_CATEGORIES * len(values))


def _grade_kind(name: str, values: Sequence[Any]) -> str | None:
    """Return `"rating"` or `"label"` for a column of grades, and None for another one."""
    filled = _filled(values)
    numbers = [number for number in map(_number, filled) if number is not None]
    distinct = set(numbers)
    is_varied = 1 < len(distinct) < len(numbers) and len(distinct) <= max(GRADES, len(numbers) / 2)
    if not is_varied or len(numbers) < SHARE * len(filled) or set(words_of(name)) & OTHER_NUMBERS:
        return None
    if distinct == {0, 1}:
        return "label"
    return "rating" if max(map(abs, distinct)) <= LARGEST_GRADE else None


def _number(value: Any) -> float | None:
    """Return the number that a value is, also a text with a decimal comma."""
    text = str(value).strip().lower()
    word = read_label_word(text)
    if word is not None:
        return float(word)
    return float(text.replace(",", ".")) if re.fullmatch(r"[+-]?\d{1,3}([.,]\d+)?", text) else None


def _filled(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None and value != ""]


def _count_words(text: str) -> float:
    """Return the number of words; in scripts without spaces and case, of pairs of letters."""
    letters = sum(letter.isalpha() and letter.lower() == letter.upper() for letter in text)
    return max(len(text.split()), letters / 2)
