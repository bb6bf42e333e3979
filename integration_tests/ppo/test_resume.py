"""A killed run ends where the unbroken one does, wherever it was killed."""

import pytest
import torch
from peft import LoraConfig
from ppo_runs import assert_same, share_of_high_tokens, steps, weights

from rlhf_losses.errors import UnsupportedModelError

LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
EVERYTHING = {
    "num_iterations": 3,
    "gradient_accumulation_steps": 2,
    "kl_target": 0.5,
    "kl_horizon": 50,
    "score_normalization": "running",
    "learning_rate": 1e-2,
    "lr_scheduler_type": "linear",
    "max_steps": 7,
    "save_strategy": "steps",
    "save_steps": 1,
}


@pytest.mark.parametrize("killed_after", [1, 2, 3, 5])
@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_a_killed_run_resumes_to_the_same_numbers(make_trainer, decided_policy, tmp_path, peft_config, killed_after):
    def make(folder):
        changes = EVERYTHING | {"output_dir": str(tmp_path / folder)}
        return make_trainer(model=decided_policy, changes=changes, peft_config=peft_config)

    unbroken = make("run")
    unbroken.train()
    resumed = make("resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{killed_after}"))

    exactly = {"rtol": 0, "atol": 0}
    assert_same(weights(resumed.model), weights(unbroken.model), **exactly)
    assert_same(weights(resumed.critic), weights(unbroken.critic), **exactly)
    assert resumed.beta == unbroken.beta != 0.05
    assert resumed.reward_pipeline.state() == unbroken.reward_pipeline.state()
    moments = [trainer.optimizer.state_dict()["state"] for trainer in (resumed, unbroken)]
    for ours, theirs in zip(*(state.values() for state in moments), strict=True):
        torch.testing.assert_close(ours, theirs, **exactly)
    for ours, theirs in zip(steps(resumed)[killed_after:], steps(unbroken)[killed_after:], strict=True):
        for name in ("loss/policy", "loss/value", "approx_kl", "grad_norm"):
            assert ours[name] == theirs[name], name


def test_a_checkpoint_holds_the_rollout_that_was_being_read(make_trainer, tmp_path):
    def make(folder, seen):
        def remember(prompts, **columns):
            seen.append(prompts)
            return share_of_high_tokens(**columns)

        return make_trainer(remember, changes=EVERYTHING | {"output_dir": str(tmp_path / folder), "max_steps": 3})

    first, second = [], []
    make("run", first).train()
    make("resumed", second).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))
    assert len(first) == 1
    assert second == []


def test_resuming_with_more_processes_is_refused(make_trainer, tmp_path):
    changes = EVERYTHING | {"output_dir": str(tmp_path / "run"), "max_steps": 1}
    make_trainer(changes=changes).train()
    (tmp_path / "run" / "checkpoint-1" / "ppo_state_0.pt").unlink()
    with pytest.raises(UnsupportedModelError, match=r"process 0 does not know where it was.*as many processes"):
        make_trainer(changes=changes | {"max_steps": 2}).train(
            resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1")
        )
