"""Dataset formats in CSV files give the rows of JSON Lines."""

import csv
import json

import pytest
from known_formats import EXAMPLES, TREE

from rlhf_losses import convert_dataset, load_rows
from rlhf_losses.converters import OpenAssistant

LISTS_IN_COLUMNS_OF_TEXTS = {"prm800k", "reward_bench2", "rm_bench"}
"""Formats with lists or objects in columns that contain texts elsewhere, which a CSV file cannot tell apart."""

CONVERTERS = [converter for converter in EXAMPLES if converter.name() not in LISTS_IN_COLUMNS_OF_TEXTS]


@pytest.mark.parametrize("converter", CONVERTERS, ids=lambda converter: converter.name())
def test_a_csv_file_is_converted_as_json_lines(tmp_path, converter):
    rows = TREE if converter is OpenAssistant else [EXAMPLES[converter]] * 2
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    from_csv, from_json = (
        list(convert_dataset(load_rows(str(tmp_path / name)), converter.name())) for name in ("rows.csv", "rows.jsonl")
    )
    assert from_csv == from_json
