"""Renaming of columns: `chosen=text_chosen,completion=response.text`."""

import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeAlias

from datasets import Dataset, Features, IterableDataset, List

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.errors import InvalidSettingError, UnreadableDatasetError, did_you_mean
from rlhf_losses.feedback import FEEDBACK_TYPES
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

AnyDataset: TypeAlias = Dataset | IterableDataset

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
            `responses.0` is an element of a list. A column that has its new name already, and no old one, is kept.
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
    renamed_before = _renamed_before(columns, names)
    if renamed_before:
        logger.info("%s: has the columns %s already.", name, ", ".join(renamed_before))
    columns = {new: old for new, old in columns.items() if new not in renamed_before}
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


RENAMING = "rename_columns(dataset, {'NEW': 'OLD'})"
"""How Python writes the setting `columns`."""


def _renamed_before(columns: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Return the new names that a dataset has in place of the old ones, unless an old name can be a misspelled one."""
    return [
        new
        for new, old in columns.items()
        if _head(old, names) not in names and new in names and old not in KNOWN_NAMES and not did_you_mean(old, names)
    ]


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
