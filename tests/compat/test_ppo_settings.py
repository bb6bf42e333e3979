"""Every setting of TRL's PPOConfig is translated, used or refused."""

import inspect
import math
from dataclasses import fields
from pathlib import Path

import pytest
from transformers import HfArgumentParser, TrainingArguments

from rlhf_losses.compat.trl import PPOConfig, PPOTrainer
from rlhf_losses.compat.trl.ppo_settings import PPO_SETTINGS, translate_ppo_settings
from rlhf_losses.compat.trl.removed_settings import REMOVED_SETTINGS
from rlhf_losses.compat.trl.translated_setting import Kind
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.ppo import PPOConfig as OwnConfig

pytestmark = pytest.mark.upstream

TRL_DEFAULTS = {
    "batch_size": None,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "dataset_num_proc": None,
    "ds3_gather_for_generation": True,
    "gamma": 1.0,
    "kl_coef": 0.05,
    "kl_estimator": "k1",
    "lam": 0.95,
    "learning_rate": 3e-6,
    "local_batch_size": None,
    "local_mini_batch_size": None,
    "local_rollout_forward_batch_size": 64,
    "micro_batch_size": None,
    "mini_batch_size": None,
    "missing_eos_penalty": None,
    "model_adapter_name": None,
    "num_mini_batches": 1,
    "num_ppo_epochs": 4,
    "num_sample_generations": 10,
    "num_total_batches": None,
    "push_to_hub": False,
    "ref_adapter_name": None,
    "response_length": 53,
    "reward_model_path": "EleutherAI/pythia-160m",
    "sft_model_path": "EleutherAI/pythia-160m",
    "stop_token": None,
    "stop_token_id": None,
    "temperature": 0.7,
    "total_episodes": None,
    "vf_coef": 0.1,
    "whiten_rewards": False,
    "world_size": None,
}
"""The settings that TRL 1.12's `PPOConfig` defines, with their defaults."""

TRL_ARGUMENTS = [
    "args", "processing_class", "model", "ref_model", "reward_model", "train_dataset", "value_model", "data_collator",
    "eval_dataset", "optimizers", "callbacks", "peft_config",
]  # fmt: skip
"""The arguments of TRL 1.12's `PPOTrainer`, in order."""

TRANSLATED = {
    "cliprange": (0.1, {"epsilon": 0.1}),
    "cliprange_value": (0.3, {"cliprange_value": 0.3}),
    "ds3_gather_for_generation": (False, {"ds3_gather_for_generation": False}),
    "eval_steps": (2, {"eval_steps": 2 * 4}),
    "eval_strategy": ("epoch", {"eval_strategy": "epoch"}),
    "exp_name": ("my-run", {"run_name": "my-run"}),
    "gamma": (0.9, {"gamma": 0.9}),
    "gradient_accumulation_steps": (3, {"steps_per_generation": 3, "gradient_accumulation_steps": 3}),
    "kl_coef": (0.2, {"beta": 0.2, "score_normalization": "none"}),
    "kl_estimator": ("k3", {"kl_estimator": "k3"}),
    "lam": (0.5, {"lam": 0.5}),
    "learning_rate": (1e-4, {"learning_rate": 1e-4}),
    "logging_steps": (5, {"logging_steps": 5 * 4}),
    "max_grad_norm": (0.5, {"max_grad_norm": 0.5}),
    "missing_eos_penalty": (2.0, {"missing_eos_penalty": 2.0}),
    "num_mini_batches": (2, {"per_device_train_batch_size": 4, "steps_per_generation": 2, "max_steps": 3 * 4 * 2}),
    "num_ppo_epochs": (2, {"num_iterations": 2, "max_steps": 3 * 2}),
    "num_train_epochs": (6.0, {"max_steps": 6 * 4}),
    "per_device_train_batch_size": (2, {"per_device_train_batch_size": 2, "max_steps": 12 * 4}),
    "push_to_hub": (True, {"push_to_hub": True}),
    "response_length": (12, {"max_completion_length": 12}),
    "save_steps": (7, {"save_steps": 7 * 4}),
    "temperature": (0.5, {"temperature": 0.5}),
    "total_episodes": (17, {"max_steps": 3 * 4}),
    "vf_coef": (0.5, {"vf_coef": 0.5}),
    "warmup_steps": (3, {"warmup_steps": 3 * 4}),
    "whiten_rewards": (True, {"whiten_rewards": True}),
}
"""A value for each setting with another place here, and what it becomes with 8 prompts and a batch of 8."""

PLAIN = {"report_to": "none", "use_cpu": True, "bf16": False}
BY_NAME = {one.name: one for one in PPO_SETTINGS}


@pytest.fixture
def config(tmp_path):
    return lambda **settings: PPOConfig(str(tmp_path), **PLAIN | settings)


def test_the_table_has_every_setting_once():
    assert len(BY_NAME) == len(PPO_SETTINGS)
    assert TRL_DEFAULTS.keys() <= BY_NAME.keys()
    translated = {name for name, one in BY_NAME.items() if one.kind in (Kind.SAME, Kind.RENAMED, Kind.COUNTED)}
    assert translated == TRANSLATED.keys()


@pytest.mark.parametrize("name", TRL_DEFAULTS)
def test_defaults_are_those_of_trl(name):
    assert BY_NAME[name].default == TRL_DEFAULTS[name]
    if BY_NAME[name].kind is not Kind.REFUSED:
        assert {one.name: one.default for one in fields(PPOConfig)}[name] == TRL_DEFAULTS[name]


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_setting_is_translated(config, name):
    value, expected = TRANSLATED[name]
    own = config(**{name: value}).own_config(num_prompts=8)
    assert type(own) is OwnConfig
    assert {one: getattr(own, one) for one in expected} == expected
    assert set(BY_NAME[name].here) & expected.keys()
    assert set(BY_NAME[name].here) <= {one.name for one in fields(OwnConfig)}


@pytest.mark.parametrize("name", [one.name for one in PPO_SETTINGS if one.kind is Kind.REFUSED])
def test_a_setting_without_a_place_is_refused(config, name):
    with pytest.raises(InvalidSettingError, match=rf"^{name}=3 has no place here\. .+\. .+\.$"):
        config(**{name: 3}).own_config(num_prompts=8)


@pytest.mark.parametrize("name", ["model_adapter_name", "ref_adapter_name", "batch_size", "num_total_batches"])
def test_the_default_of_a_refused_setting_is_accepted(config, name):
    config(**{name: None}).own_config(num_prompts=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop_token": "eos", "stop_token_id": 0}, "stop_token='eos' and stop_token_id=0 .*Omit one"),
        ({"stop_token": "."}, r"stop_token='\.' .*Use one of 'eos', None"),
        ({"kl_estimator": "k2"}, "kl_estimator='k2' .*'k1', 'k3'"),
        ({"response_length": 0}, "response_length=0 .*at least 1"),
        ({"cliprange": -1.0}, "epsilon=-1.0 .*above 0"),
        ({"num_mini_batches": 3}, "num_mini_batches=3 does not divide the 8 completions"),
        ({"num_ppo_epochs": 1.5}, "num_ppo_epochs=1.5 has the type float"),
        ({"learning_rate": "1e-5"}, "learning_rate='1e-5' has the type str, but this setting is a number"),
        ({"weight_decay": "0.1"}, "weight_decay='0.1' has the type str, but this setting is a number"),
        ({"deepspeed": "ds.json"}, "deepspeed='ds.json' is not supported.*data parallelism"),
        ({"fsdp": "full_shard"}, "fsdp='full_shard' is not supported.*data parallelism"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1 has no effect"),
        ({"klcoef": 0.1}, "klcoef=0.1 is no setting.*Did you mean 'kl_coef'"),
    ],
)
def test_a_wrong_value_is_refused(config, settings, message):
    with pytest.raises(InvalidSettingError, match=message):
        config(**settings).own_config(num_prompts=8)


def test_a_stream_needs_the_number_of_completions(config):
    with pytest.raises(InvalidSettingError, match=r"total_episodes is None .*would not end.*Set total_episodes"):
        config().own_config(num_prompts=None)
    assert config(total_episodes=16).own_config(num_prompts=None).max_steps == 2 * 4


@pytest.mark.parametrize(
    ("size", "accumulation", "parts"), [(8, 1, 4), (8, 4, 2), (6, 2, 3), (1, 8, 4), (5, 3, 5), (4, 4, 16)]
)
def test_a_rollout_is_divided_into_mini_batches(size, accumulation, parts):
    settings = {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": accumulation,
        "num_mini_batches": parts,
    }
    own = translate_ppo_settings(settings | {"total_episodes": 1000}, num_processes=2)
    rollout = own["per_device_train_batch_size"] * own["steps_per_generation"]
    mini_batch = own["per_device_train_batch_size"] * own["gradient_accumulation_steps"]
    assert rollout == size * accumulation
    assert mini_batch == rollout / parts
    assert own["per_device_train_batch_size"] <= size
    assert own["max_steps"] == math.ceil(1000 / (2 * rollout)) * 4 * parts


def test_shares_of_a_run_are_not_multiplied():
    own = translate_ppo_settings({"total_episodes": 8, "logging_steps": 0.1, "warmup_steps": 0.05, "save_steps": 2})
    assert (own["logging_steps"], own["warmup_steps"], own["save_steps"]) == (0.1, 0.05, 8)


def test_settings_that_transformers_has_removed_are_refused_with_their_new_names(config):
    lists = Path(__file__).parents[1].joinpath("migrate", "settings").glob("transformers-*-training.tsv")
    names = {line.partition("\t")[0] for file in lists for line in file.read_text(encoding="utf-8").splitlines()}
    removed = names - {one.name for one in fields(TrainingArguments)} - {"_n_gpu"}
    assert removed <= {one.name for one in REMOVED_SETTINGS}
    with pytest.raises(InvalidSettingError, match=r"warmup_ratio=0.1 .*Set warmup_steps: a number below 1"):
        config(warmup_ratio=0.1)


def test_settings_can_be_flags(tmp_path):
    argv = ["--output_dir", str(tmp_path), "--kl_coef", "0.1", "--stop_token", "eos", "--use_cpu", "--bf16", "False"]
    (config,) = HfArgumentParser(PPOConfig).parse_args_into_dataclasses([*argv, "--report_to", "none"])
    assert (config.kl_coef, config.stop_token) == (0.1, "eos")


def test_arguments_are_those_of_trl():
    assert list(inspect.signature(PPOTrainer).parameters)[: len(TRL_ARGUMENTS)] == TRL_ARGUMENTS


def test_recorded_names_are_those_of_trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    ppo = pytest.importorskip("trl.experimental.ppo", reason="TRL 1.12 is not installed")
    general = {one.name for one in fields(TrainingArguments)}
    own = {one.name: one.default for one in fields(ppo.PPOConfig) if one.name not in general}
    assert own == {name: default for name, default in TRL_DEFAULTS.items() if name not in general}
    assert list(inspect.signature(ppo.PPOTrainer).parameters) == TRL_ARGUMENTS
    assert ppo.PPOConfig.learning_rate == TRL_DEFAULTS["learning_rate"]
