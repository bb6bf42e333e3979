"""Scripts for TRL's removed trainers run with the import changed, and train."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rlhf_losses import Scorer

pytestmark = pytest.mark.upstream

SCRIPTS = Path(__file__).parent / "trl_scripts"
COMMON = ["--report_to", "none", "--use_cpu", "--bf16", "False", "--disable_tqdm", "True", "--save_strategy", "no"]


@pytest.fixture
def run_script(tmp_path, monkeypatch):
    """Return a function that runs a script with the import changed, and returns its variables."""

    def run(name, *arguments):
        source = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
        changed, count = re.subn(r"from trl\.experimental\.\w+ import", "from rlhf_losses.compat.trl import", source)
        assert count == 1
        script = tmp_path / f"{name}.py"
        script.write_text(changed, encoding="utf-8")
        output_dir = tmp_path / "output"
        monkeypatch.setattr(sys, "argv", [str(script), "--output_dir", str(output_dir), *COMMON, *map(str, arguments)])
        return runpy.run_path(str(script), run_name="__main__") | {"output_dir": output_dir}

    return run


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def ppo_arguments(language_model, tmp_path, tokenizer, reward_model):
    reward_model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    prompts = write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": f"Say {number}:"} for number in range(20)])
    return [
        *("--dataset_name", prompts, "--sft_model_path", language_model, "--reward_model_path", tmp_path / "reward"),
        *("--per_device_train_batch_size", 4, "--gradient_accumulation_steps", 2, "--total_episodes", 16),
        *("--num_ppo_epochs", 2, "--num_mini_batches", 2, "--response_length", 6, "--missing_eos_penalty", 1.0),
        *("--learning_rate", 1e-2, "--per_device_eval_batch_size", 4, "--stop_token", "eos"),
    ]


def test_ppo_script(run_script, ppo_arguments, language_model, capsys):
    trainer = (result := run_script("ppo", *ppo_arguments))["trainer"]
    assert trainer.state.global_step == 2 * 2 * 2  # rollouts, epochs, mini-batches
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logs) == 2  # one for each rollout
    assert logs[0]["kl_coefficient"] == pytest.approx(0.05)
    before = AutoModelForCausalLM.from_pretrained(language_model)
    after = AutoModelForCausalLM.from_pretrained(result["output_dir"])
    assert not torch.equal(before.lm_head.weight, after.lm_head.weight)
    printed = capsys.readouterr().out
    assert printed.count("Completion") == 3  # after each rollout, and at the end
    assert "reward_model reads the tokens that the policy wrote" in printed
    assert "the reward model `reward` (local) |" in (result["output_dir"] / "README.md").read_text()


def test_ppo_script_with_adapters(run_script, ppo_arguments):
    result = run_script(
        "ppo", *ppo_arguments, "--use_peft", "--lora_r", "2", "--lora_target_modules", "q_proj", "v_proj"
    )
    assert result["trainer"].ref_model is None
    adapted = AutoPeftModelForCausalLM.from_pretrained(result["output_dir"])
    assert any(weight.any() for name, weight in adapted.named_parameters() if "lora_B" in name)


def test_prm_script(run_script, language_model, tmp_path):
    rows = [
        {"prompt": f"{one} + {two} = ", "completions": ["Add.", good * "Right." or "Wrong."], "labels": [True, good]}
        for one in range(4)
        for two in range(4)
        for good in (True, False)
    ]
    data = write_jsonl(tmp_path / "steps.jsonl", rows)
    result = run_script(
        *("prm", "--dataset_name", data, "--model_name_or_path", language_model, "--learning_rate", 1e-2),
        *("--num_train_epochs", 6, "--gradient_checkpointing", "False"),
    )
    metrics = json.loads((result["output_dir"] / "eval_results.json").read_text())
    assert metrics["eval_accuracy"] == 1.0
    scorer = Scorer.from_pretrained(result["output_dir"])
    right, wrong = (scorer.score_steps("1 + 1 = ", ["Add.", text])[1] for text in ("Right.", "Wrong."))
    assert right > 0 > wrong
    (head,) = (
        weight for name, weight in load_file(result["output_dir"] / "model.safetensors").items() if "score" in name
    )
    assert head.shape == (1, 32)
