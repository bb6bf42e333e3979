"""PPO on TRL's trainer: what is logged, learned, clipped, saved, resumed and refused."""

import math
from collections import Counter

import pytest
import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from ppo_runs import assert_same, length, share_of_high_tokens, steps, trained, weights
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    TrainerCallback,
)

from rlhf_losses.errors import (
    FeedbackMismatchError,
    InvalidFeedbackError,
    InvalidSettingError,
    RlhfLossesError,
    UnsupportedModelError,
)
from rlhf_losses.ppo import Ensemble, PPOConfig, PPOTrainer
from rlhf_losses.scoring import Scorer

LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}


def no_opinion(prompts, **_):
    return [None] * len(prompts)


# What is logged


def test_in_the_first_epoch_of_a_rollout_the_policy_is_still_the_one_that_wrote_it(make_trainer):
    trainer = trained(make_trainer(changes={"num_iterations": 2, "max_steps": 4}))

    first, again, second, _ = steps(trainer)
    for entry in (first, second):
        assert entry["ratio"] == pytest.approx(1, abs=1e-5)
        assert entry["approx_kl"] == pytest.approx(0, abs=1e-6)
        assert entry["clip_ratio/region_mean"] == 0
        assert entry["loss/policy"] == pytest.approx(0, abs=1e-5)  # whitened advantages add up to 0
    assert again["approx_kl"] > 1e-6


def test_at_the_start_the_policy_is_its_reference_and_the_critic_says_zero(make_trainer):
    trainer = trained(make_trainer(changes={"max_steps": 1}))

    (entry,) = steps(trainer)
    assert entry["kl"] == entry["kl_per_completion"] == entry["value/mean"] == 0
    assert entry["objective"] == pytest.approx(entry["reward"])


def test_the_objective_is_the_score_minus_the_penalty_a_completion(make_trainer):
    trainer = trained(make_trainer(changes={"max_steps": 3, "beta": 0.3, "learning_rate": 1e-2}))

    for entry in steps(trainer):
        assert entry["objective"] == pytest.approx(entry["reward"] - 0.3 * entry["kl_per_completion"], abs=1e-6)
        assert entry["kl_per_completion"] == pytest.approx(entry["kl"] * entry["completions/mean_length"], rel=1e-4)
    assert steps(trainer)[-1]["kl"] != 0


def test_without_a_penalty_no_reference_is_loaded(make_trainer):
    trainer = trained(make_trainer(changes={"beta": 0.0, "max_steps": 1}))

    assert trainer.ref_model is None
    assert "kl" not in steps(trainer)[0]


def test_reward_functions_are_added_with_their_weights(make_trainer):
    trainer = make_trainer(
        [share_of_high_tokens, length], changes={"reward_weights": [2.0, 0.25], "beta": 0.0, "max_steps": 2}
    )
    trainer.train()

    for entry in steps(trainer):
        share, size = entry["rewards/share_of_high_tokens/mean"], entry["rewards/length/mean"]
        assert entry["objective"] == pytest.approx(2.0 * share + 0.25 * size)


def test_a_completion_that_no_reward_function_knows_pays_its_penalty_only(make_trainer):
    trainer = trained(make_trainer(no_opinion, changes={"max_steps": 2, "beta": 0.5}))

    for entry in steps(trainer):
        assert entry["reward"] is None
        assert entry["objective"] == pytest.approx(-0.5 * entry["kl_per_completion"], abs=1e-6)
        assert math.isfinite(entry["loss"])


def test_the_table_of_completions_shows_the_advantages_of_the_critic(make_trainer):
    trainer = make_trainer(changes={"max_steps": 1, "num_iterations": 1})
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "b"}])

    means = rollout["advantages"].sum(1) / rollout["completion_mask"].sum(1)
    assert list(trainer._logs["advantages"]) == pytest.approx(means.tolist())


# The loss


def test_the_penalty_is_in_the_rewards_and_not_in_the_loss(make_trainer):
    trainer = trained(make_trainer(changes={"beta": 5.0, "learning_rate": 1e-2}))
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "b"}])
    loss = trainer._compute_loss(trainer.model, rollout)

    assert trainer.beta == 5.0
    del rollout["ref_per_token_logps"]
    assert trainer._compute_loss(trainer.model, rollout) == loss


def test_advantages_and_returns_are_those_of_the_rewards(make_trainer):
    trainer = make_trainer(length, changes={"beta": 0.0, "gamma": 1.0, "lam": 1.0, "whiten_advantages": False})
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "bcd"}])

    mask = rollout["completion_mask"].bool()
    score = mask.sum(1, keepdim=True).float().expand_as(mask)
    torch.testing.assert_close(rollout["returns"], torch.where(mask, score, 0.0))
    torch.testing.assert_close(rollout["advantages"], torch.where(mask, score - rollout["values"], 0.0))


def test_one_micro_batch_of_eight_equals_four_of_two(make_trainer):
    whole = trained(make_trainer(length, changes={"per_device_train_batch_size": 8}))
    cut = trained(make_trainer(length, changes={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}))

    assert_same(weights(whole.model), weights(cut.model), rtol=1e-4, atol=1e-5)
    assert_same(weights(whole.critic), weights(cut.critic), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(steps(whole), steps(cut), strict=True):
        for name in ("loss/policy", "loss/value", "grad_norm", "objective", "value/explained_variance"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-6), name


def test_the_losses_of_the_minibatches_of_a_rollout_average_to_that_of_the_rollout(make_trainer):
    still = {"learning_rate": 0.0, "critic_learning_rate": 0.0}
    whole = trained(make_trainer(length, changes=still | {"per_device_train_batch_size": 8, "max_steps": 1}))
    halves = trained(
        make_trainer(
            length,
            changes=still | {"per_device_train_batch_size": 4, "steps_per_generation": 2, "max_steps": 2},
        )
    )
    (entry,), parts = steps(whole), steps(halves)
    assert sum(part["loss/value"] for part in parts) / 2 == pytest.approx(entry["loss/value"], rel=1e-5)
    assert sum(part["loss/policy"] for part in parts) / 2 == pytest.approx(entry["loss/policy"], abs=1e-6)


def test_activation_checkpointing_changes_nothing_but_the_memory(make_trainer):
    plain = trained(make_trainer())
    thrifty = trained(make_trainer(changes={"gradient_checkpointing": True}))

    assert any(getattr(module, "gradient_checkpointing", False) for module in thrifty.critic.modules())
    assert_same(weights(plain.critic), weights(thrifty.critic), rtol=1e-5, atol=1e-6)
    assert_same(weights(plain.model), weights(thrifty.model), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif("entropy_coef" not in PPOConfig.__dataclass_fields__, reason="this TRL has no entropy bonus")
def test_an_entropy_bonus_is_a_part_of_the_policy_loss(make_trainer):
    plain = trained(make_trainer(changes={"max_steps": 1}))
    curious = trained(make_trainer(changes={"max_steps": 1, "entropy_coef": 0.1}))
    (without,), (entry,) = steps(plain), steps(curious)
    assert entry["loss/policy"] == pytest.approx(without["loss/policy"] - 0.1 * entry["entropy"], rel=1e-4)


@pytest.mark.parametrize("changes", [{"loss_type": name} for name in ("bnpo", "grpo", "dr_grpo")], ids=str)
def test_every_average_of_the_clipped_objective_trains(make_trainer, changes):
    trainer = trained(make_trainer(changes=changes | {"max_steps": 2}))
    assert all(math.isfinite(entry["loss"]) and entry["grad_norm"] > 0 for entry in steps(trainer))


def test_training_in_bfloat16_keeps_values_and_advantages_in_float32(make_trainer):
    trainer = trained(
        make_trainer(changes={"bf16": True, "num_iterations": 2, "max_steps": 2, "gradient_checkpointing": True})
    )

    assert all(math.isfinite(entry["loss"]) for entry in steps(trainer))
    assert steps(trainer)[0]["ratio"] == pytest.approx(1, abs=1e-2)  # bfloat16 keeps eight bits
    rollout = trainer._buffered_inputs[0]
    assert {rollout[name].dtype for name in ("values", "returns", "advantages")} == {torch.float32}


def test_when_every_completion_was_cut_off_and_masked_nothing_is_learned(make_trainer):
    def never_stop(completion_ids, **_):
        return [1.0] * len(completion_ids)

    trainer = make_trainer(
        never_stop, changes={"mask_truncated_completions": True, "max_completion_length": 1, "seed": 3}
    )
    before = weights(trainer.model)
    trainer.train()

    assert all(entry["completions/clipped_ratio"] == 1 for entry in steps(trainer))
    assert_same(weights(trainer.model), before, rtol=0, atol=0)


# Learning


@pytest.mark.parametrize("peft_config", [None, LoraConfig(r=8, target_modules="all-linear")], ids=["full", "lora"])
def test_the_policy_learns_what_is_rewarded(make_trainer, decided_policy, peft_config):
    changes = {
        "max_steps": 40,
        "per_device_train_batch_size": 32,
        "num_iterations": 2,
        "learning_rate": 1e-2 if peft_config else 5e-3,
        "critic_learning_rate": 1e-2,
        "beta": 0.01,
    }
    trainer = trained(make_trainer(model=decided_policy, changes=changes, peft_config=peft_config))

    rewards = [entry["reward"] for entry in steps(trainer) if "reward" in entry]
    assert rewards[0] < 0.6
    assert sum(rewards[-3:]) / 3 > 0.75
    assert steps(trainer)[-2]["kl_per_completion"] > 0.1


def test_a_large_penalty_keeps_the_policy_near_its_reference(make_trainer, decided_policy):
    def kl_after_training(beta):
        changes = {"max_steps": 16, "per_device_train_batch_size": 16, "beta": beta, "learning_rate": 3e-3}
        return steps(trained(make_trainer(model=decided_policy, changes=changes)))[-1]["kl_per_completion"]

    assert kl_after_training(1.0) < 0.5 * kl_after_training(0.0001)


# Prompts


def test_with_one_completion_a_prompt_every_prompt_is_answered_once_an_epoch(make_trainer, prompts):
    seen = []

    def remember(prompts, **_):
        seen.extend(prompts)
        return [0.0] * len(prompts)

    changes = {"num_iterations": 2, "max_steps": -1, "num_train_epochs": 1, "per_device_train_batch_size": 8}
    trainer = trained(make_trainer(remember, changes=changes))

    assert sorted(seen) == sorted(prompts["prompt"])
    assert trainer.state.global_step == len(prompts) * 2 // 8


def test_with_several_completions_a_prompt_each_is_answered_so_often(make_trainer, prompts):
    seen = []

    def remember(prompts, **_):
        seen.extend(prompts)
        return [0.0] * len(prompts)

    trained(make_trainer(remember, changes={"num_generations": 4, "per_device_train_batch_size": 8, "max_steps": 2}))
    assert sorted(Counter(seen).values()) == [4] * 4


def test_prompts_can_come_as_a_stream(make_trainer, prompts):
    trainer = trained(make_trainer(train_dataset=prompts.to_iterable_dataset(), changes={"max_steps": 2}))
    assert all(math.isfinite(entry["loss"]) for entry in steps(trainer))


def test_conversations_are_prompts_too(make_trainer):
    seen = []

    def remember(prompts, completions, **_):
        seen.extend(zip(prompts, completions, strict=True))
        return [1.0] * len(prompts)

    data = Dataset.from_dict({"prompt": [[{"role": "user", "content": f"Hello {i}"}] for i in range(8)]})
    trainer = trained(make_trainer(remember, train_dataset=data, changes={"max_steps": 1}))

    assert len(seen) == 4
    assert all(prompt[0]["role"] == "user" and answer[0]["role"] == "assistant" for prompt, answer in seen)
    assert math.isfinite(steps(trainer)[0]["loss"])


def test_evaluation_trains_nothing(make_trainer, prompts):
    trainer = trained(make_trainer(eval_dataset=prompts.select(range(8)), changes={"max_steps": 2}))
    before = weights(trainer.model), weights(trainer.critic)
    metrics = trainer.evaluate()

    assert_same(weights(trainer.model), before[0], rtol=0, atol=0)
    assert_same(weights(trainer.critic), before[1], rtol=0, atol=0)
    assert math.isfinite(metrics["eval_loss"])
    logged = trainer.state.log_history[-1]
    assert logged["eval_objective"] == pytest.approx(logged["eval_reward"] - 0.05 * logged["eval_kl_per_completion"])


def test_evaluation_works_before_and_during_training(make_trainer, prompts):
    trainer = make_trainer(
        eval_dataset=prompts.select(range(8)), changes={"max_steps": 2, "eval_strategy": "steps", "eval_steps": 1}
    )
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    trainer.train()
    assert len([entry for entry in trainer.state.log_history if "eval_loss" in entry]) == 2


# The critic


def test_the_critic_trains_and_rests_with_the_policy(make_trainer, prompts):
    trainer = trained(make_trainer(eval_dataset=prompts.select(range(4)), changes={"max_steps": 1}))
    assert trainer.critic.training
    trainer.evaluate()
    assert not trainer.critic.training


@pytest.mark.parametrize("disable", [True, False])
def test_dropout_is_switched_off_in_the_critic_as_in_the_policy(make_trainer, disable):
    lora = LoraConfig(**LORA, lora_dropout=0.5)
    trainer = make_trainer(peft_config=lora, changes={"disable_dropout": disable})
    rates = {m.p for m in trainer.critic.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.0 if disable else 0.5}


def test_the_critic_has_a_learning_rate_of_its_own_on_the_same_schedule(make_trainer):
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
def test_gradients_of_policy_and_critic_are_clipped_together_and_forgotten_after_the_step(make_trainer, accumulated):
    trainer = make_trainer(length, changes={"max_grad_norm": 0.01, "gradient_accumulation_steps": accumulated})
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
        assert min(policy, critic) > 0
        assert math.hypot(policy, critic) == pytest.approx(0.01, rel=1e-3)
    assert all(entry["grad_norm"] > 0.01 for entry in steps(trainer))


def test_a_second_call_of_train_goes_on_with_the_same_optimizer(make_trainer):
    trainer = trained(make_trainer(changes={"max_steps": 2}))
    groups = len(trainer.optimizer.param_groups)
    before = weights(trainer.critic)
    trainer.train()
    assert len(trainer.optimizer.param_groups) == groups == 4
    assert not torch.equal(before["head.weight"], trainer.critic.head.weight)


def test_the_gradient_norm_is_logged_for_both_where_nothing_is_clipped(make_trainer):
    clipped = trained(make_trainer(length, changes={"max_grad_norm": 1e9, "max_steps": 1}))
    free = trained(make_trainer(length, changes={"max_grad_norm": 0.0, "max_steps": 1}))
    assert steps(clipped)[0]["grad_norm"] == pytest.approx(steps(free)[0]["grad_norm"])


def test_with_adapters_the_critic_trains_its_adapters_and_its_whole_head(make_trainer):
    trainer = make_trainer(peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"), changes={"learning_rate": 1e-2})
    before = weights(trainer.critic)
    trainer.train()
    after = weights(trainer.critic)

    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name, p in trainer.critic.named_parameters() if p.requires_grad}
    assert "head.weight" in changed
    assert all("lora_" in name for name in changed - {"head.weight"})
    assert trainer.ref_model is None


def test_a_policy_that_has_adapters_already_gets_a_critic_with_the_same(make_trainer, language_model):
    from peft import get_peft_model

    policy = get_peft_model(AutoModelForCausalLM.from_pretrained(language_model), LoraConfig(**LORA))
    trainer = trained(make_trainer(model=policy, changes={"max_steps": 2}))

    learning = [name for name, p in trainer.critic.named_parameters() if p.requires_grad]
    assert len(learning) == 2 * 2 * 2 + 1  # two layers, two modules, two matrices each, and the head
    assert steps(trainer)[0]["kl"] == 0


def test_by_default_the_critic_is_a_copy_of_the_reward_model(make_trainer, reward_model, tokenizer):
    scorer = Scorer(reward_model.requires_grad_(False), tokenizer)
    trainer = make_trainer([share_of_high_tokens, scorer], changes={"learning_rate": 1e-2})
    torch.testing.assert_close(trainer.critic.head.weight, reward_model.score.weight)
    trainer.train()

    assert not torch.equal(trainer.critic.head.weight, reward_model.score.weight)
    assert not torch.equal(
        trainer.critic.backbone.layers[0].mlp.up_proj.weight, reward_model.model.layers[0].mlp.up_proj.weight
    )
    assert scorer(prompts=["a"], completions=["b"]) == Scorer(reward_model, tokenizer)(prompts=["a"], completions=["b"])


def test_a_reward_model_with_another_vocabulary_is_no_critic(make_trainer, reward_model, tokenizer, language_model):
    other = type(tokenizer).from_pretrained(language_model)
    other.add_tokens(["<another>"])
    policy_reads_more = make_trainer(Scorer(reward_model, tokenizer), processing_class=other)
    assert policy_reads_more.critic.backbone.config.hidden_size == 32  # the policy's


def test_a_critic_can_be_given_as_a_model_or_as_a_path(make_trainer, reward_model, tokenizer, tmp_path):
    reward_model.save_pretrained(tmp_path / "critic")
    tokenizer.save_pretrained(tmp_path / "critic")
    for critic in (reward_model, str(tmp_path / "critic")):
        trainer = make_trainer(critic=critic)
        torch.testing.assert_close(trainer.critic.head.weight, reward_model.score.weight)
        assert all(p.requires_grad for p in trainer.critic.parameters())
        assert trainer.critic.backbone is not reward_model.model


def test_padding_before_a_prompt_changes_nothing_for_learned_positions(make_trainer, tokenizer, tmp_path):
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
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        torch.testing.assert_close(rollout[name][:1], alone, rtol=1e-4, atol=1e-5)


# What is saved


@pytest.mark.parametrize("peft_config", [None, LoraConfig(**LORA)], ids=["full", "lora"])
def test_the_saved_policy_is_what_grpo_saves_and_holds_no_critic(
    make_trainer, prompts, settings, language_model, tmp_path, peft_config
):
    trainer = make_trainer(peft_config=peft_config)
    grpo = trl.GRPOTrainer(
        language_model, length, trl.GRPOConfig(**settings(num_generations=2)), prompts, peft_config=peft_config
    )
    trainer.save_model(str(tmp_path / "ppo"))
    grpo.save_model(str(tmp_path / "grpo"))

    files = [sorted(path.name for path in (tmp_path / name).rglob("*")) for name in ("ppo", "grpo")]
    assert files[0] == files[1]
    name = "adapter_model.safetensors" if peft_config else "model.safetensors"
    ours, theirs = (load_file(tmp_path / folder / name) for folder in ("ppo", "grpo"))
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.parametrize("peft_config", [None, LoraConfig(**LORA)], ids=["full", "lora"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_resumed_run_ends_where_the_unbroken_one_does(make_trainer, tmp_path, peft_config, epochs):
    changes = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "num_iterations": epochs}
    unbroken = make_trainer(changes=changes | {"output_dir": str(tmp_path / "run")}, peft_config=peft_config)
    unbroken.train()
    checkpoint = tmp_path / "run" / "checkpoint-2"
    assert {path.name for path in (checkpoint / "critic").iterdir()} == (
        {"adapter"} if peft_config else {"critic.safetensors"}
    )

    resumed = make_trainer(changes=changes | {"output_dir": str(tmp_path / "resumed")}, peft_config=peft_config)
    resumed.train(resume_from_checkpoint=str(checkpoint))

    assert resumed.state.global_step == 4
    assert_same(weights(resumed.model), weights(unbroken.model), rtol=1e-4, atol=1e-6)
    assert_same(weights(resumed.critic), weights(unbroken.critic), rtol=1e-4, atol=1e-6)
    moments = [trainer.optimizer.state_dict()["state"] for trainer in (resumed, unbroken)]
    assert moments[0].keys() == moments[1].keys()
    for ours, theirs in zip(*(state.values() for state in moments), strict=True):
        torch.testing.assert_close(ours["exp_avg"], theirs["exp_avg"], rtol=1e-3, atol=1e-6)


def test_resuming_without_a_saved_critic_is_refused(make_trainer, tmp_path):
    changes = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "output_dir": str(tmp_path / "run")}
    make_trainer(changes=changes).train()
    (tmp_path / "run" / "checkpoint-1" / "critic" / "critic.safetensors").unlink()

    with pytest.raises(
        UnsupportedModelError, match=r"so the critic cannot go on.*Resume from a checkpoint of PPOTrainer"
    ):
        make_trainer(changes=changes).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))


def test_the_card_of_the_model_names_ppo(make_trainer, tmp_path):
    trained(make_trainer(changes={"save_strategy": "steps", "save_steps": 3, "output_dir": str(tmp_path / "run")}))
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Fine-Tuning Language Models from Human Preferences" in card
    assert "DeepSeekMath" not in card


# What is refused


def test_a_critic_that_writes_is_refused_by_its_name_before_the_policy_is_loaded(make_trainer, language_model):
    told = (
        r"is a LlamaForCausalLM and gives no score, but .* one number\. Give a reward model .*or leave the critic out"
    )
    for critic in (language_model, AutoModelForCausalLM.from_pretrained(language_model)):
        with pytest.raises(UnsupportedModelError, match=told):
            make_trainer(model="no such policy", critic=critic)


def test_a_critic_without_a_trained_head_is_refused(make_trainer, language_model, tokenizer, tmp_path):
    backbone = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1).model
    backbone.config.num_labels = 1
    backbone.save_pretrained(tmp_path / "critic")
    tokenizer.save_pretrained(tmp_path / "critic")
    with pytest.raises(UnsupportedModelError, match=r"no weights for score"):
        make_trainer(critic=str(tmp_path / "critic"))


@pytest.mark.parametrize("as_path", [True, False], ids=["path", "model"])
def test_a_critic_with_another_vocabulary_is_refused(
    make_trainer, reward_model, tokenizer, language_model, tmp_path, as_path
):
    other = type(tokenizer).from_pretrained(language_model, bos_token="<start>")
    reward_model.resize_token_embeddings(len(tokenizer) + 1)
    reward_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(
        UnsupportedModelError, match=r"vocabulary.*read its\s+tokens as other words.*policy's tokenizer"
    ):
        make_trainer(critic=str(tmp_path) if as_path else reward_model, processing_class=other)


@pytest.mark.parametrize("as_path", [True, False], ids=["path", "model"])
def test_a_policy_that_cannot_write_is_refused(make_trainer, reward_model, tokenizer, tmp_path, as_path):
    reward_model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    model = str(tmp_path / "reward") if as_path else LlamaForSequenceClassification.from_pretrained(tmp_path / "reward")
    with pytest.raises(
        UnsupportedModelError, match=r"is a LlamaForSequenceClassification, which cannot write.*language model"
    ):
        make_trainer(model=model, processing_class=tokenizer)


def test_a_policy_that_reads_its_prompt_apart_is_refused(make_trainer, tokenizer, tmp_path):
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **shape)).save_pretrained(tmp_path / "t5")
    with pytest.raises(
        UnsupportedModelError, match=r"T5ForConditionalGeneration, which reads its prompt apart.*Give a"
    ):
        make_trainer(model=str(tmp_path / "t5"), processing_class=tokenizer)


def test_a_run_without_a_reward_function_is_refused(make_trainer):
    with pytest.raises(RlhfLossesError, match=r"No reward function arrived.*Set reward_funcs"):
        make_trainer(None)


@pytest.mark.parametrize("argument", ["train_dataset", "eval_dataset"])
def test_prompts_that_leave_no_room_for_a_completion_are_refused(make_trainer, argument):
    data = Dataset.from_dict({"prompt": ["a short one ", "x" * 400]})
    told = r"1 of 2 prompts have more than \d+ tokens.*do not fit behind them.*context of 256.*Shorten or drop"
    with pytest.raises(InvalidFeedbackError, match=told):
        make_trainer(**{argument: data})


def test_completions_as_long_as_the_context_are_refused(make_trainer):
    with pytest.raises(RlhfLossesError, match=r"max_completion_length=256 arrived, but .* reads 256.*Set it lower"):
        make_trainer(changes={"max_completion_length": 256})


def short_scorer(reward_model, tokenizer, context=32):
    reward_model.config.max_position_embeddings = context
    return Scorer(reward_model, tokenizer)


def test_completions_longer_than_a_reward_model_reads_are_refused_beforehand(make_trainer, reward_model, tokenizer):
    judge = short_scorer(reward_model, tokenizer)
    told = r"max_completion_length=31 arrived, but .*'reward_model' reads 32 tokens.*: --max_completion_length 30"
    with pytest.raises(InvalidSettingError, match=told):
        make_trainer(judge, changes={"max_completion_length": 31})
    make_trainer(Ensemble([judge, judge]), changes={"max_completion_length": 30})


def test_prompts_that_a_reward_model_reads_in_part_are_told(make_trainer, reward_model, tokenizer, caplog):
    judge = short_scorer(reward_model, tokenizer)
    data = Dataset.from_dict({"prompt": ["a short one ", "x" * 40]})
    with caplog.at_level("WARNING", "rlhf_losses"):
        make_trainer(judge, train_dataset=data)
    assert (
        "1 of 2 prompts may lose their beginning before the reward model 'reward_model', which reads 32" in caplog.text
    )
    assert "with a completion of 8 they have up to 50." in caplog.text


def test_a_reward_model_of_another_vocabulary_may_read_less(make_trainer, reward_model, other_tokenizer, caplog):
    other_tokenizer.get_vocab = dict
    with caplog.at_level("WARNING", "rlhf_losses"):
        make_trainer(short_scorer(reward_model, other_tokenizer), changes={"max_completion_length": 31})
    assert "Its tokens are other ones than the policy's, so this is a guess." in caplog.text


def test_the_published_policy_is_the_trained_one_without_adapters(make_trainer, tmp_path):
    trainer = make_trainer(peft_config=LoraConfig(**LORA, init_lora_weights=False))
    saved_merged = AutoModelForCausalLM.from_pretrained(trainer.save_merged(tmp_path / "saved_merged"))
    ids = torch.arange(10, 30).unsqueeze(0)
    assert not [name for name, _ in saved_merged.named_parameters() if "lora" in name]
    torch.testing.assert_close(saved_merged(ids).logits, trainer.model(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("argument", ["train_dataset", "eval_dataset"])
def test_data_without_prompts_are_refused(make_trainer, argument):
    data = Dataset.from_dict({"question": ["a"], "answer": ["b"]})
    with pytest.raises(
        FeedbackMismatchError, match=r"question, answer and no prompt.*rename_column\(\"question\", \"prompt\"\)"
    ):
        make_trainer(**{argument: data})


def test_settings_of_grpo_are_refused(language_model, prompts, settings):
    args = trl.GRPOConfig(**settings(num_generations=2))
    with pytest.raises(RlhfLossesError, match=r"args is a GRPOConfig, which has no settings.*rlhf_losses.PPOConfig"):
        PPOTrainer(language_model, length, args, prompts)


def test_a_policy_that_was_never_saved_has_no_reference(make_trainer, language_model, tokenizer):
    policy = AutoModelForCausalLM.from_config(AutoModelForCausalLM.from_pretrained(language_model).config)
    policy.config._name_or_path = ""
    with pytest.raises(
        UnsupportedModelError, match=r"made in memory and has no path.*Save it with model\.save_pretrained"
    ):
        make_trainer(model=policy, processing_class=tokenizer)
    make_trainer(model=policy, processing_class=tokenizer, changes={"beta": 0.0, "max_steps": 1}).train()


def test_a_policy_that_was_changed_since_it_was_loaded_has_another_reference(make_trainer, language_model):
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    make_trainer(model=policy)
    with torch.no_grad():
        policy.lm_head.weight[3, 3] += 0.1
    with pytest.raises(
        UnsupportedModelError, match=r"other weights than .*the first is lm_head\.weight.*give the folder as model"
    ):
        make_trainer(model=policy)
    make_trainer(model=policy, changes={"beta": 0.0})


def test_a_schedule_that_knows_no_critic_is_refused_and_an_optimizer_is_not(make_trainer, language_model):
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    with pytest.raises(RlhfLossesError, match=r"schedule arrived in optimizers.*Leave it out"):
        make_trainer(model=policy, optimizers=(optimizer, schedule))

    trainer = make_trainer(model=policy, optimizers=(optimizer, None), changes={"critic_learning_rate": 1e-2})
    before = weights(trainer.critic)
    trainer.train()
    assert not torch.equal(trainer.critic.head.weight, before["head.weight"])
