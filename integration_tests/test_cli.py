"""Commands with real trainers: train, score, evaluate, ppo, resume, demo, and real datasets."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from thorough_cases import with_thorough
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses import Scorer, load_rows
from rlhf_losses.cli.main import main

SHARED = Path(__file__).parents[2] / "shared"
STORIES = SHARED / "models" / "TinyStories-656K"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the shared data and models are missing")

FAST = "--per_device_train_batch_size 4 --learning_rate 1e-2 --disable_tqdm true --no_gradient_checkpointing"

CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{{ eos_token }}"

COLOURS = ("red", "blue", "green", "black", "white", "pink")


def write(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def pairs_against_exclamation_marks(colours: tuple[str, ...]) -> list[dict]:
    """Return pairs in which the answer with an exclamation mark is rejected."""
    return [
        {"prompt": f"What is {colour}? ", "chosen": f"A colour, {again}.", "rejected": f"No {again}!"}
        for colour in colours
        for again in colours
    ]


@pytest.fixture
def pairs_file(tmp_path) -> Path:
    return write(tmp_path / "pairs.jsonl", pairs_against_exclamation_marks(COLOURS[:4]))


@pytest.fixture
def held_out_file(tmp_path) -> Path:
    return write(tmp_path / "held_out.jsonl", pairs_against_exclamation_marks(COLOURS[4:]))


@pytest.fixture(scope="module")
def reward_model(language_model, tmp_path_factory) -> Path:
    """Return the folder of a reward model that the command has trained."""
    folder = tmp_path_factory.mktemp("cli")
    pairs = write(folder / "pairs.jsonl", pairs_against_exclamation_marks(COLOURS[:4]))
    run = ["train", "--model", language_model, "--dataset", str(pairs), "--output_dir", str(folder / "run")]
    assert (
        main([*run, "--loss", "bradley_terry + 0.01 * centering", "--max_steps", "30", "--report", *FAST.split()]) == 0
    )
    return folder / "run"


def steps_done(run: Path) -> int:
    last = max(run.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    return json.loads((last / "trainer_state.json").read_text())["global_step"]


def test_train_saves_a_merged_classifier_and_checkpoints(reward_model):
    model = AutoModelForSequenceClassification.from_pretrained(reward_model)
    assert model.config.num_labels == 1
    result = json.loads((reward_model / "reward_model.json").read_text())
    assert result["loss"] == "bradley_terry + 0.01 * centering"
    assert result["feedback_types"] == ["Pairs"]
    assert not (reward_model / "adapter_config.json").exists()
    assert (reward_model / "checkpoint-30" / "adapter_model.safetensors").exists()


def test_the_report_of_a_training_has_its_curves_and_its_data(reward_model):
    html = (reward_model / "report.html").read_text()
    for title in ("Loss", "Accuracy", "Margin", "Learning rate", "Lengths of answers: training data"):
        assert f"<strong>{title}</strong>" in html
    assert json.loads((reward_model / "trainer_state.json").read_text())["log_history"][-1]["step"] == 30


def test_the_score_head_is_saved_with_the_adapter(reward_model):
    saved = load_file(reward_model / "checkpoint-30" / "adapter_model.safetensors")
    assert any("score" in name for name in saved)


def test_evaluate_reports_the_accuracy_on_held_out_pairs(done, reward_model, held_out_file):
    result = json.loads(done("evaluate", "--model", reward_model, "--dataset", held_out_file, "--json").out)
    assert result["rows"] == 4
    assert result["accuracy"] > 0.9


def test_evaluate_prints_a_table_with_the_requested_loss(done, reward_model, held_out_file):
    result = done("evaluate", "--model", reward_model, "--dataset", held_out_file, "--loss", "hinge").out
    assert {line.split()[0] for line in result.splitlines()} >= {"rows", "accuracy", "margin", "loss"}


def test_score_prints_the_scores_of_the_scorer_one_line_per_text(done, reward_model, held_out_file):
    lines = [
        json.loads(line) for line in done("score", "--model", reward_model, "--dataset", held_out_file).out.splitlines()
    ]
    rows = pairs_against_exclamation_marks(COLOURS[4:])
    assert [(line["row"], line["column"]) for line in lines] == [
        (number, column) for number in range(len(rows)) for column in ("chosen", "rejected")
    ]
    scorer = Scorer.from_pretrained(reward_model)
    expected = scorer(
        [row["prompt"] for row in rows for _ in range(2)], [r[c] for r in rows for c in ("chosen", "rejected")]
    )
    assert [line["score"] for line in lines] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_do_not_depend_on_the_batch_size(done, reward_model, held_out_file, tmp_path, batch_size):
    command = ("score", "--model", reward_model, "--dataset", held_out_file)
    done(*command, "--batch_size", batch_size, "--output", tmp_path / "scores.jsonl")
    written = [json.loads(line)["score"] for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert written == pytest.approx([json.loads(line)["score"] for line in done(*command).out.splitlines()], abs=1e-5)


@pytest.mark.parametrize(("name", "delimiter"), [("scores.csv", ","), ("scores.TSV", "\t")])
def test_scores_are_a_table_as_the_suffix_says(done, reward_model, tmp_path, name, delimiter):
    rows = [
        {"Schlüssel": "007", "tags": ["a", "ä"], "prompt": "Hi ", "completion": "a, b"},
        {"Schlüssel": 'x;"y"\n\tz', "tags": [], "prompt": "Hi ", "completion": None},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ("score", "--model", reward_model, "--dataset", tmp_path / "rows.jsonl")
    command = (*command, "--keep", "Schlüssel", "--keep", "tags")
    done(*command, "--output", tmp_path / name)
    header = delimiter.join(["Schlüssel", "tags", "row", "item", "column", "index", "step", "score", "problem"])
    assert (tmp_path / name).read_bytes().decode().startswith(f"\ufeff{header}{delimiter}truncated\r\n")
    table, lines = load_rows(tmp_path / name), map(json.loads, done(*command).out.splitlines())
    assert [{key: value for key, value in row.items() if value is not None} for row in table] == [
        {key: value for key, value in line.items() if value is not None} for line in lines
    ]


def test_transforms_change_the_printed_scores_on_request(done, reward_model, held_out_file):
    command = ("score", "--model", reward_model, "--dataset", held_out_file)
    raw, clipped = (
        [json.loads(line)["score"] for line in done(*command, *more).out.splitlines()]
        for more in ((), ("--transforms", "clip(limit=0.01)"))
    )
    assert clipped == pytest.approx([min(max(score, -0.01), 0.01) for score in raw], abs=1e-5)
    assert max(map(abs, raw)) > 0.02


SHAPES = {
    "text": ({"text": "A colour."}, [{"column": "text"}]),
    "messages": ({"messages": [{"role": "user", "content": "Hi"}]}, [{"column": "messages"}]),
    "completion": ({"prompt": "Hi ", "completion": "there"}, [{"column": "completion"}]),
    "rankings": (
        {"prompt": "Hi ", "completions": ["a", "b"], "ranks": [1, 2]},
        [{"column": "completions", "index": 0}, {"column": "completions", "index": 1}],
    ),
    "steps, and a model of whole texts": (
        {"prompt": "Hi ", "completions": ["a.", "b."], "labels": [True, False]},
        [{"column": "completions"}],
    ),
    "two answers that nobody compared": (
        {"prompt": "Hi ", "response_a": "a", "response_b": "b", "winner": None},
        [{"column": "response_a"}, {"column": "response_b"}],
    ),
    "two answers without a winner": (
        {"prompt": "Hi ", "response_a": "a", "response_b": "b"},
        [{"column": "response_a"}, {"column": "response_b"}],
    ),
    "two feedback types": (
        {"prompt": "Hi ", "chosen": "a", "rejected": "b", "completion": "c", "label": True},
        [{"column": "chosen"}, {"column": "rejected"}, {"column": "completion"}],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_with_any_columns_are_scored(done, reward_model, tmp_path, shape):
    row, places = SHAPES[shape]
    file = write(tmp_path / "rows.jsonl", [{"id": 17, **row}])
    result = done("score", "--model", reward_model, "--dataset", file, "--max_rows", 1, "--keep", "id")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert all(isinstance(line.pop("score"), float) for line in lines)
    assert lines == [{"row": 0, "id": 17} | place for place in places]


@pytest.mark.parametrize(
    ("name", "message"),
    [("ids", "--keep ids is no column of the data, which have id, score, text. Did you mean 'id'?"),
     ("score", "--keep score would replace the key 'score' of the output")],
)  # fmt: skip
def test_columns_that_cannot_be_kept_are_refused(cli, tmp_path, name, message):
    file = write(tmp_path / "rows.jsonl", [{"id": 1, "score": 2.0, "text": "Hi"}])
    result = cli("score", "--model", "no-model", "--dataset", file, "--keep", name)
    assert (result.code, message in result.err) == (2, True)


def test_a_model_trained_on_steps_scores_each_step(done, language_model, tmp_path):
    rows = [
        {"prompt": "Count. ", "completions": ["One.", "Two.", "Four."], "labels": [True, True, False]},
        {"prompt": "Count. ", "completions": ["One."], "labels": [True]},
    ]
    file = write(tmp_path / "steps.jsonl", rows)
    done(
        *("train", "--model", language_model, "--dataset", file, "--loss", "segment_hinge"),
        *("--output_dir", tmp_path / "run", "--max_steps", 1, *FAST.split()),
    )
    result = done("score", "--model", tmp_path / "run", "--dataset", file)
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [(line["row"], line["index"]) for line in lines] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    scorer = Scorer.from_pretrained(tmp_path / "run")
    expected = [score for row in rows for score in scorer.score_steps(row["prompt"], row["completions"])]
    assert [line["score"] for line in lines] == pytest.approx(expected, abs=1e-5)


def test_a_text_that_cannot_be_scored_does_not_affect_the_others(done, reward_model, tmp_path):
    rows = [{"text": "Fine."}, {"text": ""}, {"text": "too long " * 100}, {"text": "Fine."}]
    result = done("score", "--model", reward_model, "--dataset", write(tmp_path / "rows.jsonl", rows))
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["score"] is None for line in lines] == [False, True, True, False]
    assert "empty" in lines[1]["problem"]
    assert "256" in lines[2]["problem"]
    assert "Texts without a score: 2." in result.err


def test_ppo_trains_a_policy_and_saves_it_merged(done, language_model, reward_model, pairs_file, tmp_path):
    result = done(
        *("ppo", "--model", language_model, "--reward_model", reward_model, "--dataset", pairs_file),
        *("--output_dir", tmp_path / "policy", "--max_steps", 2, "--max_completion_length", 8),
        *("--report", *FAST.split()),
    )
    assert "Explained variance" in (tmp_path / "policy" / "report.html").read_text()
    assert f"Saved the policy in {tmp_path / 'policy'}" in result.out
    assert re.search(r"A rollout of \d+ completions serves 4 optimizer steps: 2 steps are 1 rollout\.", result.err)
    assert f"rewards/{reward_model.name}/mean" in result.out
    compare = (
        f"--before {language_model} --after {tmp_path / 'policy'} --reward_model {reward_model} --dataset HELD_OUT"
    )
    assert f"Next: python compare_policies.py {compare} --max_completion_length 8 --temperature 1\n" in result.out
    policy = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    start = AutoModelForCausalLM.from_pretrained(language_model)
    assert any(not p.equal(q) for p, q in zip(policy.parameters(), start.parameters(), strict=True))


def test_a_config_file_trains_without_lora_and_evaluates_once(
    done, language_model, pairs_file, held_out_file, tmp_path
):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"model: {language_model}\ndataset: {pairs_file}\neval_dataset: {held_out_file}\nloss: hinge(margin=2.0)\n"
        f"output_dir: {tmp_path / 'run'}\nuse_peft: false\nmax_steps: 2\nreport_to: none\ndisable_tqdm: true\n"
    )
    done("train", "--config", config)
    assert not list((tmp_path / "run").rglob("adapter_model.safetensors"))
    assert json.loads((tmp_path / "run" / "reward_model.json").read_text())["loss"] == "hinge(margin=2.0)"
    assert "eval_accuracy" in json.loads((tmp_path / "run" / "eval_results.json").read_text())


def test_the_test_split_is_evaluated_during_training(done, language_model, pairs_file, held_out_file, tmp_path):
    (tmp_path / "data").mkdir()
    pairs_file.rename(tmp_path / "data" / "train.jsonl")
    held_out_file.rename(tmp_path / "data" / "test.jsonl")
    result = done(
        *("train", "--model", language_model, "--dataset", tmp_path / "data", "--output_dir", tmp_path / "run"),
        *("--loss", "bradley_terry", "--max_steps", 2, "--eval_strategy", "steps", "--eval_steps", 1, *FAST.split()),
    )
    assert result.out.count("'eval_accuracy'") == 2


def test_a_run_resumes_from_its_last_checkpoint(cli, done, language_model, pairs_file, tmp_path):
    run = tmp_path / "run"
    command = ("train", "--model", language_model, "--dataset", pairs_file, "--output_dir", run)
    command = (*command, "--loss", "bradley_terry", *FAST.split())
    done(*command, "--max_steps", 2)
    assert cli(*command, "--max_steps", 4).code == 2
    done(*command, "--max_steps", 4, "--resume_from_checkpoint")
    assert steps_done(run) == 4
    assert (run / "checkpoint-2").exists()


def test_dropped_rows_are_counted(done, language_model, tmp_path):
    rows = [
        *pairs_against_exclamation_marks(COLOURS[:3]),
        {"prompt": "Hi ", "chosen": "long " * 100, "rejected": "short"},
    ]
    result = done(
        *("train", "--model", language_model, "--dataset", write(tmp_path / "rows.jsonl", rows)),
        *("--loss", "bradley_terry", "--output_dir", tmp_path / "run", "--max_steps", 1, *FAST.split()),
    )
    assert "Trained on 9 of 10 rows (1 dropped): 1 step with bradley_terry." in result.out
    assert "1 of 10 rows have a text longer than 256 tokens" in result.err


def test_the_demo_increases_the_gold_reward_and_writes_models_results_and_a_report(done, tmp_path):
    result = done("demo", "--output_dir", tmp_path)
    assert "gold before → after" in result.out
    (outcome,) = json.loads((tmp_path / "results.json").read_text())
    assert outcome["loss"] == "bradley_terry"
    assert outcome["gold_after"] > outcome["gold_before"]
    assert outcome["gold_gain_ci"][0] > 0
    assert set(outcome) >= {"accuracy", "kl", "seconds"}
    assert f"{tmp_path / 'report.html'} has the report." in result.out
    assert "Gold reward of PPO" in (tmp_path / "report.html").read_text()
    assert Scorer.from_pretrained(tmp_path / "reward_model").score(["Once there was a fox."])
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "policy")


PLUGIN = '''
from dataclasses import dataclass
from rlhf_losses import PairwiseLoss, hookimpl

@dataclass(frozen=True)
class SquaredShortfall(PairwiseLoss):
    """Squared difference between 1 and a lower score difference."""

    def per_pair(self, score_difference):
        return (1 - score_difference).clamp(min=0) ** 2

@hookimpl
def provide_losses():
    return [SquaredShortfall]
'''


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [("--lora_r", 0, "`r` should be a positive"), ("--lora_target_modules", "nothing", "target")],
)
def test_errors_of_other_libraries_at_the_start_are_one_message(
    cli, language_model, pairs_file, tmp_path, flag, value, reason
):
    where = ("--model", language_model, "--dataset", pairs_file, "--loss", "hinge", "--output_dir", tmp_path / "run")
    result = cli("train", *where, flag, value, *FAST.split())
    assert result.code == 2
    assert reason in result.err.splitlines()[-1]
    assert result.err.splitlines()[-1].startswith("rlhf-losses: The run cannot start: ")


def test_train_uses_a_loss_of_a_plugin_file_and_the_printed_commands_run(done, language_model, pairs_file, tmp_path):
    plugin = tmp_path / "shortfall.py"
    plugin.write_text(PLUGIN)
    rows = tmp_path / "my pairs.jsonl"
    rows.write_text(pairs_file.read_text().replace('"chosen"', '"better"'))
    words = ("train", "--plugin", plugin, "--model", language_model, "--dataset", rows, "--columns", "chosen=better")
    where = ("--loss", "squared_shortfall", "--output_dir", tmp_path / "run")
    trained = done(*words, *where, "--max_steps", 1, *FAST.split())
    assert json.loads((tmp_path / "run" / "reward_model.json").read_text())["loss"] == "squared_shortfall"
    card = (tmp_path / "run" / "README.md").read_text()
    (again,) = re.findall(r"^rlhf-losses .* train .*", card, re.MULTILINE)
    shutil.rmtree(tmp_path / "run")
    done(*shlex.split(again)[1:])
    (evaluate,) = re.findall(r"rlhf-losses .* evaluate .*", trained.out)
    assert "accuracy" in done(*shlex.split(evaluate.replace("HELD_OUT", shlex.quote(str(rows))))[1:]).out
    (ppo,) = re.findall(r"rlhf-losses .* ppo .*", trained.out)
    assert "--dataset PROMPTS --output_dir DIR" in ppo  # the data have a column `prompt`, and its answers are not read


def test_ctrl_c_saves_a_checkpoint_and_prints_how_to_resume(language_model, pairs_file, tmp_path):
    run = tmp_path / "run"
    where = ["--model", language_model, "--dataset", str(pairs_file), "--output_dir", str(run)]
    endless = ["--loss", "hinge", "--max_steps", "100000", "--logging_steps", "1", *FAST.split()]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "rlhf_losses.cli.main", "train", *where, *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    ) as process:
        assert process.stdout is not None
        logged = next((line for line in process.stdout if "loss" in line), None)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert logged, err
    assert process.returncode == 130
    assert f"Saved {run}/checkpoint-{steps_done(run)}" in err
    assert "add --resume_from_checkpoint to the same command" in err
    assert "Traceback" not in err


REAL = {
    "qa_feedback/pairs": "bradley_terry + 0.01 * centering",
    "qa_feedback/rankings": "accumulated_pairs",
    "qa_feedback/steps": "segment_hinge",
    "qa_feedback/rated_steps": "segment_rating",
    "evouna/labels": "cross_entropy",
    "evouna/rankings": "plackett_luce",
    "pandalm/votes": "hinge + 0.01 * score_decay",
    "topical_chat/ratings": "squared_error",
    "processbench/steps": "segment_hinge",
    "helpsteer2_subset/pairs": "bradley_terry",
}
"""Real datasets of each feedback type, and a loss for each."""


def a_few_rows(name: str, tmp_path: Path, count: int = 24) -> Path:
    """Copy the first rows of a dataset: tokenizing all of them takes longer than two steps."""
    source = next(
        file for file in (SHARED / "data" / f"{name}.{split}.jsonl" for split in ("train", "test")) if file.exists()
    )
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(source.read_text().splitlines(keepends=True)[:count]))
    return file


@needs_shared
@pytest.mark.parametrize("name", with_thorough([*REAL][:2], [*REAL][2:]))
def test_real_datasets_are_trained_on_and_evaluated(done, tmp_path, name):
    (tmp_path / "chat.jinja").write_text(CHAT)
    rows = a_few_rows(name, tmp_path)
    result = done(
        *("train", "--model", STORIES, "--dataset", rows, "--loss", REAL[name], "--output_dir", tmp_path / "run"),
        *("--overlong", "truncate_prompt", "--chat_template_path", tmp_path / "chat.jinja"),
        *("--max_steps", 2, "--logging_steps", 1, *FAST.split()),
    )
    assert result.out.count("'loss'") == 2
    assert "of 24 rows" in result.out
    measured = done(
        "evaluate", "--model", tmp_path / "run", "--dataset", rows, "--overlong", "truncate_prompt", "--json"
    )
    assert json.loads(measured.out)["rows"] > 0


@needs_shared
def test_ratings_of_one_prompt_train_a_pairwise_loss(done, tmp_path):
    rows = a_few_rows("topical_chat/ratings", tmp_path)
    result = done(
        *("train", "--model", STORIES, "--dataset", rows, "--loss", "bradley_terry", "--output_dir", tmp_path / "run"),
        *("--overlong", "truncate_prompt", "--max_steps", 1, *FAST.split()),
    )
    assert "rated answers are grouped by prompt" in result.err
