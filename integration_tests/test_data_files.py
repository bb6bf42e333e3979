"""Commands and trainers on files as they are: other column names, tables of texts, and broken images beside texts."""

import json

import pytest
from datasets import Dataset, Features, Image, Value

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer
from rlhf_losses.scoring import evaluate

COLUMNS = "prompt=question,chosen=good.text,rejected=bad.0"
FAST = [
    "--per_device_train_batch_size",
    "4",
    "--disable_tqdm",
    "true",
    "--no_gradient_checkpointing",
    "--max_steps",
    "1",
]
BROKEN = {"bytes": b"no image", "path": None}


def pairs_with_broken_images() -> Dataset:
    features = Features({name: Value("string") for name in ("prompt", "chosen", "rejected")} | {"photo": Image()})
    rows = [{"prompt": f"{n} = ", "chosen": f"{n}", "rejected": f"{n + 1}", "photo": BROKEN} for n in range(4)]
    return Dataset.from_list(rows, features=features)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Return a file with pairs under other names, beside images that cannot be decoded."""
    text = Value("string")
    features = Features({"question": text, "good": {"text": text}, "bad": [text], "photo": Image()})
    rows = [{"question": f"{n} = ", "good": {"text": f"{n}"}, "bad": [f"{n + 1}"], "photo": BROKEN} for n in range(4)]
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    Dataset.from_list(rows, features=features).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def reward_model(language_model, file, tmp_path_factory):
    """Return a reward model that was trained on the renamed columns."""
    from rlhf_losses.cli.main import main

    run = tmp_path_factory.mktemp("run")
    where = ["--model", language_model, "--dataset", str(file), "--output_dir", str(run), "--columns", COLUMNS]
    assert main(["train", *where, "--loss", "bradley_terry", *FAST]) == 0
    return run


@pytest.mark.parametrize("streaming", [False, True])
def test_train_reads_renamed_columns_of_the_config_file(done, language_model, file, tmp_path, streaming):
    (tmp_path / "run.yaml").write_text(
        f"columns:\n  prompt: question\n  chosen: good.text\n  rejected: bad.0\ndataset_streaming: {streaming}\n"
    )
    pairs_with_broken_images().to_parquet(tmp_path / "held_out.parquet")  # has the new names already
    done(
        *("train", "--model", language_model, "--dataset", file, "--eval_dataset", tmp_path / "held_out.parquet"),
        *("--config", tmp_path / "run.yaml", "--loss", "bradley_terry", "--output_dir", tmp_path / "run", *FAST),
    )
    assert "eval_accuracy" in json.loads((tmp_path / "run" / "eval_results.json").read_text())


def test_evaluate_score_and_inspect_read_renamed_columns(done, reward_model, file):
    where = ("--dataset", file, "--columns", COLUMNS)
    assert json.loads(done("evaluate", "--model", reward_model, *where, "--json").out)["rows"] == 4
    lines = done("score", "--model", reward_model, *where).out.splitlines()
    scores = [json.loads(line)["score"] for line in lines]
    prompts, answers = zip(*((f"{n} = ", f"{n + more}") for n in range(4) for more in (0, 1)), strict=True)
    assert scores == pytest.approx(Scorer.from_pretrained(reward_model)(list(prompts), list(answers)), abs=1e-5)
    report = json.loads(done("inspect", *where, "--json").out)
    assert report["rows"] == 4
    assert "Pairs" in report["feedback"]


def test_ppo_reads_a_renamed_column_of_prompts(done, language_model, reward_model, file, tmp_path):
    done(
        *("ppo", "--model", language_model, "--reward_model", reward_model, "--dataset", file),
        *("--columns", "prompt=question", "--output_dir", tmp_path / "policy", "--max_completion_length", 4, *FAST),
    )


def test_the_texts_of_a_table_are_the_texts_of_json(done, reward_model, tmp_path):
    texts = ["None", "007", "1.50", "TRUE", "2024-01-31"]
    (tmp_path / "rows.csv").write_text("prompt,chosen,rejected\n" + "".join(f"Q: ,{text},NA\n" for text in texts))
    result = done("score", "--model", reward_model, "--dataset", tmp_path / "rows.csv")
    scores = [json.loads(line)["score"] for line in result.out.splitlines()]
    answers = [answer for text in texts for answer in (text, "NA")]
    expected = Scorer.from_pretrained(reward_model)(["Q: "] * len(answers), answers)
    assert scores == pytest.approx(expected, abs=1e-5)


def test_trainers_do_not_decode_images(settings, language_model, reward_model):
    data = pairs_with_broken_images()
    RewardTrainer(
        language_model, RewardConfig(**settings(max_steps=1)), train_dataset=data, eval_dataset={"held_out": data}
    ).train()
    assert evaluate(Scorer.from_pretrained(reward_model), data)["rows"] == 4
    args = PPOConfig(**settings(max_steps=1, max_completion_length=4))
    scorer = Scorer.from_pretrained(reward_model)
    PPOTrainer(language_model, scorer, args, train_dataset=data.remove_columns(["chosen", "rejected"])).train()


@pytest.mark.parametrize("streaming", [False, True])
def test_messages_with_different_keys_are_trained_on_and_scored(done, language_model, tmp_path, streaming):
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{n} = "} | ({"name": "Ann"} if n % 2 else {})],
            "chosen": [{"role": "assistant", "content": f"{n}"}],
            "rejected": [{"role": "assistant", "content": "2024-01-31"}],
        }
        for n in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = ("--dataset", tmp_path / "rows.jsonl")
    done(
        *("train", "--model", language_model, *where, "--loss", "bradley_terry", "--output_dir", tmp_path / "run"),
        *("--dataset_streaming", streaming, *FAST),
    )
    lines = done("score", "--model", tmp_path / "run", *where).out.splitlines()
    scores = [json.loads(line)["score"] for line in lines]
    prompts = [row["prompt"] for row in rows for _ in range(2)]
    answers = [row[side] for row in rows for side in ("chosen", "rejected")]
    assert scores == pytest.approx(Scorer.from_pretrained(tmp_path / "run")(prompts, answers), abs=1e-5)
