"""PPO on TRL's trainer: metrics, losses, learning, prompts, critic, checkpoints, refusals."""

import math
from collections import Counter

import pytest
import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from ppo_runs import assert_same, length, share_of_high_tokens, steps, trained, weights
from safetensors.torch import load_file
from thorough_cases import with_thorough
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    TrainerCallback,
)

from rlhf_losses.errors import (
    DamagedCheckpointError,
    FeedbackMismatchError,
    InvalidFeedbackError,
    RlhfLossesError,
    UnsupportedModelError,
)
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.scoring import Scorer

pytestmark = pytest.mark.upstream

LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}


def without_scores(prompts, **_):
    return [None] * len(prompts)


# Metrics


def test_ratio_is_one_in_the_first_epoch_of_a_rollout(make_trainer):
    trainer = trained(make_trainer(changes={"num_iterations": 2, "max_steps": 4}))

    first, again, second, _ = steps(trainer)
    for entry in (first, second):
        assert entry["ratio"] == pytest.approx(1, abs=1e-5)
        assert entry["approx_kl"] == pytest.approx(0, abs=1e-6)
        assert entry["clip_ratio/region_mean"] == 0
        assert entry["loss/policy"] == pytest.approx(0, abs=1e-5)  # whitened advantages add up to 0
    assert again["approx_kl"] > 1e-6


def test_kl_and_values_are_zero_at_the_start(make_trainer):
    trainer = trained(make_trainer(changes={"max_steps": 1}))

    (entry,) = steps(trainer)
    assert entry["kl"] == entry["kl_per_completion"] == 0
    assert entry["value/mean"] == pytest.approx(0, abs=1e-6)
    assert entry["objective/rlhf_reward"] == pytest.approx(entry["reward"])


def test_no_reference_is_loaded_without_a_kl_penalty(make_trainer):
    trainer = trained(make_trainer(changes={"beta": 0.0, "max_steps": 1}))

    assert trainer.ref_model is None
    assert "kl" not in steps(trainer)[0]


def test_completion_without_scores_has_the_kl_penalty_only(make_trainer):
    trainer = trained(make_trainer(without_scores, changes={"max_steps": 2, "beta": 0.5}))

    for entry in steps(trainer):
        assert entry["reward"] is None
        assert entry["objective/rlhf_reward"] == pytest.approx(-0.5 * entry["kl_per_completion"], abs=1e-6)
        assert math.isfinite(entry["loss"])


def test_completions_table_has_the_advantages_of_the_critic(make_trainer):
    trainer = make_trainer(changes={"max_steps": 1, "num_iterations": 1})
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "b"}])

    means = rollout["advantages"].sum(1) / rollout["completion_mask"].sum(1)
    assert list(trainer._logs["advantages"]) == pytest.approx(means.tolist())


def test_settings_reach_the_collaborators(make_trainer):
    rewards = {"score_clip": 5.0, "missing_eos_penalty": 1.5, "whiten_rewards": True, "reward_weights": [2.0, 0.25]}
    changes = rewards | {"kl_target": 6.0, "kl_horizon": 50.0, "early_stop_kl": 0.5, "temperature": 0.7}
    each = {"multi_objective_aggregation": "normalize_then_sum"}
    trainer = make_trainer([share_of_high_tokens, length], changes=changes | each)
    pipeline = trainer.reward_pipeline
    assert pipeline.weights.tolist() == [2.0, 0.25]
    assert len(pipeline.stats) == 2
    assert len(make_trainer([share_of_high_tokens, length], changes=changes).reward_pipeline.stats) == 1
    assert (pipeline.score_clip, pipeline.missing_eos_penalty, pipeline.missing_eos_score) == (5.0, 1.5, None)
    assert pipeline.whiten_rewards
    assert (trainer.kl_controller.target, trainer.kl_controller.horizon) == (6.0, 50.0)
    assert trainer.early_stopping.limit == 0.5
    assert trainer.sequence_forward.temperature == 0.7
    assert trainer.pretraining_loss is trainer.monitor.timer is None


# The loss


def test_kl_penalty_is_in_the_rewards_not_in_the_loss(make_trainer):
    trainer = trained(make_trainer(changes={"beta": 5.0, "learning_rate": 1e-2}))
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "b"}])
    loss = trainer._compute_loss(trainer.model, rollout)

    assert trainer.beta == 5.0
    del rollout["ref_per_token_logps"]
    assert trainer._compute_loss(trainer.model, rollout) == loss


def test_one_micro_batch_of_eight_equals_four_of_two(make_trainer):
    raw = {"score_normalization": "none", "value_lam": 0.95}  # all completions have the same length
    cuts = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    whole = trained(make_trainer(length, changes=raw | {"per_device_train_batch_size": 8}))
    cut = trained(make_trainer(length, changes=raw | cuts))

    assert_same(weights(whole.model), weights(cut.model), rtol=1e-4, atol=1e-5)
    assert_same(weights(whole.critic), weights(cut.critic), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(steps(whole), steps(cut), strict=True):
        for name in ("loss/policy", "loss/value", "grad_norm", "objective/rlhf_reward", "value/explained_variance"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-6), name


def test_mean_loss_of_mini_batches_is_the_loss_of_the_rollout(make_trainer):
    frozen = {"learning_rate": 0.0, "critic_learning_rate": 0.0}
    whole = trained(make_trainer(length, changes=frozen | {"per_device_train_batch_size": 8, "max_steps": 1}))
    halves = trained(
        make_trainer(
            length,
            changes=frozen | {"per_device_train_batch_size": 4, "steps_per_generation": 2, "max_steps": 2},
        )
    )
    (entry,), parts = steps(whole), steps(halves)
    assert sum(part["loss/value"] for part in parts) / 2 == pytest.approx(entry["loss/value"], rel=1e-5)
    assert sum(part["loss/policy"] for part in parts) / 2 == pytest.approx(entry["loss/policy"], abs=1e-6)


def test_gradient_checkpointing_does_not_change_the_result(make_trainer):
    plain = trained(make_trainer())
    checkpointed = trained(make_trainer(changes={"gradient_checkpointing": True}))

    assert any(getattr(module, "gradient_checkpointing", False) for module in checkpointed.critic.modules())
    assert_same(weights(plain.critic), weights(checkpointed.critic), rtol=1e-5, atol=1e-6)
    assert_same(weights(plain.model), weights(checkpointed.model), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif("entropy_coef" not in PPOConfig.__dataclass_fields__, reason="this TRL has no entropy bonus")
def test_entropy_bonus_is_part_of_the_policy_loss(make_trainer):
    plain = trained(make_trainer(changes={"max_steps": 1}))
    with_bonus = trained(make_trainer(changes={"max_steps": 1, "entropy_coef": 0.1}))
    (without,), (entry,) = steps(plain), steps(with_bonus)
    assert entry["loss/policy"] == pytest.approx(without["loss/policy"] - 0.1 * entry["entropy"], rel=1e-4)


@pytest.mark.parametrize("changes", [{"loss_type": name} for name in ("bnpo", "grpo", "dr_grpo")], ids=str)
def test_every_loss_type_with_the_clipped_objective_trains(make_trainer, changes):
    trainer = trained(make_trainer(changes=changes | {"max_steps": 2}))
    assert all(math.isfinite(entry["loss"]) and entry["grad_norm"] > 0 for entry in steps(trainer))


def test_values_and_advantages_are_float32_in_bfloat16_training(make_trainer):
    trainer = trained(
        make_trainer(changes={"bf16": True, "num_iterations": 2, "max_steps": 2, "gradient_checkpointing": True})
    )

    assert all(math.isfinite(entry["loss"]) for entry in steps(trainer))
    assert steps(trainer)[0]["ratio"] == pytest.approx(1, abs=1e-2)  # bfloat16 keeps eight bits
    rollout = trainer._buffered_inputs[0]
    assert {rollout[name].dtype for name in ("values", "returns", "advantages")} == {torch.float32}


def test_masked_truncated_completions_train_nothing(make_trainer):
    def one(completion_ids, **_):
        return [1.0] * len(completion_ids)

    trainer = make_trainer(one, changes={"mask_truncated_completions": True, "max_completion_length": 1, "seed": 3})
    before = weights(trainer.model)
    trainer.train()

    assert all(entry["completions/clipped_ratio"] == 1 for entry in steps(trainer))
    assert_same(weights(trainer.model), before, rtol=0, atol=0)


# Learning


@pytest.mark.parametrize("peft_config", with_thorough([LoraConfig(r=8, target_modules="all-linear")], [None]))
def test_policy_learns_the_reward(make_trainer, peaked_policy, peft_config):
    changes = {
        "max_steps": 60 if peft_config else 40,
        "per_device_train_batch_size": 32,
        "num_iterations": 2,
        "learning_rate": 1e-2 if peft_config else 5e-3,
        "critic_learning_rate": 1e-2,
        "beta": 0.01,
    }
    trainer = trained(make_trainer(model=peaked_policy, changes=changes, peft_config=peft_config))

    rewards = [entry["reward"] for entry in steps(trainer) if "reward" in entry]
    assert rewards[0] < 0.6
    assert sum(rewards[-3:]) / 3 > 0.75
    assert steps(trainer)[-2]["kl_per_completion"] > 0.1


def test_large_kl_penalty_keeps_the_policy_near_its_reference(make_trainer, peaked_policy):
    def kl_after_training(beta):
        changes = {"max_steps": 16, "per_device_train_batch_size": 16, "beta": beta, "learning_rate": 3e-3}
        return steps(trained(make_trainer(model=peaked_policy, changes=changes)))[-1]["kl_per_completion"]

    assert kl_after_training(1.0) < 0.5 * kl_after_training(0.0001)


# Prompts


def test_each_prompt_is_completed_once_per_epoch_by_default(make_trainer, prompts):
    scored = []

    def record(prompts, **_):
        scored.extend(prompts)
        return [0.0] * len(prompts)

    changes = {"num_iterations": 2, "max_steps": -1, "num_train_epochs": 1, "per_device_train_batch_size": 8}
    trainer = trained(make_trainer(record, changes=changes))

    assert sorted(scored) == sorted(prompts["prompt"])
    assert trainer.state.global_step == len(prompts) * 2 // 8


@pytest.mark.parametrize("count", [3, 10])
def test_each_prompt_is_completed_in_every_pass_if_they_do_not_fill_the_rollouts(make_trainer, prompts, count):
    scored = []

    def record(prompts, **_):
        scored.append(prompts)
        return [0.0] * len(prompts)

    changes = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 4}
    trained(make_trainer(record, changes=changes, train_dataset=prompts.select(range(count))))

    per_pass = math.ceil(count / 4)
    assert [len(rollout) for rollout in scored] == [4] * 2 * per_pass
    repeated = []
    for each in (scored[:per_pass], scored[per_pass:]):
        counts = Counter(prompt for rollout in each for prompt in rollout)
        assert counts.keys() == set(prompts["prompt"][:count])
        repeated.append({prompt for prompt, number in counts.items() if number > 1})
    assert repeated[0] != repeated[1]


def test_each_prompt_is_completed_num_generations_times(make_trainer, prompts):
    scored = []

    def record(prompts, **_):
        scored.extend(prompts)
        return [0.0] * len(prompts)

    trained(make_trainer(record, changes={"num_generations": 4, "per_device_train_batch_size": 8, "max_steps": 2}))
    assert sorted(Counter(scored).values()) == [4] * 4


def test_prompts_can_be_a_stream(make_trainer, prompts):
    trainer = trained(make_trainer(train_dataset=prompts.to_iterable_dataset(), changes={"max_steps": 2}))
    assert all(math.isfinite(entry["loss"]) for entry in steps(trainer))


def test_prompts_can_be_conversations(make_trainer):
    scored = []

    def record(prompts, completions, **_):
        scored.extend(zip(prompts, completions, strict=True))
        return [1.0] * len(prompts)

    data = Dataset.from_dict({"prompt": [[{"role": "user", "content": f"Hello {i}"}] for i in range(8)]})
    trainer = trained(make_trainer(record, train_dataset=data, changes={"max_steps": 1}))

    assert len(scored) == 4
    assert all(prompt[0]["role"] == "user" and answer[0]["role"] == "assistant" for prompt, answer in scored)
    assert math.isfinite(steps(trainer)[0]["loss"])


def test_evaluation_trains_nothing(make_trainer, prompts):
    trainer = trained(make_trainer(eval_dataset=prompts.select(range(8)), changes={"max_steps": 2}))
    before = weights(trainer.model), weights(trainer.critic)
    metrics = trainer.evaluate()

    assert_same(weights(trainer.model), before[0], rtol=0, atol=0)
    assert_same(weights(trainer.critic), before[1], rtol=0, atol=0)
    assert math.isfinite(metrics["eval_loss"])
    logged = trainer.state.log_history[-1]
    assert logged["eval_objective/rlhf_reward"] == pytest.approx(
        logged["eval_reward"] - logged["eval_kl_coefficient"] * logged["eval_kl_per_completion"]
    )


def test_evaluation_works_before_and_during_training(make_trainer, prompts):
    trainer = make_trainer(
        eval_dataset=prompts.select(range(8)), changes={"max_steps": 2, "eval_strategy": "steps", "eval_steps": 1}
    )
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    trainer.train()
    assert len([entry for entry in trainer.state.log_history if "eval_loss" in entry]) == 2


# The critic


def test_critic_has_the_training_mode_of_the_policy(make_trainer, prompts):
    trainer = trained(make_trainer(eval_dataset=prompts.select(range(4)), changes={"max_steps": 1}))
    assert trainer.critic.training
    trainer.evaluate()
    assert not trainer.critic.training


def test_critic_has_its_own_learning_rate_on_the_same_schedule(make_trainer):
    changes = {"learning_rate": 1e-3, "critic_learning_rate": 4e-3, "lr_scheduler_type": "linear", "weight_decay": 0.1}
    trainer = make_trainer(changes=changes | {"max_steps": 4})
    rates = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_, optimizer, **__):
            rates.append(sorted({group["lr"] for group in optimizer.param_groups}))

    trainer.add_callback(Watch())
    trainer.train()

    assert rates[:3] == [pytest.approx([1e-3 * left, 4e-3 * left]) for left in (0.75, 0.5, 0.25)]
    optimized = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for module in (trainer.model, trainer.critic) for p in module.parameters()}
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.1, 0.0, 0.1, 0.0]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_gradients_of_policy_and_critic_are_clipped_apart_and_reset(make_trainer, accumulated):
    trainer = make_trainer(changes={"max_grad_norm": 0.01, "gradient_accumulation_steps": accumulated})
    norms = []

    def norm(module):
        return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]).item()

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, *_, **__):
            norms.append((norm(trainer.model), norm(trainer.critic)))

        def on_step_end(self, *_, **__):
            assert all(p.grad is None for module in (trainer.model, trainer.critic) for p in module.parameters())

    trainer.add_callback(Watch())
    trainer.train()

    assert len(norms) == 3
    for policy, critic in norms:
        assert policy == pytest.approx(0.01, rel=1e-3)
        assert 0 < critic <= 0.01 * (1 + 1e-3)
    assert all(entry["grad_norm"] > 0.01 for entry in steps(trainer))


def test_second_call_of_train_uses_the_same_optimizer(make_trainer):
    trainer = trained(make_trainer(changes={"max_steps": 2}))
    groups = len(trainer.optimizer.param_groups)
    before = weights(trainer.critic)
    trainer.train()
    assert len(trainer.optimizer.param_groups) == groups == 4
    assert not torch.equal(before["head.weight"], trainer.critic.head.weight)


def test_gradient_norm_includes_the_critic_without_clipping(make_trainer):
    clipped = trained(make_trainer(length, changes={"max_grad_norm": 1e9, "max_steps": 1}))
    free = trained(make_trainer(length, changes={"max_grad_norm": 0.0, "max_steps": 1}))
    assert steps(clipped)[0]["grad_norm"] == pytest.approx(steps(free)[0]["grad_norm"])


def test_critic_with_adapters_trains_adapters_and_head(make_trainer):
    trainer = make_trainer(peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"), changes={"learning_rate": 1e-2})
    before = weights(trainer.critic)
    trainer.train()
    after = weights(trainer.critic)

    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name, p in trainer.critic.named_parameters() if p.requires_grad}
    assert "head.weight" in changed
    assert all("lora_" in name for name in changed - {"head.weight"})
    assert trainer.ref_model is None


def test_peft_policy_gets_a_critic_with_the_same_adapters(make_trainer, language_model):
    from peft import get_peft_model

    policy = get_peft_model(AutoModelForCausalLM.from_pretrained(language_model), LoraConfig(**LORA))
    trainer = trained(make_trainer(model=policy, changes={"max_steps": 2}))

    learning = [name for name, p in trainer.critic.named_parameters() if p.requires_grad]
    assert len(learning) == 2 * 2 * 2 + 1  # two layers, two modules, two matrices each, and the head
    assert steps(trainer)[0]["kl"] == 0


def test_default_critic_is_a_copy_of_the_reward_model(make_trainer, reward_model, tokenizer):
    scorer = Scorer(reward_model.requires_grad_(False), tokenizer)
    trainer = make_trainer([share_of_high_tokens, scorer], changes={"learning_rate": 1e-2})
    torch.testing.assert_close(trainer.critic.head.weight, reward_model.score.weight)
    trainer.train()

    assert not torch.equal(trainer.critic.head.weight, reward_model.score.weight)
    assert not torch.equal(
        trainer.critic.backbone.layers[0].mlp.up_proj.weight, reward_model.model.layers[0].mlp.up_proj.weight
    )
    assert scorer(prompts=["a"], completions=["b"]) == Scorer(reward_model, tokenizer)(prompts=["a"], completions=["b"])


def test_left_padding_does_not_change_learned_positions(make_trainer, tokenizer, tmp_path):
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.3}
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes)
    ).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    trainer = make_trainer(model=str(tmp_path / "gpt2"), changes={"num_iterations": 2})
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "a much longer prompt"}])
    length = rollout["prompt_mask"][0].sum()
    ids = torch.cat([rollout["prompt_ids"][:1, -length:], rollout["completion_ids"][:1]], 1)
    with torch.no_grad():
        everywhere = trainer.model(ids).logits[:, length - 1 : -1].log_softmax(-1)
    alone = everywhere.gather(-1, ids[:, length:].unsqueeze(-1)).squeeze(-1)
    written = rollout["completion_mask"][:1].bool()
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        torch.testing.assert_close(rollout[name][:1][written], alone[written], rtol=1e-4, atol=1e-5)


# Files


@pytest.mark.parametrize("peft_config", [None, LoraConfig(**LORA)], ids=["full", "lora"])
def test_saved_policy_equals_that_of_grpo_without_critic(
    make_trainer, prompts, settings, language_model, tmp_path, peft_config
):
    trainer = make_trainer(peft_config=peft_config)
    grpo = trl.GRPOTrainer(
        language_model, length, trl.GRPOConfig(**settings(num_generations=2)), prompts, peft_config=peft_config
    )
    trainer.save_model(str(tmp_path / "ppo"))
    grpo.save_model(str(tmp_path / "grpo"))

    files = [sorted(path.name for path in (tmp_path / name).rglob("*")) for name in ("ppo", "grpo")]
    assert [file for file in files[0] if file != "README.md"] == [file for file in files[1] if file != "README.md"]
    name = "adapter_model.safetensors" if peft_config else "model.safetensors"
    ours, theirs = (load_file(tmp_path / folder / name) for folder in ("ppo", "grpo"))
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.parametrize(("peft_config", "epochs"), with_thorough([(None, 2)], [(LoraConfig(**LORA), 1)]))
def test_resumed_run_ends_like_an_uninterrupted_one(make_trainer, tmp_path, peft_config, epochs):
    changes = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "num_iterations": epochs}
    uninterrupted = make_trainer(changes=changes | {"output_dir": str(tmp_path / "run")}, peft_config=peft_config)
    uninterrupted.train()
    checkpoint = tmp_path / "run" / "checkpoint-2"
    assert {path.name for path in (checkpoint / "critic").iterdir()} == (
        {"adapter"} if peft_config else {"critic.safetensors"}
    )

    resumed = make_trainer(changes=changes | {"output_dir": str(tmp_path / "resumed")}, peft_config=peft_config)
    resumed.train(resume_from_checkpoint=str(checkpoint))

    assert resumed.state.global_step == 4
    assert_same(weights(resumed.model), weights(uninterrupted.model), rtol=1e-4, atol=1e-6)
    assert_same(weights(resumed.critic), weights(uninterrupted.critic), rtol=1e-4, atol=1e-6)
    moments = [trainer.optimizer.state_dict()["state"] for trainer in (resumed, uninterrupted)]
    assert moments[0].keys() == moments[1].keys()
    for ours, theirs in zip(*(state.values() for state in moments), strict=True):
        torch.testing.assert_close(ours["exp_avg"], theirs["exp_avg"], rtol=1e-3, atol=1e-6)


def test_resume_without_a_saved_critic_is_refused(make_trainer, tmp_path):
    changes = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "output_dir": str(tmp_path / "run")}
    make_trainer(changes=changes).train()
    (tmp_path / "run" / "checkpoint-1" / "critic" / "critic.safetensors").unlink()

    checkpoint = str(tmp_path / "run" / "checkpoint-1")
    with pytest.raises(DamagedCheckpointError, match=r"critic\.safetensors"):
        make_trainer(changes=changes).train(resume_from_checkpoint=checkpoint)
    (tmp_path / "run" / "checkpoint-1" / "manifest.json").unlink()  # as in checkpoints of earlier versions
    with pytest.raises(
        UnsupportedModelError, match=r"critic\.safetensors does not exist.*Resume from a checkpoint of PPOTrainer"
    ):
        make_trainer(changes=changes).train(resume_from_checkpoint=checkpoint)


def test_model_card_cites_ppo(make_trainer, tmp_path):
    trained(make_trainer(changes={"save_strategy": "steps", "save_steps": 3, "output_dir": str(tmp_path / "run")}))
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Fine-Tuning Language Models from Human Preferences" in card
    assert "DeepSeekMath" not in card


# Refusals


def test_language_model_is_refused_as_critic_before_loading_the_policy(make_trainer, language_model):
    expected = r"is a LlamaForCausalLM, which returns no score.* one number\. Use a reward model .*or omit the critic"
    for critic in (language_model, AutoModelForCausalLM.from_pretrained(language_model)):
        with pytest.raises(UnsupportedModelError, match=expected):
            make_trainer(model="no such policy", critic=critic)


@pytest.mark.parametrize("as_path", [True, False], ids=["path", "model"])
def test_classifier_is_refused_as_policy(make_trainer, reward_model, tokenizer, tmp_path, as_path):
    reward_model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    model = str(tmp_path / "reward") if as_path else LlamaForSequenceClassification.from_pretrained(tmp_path / "reward")
    with pytest.raises(
        UnsupportedModelError, match=r"is a LlamaForSequenceClassification, which cannot generate.*language model"
    ):
        make_trainer(model=model, processing_class=tokenizer)


def test_encoder_decoder_is_refused_as_policy(make_trainer, tokenizer, tmp_path):
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **shape)).save_pretrained(tmp_path / "t5")
    with pytest.raises(
        UnsupportedModelError, match=r"T5ForConditionalGeneration, an encoder-decoder.*decoder-only.*Use one"
    ):
        make_trainer(model=str(tmp_path / "t5"), processing_class=tokenizer)


def test_run_without_a_reward_function_is_refused(make_trainer):
    with pytest.raises(RlhfLossesError, match=r"reward_funcs=None has no reward function.*Set reward_funcs"):
        make_trainer(None)


@pytest.mark.parametrize("argument", ["train_dataset", "eval_dataset"])
def test_too_long_prompts_are_refused(make_trainer, argument):
    data = Dataset.from_dict({"prompt": ["a short one ", "x" * 400]})
    expected = r"1 of 2 prompts have more than \d+ tokens.*does not fit into.*context of 256.*Shorten or drop"
    with pytest.raises(InvalidFeedbackError, match=expected):
        make_trainer(**{argument: data})


def test_completions_as_long_as_the_context_are_refused(make_trainer):
    with pytest.raises(
        RlhfLossesError,
        match=r"max_completion_length=256 leaves .*context of 256.*Use a lower value",
    ):
        make_trainer(changes={"max_completion_length": 256})


def test_merged_policy_equals_the_trained_one(make_trainer, tmp_path):
    trainer = make_trainer(peft_config=LoraConfig(**LORA, init_lora_weights=False))
    merged = AutoModelForCausalLM.from_pretrained(trainer.save_merged(tmp_path / "merged"))
    ids = torch.arange(10, 30).unsqueeze(0)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    torch.testing.assert_close(merged(ids).logits, trainer.model(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("argument", ["train_dataset", "eval_dataset"])
def test_data_without_prompts_are_refused(make_trainer, argument):
    data = Dataset.from_dict({"question": ["a"], "answer": ["b"]})
    with pytest.raises(
        FeedbackMismatchError, match=r"question, answer and no prompt.*rename_column\(\"question\", \"prompt\"\)"
    ):
        make_trainer(**{argument: data})


def test_grpo_config_is_refused(language_model, prompts, settings):
    args = trl.GRPOConfig(**settings(num_generations=2))
    with pytest.raises(
        RlhfLossesError, match=r"args is a GRPOConfig.*no settings for a critic.*Use rlhf_losses.PPOConfig"
    ):
        PPOTrainer(language_model, length, args, prompts)


def test_policy_in_memory_has_no_reference(make_trainer, language_model, tokenizer):
    policy = AutoModelForCausalLM.from_config(AutoModelForCausalLM.from_pretrained(language_model).config)
    policy.config._name_or_path = ""
    with pytest.raises(
        UnsupportedModelError, match=r"created in memory and has no path.*save the policy with model\.save_pretrained"
    ):
        make_trainer(model=policy, processing_class=tokenizer)
    make_trainer(model=policy, processing_class=tokenizer, changes={"beta": 0.0, "max_steps": 1}).train()


def test_modified_policy_is_refused_because_of_its_reference(make_trainer, language_model):
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    make_trainer(model=policy)
    with torch.no_grad():
        policy.lm_head.weight[3, 3] += 0.1
    with pytest.raises(
        UnsupportedModelError, match=r"other weights than .*first difference: lm_head\.weight.*use the folder as model"
    ):
        make_trainer(model=policy)
    make_trainer(model=policy, changes={"beta": 0.0})


def test_schedule_in_optimizers_is_refused_and_an_optimizer_is_not(make_trainer, language_model):
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    with pytest.raises(RlhfLossesError, match=r"optimizers has a learning-rate schedule.*Use lr_scheduler_type"):
        make_trainer(model=policy, optimizers=(optimizer, schedule))

    trainer = make_trainer(model=policy, optimizers=(optimizer, None), changes={"critic_learning_rate": 1e-2})
    before = weights(trainer.critic)
    trainer.train()
    assert not torch.equal(trainer.critic.head.weight, before["head.weight"])
