"""Settings of PPO are checked at creation, with a message that names value, reason and remedy."""

import pytest
from transformers import HfArgumentParser

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.ppo import build_parser
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.ppo import PPOConfig
from rlhf_losses.ppo.config import PUBLISHED

pytestmark = pytest.mark.upstream


def config(tmp_path, **changes):
    plain = {"bf16": False, "use_cpu": True, "report_to": "none", "per_device_train_batch_size": 3}
    return PPOConfig(str(tmp_path), **plain | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": -0.1}, r"beta=-0\.1 .*reward distance from the reference.*Use .* at least 0"),
        ({"gamma": 1.1}, r"gamma=1\.1 .*Use .* between 0 and 1"),
        ({"lam": -1.0}, r"lam=-1\.0 .*between 0 and 1"),
        ({"lam": float("nan")}, r"lam=nan .*between 0 and 1"),
        ({"vf_coef": -1.0}, r"vf_coef=-1\.0 .*at least 0"),
        ({"cliprange_value": -0.2}, r"cliprange_value=-0\.2 .*at least 0"),
        ({"loss_type": "cispo"}, "loss_type='cispo' .*clipped objective.*dapo"),
        ({"ptx_coef": -1.0}, r"ptx_coef=-1\.0 .*maximize the cross-entropy.*at least 0"),
        ({"ptx_max_length": 1}, r"ptx_max_length=1 .*no next token.*at least 2"),
        ({"layout": "prefix"}, r"'prefix'.*Did you mean 'prefix_shared'\?.*auto, padded"),
        ({"use_liger_kernel": True}, "use_liger_kernel=True .*no value loss.*Omit it"),
        ({"per_device_train_batch_size": 1}, "per_device_train_batch_size=1 .*single completion.*Increase one of them"),
        ({"kl_target": 6.0, "beta": 0.0}, r"kl_target=6\.0 .*beta=0.*Set beta"),
        ({"missing_eos_penalty": 1.0, "missing_eos_score": 0.0}, "penalty=1.0 and .*score=0.0 .*Omit one of them"),
        ({"score_normalization": "batch"}, "score_normalization='batch' .*none, running, reference"),
        ({"kl_horizon": 0.0}, "kl_horizon=0.0 .*divides.*above 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_settings_are_refused(tmp_path, changes, message):
    with pytest.raises(RlhfLossesError, match=message):
        config(tmp_path, **changes)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"gradient_accumulation_steps": 5},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3},
        {"per_device_train_batch_size": 1, "steps_per_generation": 7},
        {"generation_batch_size": 9},
        {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 5},
    ],
    ids=str,
)
def test_one_completion_per_prompt_works_with_every_batch_size(tmp_path, sizes):
    args = config(tmp_path, **sizes)
    assert args.num_generations == args.num_generations_eval == 1
    passes = sizes.get("steps_per_generation") or sizes.get("gradient_accumulation_steps", 1)
    rollout = sizes.get("generation_batch_size") or args.per_device_train_batch_size * passes
    assert args.generation_batch_size == rollout


def test_several_completions_per_prompt_are_checked_as_in_grpo(tmp_path):
    assert config(tmp_path, per_device_train_batch_size=4, num_generations=2).num_generations == 2
    with pytest.raises(ValueError, match="must be divisible by num_generations"):
        config(tmp_path, per_device_train_batch_size=3, num_generations=2)


def test_critic_learning_rate_is_a_multiple_of_the_policys_by_default(tmp_path):
    args = config(tmp_path, learning_rate=1e-5)
    args.choose_learning_rates(adapters=True)
    assert (args.learning_rate, args.critic_learning_rate) == (1e-5, pytest.approx(10 * 1e-5))
    args = config(tmp_path, learning_rate=1e-5, critic_learning_rate=2e-5)
    args.choose_learning_rates(adapters=False)
    assert args.critic_learning_rate == 2e-5


def test_adapters_have_a_larger_learning_rate_by_default(tmp_path):
    full, lora = config(tmp_path), config(tmp_path)
    full.choose_learning_rates(adapters=False)
    lora.choose_learning_rates(adapters=True)
    assert 3 * full.learning_rate < lora.learning_rate < 10 * full.learning_rate
    ratio = lora.learning_rate / full.learning_rate
    assert lora.critic_learning_rate == pytest.approx(ratio * full.critic_learning_rate)


def test_published_settings_are_those_of_the_paper_and_can_be_changed(tmp_path):
    args = PPOConfig.published(str(tmp_path), beta=0.1, use_cpu=True, bf16=False)
    published = {name: getattr(args, name) for name in PUBLISHED}
    assert published == {**PUBLISHED, "beta": 0.1}
    args.choose_learning_rates(adapters=True)
    assert args.critic_learning_rate == args.learning_rate == 3e-6
    assert (PUBLISHED["lam"], PUBLISHED["adam_epsilon"], PUBLISHED["missing_eos_score"]) == (0.95, 1e-5, -1.0)


def test_settings_are_command_line_options(tmp_path):
    typed = [
        *("--output_dir", str(tmp_path), "--per_device_train_batch_size", "3", "--bf16", "False", "--use_cpu"),
        *("--gamma", "0.9", "--lam", "0.8", "--vf_coef", "0.5", "--cliprange_value", "0.3"),
        *("--critic_learning_rate", "1e-4", "--no_whiten_advantages", "--num_generations", "1"),
    ]
    (args,) = HfArgumentParser(PPOConfig).parse_args_into_dataclasses(typed)
    assert (args.gamma, args.lam, args.vf_coef, args.cliprange_value) == (0.9, 0.8, 0.5, 0.3)
    assert (args.critic_learning_rate, args.whiten_advantages, args.num_generations) == (1e-4, False, 1)


def test_a_preset_changes_defaults_and_explicit_arguments_win(tmp_path):
    given = ["--model", "m", "--reward_model", "r", "--dataset", "d", "--output_dir", str(tmp_path), "--use_cpu"]
    config, *_ = build_parser().read([*given, "--preset", "n_plus", "--beta", "0.2", "--bf16", "false"])
    assert {name: getattr(config, name) for name in PUBLISHED} == {**PUBLISHED, "beta": 0.2}
    file = tmp_path / "run.yaml"
    file.write_text("preset: n_plus\nlam: 0.9\n")
    config, *_ = build_parser().read([*given, "--config", str(file), "--bf16", "false"])
    assert (config.lam, config.score_normalization) == (0.9, "none")
    with pytest.raises(CommandLineError, match=r"--preset: invalid choice: 'nplus'"):
        build_parser().read([*given, "--preset", "nplus"])
