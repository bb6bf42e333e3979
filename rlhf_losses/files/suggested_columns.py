"""Suggested renamings: the columns of feedback, of scored texts and of prompts, from names and values."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any

from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback, Pairs
from rlhf_losses.files.column_roles import are_ids, are_sentences, find_grade, find_texts
from rlhf_losses.files.columns import KNOWN_NAMES
from rlhf_losses.files.verdict_columns import Evidence, find_verdict, verdict_evidence

SIMILAR_NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": (
        "question",
        "instruction",
        "input",
        "query",
        "problem",
        "context",
        "ticket",
        "request",
        "message",
        "task",
    ),
    "chosen": ("preferred", "winner", "better", "accepted", "positive", "good"),
    "rejected": ("dispreferred", "loser", "worse", "declined", "negative", "bad"),
    "completion": ("response", "answer", "output", "reply", "text", "solution"),
    "completions": ("responses", "answers", "outputs", "candidates", "generations", "steps"),
    "rating": ("score", "reward", "stars", "quality"),
    "ratings": ("scores", "rewards"),
    "ranks": ("ranking", "rankings", "order"),
    "label": ("is_correct", "correct", "is_good", "thumbs_up"),
    "labels": ("step_labels", "correctness"),
    "attributes": ("aspects", "annotations"),
}
"""Names that other datasets give to columns of feedback types."""

SIDES = (("a", "b"), ("1", "2"), ("left", "right"), ("first", "second"))
"""Words that distinguish the names of two columns that are compared."""

SIMILARITY, SAME = 0.6, 0.9
"""Smallest similarity of two names that are near, from 0 to 1, and that of two with the same meaning."""


def suggest_columns(
    columns: Mapping[str, Sequence[Any]], feedback_types: Sequence[type[Feedback]] = FEEDBACK_TYPES
) -> dict[str, str]:
    """Return old names by new name with which a dataset has the columns of a feedback type.

    A column whose values name the better one of two answers is the winner, whatever its name. Other columns have the
    new names to which theirs are most similar. If names are not similar enough, the values tell which columns are
    prompts, answers and ratings or labels; `COLUMN` stands for one that neither names nor values show.

    Args:
        columns: some values of each column; none if they are unknown.
        feedback_types: the feedback types to choose from.

    Examples:
        >>> suggest_columns({"id": [1], "text_chosen": ["Yes."], "text_rejected": ["No."]})
        {'chosen': 'text_chosen', 'rejected': 'text_rejected'}
        >>> suggest_columns({"prompt": ["Why?"], "reply 1": ["Yes."], "reply 2": ["No."], "checked": ["tie"]})
        {'response_a': 'reply 1', 'response_b': 'reply 2', 'winner': 'checked'}
    """
    compared = _compared_columns(columns) if Pairs in feedback_types else {}
    names = [name for name in columns if name != compared.get("winner")]
    alternatives = [wanted for feedback_type in feedback_types for wanted in feedback_type.columns]
    best = max((_similar_columns(wanted, names) for wanted in alternatives), key=_mean_similarity)
    if compared and (compared["response_a"] != "COLUMN" or "COLUMN" in best.values()):
        return _without_equal_names(compared)
    if "prompt" not in columns and "chosen_ids" not in best:
        free = [old for old in names if old not in best.values() and not are_ids(columns[old])]
        best = _similar_columns(["prompt"], free, default=None) | best
    if "COLUMN" in best.values():
        answers = suggest_texts(columns) if Pairs in feedback_types and not find_grade(columns) else {}
        if "response_a" in answers:
            return _without_equal_names({**answers, "winner": "COLUMN"})
        best = _graded_columns(columns, alternatives) or best
    return _without_equal_names(best)


def suggest_texts(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return the columns of the answers to score and of their prompts, by new name; nothing if there are no texts.

    Args:
        columns: some values of each column.

    Examples:
        >>> suggest_texts({"request": ["What is it?"], "left": ["It is a cat."], "right": ["It is a dog."]})
        {'prompt': 'request', 'response_a': 'left', 'response_b': 'right'}
        >>> suggest_texts({"request": ["What is it?"], "reply": ["It is a cat."]})
        {'prompt': 'request', 'completion': 'reply'}
    """
    texts = {name: values for name, values in columns.items() if are_sentences(values)}
    sides = [pair for pair in permutations(texts, 2) if _are_sides(*pair)]
    if not sides:
        return find_texts(columns)
    first, second = max(sides, key=lambda pair: _likeness_to_answers(pair, texts))
    rest = {name: values for name, values in columns.items() if name not in (first, second)}
    return {"prompt": suggest_prompt(rest), "response_a": first, "response_b": second}


def suggest_prompt(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return the column that is most likely the prompt, by its name or else its values, or `COLUMN` if none is.

    Args:
        columns: some values of each column; none if they are unknown.

    Examples:
        >>> suggest_prompt({"ticket_id": ["N-1", "N-2"], "Frage": ["Wo ist das Menü?", "Wo ist das?"]})
        'Frage'
    """
    named = similar_column("prompt", [name for name, values in columns.items() if not are_ids(values)])
    if named != "COLUMN":
        return named
    texts = find_texts(columns)
    return texts.get("prompt", texts.get("completion", "COLUMN"))


def _without_equal_names(columns: Mapping[str, str]) -> dict[str, str]:
    return {new: old for new, old in columns.items() if new != old}


def similar_column(new: str, names: Sequence[str], similarity: float = SIMILARITY) -> str:
    """Return the column with the most similar name, or `COLUMN` if none is similar.

    Args:
        new: name of a column of this library.
        names: columns of a dataset.
        similarity: smallest similarity, from 0 to 1.

    Examples:
        >>> similar_column("prompt", ["id", "question"]), similar_column("prompt", ["id"])
        ('question', 'COLUMN')
    """
    return _similar_columns([new], names, similarity=similarity)[new]


def _compared_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return the columns of two answers and the better one of them, as `compared_answers` reads them; or nothing."""
    verdict = find_verdict(columns)
    if verdict is None:
        return {}
    texts = {name: values for name, values in columns.items() if name != verdict}
    sides = [pair for pair in permutations(texts, 2) if _are_sides(*pair)]
    if not sides and verdict_evidence(verdict, columns[verdict]) is not Evidence.CLEAR:
        return {}
    answers = tuple(name for name in texts if _similarity("completion", name) >= SAME)
    others = answers if len(answers) == 2 else ("COLUMN", "COLUMN")
    first, second = max(sides, key=lambda pair: _likeness_to_answers(pair, texts), default=others)
    rest = {name: values for name, values in texts.items() if name not in (first, second)}
    return {"prompt": suggest_prompt(rest), "response_a": first, "response_b": second, "winner": verdict}


def _graded_columns(columns: Mapping[str, Sequence[Any]], alternatives: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return the columns of one answer and its rating or label, by their names or else their values; or nothing."""
    kinds = [kind for kind in ("rating", "label") if ("completion", kind) in alternatives]
    named = {new: similar_column(new, list(columns), SAME) for new in ("prompt", "completion")}
    named = {new: old for new, old in named.items() if are_sentences(columns.get(old, ()))}
    texts = find_texts({name: values for name, values in columns.items() if name not in named.values()})
    grade = find_grade(columns, kinds)
    found = {"prompt": texts.get("prompt"), "completion": texts.get("completion")} | named
    if found["prompt"] is None and "completion" in named:
        found["prompt"] = texts.get("completion")
    known = {new: old for new, old in found.items() if old is not None}
    if not grade and len(kinds) == 1 and ("chosen", "rejected") not in alternatives:
        grade = {kinds[0]: "COLUMN"}
    return known | grade if grade and "completion" in known else {}


def _are_sides(first: str, second: str) -> bool:
    """Return whether two names differ by the side of an answer only: `reply A` and `reply B`, `left_text` and so on."""
    if first[:-1] == second[:-1] and (first[-1:].lower(), second[-1:].lower()) in SIDES:
        return True
    parts, others = (re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^A-Za-z\d]+", name) for name in (first, second))
    different = [(one.lower(), other.lower()) for one, other in zip(parts, others, strict=False) if one != other]
    return len(parts) == len(others) and len(different) == 1 and different[0] in SIDES


def _likeness_to_answers(names: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> tuple[bool, float, float]:
    """Return how much two columns look like answers: texts rather than numbers, by their names, and long."""
    values = [value for name in names for value in columns[name] if value is not None]
    length = sum(len(str(value)) for value in values) / max(len(values), 1)
    are_texts = any(isinstance(value, str | list) for value in values)
    return are_texts, _similarity("completion", names[0]), length


def _similar_columns(
    wanted: Iterable[str], names: Sequence[str], default: str | None = "COLUMN", similarity: float = SIMILARITY
) -> dict[str, str]:
    """Return the most similar column for each wanted one, or the default where none is similar."""
    found: dict[str, str] = {}
    for new in wanted:
        free = [old for old in names if old not in found.values() and _similarity(new, old) >= similarity]
        nearest = max(free, key=lambda old: _similarity(new, old), default=default)
        if nearest is not None:
            found[new] = nearest
    return found


def _mean_similarity(columns: Mapping[str, str]) -> float:
    known = [_similarity(new, old) for new, old in columns.items() if old != "COLUMN"]
    return sum(known) / len(columns)


def _similarity(new: str, old: str) -> float:
    if new == old or old in KNOWN_NAMES:
        return float(new == old)
    words = re.split(r"[^a-z]+", old.lower())
    if new in words or any(other in (old.lower(), *words) for other in SIMILAR_NAMES.get(new, ())):
        return SAME
    return difflib.SequenceMatcher(None, new, old.lower()).ratio()
