"""`rlhf-losses ppo` takes prompts, and `score` texts, from well-known layouts of data."""

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
    """Return a file of transcripts, as hh-rlhf publishes them."""
    return write_rows(*[{"chosen": f"{TURNS} Yes.", "rejected": f"{TURNS} No."}] * 2)


@pytest.fixture
def judge(language_model, tokenizer, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
    model.save_pretrained(tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    return str(tmp_path / "judge")


def test_prompts_come_from_transcripts(rows, judge, language_model, tmp_path, cli):
    def ppo(*more, output):
        models = ["--model", language_model, "--reward_model", judge]
        answered = cli("ppo", *models, "--dataset", rows, "--output_dir", tmp_path / output, *FAST.split(), *more)
        return answered.code, answered.out + answered.err

    code, said = ppo(output="recognised")
    assert code == 0, said
    assert "train data: read as hh_rlhf (Pairs), recognised from the columns chosen, rejected" in said
    code, said = ppo("--converter", "native", output="native")
    assert code == 2
    assert "columns chosen, rejected and no prompt" in said
    code, said = ppo("--converter", "hh-rlhf", output="none")
    assert code == 2
    assert "No adapter is called 'hh-rlhf'. Did you mean 'hh_rlhf'?" in said


def test_texts_come_from_transcripts(rows, judge, done):
    def scores(*more):
        answered = done("score", "--model", judge, "--dataset", rows, *more)
        return [json.loads(line) for line in answered.out.splitlines()]

    recognised, named, as_is = scores(), scores("--converter", "hh_rlhf"), scores("--converter", "native")
    assert recognised == named
    assert [(line["row"], line["column"]) for line in named] == [(line["row"], line["column"]) for line in as_is]
    # The texts are the same, cut into prompt and answer.
    assert [line["score"] for line in named] == pytest.approx([line["score"] for line in as_is], abs=1e-5)
