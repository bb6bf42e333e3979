"""Policy, reference and critic read in a row what they would read padded: every number, every gradient, every step."""

import logging

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from ppo_runs import assert_same, length, share_of_high_tokens, steps, trained, weights
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM, MixtralConfig, MixtralForCausalLM

from rlhf_losses.ppo import scorer_on_base

LAYOUTS = ("padded", "packed", "prefix_shared")
ROWS = LAYOUTS[1:]
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "up_proj"]}
SHARED_PROMPT = "Once there was a fox who sang to the moon. "
WRITTEN = ("old_per_token_logps", "ref_per_token_logps", "values", "returns", "advantages")
LOGGED = ("loss/policy", "loss/value", "grad_norm", "approx_kl", "objective", "kl", "entropy", "value/mean")


@pytest.fixture
def long_prompts():
    """Return prompts that begin alike, of different lengths."""
    return Dataset.from_dict({"prompt": [f"{SHARED_PROMPT * (i % 3)}{i}:" for i in range(16)]})


@pytest.fixture
def make(make_trainer, decided_policy, long_prompts):
    """Return a trainer in a layout, with two completions a prompt of different lengths, and a temperature."""

    def make(layout, **arguments):
        changes = {"layout": layout, "num_generations": 2, "num_iterations": 2, "temperature": 0.8}
        changes |= {"learning_rate": 3e-3, "per_device_train_batch_size": 8} | arguments.pop("changes", {})
        torch.manual_seed(0)  # adapters are drawn
        arguments.setdefault("model", decided_policy)
        trainer = make_trainer(
            arguments.pop("reward_funcs", length), train_dataset=long_prompts, changes=changes, **arguments
        )
        trainer._generate_single_turn = spoken
        return trainer

    return make


def spoken(prompt_ids, *_):
    """Draw completions of one to eight tokens; some of one prompt begin alike."""
    lengths = torch.randint(1, 9, (len(prompt_ids),)).tolist()
    words = [[*range(5, 5 + size % 3), *torch.randint(3, 260, (size,)).tolist()] for size in lengths]
    return [[*said[: size - 1], 2] for said, size in zip(words, lengths, strict=True)], None


def rollout(trainer):
    prompts = [SHARED_PROMPT, "a", SHARED_PROMPT, f"{SHARED_PROMPT}Then "]
    torch.manual_seed(0)
    return trainer._generate_and_score_completions([{"prompt": prompt} for prompt in prompts])


@pytest.mark.parametrize("peft_config", [None, LoraConfig(**LORA, init_lora_weights=False)], ids=["full", "lora"])
def test_log_probabilities_and_values_of_a_rollout_are_those_of_the_padded_layout(make, peft_config):
    expected = rollout(make("padded", peft_config=peft_config))
    mask = expected["completion_mask"].bool()
    assert not mask.all()
    for layout in ROWS:
        trainer = make(layout, peft_config=peft_config)
        assert trainer.layout.name == trainer.critic.layout.name == layout
        found = rollout(trainer)
        torch.testing.assert_close(found["completion_ids"], expected["completion_ids"])
        for name in WRITTEN:
            torch.testing.assert_close(found[name][mask], expected[name][mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"shared_critic": True}, {"gradient_checkpointing": True}, {"entropy_coef": 0.5}], ids=str
)
def test_the_gradient_of_a_loss_is_that_of_the_padded_layout(make, changes):
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
    for layout in ROWS:
        assert_same(gradients[layout], gradients["padded"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"peft_config": LoraConfig(**LORA)},
        {"changes": {"gradient_checkpointing": True}},
        {"changes": {"gradient_checkpointing": True}, "peft_config": LoraConfig(**LORA)},
        {"changes": {"shared_critic": True}},
        {"changes": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}},
        {"changes": {"bootstrap_truncated": True, "mask_truncated_completions": True}},
    ],
    ids=str,
)
def test_ten_steps_go_the_same_way(make, how):
    assert_same_steps(*(ten_steps(make, layout, how) for layout in ("padded", "prefix_shared")))


def test_ten_steps_of_packed_texts_go_the_same_way(make):
    assert_same_steps(*(ten_steps(make, layout, {}) for layout in ("padded", "packed")))


def ten_steps(make, layout, how):
    changes = how.get("changes", {}) | {"max_steps": 10, "beta": 0.2}
    trainer = trained(make(layout, **how | {"changes": changes}))
    assert (trainer.layout.name if trainer.layout else "padded") == layout
    return trainer


def assert_same_steps(theirs, ours):
    for expected, found in zip(steps(theirs), steps(ours), strict=True):
        for name in LOGGED:
            assert (name in found) == (name in expected)
            assert found.get(name, 0.0) == pytest.approx(expected.get(name, 0.0), rel=5e-3, abs=2e-4), name
    assert_same(weights(ours.model), weights(theirs.model), rtol=1e-2, atol=1e-3)
    assert_same(weights(ours.critic), weights(theirs.critic), rtol=1e-2, atol=1e-3)


def test_ten_steps_on_one_base_go_the_same_way(make, language_model, reward_adapter):
    done = []
    for layout in ("padded", "prefix_shared"):
        base = AutoModelForCausalLM.from_pretrained(language_model)
        how = {"reward_funcs": scorer_on_base(base, reward_adapter), "model": base, "peft_config": LoraConfig(**LORA)}
        done.append(ten_steps(make, layout, how))
    assert_same_steps(*done)


def test_the_head_of_the_language_model_runs_before_the_tokens_of_completions_only(make):
    trainer = make("prefix_shared")
    read = []
    trainer.model.lm_head.register_forward_hook(lambda _module, args, _output: read.append(args[0].shape[1]))
    batch = rollout(trainer)
    read.clear()
    trainer._get_per_token_logps_and_entropies(trainer.model, *sequences(batch), batch["completion_ids"].shape[1])
    distinct = {
        tuple(ids[kept.bool()][: -written + k].tolist())
        for ids, kept, written in zip(*sequences(batch), batch["completion_mask"].sum(1).tolist(), strict=True)
        for k in range(written)
    }
    assert len(distinct) <= sum(read) <= batch["completion_mask"].sum()


def sequences(batch):
    return (
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
    )


def test_a_shared_prompt_is_read_once(make):
    trainer = make("prefix_shared")
    read = []
    trainer.model.model.layers[0].register_forward_hook(lambda _module, args, _output: read.append(args[0].shape[:2]))
    batch = rollout(trainer)
    read.clear()
    ids, mask = sequences(batch)
    trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, batch["completion_ids"].shape[1])
    assert [lines for lines, _ in read] == [1]
    assert read[0][1] <= mask.sum() - 2 * (len(SHARED_PROMPT) - 8)


def test_a_model_that_takes_no_rows_stays_padded_and_says_so(make, tokenizer, tmp_path, caplog):
    config = {"hidden_size": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), **config)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for layout, level in (("auto", logging.INFO), ("prefix_shared", logging.WARNING)):
        caplog.clear()
        with caplog.at_level(logging.INFO, "rlhf_losses"):
            trainer = make(layout, model=str(tmp_path), changes={"max_steps": 1})
        assert trainer.layout is trainer.critic.layout is None
        told = [record for record in caplog.records if "Layout: padded. Bloom" in record.getMessage()]
        assert {record.levelno for record in told} == {level}
        assert "AttentionInterface" in told[0].getMessage()
    assert trained(trainer).state.global_step == 1


def test_experts_that_are_balanced_over_padded_lines_stay_padded(make, tokenizer, tmp_path, caplog):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MixtralConfig(vocab_size=len(tokenizer), num_key_value_heads=2, num_local_experts=2, **sizes)
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        balanced = make("auto", model=str(tmp_path), changes={"router_aux_loss_coef": 0.01, "max_steps": 1})
    assert balanced.layout is None
    assert "Layout: padded. MixtralForCausalLM takes no other: the loss that balances" in caplog.text
    assert trained(balanced).state.global_step == 1
    free = make("auto", model=str(tmp_path), changes={"router_aux_loss_coef": 0.0})
    assert free.layout.name == "prefix_shared"


def test_what_is_generated_does_not_depend_on_the_layout(make_trainer, decided_policy):
    said = []

    def remember(completion_ids, **_):
        said.append(completion_ids)
        return [float(sum(ids)) for ids in completion_ids]

    for layout in LAYOUTS:
        trained(make_trainer(remember, model=decided_policy, changes={"layout": layout, "max_completion_length": 16}))
    once = len(said) // len(LAYOUTS)
    assert once == 3
    assert said[:once] == said[once : 2 * once] == said[2 * once :]


def test_by_default_the_fastest_layout_is_taken(make_trainer):
    assert make_trainer(share_of_high_tokens).layout.name == "prefix_shared"


def test_rows_in_bfloat16_agree_with_themselves(make):
    trainer = trained(make("prefix_shared", changes={"bf16": True, "max_steps": 2}))
    assert steps(trainer)[0]["ratio"] == pytest.approx(1, abs=1e-2)
