"""Types of columns of JSON values."""

import pickle

from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.files.value_types import ColumnTypes, numbers_as_text, parse_json, stored_columns

SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(max_size=5)
KEYS = st.sampled_from(["role", "content", "name"])


def stored(values):
    """Return values after they were stored in a column."""
    types = ColumnTypes()
    for index, value in enumerate(values):
        types.add({"x": value}, f"row {index}")
    features = types.features()
    columns = stored_columns([{"x": value} for value in values], features)
    return Dataset.from_dict(columns, features=features)["x"][:]


@given(st.lists(st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=2), max_size=3), min_size=1, max_size=4))
def test_objects_are_stored_as_they_are_written(objects):
    assert stored(objects) == objects


@given(st.lists(st.lists(st.dictionaries(KEYS, SCALARS, max_size=3), max_size=2), min_size=1, max_size=4))
def test_lists_of_objects_are_stored_as_they_are_written(objects):
    assert stored(objects) == objects


@given(st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=4))
def test_texts_are_stored_as_they_are_written(texts):
    assert stored(texts) == texts


@given(st.lists(SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(KEYS, SCALARS, max_size=2), max_size=5))
def test_values_without_a_common_type_are_stored_as_they_are_written(values):
    values = [*values, "7", ["true"], {"role": 7}]
    assert stored(values) == values


def test_integers_of_any_size_are_stored():
    assert stored([2**63 - 1, -5]) == [2**63 - 1, -5]
    assert stored([10**30, 5]) == [str(10**30), "5"]


def test_large_integers_in_objects_are_stored_as_texts():
    assert stored([{"id": 10**30}]) == [{"id": str(10**30)}]
    assert stored([{"id": 10**30}, [10**30]]) == [{"id": str(10**30)}, [str(10**30)]]


def test_numbers_that_know_how_they_are_written_are_floats():
    number = parse_json("1.50")
    assert (number, numbers_as_text(number), pickle.loads(pickle.dumps(number)).text) == (1.5, "1.50", "1.50")
    assert stored([number, 2]) == [1.5, 2.0]
    assert stored([number, "a"]) == ["1.50", "a"]


def test_booleans_are_stored_beside_integers():
    assert stored([[True, 0], [None, -100]]) == [[1, 0], [None, -100]]
    assert stored([[[True], [2.5]], None]) == [[[1.0], [2.5]], None]


def test_numbers_are_stored_together():
    assert stored([1, 2.5, True, None]) == [1.0, 2.5, 1.0, None]
    assert stored([[1, 2.5], [3], None]) == [[1.0, 2.5], [3.0], None]
