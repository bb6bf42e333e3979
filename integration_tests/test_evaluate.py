"""`evaluate`, the suites and `compare`: from a model and published files to numbers, tables and folders."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from datasets import Dataset, IterableDataset
from scored_datasets import pair
from tokenizers import normalizers

from rlhf_losses.cli.evaluation_tables import format_edits
from rlhf_losses.errors import FeedbackMismatchError, InvalidArgumentError, InvalidFeedbackError, UnknownNameError
from rlhf_losses.evaluation.output_folder import read_evaluation
from rlhf_losses.evaluation.text_edits import EDITS
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.scoring.suite_evaluation import evaluate_suite

ANSWERS = [
    "Red. It is.",
    "Blue is a colour.",
    "No. Green!",
    "I say yellow; why not?",
    "Pink.",
    "Grey, I think. Or not.",
]


@pytest.fixture
def scorer(reward_model, tokenizer):
    return Scorer(reward_model, tokenizer)


def colour_pairs(count=12):
    return [
        pair(
            f"Colour {i // 2}? ", ANSWERS[i % 6], ANSWERS[(i + 1 + i % 3) % 6], subset="ab"[i % 2], id=i, info={"x": 1}
        )
        for i in range(count)
    ]


def test_slices_and_lines_have_the_scores_of_the_scorer(scorer):
    rows = colour_pairs()
    found = evaluate(scorer, Dataset.from_list(rows), by=["subset"])
    scores = [scorer([row["prompt"]] * 2, [row["chosen"], row["rejected"]]) for row in rows]
    right = np.array([chosen > rejected for chosen, rejected in scores])
    assert found["accuracy"] == pytest.approx(right.mean())
    slices = {one.value: one.estimate.value for one in found.agreements[0].slices if one.by == "subset"}
    assert slices == {"a": right[::2].mean(), "b": right[1::2].mean()}
    for line, row, expected in zip(found.rows, rows, scores, strict=True):
        assert line.scores == pytest.approx(expected, abs=1e-6)
        assert (line.prompt, line.answers) == (row["prompt"], (row["chosen"], row["rejected"]))
        assert line.columns == {"subset": row["subset"], "id": row["id"]}  # and not the mapping
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["accuracy"] == found["accuracy"]


@pytest.mark.parametrize("loss", ["ordinal_preference", None], ids=["loss", "loss of training"])
def test_a_grade_of_0_is_a_tie_for_a_loss_of_grades(scorer, loss):
    if loss is None:
        scorer.metadata = replace(scorer.metadata, loss="ordinal_preference + 0.01 * centering")
    rows = [row | {"margin": index % 3} for index, row in enumerate(colour_pairs())]
    found, strong = (
        evaluate(scorer, Dataset.from_list(some), loss=loss) for some in (rows, [row for row in rows if row["margin"]])
    )
    assert (found.ties, strong.ties) == (len(rows) / 3, 0)
    assert found["accuracy"] == strong["accuracy"]
    assert evaluate(scorer, Dataset.from_list(rows), loss="bradley_terry").ties == 0
    missing = Dataset.from_list([rows[0], rows[1] | {"margin": None}])
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of evaluation data: Column 'margin' is null"):
        evaluate(scorer, missing, loss=loss)


def _nested(depth):
    return [_nested(depth - 1)] if depth else 1


def _row_with(make):
    yield {**pair("Colour? ", "Red.", "Blue."), "note": make()}


@pytest.mark.parametrize("make", [partial(chr, 0xD800), partial(_nested, 600), object])
def test_a_stream_with_a_value_that_no_table_holds_is_refused(scorer, make):
    stream = IterableDataset.from_generator(_row_with, gen_kwargs={"make": make})
    with pytest.raises(InvalidFeedbackError, match="values that a table cannot hold"):
        evaluate(scorer, stream)


def test_dropped_rows_are_counted_by_reason(scorer):
    scorer.encoder.context_length = 64
    rows = [
        *colour_pairs(4),
        pair("Why? " * 20, "a", "b", subset="a", id=9),
        pair("Who? ", None, None, subset="a", id=10),
    ]
    found = evaluate(scorer, Dataset.from_list([{**row, "info": None} for row in rows]), by=["subset"])
    assert found["rows"] == 4
    assert (found.dropped.given, found.dropped.too_long, found.dropped.without_feedback) == (6, 1, 1)
    assert found.to_dict()["dropped"]["total"] == 2
    assert any("2 of 6 rows (33.3 %)" in warning for warning in found.warnings)
    assert [row.row for row in found.rows] == [0, 1, 2, 3]


def test_a_loss_that_compares_rated_answers_adds_its_value_and_changes_nothing_else(scorer):
    rows = [{"prompt": f"{i // 2}?", "completion": ANSWERS[i], "rating": float(i)} for i in range(5)]
    rows.append({**rows[0], "rating": 3.0})  # rated twice: 0 and 3 have the mean 1.5
    found, without = (evaluate(scorer, Dataset.from_list(rows), loss=loss) for loss in ("bradley_terry", None))
    assert {name: value for name, value in found.items() if name != "loss"} == dict(without)
    scores = np.array(scorer([row["prompt"] for row in rows], [row["completion"] for row in rows]))
    differences = np.array([scores[0] - scores[1], scores[3] - scores[2]])
    assert found["loss"] == pytest.approx(np.logaddexp(0, -differences).mean(), rel=1e-5)
    with pytest.raises(FeedbackMismatchError, match="every prompt of evaluation data has one rated answer"):
        evaluate(scorer, Dataset.from_list(rows[::2][:3]), loss="bradley_terry")


def test_edits_are_scored_in_the_place_of_the_answers(scorer):
    rows = colour_pairs(6)
    effects = evaluate(scorer, Dataset.from_list(rows), edited_rows=6).edits
    prompts = [row["prompt"] for row in rows for _ in range(2)]
    answers = [row[side] for row in rows for side in ("chosen", "rejected")]
    before = np.array(scorer(prompts, answers))
    for effect in effects.edits:
        edited = [EDITS[effect.edit](text) for text in answers]
        change = np.array(scorer(prompts, edited)) - before
        changed = np.array([one != other for one, other in zip(edited, answers, strict=True)])
        assert effect.answers == changed.sum()
        assert effect.change.value == pytest.approx(change[changed].mean() / before.std(), rel=1e-3)
    assert effects.rows == 6
    assert effects.largest_change_by_order < 1e-5


def test_edits_that_change_no_token_are_left_out(scorer, monkeypatch):
    monkeypatch.setattr(scorer.tokenizer.backend_tokenizer, "normalizer", normalizers.Replace("*", ""))
    effects = evaluate(scorer, Dataset.from_list(colour_pairs(6)), edited_rows=6).edits
    (bold,) = (effect for effect in effects.edits if effect.edit == "bold")
    assert (bold.answers, bold.same_tokens) == (0, 12)
    assert "left out, because the tokenizer gives the same tokens: bold 12" in format_edits(effects)
    assert "+nan" not in format_edits(effects)


def test_messages_are_edited_too(scorer):
    row = {"prompt": [{"role": "user", "content": "Colour?"}]}
    row |= {
        side: [{"role": "assistant", "content": text}] for side, text in (("chosen", "Red."), ("rejected", "Blue."))
    }
    effects = evaluate(scorer, Dataset.from_list([row, row]), edited_rows=1).edits
    greeting = next(one for one in effects.edits if one.edit == "greeting")
    texts = ["Red.", "Blue.", *map(EDITS["greeting"], ("Red.", "Blue."))]
    scores = np.array(scorer([row["prompt"]] * 4, [[{"role": "assistant", "content": text}] for text in texts]))
    assert greeting.change.value == pytest.approx((scores[2:] - scores[:2]).mean() / scores[:2].std(), rel=1e-3)


def test_a_missing_column_is_refused(scorer):
    with pytest.raises(InvalidArgumentError, match="by='kind' is no column of the data"):
        evaluate(scorer, Dataset.from_list([pair("1?", "a", "b")]), by=["kind"])


def published(suite):
    """Return files of a suite with the columns that its authors publish."""
    question, right, wrong = "Name a colour.", "Red.", "A car."
    if suite == "rewardbench":
        models = {"chosen_model": "a", "rejected_model": "b"}
        return {
            "data": [{"prompt": question, "chosen": right, "rejected": wrong, **models, "subset": "hep-go", "id": 1}]
        }
    if suite == "rewardbench2":
        one = {"prompt": question, "num_correct": 1, "num_rejected": 3, "total_completions": 4, "models": ["m"]}
        best = {**one, "id": "7", "chosen": [right], "rejected": [wrong, "Or.", "And."], "subset": "Math"}
        reference = {**one, "id": "ref:0", "chosen": [right], "rejected": [wrong], "subset": "Ties"}
        tied = {
            **one,
            "id": "tied:0",
            "chosen": [right, "Blue."],
            "rejected": [wrong],
            "subset": "Ties",
            "num_correct": 2,
        }
        return {"data": [best, reference, tied]}
    if suite == "rm_bench":
        answers = {
            "chosen": [right, f"{right} Yes.", f"**{right}**"],
            "rejected": [wrong, f"{wrong} Yes.", f"**{wrong}**"],
        }
        return {"data": [{"id": "1", "prompt": question, **answers, "domain": "safety-refuse"}]}
    if suite == "ppe":
        human = {"prompt": question, "response_1": right, "response_2": wrong, "winner": "model_a", "model_a": "x"}
        responses = {f"response_{i + 1}": text for i, text in enumerate([right, wrong, "Or."])}
        best = {"prompt": question, **responses, "scores": [True, False, False], "sampled_conflict_pairs": [[1, 0]]}
        return {"PPE-Human-Preference-V1": [human, {**human, "winner": "tie (bothbad)"}], "PPE-MATH-Best-of-K": [best]}
    if suite == "judgebench":
        pairs = {"question": question, "response_A": wrong, "response_B": right, "label": "B>A"}
        return {"gpt": [{"pair_id": "a", "source": "livecodebench", **pairs}]}
    if suite == "llmbar":
        row = {"input": question, "output_1": wrong, "output_2": right, "label": 2}
        return {"LLMBar/Natural/dataset.json": [row], "LLMBar/Adversarial/Manual/dataset.json": [row, row]}
    if suite == "processbench":
        row = {"problem": "2 + 2?", "steps": ["It is 5.", "So 6."], "final_answer_correct": False, "label": 0}
        return {
            "gsm8k": [
                {"id": "gsm8k-0", "generator": "q", **row},
                {**row, "id": "gsm8k-1", "generator": "q", "label": -1},
            ]
        }
    row = {"modified_question": "2 + 2?", "modified_process": ["It is 5.", "So 6."], "error_steps": [1], "idx": "p_0"}
    return {"circular": [{**row, "original_question": "2 + 2?", "classification": "circular", "reason": "5"}]}


EXPECTED = {
    "rewardbench": {"Reasoning", "hep-go"},
    "rewardbench2": {"Math", "Ties"},
    "rm_bench": {"safety", "hard", "normal", "easy"},
    "ppe": {"human_preference", "math", "math best_of_k"},
    "judgebench": {"coding"},
    "llmbar": {"Natural", "Manual", "same_in_both_orders"},
    "processbench": {"gsm8k", "gsm8k error", "gsm8k correct"},
    "prmbench": {"circular"},
}


@pytest.mark.parametrize("suite", EXPECTED)
def test_published_files_give_the_numbers_of_their_suite(scorer, suite):
    files = {name: Dataset.from_list(rows) for name, rows in published(suite).items()}
    found = evaluate_suite(scorer, suite, files)
    assert {one.name for one in found.result.scores} == EXPECTED[suite]
    assert all(-0.01 <= one.value <= 1.01 for one in found.result.scores)
    json.dumps(found.to_dict(), allow_nan=False)
    if suite in ("judgebench", "llmbar"):
        right = np.diff(scorer(["Name a colour."] * 2, ["A car.", "Red."])) > 0
        scores = {one.name: one.value for one in found.result.scores}
        first, second = (line.scores for line in (found.rows[0], found.rows[-1]))
        assert first == pytest.approx(second[::-1])
        assert len({row.columns["order"] for row in found.rows}) == 2
        assert scores.get("same_in_both_orders", 1.0) == 1.0 or not right


def test_a_file_of_another_format_is_refused(scorer):
    with pytest.raises(
        FeedbackMismatchError, match=r"columns prompt, chosen, rejected, which are not those of rm_bench"
    ):
        evaluate_suite(scorer, "rm_bench", {"data": Dataset.from_list([pair("1?", "a", "b")])})
    with pytest.raises(UnknownNameError, match="Did you mean 'rewardbench'"):
        evaluate_suite(scorer, "rewardbenc", {})


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, language_model):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("evaluated")
    AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(language_model).save_pretrained(folder)
    return folder


def test_evaluate_writes_a_folder_that_compare_reads(done, cli, model_folder, write_rows, tmp_path):
    file = write_rows(*colour_pairs(8))
    command = ("evaluate", "--model", model_folder, "--dataset", file, "--by", "subset", "--edits", 2, "--output_dir")
    table = done(*command, tmp_path / "a").out
    assert {"rows", "accuracy", "──", "subset", "greeting"} <= {line.split()[0] for line in table.splitlines()}
    folder = read_evaluation(tmp_path / "a")
    result = done(*command, tmp_path / "b", "--json", "--report")
    printed = json.loads(result.out)
    assert printed == folder.metrics
    assert {"accuracy", "margin", "brier", "length_correlation", "partial_length_correlation"} <= set(
        printed["intervals"]
    )
    assert f"{printed['intervals']['brier']['low']:.4f} to" in table
    assert "report.html has the report" in result.err
    assert all(title in (tmp_path / "b" / "report.html").read_text() for title in ("By subset", "Reliability", "Edits"))
    assert len(folder.rows) == printed["rows"] == 8
    again = cli(*command, tmp_path / "a")
    assert (again.code, "--output_dir" in again.err) == (2, True)
    compared = json.loads(done("compare", tmp_path / "a", tmp_path / "b", "--json").out)["comparisons"]
    (only,) = compared.values()
    assert (only["rows"], only["difference"]["value"], only["p_value"]) == (8, 0.0, 1.0)
    assert "P (MCNEMAR)" in done("compare", tmp_path / "a", tmp_path / "b").out


def test_a_suite_reads_the_files_of_a_folder_one_by_one(done, cli, model_folder, tmp_path):
    for name, rows in published("llmbar").items():
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(rows))
    command = ("evaluate", "--model", model_folder, "--suite", "llmbar", "--dataset", tmp_path / "data", "--json")
    found = json.loads(done(*command).out)
    assert {name: one["items"] for name, one in found["scores"].items()} == {
        "Natural": 1, "Manual": 2, "same_in_both_orders": 3,
    }  # fmt: skip
    assert found["missing"] == ["Neighbor", "GPTInst", "GPTOut"]
    assert "--by has no effect" in cli(*command, "--by", "subset").err
    assert "Choose one of: rewardbench" in cli(*command[:3], "--suite", "xyz", "--dataset", tmp_path).err


def test_converted_rows_keep_the_named_columns(done, cli, model_folder, write_rows, tmp_path):
    row = {"question": "Name a colour.", "response_A": "A car.", "response_B": "Red.", "source": "x"}
    file = write_rows(
        *(
            {**row, "label": label, "kind": kind, "task": f"task {kind}", "of": {"a": 1}}
            for label, kind in (("A>B", "u"), ("B>A", "v"), (None, "v"))
        )
    )
    command = ("evaluate", "--model", model_folder, "--dataset", file, "--by", "kind", "--keep")
    found = json.loads(done(*command, "task", "--output_dir", tmp_path / "a", "--report", "--json").out)
    slices = [(one["by"], one["value"], one["items"]) for one in found["agreements"][0]["slices"]]
    assert ("kind", "u", 1) in slices
    assert found["dropped"]["not_converted"] == 1
    assert found["dropped"]["given"] == 3
    assert [one.columns["task"] for one in read_evaluation(tmp_path / "a").rows] == ["task u", "task v"]
    assert "0 (kind u, task task u)" in (tmp_path / "a" / "report.html").read_text()
    for name, message in (("tasks", "Did you mean 'task'"), ("of", "texts, numbers and lists of them only")):
        assert message in cli(*command, name).err
