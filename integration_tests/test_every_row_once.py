"""In an epoch every row counts once, with one process or several, in training and in evaluation."""

import json

import pytest
from ragged import printed_by_processes, ragged_lists, results_in

pytestmark = pytest.mark.upstream

CASES = [(13, 1), (13, 2), (9, 1)]
"""Numbers of rows, and of batches per optimizer step; a step of one batch has four rows."""

SCRIPT = """
import json, sys, torch
from datasets import load_from_disk
from rlhf_losses import RewardConfig, RewardTrainer

model, data, out, size, cases = sys.argv[1:]
for count, accumulated in json.loads(cases):
    rows = load_from_disk(data).select(range(count))
    trainer = RewardTrainer(
        model,
        RewardConfig(
            out, num_train_epochs=2, per_device_train_batch_size=int(size), per_device_eval_batch_size=int(size),
            gradient_accumulation_steps=accumulated, logging_steps=1, save_strategy="no", report_to="none", bf16=False,
            gradient_checkpointing=False, use_cpu=True, disable_tqdm=True, learning_rate=1e-3, ddp_backend="gloo",
        ),
        train_dataset=rows,
        eval_dataset=rows,
        loss="plackett_luce + 0.1 * centering",
    )
    trainer.train()
    log = trainer.state.log_history[:-1]
    measured = trainer.predict(trainer.eval_dataset)
    trainer.evaluate()
    if trainer.is_world_process_zero():
        weights = [weight.flatten()[:50].tolist() for weight in trainer.model.parameters()]
        kept = [line[:count].tolist() for line, count in zip(measured.predictions, measured.label_ids, strict=True)]
        found = {"log": log, "eval": trainer.state.log_history[-1], "scores": kept, "weights": weights}
        print("RESULT" + json.dumps(found), flush=True)
"""


def test_rows_repeated_in_the_last_batches_do_not_count(language_model, tmp_path):
    ragged_lists().save_to_disk(str(tmp_path / "data"))
    arguments = (language_model, str(tmp_path / "data"), str(tmp_path / "out"))
    found = [
        results_in(
            printed_by_processes(SCRIPT, tmp_path, processes, *arguments, str(4 // processes), json.dumps(CASES))
        )
        for processes in (1, 2)
    ]
    for (count, _), alone, together in zip(CASES, *found, strict=True):
        for one, two in zip(alone["log"], together["log"], strict=True):
            for name in ("loss", "grad_norm", "accuracy", "mean_reward", "num_tokens"):
                assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), (count, one["epoch"], name)
        for mine, theirs in zip(together["weights"], alone["weights"], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        for name in ("eval_loss", "eval_accuracy", "eval_mean_reward"):
            assert together["eval"][name] == pytest.approx(alone["eval"][name], rel=1e-4, abs=1e-6), (count, name)
        assert len(together["scores"]) == len(alone["scores"]) == count
        for mine, theirs in zip(together["scores"], alone["scores"], strict=True):
            assert mine == pytest.approx(theirs, abs=1e-4)
