"""Two processes train the same as one: statistics of rewards, whitening and KL include both."""

import json

import pytest
from ragged import printed_by_processes, results_in

pytestmark = pytest.mark.upstream

LOSSES = ("loss/policy", "loss/value", "loss/pretraining", "grad_norm")
SAME = (*LOSSES, "approx_kl", "objective/rlhf_reward", "kl", "value/mean")

SCRIPT = '''
import json, sys
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM

from rlhf_losses.ppo import PPOConfig, PPOTrainer, scorer_on_base

model, adapters, size, folder = sys.argv[1:]
data = Dataset.from_dict({"prompt": [f"Say {i * i}:" for i in range(32)]})
texts = Dataset.from_dict({"text": [f"The fox {'sang and ' * (i % 4)}slept {i} times." for i in range(24)]})


def fixed_completions(prompt_ids, *_):
    """Return completions that depend on the prompt only."""
    seeds = [sum(ids) for ids in prompt_ids]
    return [[(seed * 7 + k * 13) % 250 + 5 for k in range(1 + seed % 6)] + [2] * (seed % 2) for seed in seeds], None


def length(completion_ids, **_):
    return [float(len(ids)) for ids in completion_ids]


for adapter in json.loads(adapters):
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=True) if adapter else None
    policy, rewards = model, [length]
    if adapter:
        policy = AutoModelForCausalLM.from_pretrained(model)
        rewards.append(scorer_on_base(policy, adapter, device="cpu"))
    args = PPOConfig(
        folder, max_steps=4, max_completion_length=8, per_device_train_batch_size=int(size), num_iterations=2,
        learning_rate=1e-2, beta=0.1,
        kl_target=0.5, kl_horizon=20, score_normalization="running", whiten_rewards=True, missing_eos_penalty=0.5,
        ptx_coef=0.1, bootstrap_truncated=True, critic_warmup_steps=1, early_stop_kl=10.0, log_phase_times=True,
        save_strategy="no", report_to="none", bf16=False, gradient_checkpointing=False, use_cpu=True,
        disable_tqdm=True, logging_steps=1, lr_scheduler_type="constant",
    )
    trainer = PPOTrainer(policy, rewards, args, data, pretraining_dataset=texts, peft_config=lora)
    trainer._generate_single_turn = fixed_completions
    torch.manual_seed(0)
    if lora:
        for name, parameter in [*trainer.model.named_parameters(), *trainer.critic.named_parameters()]:
            if "lora_A" in name and parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    trainer.train()
    sums = [
        float(p.detach().abs().sum())
        for module in (trainer.model, trainer.critic) for p in module.parameters() if p.requires_grad
    ]
    if trainer.accelerator.is_main_process:
        log = [{k: v for k, v in entry.items() if not k.startswith(("time", "step_time"))}
               for entry in trainer.state.log_history if "loss" in entry]
        print("RESULT" + json.dumps({"log": log, "weights": sums, "beta": trainer.beta}))
'''


def run(folder, processes, *arguments):
    printed = printed_by_processes(SCRIPT, folder, processes, *map(str, arguments))
    assert printed.count("PPO sanity check") == 2
    return results_in(printed)


def test_two_processes_train_the_same_as_one(language_model, reward_adapter, tmp_path):
    """Run four models and one base in the same processes, because processes start slowly."""
    adapters = json.dumps(["", reward_adapter])
    alone = run(tmp_path, 1, language_model, adapters, 8, tmp_path / "one")
    together = run(tmp_path, 2, language_model, adapters, 4, tmp_path / "two")

    for shared, one, two in zip([False, True], alone, together, strict=True):
        assert_same_run(one, two, "one base" if shared else "four models")


def assert_same_run(alone, together, models):
    assert together["beta"] == pytest.approx(alone["beta"], rel=1e-4), models
    assert together["weights"] == pytest.approx(alone["weights"], rel=1e-3), models
    for one, two in zip(alone["log"], together["log"], strict=True):
        for name in SAME:
            assert (name in one) == (name in two), (models, name)
            assert two.get(name, 0.0) == pytest.approx(one.get(name, 0.0), rel=1e-3, abs=1e-5), (models, name)
