"""Rollouts, gradients and training steps are the same in every layout."""

import logging

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from ppo_runs import assert_same, length, share_of_high_tokens, steps, trained, weights
from thorough_cases import with_thorough
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM, MixtralConfig, MixtralForCausalLM

from rlhf_losses.ppo import scorer_on_base

LAYOUTS = ("padded", "packed", "prefix_shared")
PACKED = LAYOUTS[1:]
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "up_proj"]}
SHARED_PROMPT = "Once there was a fox who sang to the moon. "
ROLLOUT = ("old_per_token_logps", "ref_per_token_logps", "values", "returns", "advantages")
LOGGED = ("loss/policy", "loss/value", "grad_norm", "approx_kl", "objective/rlhf_reward", "kl", "entropy", "value/mean")


@pytest.fixture
def long_prompts():
    """Return prompts of different lengths with common beginnings."""
    return Dataset.from_dict({"prompt": [f"{SHARED_PROMPT * (i % 3)}{i}:" for i in range(16)]})


@pytest.fixture
def make(make_trainer, peaked_policy, long_prompts):
    """Return a trainer in a layout, with two completions per prompt of different lengths, and a temperature."""

    def make(layout, **arguments):
        changes = {"layout": layout, "num_generations": 2, "num_iterations": 2, "temperature": 0.8}
        changes |= {"learning_rate": 3e-3, "per_device_train_batch_size": 8} | arguments.pop("changes", {})
        torch.manual_seed(0)  # adapters are drawn
        arguments.setdefault("model", peaked_policy)
        trainer = make_trainer(
            arguments.pop("reward_funcs", length), train_dataset=long_prompts, changes=changes, **arguments
        )
        trainer._generate_single_turn = random_completions
        return trainer

    return make


def random_completions(prompt_ids, *_):
    """Draw completions of one to eight tokens; some completions of a prompt have a common beginning."""
    lengths = torch.randint(1, 9, (len(prompt_ids),)).tolist()
    words = [[*range(5, 5 + size % 3), *torch.randint(3, 260, (size,)).tolist()] for size in lengths]
    return [[*ids[: size - 1], 2] for ids, size in zip(words, lengths, strict=True)], None


def rollout(trainer):
    prompts = [SHARED_PROMPT, "a", SHARED_PROMPT, f"{SHARED_PROMPT}Then "]
    torch.manual_seed(0)
    return trainer._generate_and_score_completions([{"prompt": prompt} for prompt in prompts])


@pytest.mark.upstream
@pytest.mark.parametrize("peft_config", [None, LoraConfig(**LORA, init_lora_weights=False)], ids=["full", "lora"])
def test_rollout_equals_that_of_the_padded_layout(make, peft_config):
    expected = rollout(make("padded", peft_config=peft_config))
    mask = expected["completion_mask"].bool()
    assert not mask.all()
    for layout in PACKED:
        trainer = make(layout, peft_config=peft_config)
        assert {trainer.sequence_forward.layout.name, trainer.critic.sequence_forward.layout.name} == {layout}
        found = rollout(trainer)
        torch.testing.assert_close(found["completion_ids"], expected["completion_ids"])
        for name in ROLLOUT:
            torch.testing.assert_close(found[name][mask], expected[name][mask], rtol=1e-4, atol=1e-5)


@pytest.mark.upstream
@pytest.mark.parametrize(
    "changes", [{}, {"shared_critic": True}, {"gradient_checkpointing": True}, {"entropy_coef": 0.5}], ids=str
)
def test_gradient_equals_that_of_the_padded_layout(make, changes):
    gradients = {}
    for layout in LAYOUTS:
        trainer = make(layout, changes=changes)
        trainer.current_gradient_accumulation_steps = 1
        torch.nn.init.ones_(trainer.critic.head.weight)
        batch = rollout(trainer)
        trainer._compute_loss(trainer.model, batch).backward()
        modules = {"policy": trainer.model, "critic": trainer.critic}
        gradients[layout] = {
            f"{role}.{name}": p.grad for role, module in modules.items() for name, p in module.named_parameters()
        }
    for layout in PACKED:
        assert_same(gradients[layout], gradients["padded"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    with_thorough(
        [
            {"peft_config": LoraConfig(**LORA)},
            {"changes": {"shared_critic": True}},
            {"changes": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}},
            {"changes": {"bootstrap_truncated": True, "mask_truncated_completions": True}},
        ],
        [
            {},
            {"changes": {"gradient_checkpointing": True}},
            {"changes": {"gradient_checkpointing": True}, "peft_config": LoraConfig(**LORA)},
        ],
    ),
    ids=["lora", "shared critic", "accumulation", "truncated", "full", "checkpointing", "lora, checkpointing"],
)
def test_four_steps_equal_those_of_the_padded_layout(make, arguments):
    assert_same_steps(*(four_steps(make, layout, arguments) for layout in ("padded", "prefix_shared")))


def test_four_packed_steps_equal_those_of_the_padded_layout(make):
    assert_same_steps(*(four_steps(make, layout, {}) for layout in ("padded", "packed")))


def four_steps(make, layout, arguments):
    changes = arguments.get("changes", {}) | {"max_steps": 4, "beta": 0.2}
    trainer = trained(make(layout, **arguments | {"changes": changes}))
    chosen = trainer.sequence_forward.layout
    assert (chosen.name if chosen else "padded") == layout
    return trainer


def assert_same_steps(theirs, ours):
    for expected, found in zip(steps(theirs), steps(ours), strict=True):
        for name in LOGGED:
            assert (name in found) == (name in expected)
            assert found.get(name, 0.0) == pytest.approx(expected.get(name, 0.0), rel=5e-3, abs=2e-4), name
    assert_same(weights(ours.model), weights(theirs.model), rtol=1e-2, atol=1e-3)
    assert_same(weights(ours.critic), weights(theirs.critic), rtol=1e-2, atol=1e-3)


def test_four_steps_on_one_base_equal_those_of_the_padded_layout(make, language_model, reward_adapter):
    trainers = []
    for layout in ("padded", "prefix_shared"):
        base = AutoModelForCausalLM.from_pretrained(language_model)
        arguments = {
            "reward_funcs": scorer_on_base(base, reward_adapter),
            "model": base,
            "peft_config": LoraConfig(**LORA),
        }
        trainers.append(four_steps(make, layout, arguments))
    assert_same_steps(*trainers)


@pytest.mark.upstream
def test_model_without_layout_support_is_padded_with_a_message(make, tokenizer, tmp_path, caplog):
    config = {"hidden_size": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), **config)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for layout, level in (("auto", logging.INFO), ("prefix_shared", logging.WARNING)):
        caplog.clear()
        with caplog.at_level(logging.INFO, "rlhf_losses"):
            trainer = make(layout, model=str(tmp_path), changes={"max_steps": 1})
        assert trainer.sequence_forward.layout is trainer.critic.sequence_forward.layout is None
        messages = [record for record in caplog.records if "Layout: padded. Bloom" in record.getMessage()]
        assert {record.levelno for record in messages} == {level}
        assert "AttentionInterface" in messages[0].getMessage()
    assert trained(trainer).state.global_step == 1


@pytest.mark.upstream
def test_load_balancing_loss_needs_the_padded_layout(make, tokenizer, tmp_path, caplog):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MixtralConfig(vocab_size=len(tokenizer), num_key_value_heads=2, num_local_experts=2, **sizes)
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        balanced = make("auto", model=str(tmp_path), changes={"router_aux_loss_coef": 0.01, "max_steps": 1})
    assert balanced.sequence_forward.layout is None
    assert "Layout: padded. MixtralForCausalLM supports no other layout: the load-balancing loss" in caplog.text
    assert trained(balanced).state.global_step == 1
    free = make("auto", model=str(tmp_path), changes={"router_aux_loss_coef": 0.0})
    assert free.sequence_forward.layout.name == "prefix_shared"


def test_generation_does_not_depend_on_the_layout(make_trainer, peaked_policy):
    generated = []

    def record(completion_ids, **_):
        generated.append(completion_ids)
        return [float(sum(ids)) for ids in completion_ids]

    for layout in LAYOUTS:
        trained(make_trainer(record, model=peaked_policy, changes={"layout": layout, "max_completion_length": 16}))
    calls = len(generated) // len(LAYOUTS)
    assert calls == 3
    assert generated[:calls] == generated[calls : 2 * calls] == generated[2 * calls :]


def test_default_layout_is_the_fastest(make_trainer):
    assert make_trainer(share_of_high_tokens).sequence_forward.layout.name == "prefix_shared"


@pytest.mark.upstream
def test_ratio_in_bfloat16_is_one_in_the_first_epoch(make):
    trainer = trained(make("prefix_shared", changes={"bf16": True, "max_steps": 2}))
    assert steps(trainer)[0]["ratio"] == pytest.approx(1, abs=1e-2)
