"""`rlhf-losses inspect`."""

import json

import pytest
from known_formats import HH, MT_BENCH

from rlhf_losses.sandbox.tiny_models import build_tokenizer


def inspected(cli, *argv):
    answered = cli("inspect", "--json", *argv)
    assert answered.code == 0, answered.err
    return json.loads(answered.out)


def test_the_text_tells_what_the_data_hold(cli, pairs_file):
    out = cli("inspect", "--dataset", pairs_file).out
    for line in (
        "rows            1",
        "Pairs\n  items",
        "items                           1 in 1 rows",
        "LENGTH",
        "Losses that read it:\n  bradley_terry",
        "Regularizers to add to one of them:\n  centering, score_decay",
    ):
        assert line in out
    assert "ordinal_preference: ordinal_preference got pairs without a margin" in out
    assert "100.0% (nothing was annotated twice)" in out


def test_json_tells_the_same(cli, pairs_file):
    told = inspected(cli, "--dataset", pairs_file)
    assert told["rows"] == 1
    assert told["columns"] == ["prompt", "chosen", "rejected"]
    assert told["feedback"]["Pairs"]["items"] == 1
    assert "bradley_terry" in told["losses"]
    assert "centering" in told["regularizers"]
    assert not set(told["losses"]) & set(told["regularizers"])


def test_a_layout_is_recognised_and_told_in_one_line(cli, write_rows):
    answered = cli("inspect", "--dataset", write_rows(HH))
    assert ": read as hh_rlhf (Pairs), recognised from the columns chosen, rejected.\n" in answered.err
    assert "columns         chosen, rejected, prompt" in answered.out


def test_an_adapter_may_be_named(cli, write_rows):
    assert "prompt" not in inspected(cli, "--dataset", write_rows(HH), "--converter", "native")["columns"]
    told = cli("inspect", "--dataset", write_rows(HH), "--converter", "hh-rlhf")
    assert told.code == 2
    assert "No adapter is called 'hh-rlhf'. Did you mean 'hh_rlhf'?" in told.err


def test_disagreement_is_told(cli, write_rows):
    rows = write_rows(MT_BENCH, MT_BENCH | {"winner": "model_a"}, MT_BENCH | {"winner": "tie"})
    out = cli("inspect", "--dataset", rows).out
    assert "contradictory                   1\n" in out
    assert "best agreement with annotators  50.0%\n" in out


@pytest.mark.parametrize("flag", ["--model", "--tokenizer"])
def test_tokens_are_counted_with_a_tokenizer(cli, pairs_file, tmp_path, flag):
    build_tokenizer(["two", "four"]).save_pretrained(tmp_path / "tokenizer")
    assert inspected(cli, "--dataset", pairs_file, flag, tmp_path / "tokenizer")["tokens"]["text"]["max"] > 0
    assert "text (tokens)" in cli("inspect", "--dataset", pairs_file, flag, tmp_path / "tokenizer").out


def test_a_tokenizer_that_is_not_there_is_refused(cli, pairs_file, tmp_path):
    answered = cli("inspect", "--dataset", pairs_file, "--tokenizer", tmp_path)
    assert answered.code == 2
    assert "holds no tokenizer that can be loaded" in answered.err


def test_a_row_that_cannot_be_read_is_named(cli, write_rows):
    answered = cli("inspect", "--dataset", write_rows(MT_BENCH, MT_BENCH | {"winner": "both"}))
    assert answered.code == 2
    assert "Row 1 of " in answered.err
    assert "The winner is 'both'" in answered.err


def test_only_the_first_rows_are_read_on_request(cli, write_rows):
    rows = write_rows(MT_BENCH, MT_BENCH, MT_BENCH)
    assert inspected(cli, "--dataset", rows, "--max_rows", "2")["rows"] == 2


PLUGIN = """
from rlhf_losses import DatasetConverter, hookimpl

class Duels(DatasetConverter):
    "A winner and a loser a row."
    columns = (("better", "worse"),)
    source = "https://example.org/duels"

    def read(self, row):
        return [{"chosen": row["better"], "rejected": row["worse"]}]

@hookimpl
def provide_dataset_converters():
    return [Duels]
"""


def test_a_plugin_file_may_bring_the_adapter(cli, write_rows, tmp_path):
    plugin = tmp_path / "duels_in_a_file.py"
    plugin.write_text(PLUGIN)
    rows = write_rows({"better": "4", "worse": "5"})
    assert "Pairs" in inspected(cli, "--plugin", plugin, "--dataset", rows)["feedback"]
    assert "so it holds no feedback that is known" in cli("inspect", "--dataset", rows).err
