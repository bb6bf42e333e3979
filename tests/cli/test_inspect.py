"""`rlhf-losses inspect`."""

import importlib.util
import json
import re

import pytest
from known_formats import HH, MT_BENCH
from scipy.stats import binomtest

from rlhf_losses.messages.percentages import percent_range
from rlhf_losses.sandbox.tiny_models import build_tokenizer


def inspected(cli, *argv):
    result = cli("inspect", "--json", *argv)
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_the_report_has_counts_feedback_lengths_and_losses(cli, pairs_file):
    out = cli("inspect", "--dataset", pairs_file).out
    for line in (
        "rows            1",
        "Pairs\n  items",
        "items                           1 in 1 rows",
        "LENGTH",
        "Compatible losses:\n  bradley_terry",
        "Regularizers to add to one of them:\n  centering, score_decay",
    ):
        assert line in out
    assert "\n  ordinal_preference received" in out
    assert "unknown (nothing was annotated twice)" in out


def test_json_has_the_same_content(cli, pairs_file):
    text = inspected(cli, "--dataset", pairs_file)
    assert text["rows"] == 1
    assert text["columns"] == ["prompt", "chosen", "rejected"]
    assert text["feedback"]["Pairs"]["items"] == 1
    assert "bradley_terry" in text["losses"]
    assert "centering" in text["regularizers"]
    assert not set(text["losses"]) & set(text["regularizers"])


def test_the_detected_format_is_logged_in_one_line(cli, write_rows):
    result = cli("inspect", "--dataset", write_rows(HH))
    assert ": read as hh_rlhf (Pairs), detected from the columns chosen, rejected.\n" in result.err
    assert "columns         chosen, rejected, prompt" in result.out


def test_a_converter_can_be_selected(cli, write_rows):
    assert "prompt" not in inspected(cli, "--dataset", write_rows(HH), "--converter", "native")["columns"]
    text = cli("inspect", "--dataset", write_rows(HH), "--converter", "hh-rlhf")
    assert text.code == 2
    assert "Unknown converter 'hh-rlhf'. Did you mean 'hh_rlhf'?" in text.err


def test_contradictory_annotations_are_counted(cli, write_rows):
    other, third = ({"winner": winner, "judge": judge} for winner, judge in (("model_a", "b"), ("tie", "c")))
    out = cli("inspect", "--dataset", write_rows(MT_BENCH, MT_BENCH | other, MT_BENCH | third)).out
    assert "annotators      3 in the column judge\n" in out
    assert "contradictory                   1\n" in out
    assert "best agreement with annotators  50.0 %\n" in out
    assert "two annotators agree            0.0 % (mean over items), 0.0 % (of all pairs of annotations)\n" in out
    # Nobody agrees: D_o = 1, and two of three different values differ in 6 of 6 ordered pairs, so D_e = 1.
    assert "Krippendorff's alpha            0.000\n" in out


def test_rows_of_one_annotator_are_no_agreement(cli, write_rows):
    again = MT_BENCH | {"question_id": 82}
    out = cli("inspect", "--dataset", write_rows(MT_BENCH, again, MT_BENCH | {"winner": "tie"})).out
    assert "annotators      1 in the column judge\n" in out
    assert "again by the same annotator     2\n" in out
    assert "annotated several times         0\n" in out
    assert "two annotators agree            -\n" in out


def test_the_report_says_what_is_unknown_without_annotators(cli, write_rows):
    """Copies with another id, or annotators who agree: the file does not tell."""
    row = {"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5"}
    file = write_rows(*(row | {"id": i} for i in range(3)))
    out = cli("inspect", "--dataset", file).out
    assert "duplicate rows  2\n" in out
    assert "can be annotations or copies" in out
    lines = [line.split("  - (unknown without ids of the annotators)") for line in out.splitlines()]
    unknown = [line[0].strip() for line in lines if len(line) == 2]
    assert unknown == ["annotated several times", "two annotators agree", "best agreement with annotators"]
    assert "best accuracy in `evaluate`     100.0 %\n" in out
    assert "alpha" not in out
    found = inspected(cli, "--dataset", file)["annotators"]
    assert (found["column"], found["count"]) == (None, 0)
    assert "only votes within a row are taken as different annotators" in found["assumption"]


def test_without_krippendorff_the_command_names_the_extra(cli, pairs_file, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "krippendorff" else find_spec(name))
    result = cli("inspect", "--dataset", pairs_file)
    assert result.code == 2
    assert "not installed: krippendorff. Run: pip install 'rlhf-losses[report]'" in result.err


@pytest.mark.parametrize("flag", ["--model", "--tokenizer"])
def test_tokens_are_counted_with_a_tokenizer(cli, pairs_file, tmp_path, flag):
    build_tokenizer(["two", "four"]).save_pretrained(tmp_path / "tokenizer")
    assert inspected(cli, "--dataset", pairs_file, flag, tmp_path / "tokenizer")["tokens"]["text"]["max"] > 0
    assert "text (tokens)" in cli("inspect", "--dataset", pairs_file, flag, tmp_path / "tokenizer").out


def test_a_missing_tokenizer_is_refused(cli, pairs_file, tmp_path):
    result = cli("inspect", "--dataset", pairs_file, "--tokenizer", tmp_path)
    assert result.code == 2
    assert f"The tokenizer '{tmp_path}' cannot be loaded" in result.err


def test_an_invalid_row_is_refused_with_its_number(cli, write_rows):
    result = cli("inspect", "--dataset", write_rows(MT_BENCH, MT_BENCH | {"winner": "both"}))
    assert result.code == 2
    assert "Row 1 of " in result.err
    assert "The winner is 'both'" in result.err


def test_invalid_rows_are_listed_with_their_numbers(cli, write_rows):
    good = {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "margin": 1}
    bad = [good | {"rejected": None}] * 12
    out = cli("inspect", "--dataset", write_rows(good, *bad)).out
    assert "12 of 13 rows are invalid, and training refuses them." in out
    assert "  12 (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …): Column 'rejected' is null" in out
    assert "(Rows are counted from 0: row 1 is row 3 of a sheet with a header.)" in out
    assert "margin                          1 to 1, mean 1\n" in out
    assert "Prompt and answer meet without white space in 1 of 1 rows, as in '2 + 2 =4'." in out


SHEET = """\
\ufeffid;message;variant_1;variant_2;preferred;reader
1;Where is it? ;On its way.;Wait.;1;ann
2;Why? ;;No.;2;bob
3;;Yes.;No.;same;ann
4;Why? ;" ";No.;2;bob
5;How long? ;{long};No.;;ann
6;Where is it? ;Here.;Wait.;2;bob
"""
READ = "prompt=message,response_a=variant_1,response_b=variant_2,winner=preferred"


@pytest.fixture
def sheet(tmp_path):
    file = tmp_path / "sheet.csv"
    file.write_text(SHEET.format(long="two " * 40), encoding="utf-8")
    return file


def test_a_sheet_with_a_winner_gets_the_renaming_that_reads_it(cli, sheet):
    assert f"with --columns {READ}." in cli("inspect", "--dataset", sheet).err
    assert f"with --columns {READ}." in cli("inspect", "--dataset", sheet, "--columns", "prompt=message").err
    argv = ("--dataset", sheet, "--columns", "prompt=message,chosen=variant_1,rejected=variant_2")
    out = cli("inspect", *argv).out
    assert "The column preferred is not read, but its values (1, same, 2) are those of a winner." in out.replace(
        "\n", " "
    )
    assert f"--columns {READ}." in out  # in one line
    assert f"--columns {READ}." in inspected(cli, *argv)["unread_verdict"]["problem"]
    assert inspected(cli, "--dataset", sheet, "--columns", READ)["unread_verdict"] is None


@pytest.mark.parametrize("columns", ["prompt=message,chosen=variant_1,rejected=variant_2", READ])
def test_rows_in_which_a_text_is_missing_are_named_beside_invalid_rows(cli, sheet, columns, model_folder):
    config = {"model_type": "llama", "max_position_embeddings": 32}
    (model_folder / "config.json").write_text(json.dumps(config))
    argv = ("--dataset", sheet, "--columns", columns, "--model", model_folder)
    found = inspected(cli, *argv)
    assert (found["invalid_rows"][0]["rows"], found["empty_answers"], found["missing_prompts"]) == ([1], [3], [2])
    out = cli("inspect", *argv).out
    rows = 5 if columns != READ else 4
    assert f"1 of {rows} rows has an empty answer: row 3. " in out
    assert f"1 of {rows} rows has no prompt, but other rows have one: row 2. " in out
    long = [] if columns == READ else [4]  # nobody judged it
    assert (found["overlong"]["limit"], found["overlong"]["rows"]) == (32, long)
    text = "has a text longer than 32 tokens (the context of the model): row 4." if long else "No text is longer than"
    assert text in out


def test_the_share_of_the_first_answers_is_reported(cli, write_rows):
    rows = [
        {"prompt": f"{i}?", "response_a": "a", "response_b": "b", "winner": "a" if i < 15 else "RIGHT"}
        for i in range(20)
    ]
    file = write_rows(*rows, {**rows[0], "winner": "tie"}, {**rows[0], "winner": "skip"})
    interval = binomtest(15, 20).proportion_ci(method="wilson")
    expected = f"75.0 % (95 % interval {percent_range(interval.low, interval.high)})"
    assert re.search(rf"first answer preferred +{re.escape(expected)}", cli("inspect", "--dataset", file).out)
    found = json.loads(cli("inspect", "--dataset", file, "--json").out)["first_answer_preferred"]
    assert (found["share"], found["comparisons"]) == (0.75, 20)


def test_columns_that_could_have_annotators_are_named_and_not_read(cli, sheet):
    found = inspected(cli, "--dataset", sheet, "--columns", READ)["annotators"]
    assert found["column"] is None
    assert (
        f"If the column reader says who judged, name it, for example --columns {READ},annotator=reader."
        in (found["assumption"])
    )
    assert inspected(cli, "--dataset", sheet, "--columns", f"{READ},reviewer=reader")["annotators"]["count"] == 2


@pytest.mark.parametrize("limit", [None, 16])
def test_the_limit_of_a_tokenizer_alone_counts_if_it_has_one(cli, pairs_file, tmp_path, limit):
    tokenizer = build_tokenizer(["two", "four"])
    tokenizer.model_max_length = limit or int(1e30)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    out = cli("inspect", "--dataset", pairs_file, "--tokenizer", tmp_path / "tokenizer").out
    assert ("No text is longer than 16 tokens (the limit of the tokenizer)." in out) is (limit is not None)
    assert ("longer than" in out) is (limit is not None)


def test_the_number_of_rows_can_be_limited(cli, write_rows):
    rows = write_rows(MT_BENCH, MT_BENCH, MT_BENCH)
    assert inspected(cli, "--dataset", rows, "--max_rows", "2")["rows"] == 2


PLUGIN = """
from rlhf_losses import DatasetConverter, hookimpl

class Duels(DatasetConverter):
    "Pairs with one winner and one loser."
    columns = (("better", "worse"),)
    source = "https://example.org/duels"

    def convert(self, row):
        return [{"chosen": row["better"], "rejected": row["worse"]}]

@hookimpl
def provide_dataset_converters():
    return [Duels]
"""


def test_a_plugin_file_can_provide_the_converter(cli, write_rows, tmp_path):
    plugin = tmp_path / "duels_in_a_file.py"
    plugin.write_text(PLUGIN)
    rows = write_rows({"better": "4", "worse": "5"})
    assert "Pairs" in inspected(cli, "--plugin", plugin, "--dataset", rows)["feedback"]
    assert "which hold no known feedback" in cli("inspect", "--dataset", rows).err
