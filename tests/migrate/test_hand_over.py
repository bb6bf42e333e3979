"""The files of `examples/hand_over` have only settings that the systems have."""

import shlex
from pathlib import Path

import yaml

from rlhf_losses.migrate.shell_settings import read_flags
from rlhf_losses.migrate.shell_words import shell_commands

EXAMPLES = Path(__file__).parents[2] / "examples" / "hand_over"
SETTINGS = Path(__file__).parent / "settings"


def known(name):
    """Return the settings of a system, which `integration_tests/hand_over_configurations.py` lists."""
    return {line.partition("\t")[0] for line in (SETTINGS / f"{name}.tsv").read_text(encoding="utf-8").splitlines()}


def dotted(tree, prefix=""):
    """Return the names of all values of a nested mapping."""
    names = {f"{prefix}{key}" for key in tree}
    return names.union(*(dotted(one, f"{prefix}{key}.") for key, one in tree.items() if isinstance(one, dict)))


def read_yaml(system):
    """Return the settings of a YAML file."""
    return yaml.safe_load((EXAMPLES / system / "ppo.yaml").read_text(encoding="utf-8"))


def read_script(system, program):
    """Return the settings of a shell script, and its words."""
    text = (EXAMPLES / system / "ppo.sh").read_text(encoding="utf-8")
    (command,) = [one for one in shell_commands(text) if program in [word.text for word in one.words]]
    words = [word.text for word in command.words]
    settings = read_flags(command.words[words.index(program) + 1 :])
    return {one.name: one.value for one in settings if one.name}, shlex.join(words)


def test_the_settings_of_verl_exist():
    settings = read_yaml("verl")
    own = {name: value for name, value in settings.items() if name not in ("hydra", "defaults")}
    assert dotted(own) <= known("verl-0.9.1-ppo")
    assert settings["defaults"] == ["ppo_trainer", "_self_"]
    assert settings["reward"]["reward_model"]["enable"] is True


def test_the_settings_of_openrlhf_exist():
    settings, _ = read_script("openrlhf", "openrlhf.cli.train_ppo_ray")
    assert len(settings) > 30
    assert settings.keys() <= known("openrlhf-0.11.2-train_ppo")


def test_the_settings_of_nemo_rl_exist():
    settings = read_yaml("nemo_rl")
    assert settings.pop("defaults") == "ppo_math_1B.yaml"
    assert dotted(settings) <= known("nemo_rl-0.6.0-ppo")
    assert settings["env"]["reward_model"]["reward_model_cfg"] == {
        "enabled": True,
        "reward_model_type": "bradley_terry",
    }


def test_the_settings_of_skyrl_exist():
    settings, words = read_script("skyrl", "skyrl_environment")
    assert len(settings) > 30
    assert settings.keys() <= known("skyrl-0.3.0-ppo")
    assert "reward_model" in words


def test_the_batches_of_openrlhf_divide():
    settings, _ = read_script("openrlhf", "openrlhf.cli.train_ppo_ray")
    size, micro, gpus = (
        int(settings[name]) for name in ("train.batch_size", "train.micro_batch_size", "actor.num_gpus_per_node")
    )
    assert size % (micro * gpus) == 0
    assert int(settings["rollout.batch_size"]) % size == 0
