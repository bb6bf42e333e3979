"""Renaming of columns: `chosen=text_chosen,completion=response.text`."""

import difflib
import logging
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import permutations
from types import MappingProxyType
from typing import Any, TypeAlias

from datasets import Dataset, Features, IterableDataset, List

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.errors import InvalidSettingError, UnreadableDatasetError, did_you_mean
from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback, Pairs
from rlhf_losses.files.column_roles import are_ids, are_sentences, find_grade, find_texts
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.verdict_columns import Evidence, find_verdict, verdict_evidence
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

AnyDataset: TypeAlias = Dataset | IterableDataset

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

KNOWN_NAMES = frozenset(
    name
    for feedback_type in FEEDBACK_TYPES
    for columns in (*feedback_type.columns, feedback_type.optional_columns)
    for name in columns
)
"""Columns of this library, each of which has one meaning: `completions` is no `completion`."""

_PAIR = re.compile(r'([^=,]*?)\s*=\s*(?:"([^"]*)"|(.*?))\s*(?=,[,\s]*[^\W\d][\w.-]*\s*=|$)', re.DOTALL)
"""A pair `NEW=OLD`; the next one begins at a comma that a name and `=` follow."""

_MARK = "renamed to "

_IN_USE: ContextVar[Mapping[str, str]] = ContextVar("renaming of the running command", default=MappingProxyType({}))

COLUMNS_REMEDY = "Pass {'NEW': 'OLD'} or 'NEW=OLD'."

SIMILARITY, SAME = 0.6, 0.9
"""Smallest similarity of two names that are near, from 0 to 1, and that of two with the same meaning."""


def parse_columns(text: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return the names of columns by new name.

    Args:
        text: `NEW=OLD` pairs with commas between them, or a mapping from new to old names, or None. An old name can
            have commas; one in which a comma, a word and `=` follow each other is written in double quotes.

    Raises:
        InvalidArgumentError: not a string and not a mapping of strings.
        InvalidSettingError: a part is not such a pair, or a new name occurs twice.

    Examples:
        >>> parse_columns("chosen=text_chosen, completion=response.text")
        {'chosen': 'text_chosen', 'completion': 'response.text'}
        >>> parse_columns('rating=Stars, 1 to 5,completion="Answer, by=model"')
        {'rating': 'Stars, 1 to 5', 'completion': 'Answer, by=model'}
    """
    if isinstance(text, Mapping):
        for name in (*text, *text.values()):
            require_instance(name, str, "columns", "a mapping of strings", COLUMNS_REMEDY)
        return dict(text)
    if text is not None:
        require_instance(text, str, "columns", "a mapping or a string", COLUMNS_REMEDY)
    pairs, rest = [], (text or "").strip(", ")
    while pair := _PAIR.match(rest):
        new, quoted, old = pair.groups()
        pairs.append((new, quoted or old))
        rest = rest[pair.end() :].strip(", ")
    columns = dict(pairs)
    if rest or not all(new and old for new, old in pairs) or len(columns) < len(pairs):
        raise InvalidSettingError(
            f"columns is '{text}', but it needs one NEW=OLD pair for each new name. Write for example "
            "chosen=text_chosen,rejected=text_rejected, and an old name in double quotes if it has a comma and an "
            'equals sign, as in rating="Stars, best=5".'
        )
    return columns


def written_columns(columns: Mapping[str, str]) -> str:
    """Return a renaming as `parse_columns` reads it.

    Args:
        columns: old names by new name.

    Examples:
        >>> written_columns({"prompt": "question", "rating": "Stars, best=5"})
        'prompt=question,rating="Stars, best=5"'
    """
    return ",".join(map(_written_pair, columns, columns.values()))


def _written_pair(new: str, old: str) -> str:
    pair = f"{new}={old}"
    return pair if _parsed(pair) == {new: old} else f'{new}="{old}"'


def _parsed(text: str) -> dict[str, str]:
    try:
        return parse_columns(text)
    except InvalidSettingError:
        return {}


def rename_columns(dataset: AnyDataset, columns: Mapping[str, str] | str, name: str = "data") -> AnyDataset:
    """Return a dataset with renamed columns. Other columns are kept; one that already has a new name is replaced.

    Args:
        dataset: a dataset or a stream.
        columns: old names by new name, or the same as a string, `"prompt=question"`. `response.text` is the value
            `text` of the objects in the column `response`; of a list of objects it is the list of their values, and
            `responses.0` is an element of a list.
        name: name of the dataset in messages.

    Raises:
        InvalidArgumentError: an argument of another type.
        UnreadableDatasetError: the dataset has no such column, or its values have no such key.

    Examples:
        >>> data = Dataset.from_list([{"question": "2 + 2 = ", "answers": [{"text": "4"}, {"text": "5"}]}])
        >>> rename_columns(data, {"prompt": "question", "completions": "answers.text"})[0]["completions"]
        ['4', '5']
    """
    require_dataset(dataset)
    require_instance(columns, (str, Mapping), "columns", "a mapping or a string", COLUMNS_REMEDY)
    columns = parse_columns(columns)
    names = list(dataset.column_names or next(iter(dataset), {}))
    _require_columns(columns, names, name)
    if not columns:
        return dataset
    renamed = {old: new for new, old in columns.items() if old in names}
    extracted = {new: old.split(".") if old not in names else [old] for new, old in columns.items()}
    extracted = {new: path for new, path in extracted.items() if renamed.get(".".join(path)) != new}
    if extracted:
        dataset = _extract(dataset, extracted, name)
    # Two steps, so that columns can swap their names.
    dataset = dataset.rename_columns({old: _MARK + new for old, new in renamed.items()})
    replaced = [new for new in renamed.values() if new in names and new not in renamed]
    if replaced:
        logger.info("%s: replaced the columns %s.", name, ", ".join(replaced))
        dataset = dataset.remove_columns(replaced)
    return dataset.rename_columns({_MARK + new: new for new in renamed.values()})


def applicable_columns(columns: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the renamings that a second dataset needs: without those whose new name it has in place of the old one.

    Args:
        columns: old names by new name.
        names: columns of the dataset.
    """
    return {new: old for new, old in columns.items() if _head(old, names) in names or new not in names}


@contextmanager
def columns_in_use(columns: Mapping[str, str]) -> Iterator[None]:
    """While the context lasts, suggested renamings have the names that columns had before a renaming.

    Args:
        columns: old names by new name.
    """
    token = _IN_USE.set(columns)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def renaming(columns: Mapping[str, str], python: str | None = None) -> str:
    """Return a renaming as a message writes it, with the renaming in use of the other columns.

    Args:
        columns: present names by new name.
        python: how Python writes it; by default as a call.

    Examples:
        >>> from rlhf_losses.messages.setting_names import command_flags
        >>> with columns_in_use({"prompt": "question", "chosen": "text 1"}), command_flags(["--columns"]):
        ...     renaming({"response_a": "chosen"})
        "--columns 'prompt=question,response_a=text 1'"
        >>> renaming({"annotator": "who"})
        "rename_columns(dataset, {'annotator': 'who'})"
        >>> with columns_in_use({"chosen": "response_a"}):
        ...     renaming({"response_a": "chosen"})
        'leave rename_columns out'
    """
    used = _IN_USE.get()
    kept = {new: old for new, old in used.items() if new not in (*columns, *columns.values())}
    old_names = kept | {new: used.get(old, old) for new, old in columns.items()}
    old_names = {new: old for new, old in old_names.items() if new != old}
    if not old_names:
        return f"leave {setting('columns', python='rename_columns')} out"
    return setting(
        "columns", shlex.quote(written_columns(old_names)), python=python or f"rename_columns(dataset, {old_names})"
    )


def suggest_columns(
    columns: Mapping[str, Sequence[Any]], feedback_types: Sequence[type[Feedback]] = FEEDBACK_TYPES
) -> dict[str, str]:
    """Return old names by new name with which a dataset has the columns of a feedback type.

    A column whose values name the better one of two answers is the winner, whatever its name. Other columns have the
    new names to which theirs are most similar. If names are not similar enough, the values tell which columns are
    prompts, answers and ratings or labels; `COLUMN` stands for one that neither tells.

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


RENAMING = "rename_columns(dataset, {'NEW': 'OLD'})"
"""How Python writes the setting `columns`."""


def _require_columns(columns: Mapping[str, str], names: Sequence[str], name: str) -> None:
    """Raise `UnreadableDatasetError`, with all names of columns that a dataset does not have."""
    unknown = {new: old for new, old in columns.items() if _head(old, names) not in names}
    if unknown:
        swapped = [(new, old) for new, old in unknown.items() if old in KNOWN_NAMES and _head(new, names) in names]
        meant = [f" Did you mean '{old}={new}'?" if (new, old) in swapped else did_you_mean(old, names)
                 for new, old in unknown.items()]  # fmt: skip
        none = " or ".join(f"'{old}'" for old in dict.fromkeys(unknown.values()))
        raise UnreadableDatasetError(
            f"The columns of {name} are {', '.join(names)}, and none is {none}.{''.join(dict.fromkeys(meant))} Correct "
            f"the renaming: {setting('columns', 'NEW=OLD', python=RENAMING)}."
        )


def _head(old: str, names: Sequence[str]) -> str:
    return old if old in names else old.partition(".")[0]


def _extract(dataset: AnyDataset, paths: Mapping[str, Sequence[str]], name: str) -> AnyDataset:
    """Add columns with values of objects in other columns."""

    def extract(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        return {new: _value_at(row, path, f"row {index} of {name}") for new, path in paths.items()}

    if isinstance(dataset, IterableDataset):
        return dataset.map(extract, with_indices=True)
    types = {new: _type_at(dataset.features, path) for new, path in paths.items()}
    known = None if None in types.values() else Features({**dataset.features, **types})
    return dataset.map(extract, with_indices=True, features=known, desc="Renaming columns")


def _value_at(value: Any, path: Sequence[str], place: str) -> Any:
    """Return the value at a path of keys and indices; of a list of objects, the values of all of them."""
    if not path or value is None:
        return value
    key, *rest = path
    if isinstance(value, list):
        if not key.isdecimal():
            return [_value_at(element, path, place) for element in value]
        value = dict(enumerate(value))
    known = {str(one): element for one, element in value.items()} if isinstance(value, Mapping) else {}
    if key not in known:
        keys = f"the keys {', '.join(known)}" if known else "no keys"
        raise UnreadableDatasetError(
            f"{place.capitalize()} has {keys} where '{key}' should be.{did_you_mean(key, known)} Correct the renaming: "
            f"{setting('columns', 'NEW=OLD', python=RENAMING)}."
        )
    return _value_at(known[key], rest, place)


def _type_at(value_type: Any, path: Sequence[str]) -> Any:
    """Return the type of the values at a path, or None if the types do not tell."""
    if not path:
        return value_type
    if isinstance(value_type, List):
        element = value_type.feature
        return _type_at(element, path[1:]) if path[0].isdecimal() else _list_of(_type_at(element, path))
    return _type_at(value_type[path[0]], path[1:]) if isinstance(value_type, dict) and path[0] in value_type else None


def _list_of(value_type: Any) -> Any:
    return None if value_type is None else List(value_type)
