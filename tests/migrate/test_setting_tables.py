"""Every setting of the other systems is in the table of its system, and every argument that a table writes exists."""

import ast
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from rlhf_losses.cli import ppo, train
from rlhf_losses.migrate import SYSTEMS
from rlhf_losses.migrate.migration import converted, names_of
from rlhf_losses.migrate.rules import Joint, Unavailable, Unneeded, Written

SETTINGS = Path(__file__).parent / "settings"

LISTS = {
    "trl-reward": ("trl-1.12.0-reward", "trl-1.13.0-reward", "trl-1.16.0-reward"),
    "trl-prm": ("trl-0.24.0-prm", "trl-1.13.0-prm"),
    "trl-ppo": ("trl-0.24.0-ppo", "trl-1.12.0-ppo"),
    "openrlhf-rm": tuple(f"openrlhf-{version}-train_rm" for version in ("0.8.11", "0.9.10", "0.10.0", "0.11.2")),
    "openrlhf-ppo": tuple(f"openrlhf-{version}-train_ppo" for version in ("0.8.11", "0.9.10", "0.10.0", "0.11.2")),
    "llama-factory-rm": ("llamafactory-0.9.5-train",),
    "llama-factory-ppo": ("llamafactory-0.9.5-train",),
    "axolotl-rm": ("axolotl-0.19.0-config",),
    "axolotl-prm": ("axolotl-0.19.0-config",),
    "ms-swift-rm": ("ms_swift-4.6.0-rlhf",),
    "ms-swift-ppo": ("ms_swift-4.6.0-rlhf",),
}
"""Lists of settings of each system; `extract_settings.py` writes them."""

TRANSFORMERS = ("transformers-4.46.3-training", "transformers-4.57.6-training", "transformers-5.16.1-training")
"""Settings that all systems but OpenRLHF and axolotl inherit."""

PARSERS = {"train": train, "ppo": ppo}

NOT_WRITTEN = {
    # They change the time or the display only.
    *("ddp_timeout", "logging_first_step", "per_device_eval_batch_size", "dataset_num_proc", "use_reentrant_gc"),
    *("model.gradient_checkpointing_reentrant", "actor.gradient_checkpointing_reentrant", "hub_private_repo"),
    # They have no effect without a dataset for evaluation, which is given with them.
    *("eval.split", "eval.n_samples_per_prompt"),
    # The dtype follows from the device and the model; LLaMA-Factory has disable_gradient_checkpointing instead.
    *("bf16", "gradient_checkpointing"),
    # A run names its models.
    *("reward_model_path", "sft_model_path"),
}
"""Settings whose defaults differ and are not written out."""


def names_in(file):
    """Return the names of a list."""
    return [line.partition("\t")[0] for line in (SETTINGS / f"{file}.tsv").read_text(encoding="utf-8").splitlines()]


def unclassified(system, file, prefix=""):
    """Return the settings of a list that the table of a system does not have."""
    names = [prefix + name for name in names_in(file)]
    return [name for name in names if system.aliases.get(name, name) not in system.rules]


@pytest.mark.parametrize("key", SYSTEMS)
def test_every_setting_of_every_version_is_in_the_table(key):
    system = SYSTEMS[key]
    inherited = () if key.startswith(("openrlhf", "axolotl")) else TRANSFORMERS
    for file in (*LISTS[key], *inherited):
        assert not unclassified(system, file), file


@pytest.mark.parametrize("key", ["axolotl-rm", "axolotl-prm"])
def test_every_setting_of_a_dataset_of_axolotl_is_in_the_table(key):
    names = [
        name for name in names_in("axolotl-0.19.0-datasets") if name not in ("path", "name", "split", "data_files")
    ]
    assert not [name for name in names if f"datasets.{name}" not in SYSTEMS[key].rules]


@pytest.mark.parametrize("command", PARSERS)
def test_arguments_that_are_written_exist(command):
    flags = {flag.lstrip("-") for flag in PARSERS[command].build_parser().flags()}
    for system in SYSTEMS.values():
        if system.command == command:
            written = names_of(system.rules.values()) | {constant.name for constant in system.constants}
            assert written <= flags, system.key


def literal_defaults(key):
    """Return the defaults of the newest version of a system that are literals."""
    inherited = () if key.startswith(("openrlhf", "axolotl")) else (TRANSFORMERS[0 if key.startswith("llama") else -1],)
    found = {}
    for file in (*inherited, LISTS[key][-1]):
        for line in (SETTINGS / f"{file}.tsv").read_text(encoding="utf-8").splitlines():
            name, _, default = line.partition("\t")
            try:
                value = ast.literal_eval(default)
            except (ValueError, SyntaxError):
                continue
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def own_defaults(command):
    """Return the defaults of a command of this package."""
    declared = [field for cls in PARSERS[command].build_parser().dataclass_types for field in fields(cls)]
    return {one.name: None if one.default is MISSING else one.default for one in declared}


@pytest.mark.parametrize("key", SYSTEMS)
def test_defaults_that_differ_are_written_out(key):
    system, own = SYSTEMS[key], own_defaults(SYSTEMS[key].command)
    for name, value in literal_defaults(key).items():
        rule = system.rules.get(name)
        if value is None or name in NOT_WRITTEN or not isinstance(rule, Written):
            continue
        arguments = converted(rule, value)
        if isinstance(arguments, Mapping) and any(own[argument] != one for argument, one in arguments.items()):
            assert name in system.defaults


@pytest.mark.parametrize("key", SYSTEMS)
def test_defaults_are_those_of_the_newest_version(key):
    system, theirs = SYSTEMS[key], literal_defaults(key)
    renamed = {"lora_target": "all", "target_modules": "all-linear", "ds.lora.target_modules": "all-linear"}
    computed = {"warmup_ratio": 0.03} if key.startswith("axolotl") else {}
    for name, value in system.defaults.items():
        if name in theirs and theirs[name] is not None:
            assert value == {**theirs, **renamed, **computed}[name], name


@pytest.mark.parametrize("key", SYSTEMS)
def test_defaults_and_aliases_name_settings_of_the_table(key):
    system = SYSTEMS[key]
    assert system.defaults.keys() <= system.rules.keys()
    assert set(system.aliases.values()) <= system.rules.keys()


@pytest.mark.parametrize("key", SYSTEMS)
def test_reasons_and_actions_are_sentences(key):
    for name, rule in SYSTEMS[key].rules.items():
        assert isinstance(rule, Written | Joint | Unavailable | Unneeded)
        if isinstance(rule, Unavailable):
            assert not rule.reason.endswith("."), name
            assert rule.action[0].isupper(), name
            assert not rule.action.endswith("."), name
        if isinstance(rule, Unneeded):
            assert rule.reason, name
