"""`rlhf-losses ppo` and `rlhf-losses score` convert well-known dataset formats."""

import json

import pytest
from transformers import AutoModelForSequenceClassification

FAST = (
    "--max_steps 1 --max_completion_length 4 --per_device_train_batch_size 2 --use_cpu --report_to none "
    "--disable_tqdm True --gradient_checkpointing False --save_strategy no"
)
TURNS = "\n\nHuman: Is the sky blue?\n\nAssistant:"


@pytest.fixture
def rows(write_rows):
    """Return a file of transcripts in the format of hh-rlhf."""
    return write_rows(*[{"chosen": f"{TURNS} Yes.", "rejected": f"{TURNS} No."}] * 2)


@pytest.fixture
def reward_model_folder(language_model, tokenizer, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
    model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    return str(tmp_path / "reward")


def test_prompts_are_converted_from_transcripts(rows, reward_model_folder, language_model, tmp_path, cli):
    def ppo(*more, output):
        models = ["--model", language_model, "--reward_model", reward_model_folder]
        result = cli("ppo", *models, "--dataset", rows, "--output_dir", tmp_path / output, *FAST.split(), *more)
        return result.code, result.out + result.err

    code, output = ppo(output="detected")
    assert code == 0, output
    assert "train data: read as hh_rlhf (texts)" in output
    assert "the columns chosen, rejected." in output
    code, output = ppo("--converter", "native", output="native")
    assert code == 2
    assert "columns chosen, rejected and no column" in output
    code, output = ppo("--converter", "hh-rlhf", output="none")
    assert code == 2
    assert "'hh-rlhf'. Did you mean 'hh_rlhf'?" in output


def test_scored_texts_are_converted_from_transcripts(rows, reward_model_folder, done):
    def scores(*more):
        result = done("score", "--model", reward_model_folder, "--dataset", rows, *more)
        return [json.loads(line) for line in result.out.splitlines()]

    detected, named, as_is = scores(), scores("--converter", "hh_rlhf"), scores("--converter", "native")
    assert detected == named
    assert [(line["row"], line["column"]) for line in named] == [(line["row"], line["column"]) for line in as_is]
    # The texts are the same; only the boundary between prompt and answer differs.
    assert [line["score"] for line in named] == pytest.approx([line["score"] for line in as_is], abs=1e-5)
