"""Two processes with ZeRO-2 or ZeRO-3 on CPUs train the same reward model as two processes without it."""

import json
import os
import warnings
from functools import partial

import pytest
import torch
from datasets import Dataset
from ended_processes import run_forked
from peft import LoraConfig

from rlhf_losses import RewardConfig, RewardTrainer, Scorer

os.environ.setdefault("DS_ACCELERATOR", "cpu")
pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")

ROWS = [{"prompt": f"{i} ", "chosen": f"good {i}", "rejected": f"bad {i % 3}"} for i in range(16)]
TEXTS = ["0 good 0", "1 bad 1"]


def train(model, folder, stage, trained, _rank):
    """Train three steps and save the merged model."""
    warnings.simplefilter("ignore")  # DeepSpeed uses what torch has deprecated
    if stage:
        os.environ |= {
            "ACCELERATE_USE_DEEPSPEED": "true",
            "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage),
            "ACCELERATE_DEEPSPEED_ZERO3_INIT": str(stage == 3).lower(),
        }
    args = RewardConfig(
        str(folder), max_steps=3, per_device_train_batch_size=4, logging_steps=1, report_to="none", bf16=False,
        save_strategy="no", disable_tqdm=True, learning_rate=1e-3, use_cpu=not stage, ddp_backend="gloo",
        gradient_checkpointing=False,
    )  # fmt: skip
    torch.manual_seed(7)
    lora = LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.0) if trained == "lora" else None
    trainer = RewardTrainer(model, args, Dataset.from_list(ROWS), loss="bradley_terry", peft_config=lora)
    trainer.train()
    trainer.save_merged()
    scores = Scorer.from_pretrained(model_of_others(folder), device="cpu").score(TEXTS) if stage == 3 else None
    if trainer.is_world_process_zero():
        print("RESULT" + json.dumps({"log": trainer.state.log_history[:-1], "scores": scores}), flush=True)


def model_of_others(folder):
    """Return the merged model of the run without DeepSpeed."""
    return folder.parent / f"{folder.name.rsplit('-', 1)[0]}-0"


@pytest.mark.parametrize("trained", ["full", "lora"])
def test_zero_trains_and_saves_the_same_model(language_model, tmp_path, trained):
    logs = {}
    for stage in (0, 2, 3):
        folder = tmp_path / f"{trained}-{stage}"
        task = partial(train, language_model, folder, stage, trained)
        ended = run_forked(task, tmp_path / "output", timeout=250)
        assert [one.code for one in ended] == [0, 0], ended[0].output
        (line,) = [line for line in ended[0].output.splitlines() if line.startswith("RESULT")]
        logs[stage] = json.loads(line[6:])
    expected = Scorer.from_pretrained(tmp_path / f"{trained}-0").score(TEXTS)
    for stage in (2, 3):
        for ours, theirs in zip(logs[stage]["log"], logs[0]["log"], strict=True):
            for name in ("loss", "grad_norm", "accuracy"):
                assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6), (stage, name)
        assert Scorer.from_pretrained(tmp_path / f"{trained}-{stage}").score(TEXTS) == pytest.approx(expected, abs=1e-5)
    assert logs[3]["scores"] == pytest.approx(expected, abs=1e-6)  # a Scorer inside the run
