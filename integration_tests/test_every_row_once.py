"""In an epoch every row counts once, with several processes as with one, in training and in evaluation."""

import pytest
from ragged import ragged_lists, run_in_processes

SCRIPT = """
import json, sys, torch
from datasets import load_from_disk
from rlhf_losses import RewardConfig, RewardTrainer

model, data, out, size, accumulated = sys.argv[1:]
rows = load_from_disk(data)
trainer = RewardTrainer(
    model,
    RewardConfig(
        out, num_train_epochs=2, per_device_train_batch_size=int(size), per_device_eval_batch_size=int(size),
        gradient_accumulation_steps=int(accumulated), logging_steps=1, save_strategy="no", report_to="none", bf16=False,
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


@pytest.mark.parametrize(("count", "accumulated"), [(13, 1), (13, 2), (9, 1)])
def test_rows_that_fill_the_last_batches_up_do_not_count(language_model, tmp_path, count, accumulated):
    ragged_lists().select(range(count)).save_to_disk(str(tmp_path / "data"))
    common = [language_model, str(tmp_path / "data")]
    alone = run_in_processes(SCRIPT, tmp_path, 1, *common, str(tmp_path / "one"), "4", str(accumulated))
    together = run_in_processes(SCRIPT, tmp_path, 2, *common, str(tmp_path / "two"), "2", str(accumulated))
    for one, two in zip(alone["log"], together["log"], strict=True):
        for name in ("loss", "grad_norm", "accuracy", "mean_reward", "num_tokens"):
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), (one["epoch"], name)
    for mine, theirs in zip(together["weights"], alone["weights"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    for name in ("eval_loss", "eval_accuracy", "eval_mean_reward"):
        assert together["eval"][name] == pytest.approx(alone["eval"][name], rel=1e-4, abs=1e-6), name
    assert len(together["scores"]) == len(alone["scores"]) == count
    for mine, theirs in zip(together["scores"], alone["scores"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
