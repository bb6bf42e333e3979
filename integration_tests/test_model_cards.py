"""Model cards of real runs: their code runs, and no folder has a card that says nothing."""

import json
import re
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import ModelCard
from peft import LoraConfig

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer

pytestmark = pytest.mark.upstream


def run_code(folder: Path, monkeypatch) -> int:
    """Run each block of Python of a card in the folder above the model, and return their number."""
    monkeypatch.chdir(folder.parent)
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "card"})
    return len(blocks)


def metadata(folder: Path) -> dict:
    return ModelCard((folder / "README.md").read_text(), ignore_metadata_errors=False).data.to_dict()


@pytest.fixture(scope="module")
def rows(pairs, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    return file


def test_a_run_of_the_command_line(done, language_model, rows, tmp_path, monkeypatch, capsys):
    result = done(
        "train", "--model", language_model, "--dataset", rows, "--eval_dataset", rows, "--loss", "bradley_terry",
        "--max_steps", 2, "--save_steps", 1, "--use_peft", "--bf16", False, "--report_to", "none",
        "--output_dir", tmp_path / "reward",
    )  # fmt: skip
    folder, text = tmp_path / "reward", (tmp_path / "reward" / "README.md").read_text()
    assert "`tiny-llama` (local)" in text
    assert "`pairs.jsonl` (local)" in text
    assert "16 of 16 rows were used." in text
    assert "rlhf-losses train --model" in text
    assert (folder / "held_out_scores.png").read_bytes().startswith(b"\x89PNG")
    assert "![Scores on held-out data](held_out_scores.png)" in text
    assert "correlation of score and length" in text
    assert "have a standard deviation of " in text
    assert "| LoRA adapters of rank 16 with `lora_alpha` 32" in text
    assert "merged into the weights |" in text
    assert "num_train_epochs" not in text
    assert "nan" not in text
    (results,) = metadata(folder)["model-index"][0]["results"]
    assert results["dataset"]["name"] == "pairs.jsonl"
    assert {"accuracy"} <= {one["type"] for one in results["metrics"]}
    interval = re.search(r"\| Accuracy \| (.*) \((.*)\) \|", text)
    assert f"Accuracy on the evaluation data: {interval[1]} (95 % interval {interval[2]})." in result.out
    assert run_code(folder, monkeypatch) == 4
    assert "'label': 'reward'" in capsys.readouterr().out

    other = tmp_path / "other.jsonl"
    other.write_text("".join(rows.read_text().splitlines(keepends=True)[:9]))
    done("evaluate", "--model", folder, "--dataset", other, "--model_card")
    changed = (folder / "README.md").read_text()
    assert "On `other.jsonl`: 9 rows, 0 of them dropped." in changed
    assert changed.split("## Use")[1] == text.split("## Use")[1]

    checkpoint = (folder / "checkpoint-1" / "README.md").read_text()
    assert "checkpoint of an unfinished run" in checkpoint
    assert "[More Information Needed]" not in checkpoint
    assert metadata(folder / "checkpoint-1")["library_name"] == "peft"


def test_the_result_goes_into_the_card_of_a_folder_only(cli, rows):
    result = cli("evaluate", "--model", "org/model", "--dataset", rows, "--model_card")
    assert result.code == 2
    assert "--model_card writes into the folder" in result.err


def test_a_trainer_without_names_of_its_data(language_model, settings, pairs, tmp_path, monkeypatch):
    chats = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "chosen": [{"role": "assistant", "content": row["chosen"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
            }
            for row in pairs
        ]
    )
    args = RewardConfig(**settings(max_steps=1, max_length=46))
    trainer = RewardTrainer(language_model, args, chats, chats.select(range(4)), loss="eurus + 0.01 * score_decay")
    trainer.train()
    trainer.evaluate()
    folder = trainer.save_merged(tmp_path / "model")
    text = (folder / "README.md").read_text()
    used = len(trainer.train_dataset)
    assert f"{used} of 16 rows were used. The others are too long, or" in text
    assert 0 < used < 16
    assert "a dataset in memory" in text
    assert "On `evaluation data of the training`" in text
    assert run_code(folder, monkeypatch) == 3


def test_a_model_of_steps(language_model, settings, tmp_path, monkeypatch):
    rows = [{"prompt": "Count. ", "completions": ["One.", "Two."], "labels": [1.0, 0.0]}] * 4
    args = RewardConfig(**settings(max_steps=1))
    trainer = RewardTrainer(language_model, args, Dataset.from_list(rows), loss="step_cross_entropy")
    trainer.train()
    folder = trainer.save_merged(tmp_path / "model")
    assert "the aggregate of the scores of its steps" in (folder / "README.md").read_text()
    assert run_code(folder, monkeypatch) == 4


def test_a_policy_names_its_reward_model_base_and_prompts(trained, language_model, tmp_path, monkeypatch):
    scorer = Scorer.from_pretrained(trained.save_merged(tmp_path / "my-reward"))
    arguments = {"max_steps": 1, "per_device_train_batch_size": 2, "max_completion_length": 4, "save_steps": 1}
    config = PPOConfig(str(tmp_path / "policy"), report_to="none", bf16=False, use_cpu=True, **arguments)
    prompts = Dataset.from_dict({"prompt": ["a", "bc", "d", "e"]})
    trainer = PPOTrainer(language_model, scorer, config, prompts, peft_config=LoraConfig(r=2))
    trainer.train()
    folder = trainer.save_merged()
    text, data = (folder / "README.md").read_text(), metadata(folder)
    assert "the reward model `my-reward` (local), trained with `bradley_terry`" in text
    assert "`tiny-llama` (local)" in text
    assert "a dataset in memory, 4 rows" in text
    assert (data["pipeline_tag"], "ppo" in data["tags"]) == ("text-generation", True)
    assert run_code(folder, monkeypatch) == 1
    assert "[More Information Needed]" not in (folder / "checkpoint-1" / "README.md").read_text()
