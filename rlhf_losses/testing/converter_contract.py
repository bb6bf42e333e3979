"""`check_converter`: the contract of a dataset converter, rule by rule."""

import copy
from collections.abc import Iterable

from rlhf_losses.converters import DatasetConverter
from rlhf_losses.converters.compared_answers import SIDES
from rlhf_losses.feedback import FEEDBACK_TYPES, Mixed
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.types import feedback_types_of_row
from rlhf_losses.hooks import hookimpl
from rlhf_losses.hooks.contracts import CONVERTERS
from rlhf_losses.hooks.manager import build_manager, register
from rlhf_losses.hooks.registry import ConverterRegistry, converter_registry
from rlhf_losses.testing.rule_helpers import Rule, check_rules

READ_COLUMNS = {"prompt", *SIDES} | {name for one in FEEDBACK_TYPES for columns in one.columns for name in columns}
"""Columns of this library with prompts, answers and feedback."""


def check_converter(converter: DatasetConverter, *rows: Row) -> None:
    """Check that a dataset converter keeps its contract, with rows of its format.

    Args:
        converter: an instance.
        rows: the first rows of a dataset, at least one of them with feedback.

    Raises:
        AssertionError: the converter breaks a rule; the message names the converter, the rule, the observation and a
            remedy.

    Examples:
        >>> from rlhf_losses.converters import HhRlhf
        >>> question = "\\n\\nHuman: What is 2 + 2?\\n\\nAssistant:"
        >>> check_converter(HhRlhf(), {"chosen": f"{question} 4", "rejected": f"{question} 5"})
    """
    check_rules(RULES, converter, rows)


def _is_a_documented_class_with_columns_and_source(converter: DatasetConverter, rows: Iterable[Row]) -> None:
    """A converter is an instance of a documented class with `columns` and `source`."""
    if isinstance(converter, type):
        raise AssertionError(
            f"The argument is a class. Pass an instance: check_converter({converter.__name__}(), row)."
        )
    CONVERTERS.validate(type(converter), type(converter).__module__)


def _is_the_only_one_that_matches(converter: DatasetConverter, rows: Iterable[Row]) -> None:
    """A dataset that begins with the rows is recognized as the format of this converter alone."""
    found = _registry(type(converter)).detect(*rows)
    if type(found) is not type(converter):
        raise AssertionError(f"The rows are read by {found.name()}. Correct columns or matches.")


def _does_not_change_its_rows(converter: DatasetConverter, rows: Iterable[Row]) -> None:
    """`convert` and `texts` do not change their row, and give the same result again."""
    for row in converter.gather(copy.deepcopy(rows)):
        for name, method in (("convert", converter.convert), ("texts", converter.texts)):
            before = copy.deepcopy(row)
            first = copy.deepcopy(method(row))
            if row != before:
                raise AssertionError(f"The row was {before} and is {row}. Build a new row: {{**row, 'prompt': text}}.")
            if method(row) != first:
                raise AssertionError(
                    f"{before} gives {first} and then another result. Let {name} depend on the row alone."
                )


def _returns_lists_of_rows_with_the_same_columns(converter: DatasetConverter, rows: Iterable[Row]) -> None:
    """`convert` returns a list of rows, and all of them have the same columns."""
    for row in converter.gather(rows):
        if not isinstance(converter.convert(row), list):
            raise AssertionError(f"It returned {converter.convert(row)!r}. Return a list, for one row [row].")
    converted = _convert(converter, rows)
    if not converted:
        raise AssertionError("No row has feedback. Pass a row with feedback, or correct convert.")
    other = next((row for row in converted if row.keys() != converted[0].keys()), None)
    if other is not None:
        raise AssertionError(f"Columns are {[*converted[0]]} and {[*other]}. Use None for a value that is missing.")


def _returns_valid_feedback(converter: DatasetConverter, rows: Iterable[Row]) -> None:
    """Each converted row has texts and feedback in the columns of this library."""
    for row in _convert(converter, rows):
        feedback_types = feedback_types_of_row(row)
        if not feedback_types:
            raise AssertionError(f"The columns {', '.join(row)} have no feedback. Rename them as in rlhf-losses list.")
        Mixed.from_row(row, feedback_types)
        if "chosen_ids" not in row:  # a pair of tokenized texts
            for feedback_type in feedback_types:
                feedback_type.answers(row)


def _reads_the_texts_of_rows_with_and_without_feedback(converter: DatasetConverter, rows: Iterable[Row]) -> None:
    """`texts` returns a list of rows with texts or prompts, at least for each row that has feedback."""
    for row in converter.gather(rows):
        texts = converter.texts(row)
        if not isinstance(texts, list) or (converter.convert(row) and not texts):
            raise AssertionError(f"texts returned {texts!r}. Return a list with the prompt and the answers of the row.")
        other = next((one for one in texts if not READ_COLUMNS & set(one)), None)
        if other is not None:
            raise AssertionError(f"The columns {', '.join(other)} have no text. Name them prompt and completions.")


RULES: tuple[Rule, ...] = (
    _is_a_documented_class_with_columns_and_source,
    _is_the_only_one_that_matches,
    _does_not_change_its_rows,
    _returns_lists_of_rows_with_the_same_columns,
    _returns_valid_feedback,
    _reads_the_texts_of_rows_with_and_without_feedback,
)
"""The rules, in the order in which they are checked."""


def _convert(converter: DatasetConverter, rows: Iterable[Row]) -> list[Row]:
    return [converted for row in converter.gather(rows) for converted in converter.convert(row)]


def _registry(cls: type[DatasetConverter]) -> ConverterRegistry:
    """Return all converters, and the class if no plugin provides it."""
    known = converter_registry()
    if cls in known.values():
        return known
    manager = build_manager()
    register(manager, _Provider(cls), "check_converter")
    return ConverterRegistry(manager)


class _Provider:
    """A plugin with one converter."""

    def __init__(self, cls: type[DatasetConverter]) -> None:
        self.cls = cls

    @hookimpl
    def provide_dataset_converters(self) -> list[type[DatasetConverter]]:
        """Return the converter."""
        return [self.cls]
