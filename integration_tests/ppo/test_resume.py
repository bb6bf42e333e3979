"""A resumed run is equal to an uninterrupted one, at every point of a rollout and from older checkpoints."""

import pytest
import torch
from peft import LoraConfig
from ppo_runs import assert_same, logs_without_times, share_of_high_tokens, weights
from thorough_cases import with_thorough

from rlhf_losses.checkpoints.manifest import MANIFEST
from rlhf_losses.errors import UnsupportedModelError

pytestmark = pytest.mark.upstream

LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
SETTINGS = {
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


@pytest.mark.parametrize(("peft_config", "steps"), with_thorough([(LORA, [2, 5])], [(None, [1, 3])]))
def test_resumed_runs_are_bitwise_equal_to_an_uninterrupted_one(
    make_trainer, peaked_policy, tmp_path, peft_config, steps
):
    def make(folder):
        changes = SETTINGS | {"output_dir": str(tmp_path / folder)}
        return make_trainer(model=peaked_policy, changes=changes, peft_config=peft_config)

    uninterrupted = make("run")
    uninterrupted.train()
    for step in steps:
        resumed = make(f"resumed-{step}")
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{step}"))
        assert_same_run(resumed, uninterrupted)


def assert_same_run(resumed, uninterrupted):
    exactly = {"rtol": 0, "atol": 0}
    assert_same(weights(resumed.model), weights(uninterrupted.model), **exactly)
    assert_same(weights(resumed.critic), weights(uninterrupted.critic), **exactly)
    assert resumed.beta == uninterrupted.beta != 0.05
    assert resumed.reward_pipeline.state_dict() == uninterrupted.reward_pipeline.state_dict()
    moments = [trainer.optimizer.state_dict()["state"] for trainer in (resumed, uninterrupted)]
    for ours, theirs in zip(*(state.values() for state in moments), strict=True):
        torch.testing.assert_close(ours, theirs, **exactly)
    assert logs_without_times(resumed) == logs_without_times(uninterrupted)


def test_the_order_of_the_prompts_continues_in_a_later_pass(make_trainer, prompts, tmp_path):
    """TRL draws the order of each pass from one generator, which starts anew when a run resumes."""

    def make(folder):
        changes = {"max_steps": 5, "save_strategy": "steps", "save_steps": 1, "output_dir": str(tmp_path / folder)}
        return make_trainer(changes=changes, train_dataset=prompts.select(range(8)))

    uninterrupted, resumed = make("run"), make("resumed")
    uninterrupted.train()
    assert uninterrupted.state.epoch > 2
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert_same(weights(resumed.model), weights(uninterrupted.model), rtol=0, atol=0)


def test_checkpoint_of_schema_1_resumes_to_the_same_numbers(make_trainer, tmp_path):
    """Resume from a state file with the keys that the first version wrote."""

    def make(folder):
        plain = {"score_normalization": "none"}  # the first version did not shift values
        return make_trainer(changes=SETTINGS | plain | {"output_dir": str(tmp_path / folder), "max_steps": 4})

    uninterrupted = make("run")
    uninterrupted.train()
    file = tmp_path / "run" / "checkpoint-2" / "ppo_state_0.pt"
    state = torch.load(file, weights_only=True)
    scales = [{"count": one["count"], "mean": one["mean"], "squares": one["m2"]} for one in state["reward_stats"]]
    old = {"micro_batches": state["step"], "rollout": state["buffered_inputs"], "coefficient": state["beta"]}
    torch.save(old | {"scales": scales}, file)
    (file.parent / MANIFEST).unlink()  # earlier versions wrote none
    resumed = make("resumed")
    resumed.train(resume_from_checkpoint=str(file.parent))
    assert_same(weights(resumed.model), weights(uninterrupted.model), rtol=0, atol=0)
    assert_same(weights(resumed.critic), weights(uninterrupted.critic), rtol=0, atol=0)
    assert resumed.beta == uninterrupted.beta
    assert resumed.reward_pipeline.state_dict() == uninterrupted.reward_pipeline.state_dict()


def test_checkpoint_contains_the_current_rollout(make_trainer, tmp_path):
    def make(folder, calls):
        def record(prompts, **columns):
            calls.append(prompts)
            return share_of_high_tokens(**columns)

        return make_trainer(record, changes=SETTINGS | {"output_dir": str(tmp_path / folder), "max_steps": 3})

    first, second = [], []
    make("run", first).train()
    make("resumed", second).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))
    assert len(first) == 1
    assert second == []


def test_resume_with_more_processes_is_refused(make_trainer, tmp_path):
    changes = SETTINGS | {"output_dir": str(tmp_path / "run"), "max_steps": 1}
    make_trainer(changes=changes).train()
    for name in ("ppo_state_0.pt", MANIFEST):
        (tmp_path / "run" / "checkpoint-1" / name).unlink()
    with pytest.raises(UnsupportedModelError, match=r"ppo_state_0\.pt does not exist.*number of processes"):
        make_trainer(changes=changes | {"max_steps": 2}).train(
            resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1")
        )
