"""PPO-ptx: the loss on pretraining texts is added to that of PPO, also in resumed runs."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from ppo_runs import assert_same, length, steps, trained, weights
from thorough_cases import with_thorough

from rlhf_losses.errors import RlhfLossesError

LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])


@pytest.fixture
def texts():
    return Dataset.from_dict({"text": [f"The fox {'sang and ' * (i % 4)}slept {i} times." for i in range(20)]})


@pytest.fixture
def make(make_trainer, texts):
    def make(coefficient=0.5, **arguments):
        changes = {"learning_rate": 3e-3, "ptx_coef": coefficient} | arguments.pop("changes", {})
        data = None if coefficient is None else texts
        return make_trainer(length, changes=changes, pretraining_dataset=data, **arguments)

    return make


def gradients(trainer, loss):
    """Return the gradients of a loss, a function of a trainer and a rollout."""
    torch.manual_seed(0)
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "The fox"}])
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    loss(trainer, rollout).backward()
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("layout", "shared_critic"),
    with_thorough([("padded", True), ("prefix_shared", False)], [("padded", False), ("prefix_shared", True)]),
)
def test_ptx_gradient_is_ppo_plus_weighted_cross_entropy(make, layout, shared_critic):
    changes = {"layout": layout, "shared_critic": shared_critic}
    mixed, plain = make(0.5, changes=changes), make(None, changes=changes)

    def cross_entropy(trainer, _):
        texts = mixed.pretraining_loss.batch(0)
        logits = [trainer.model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1) for ids in texts]
        chosen = [row.gather(1, torch.tensor(ids[1:])[:, None]) for row, ids in zip(logits, texts, strict=True)]
        return -torch.cat(chosen).mean()

    def whole(trainer, rollout):
        return trainer._compute_loss(trainer.model, rollout)

    found, ppo, pretraining = gradients(mixed, whole), gradients(plain, whole), gradients(plain, cross_entropy)
    expected = {name: ppo[name] + 0.5 * pretraining[name] for name in ppo}
    assert_same(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_ptx_coefficient_zero_logs_the_loss_and_trains_nothing(make, peft_config):
    logged, plain = (trained(make(coefficient, peft_config=peft_config)) for coefficient in (0.0, None))
    assert_same(weights(logged.model), weights(plain.model), rtol=0, atol=0)
    assert_same(weights(logged.critic), weights(plain.critic), rtol=0, atol=0)
    assert all(entry["loss/pretraining"] > 1 for entry in steps(logged))
    assert all("loss/pretraining" not in entry for entry in steps(plain))


def test_pretraining_texts_are_learned(make):
    untrained, mixed = (
        steps(trained(make(coefficient, changes={"max_steps": 12, "learning_rate": 1e-2})))[-1]["loss/pretraining"]
        for coefficient in (0.0, 5.0)
    )
    assert mixed < 0.8 * untrained


def test_one_micro_batch_of_eight_equals_four_of_two(make):
    whole = trained(make(changes={"per_device_train_batch_size": 8}))
    cut = trained(make(changes={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}))
    assert_same(weights(whole.model), weights(cut.model), rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(steps(whole), steps(cut), strict=True):
        assert ours["loss/pretraining"] == pytest.approx(theirs["loss/pretraining"], rel=1e-3)


@pytest.mark.parametrize("interrupted_at", with_thorough([3], [1]))
def test_resumed_run_continues_with_the_same_texts(make, tmp_path, interrupted_at):
    changes = {"num_iterations": 2, "gradient_accumulation_steps": 2, "max_steps": 5, "lr_scheduler_type": "linear"}
    changes |= {"save_strategy": "steps", "save_steps": 1}
    uninterrupted = trained(make(changes=changes | {"output_dir": str(tmp_path / "run")}))
    resumed = make(changes=changes | {"output_dir": str(tmp_path / "resumed")})
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{interrupted_at}"))
    assert_same(weights(resumed.model), weights(uninterrupted.model), rtol=0, atol=0)
    for ours, theirs in zip(steps(resumed)[interrupted_at:], steps(uninterrupted)[interrupted_at:], strict=True):
        assert ours["loss/pretraining"] == theirs["loss/pretraining"]


def test_critic_warmup_uses_no_pretraining_texts(make):
    warmup, training = steps(trained(make(changes={"critic_warmup_steps": 1, "max_steps": 2})))
    assert "loss/pretraining" not in warmup
    assert "loss/pretraining" in training


def test_evaluation_uses_no_pretraining_texts(make, prompts):
    trainer = make(eval_dataset=prompts.select(range(4)))
    trainer.evaluate()
    assert not [name for name in trainer.state.log_history[-1] if "pretraining" in name]


def test_pretraining_texts_and_their_weight_need_each_other(make_trainer, texts):
    with pytest.raises(RlhfLossesError, match=r"pretraining_dataset is set without ptx_coef.*Set ptx_coef"):
        make_trainer(length, model="no such policy", pretraining_dataset=texts)
    with pytest.raises(RlhfLossesError, match=r"ptx_coef=0.1 is set without .*texts.*Set pretraining_dataset"):
        make_trainer(length, model="no such policy", changes={"ptx_coef": 0.1})
