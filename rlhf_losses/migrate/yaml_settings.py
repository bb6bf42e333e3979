"""Reads a YAML or JSON file of settings of another system."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf_losses.files.yaml_mappings import read_settings_text, read_yaml_mapping
from rlhf_losses.migrate.found_settings import Found

PPO_KEYS = frozenset(
    (
        *("kl_coef", "num_ppo_epochs", "cliprange", "response_length", "total_episodes"),
        *("sft_model_path", "reward_model_path"),
    )
)
"""Settings that only TRL's `PPOConfig` has."""

PLACE_KEYS = ("path", "name", "split", "data_files", "data_dir")
"""Keys of an entry of a list of datasets that say where it is."""

PRM_KEYS = frozenset(("train_on_last_step_only", "step_separator"))
"""Settings that only TRL's `PRMConfig` has."""


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML or JSON file.

    Args:
        path: the file.

    Raises:
        InvalidSettingError: it is not a mapping.
    """
    text = read_settings_text(path, "a YAML file of settings")
    return read_yaml_mapping(text, f"'{path}'", "learning_rate: 1e-5")


def settings_of_mapping(settings: Mapping[str, Any], place: str = "") -> Iterator[Found]:
    """Yield the settings of a mapping; those of the datasets of axolotl that are not about their place one by one.

    Args:
        settings: the mapping.
        place: where it is, for the report.

    Examples:
        >>> [one.name for one in settings_of_mapping({"seed": 1, "datasets": [{"path": "a", "type": "b"}]})]
        ['seed', 'datasets', 'datasets.type']
    """
    for name, value in settings.items():
        if name not in ("datasets", "test_datasets") or not _is_list_of_mappings(value):
            yield Found(name, value, place)
            continue
        yield Found(name, [{key: one[key] for key in PLACE_KEYS if key in one} for one in value], place)
        for entry in value:
            yield from (Found(f"{name}.{key}", one, place) for key, one in entry.items() if key not in PLACE_KEYS)


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def systems_of_yaml(settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the systems and commands whose settings a mapping may contain, and what else it may be.

    Args:
        settings: the mapping.

    Examples:
        >>> systems_of_yaml({"stage": "rm", "model_name_or_path": "a"})
        (['llama-factory-rm'], [])
    """
    keys, others = [], []
    if "stage" in settings:
        stage = settings["stage"]
        known = {"rm": "llama-factory-rm", "ppo": "llama-factory-ppo"}.get(stage) if isinstance(stage, str) else None
        keys += [known] if known else []
        others += [] if known else [f"stage: {stage}"]
    if "base_model" in settings:
        kinds = {"reward_model": "axolotl-rm", "process_reward_model": "axolotl-prm"}
        found = [key for name, key in kinds.items() if settings.get(name)]
        keys += found
        others += [] if found else ["base_model without reward_model: true or process_reward_model: true"]
    if "rlhf_type" in settings:
        kind = settings["rlhf_type"]
        known = {"rm": "ms-swift-rm", "ppo": "ms-swift-ppo"}.get(kind) if isinstance(kind, str) else None
        keys += [known] if known else []
        others += [] if known else [f"rlhf_type: {kind}"]
    if ("model_name_or_path" in settings and "stage" not in settings) or (PPO_KEYS & settings.keys() and not keys):
        keys.append(_trl(settings))
    return keys, others


def _trl(settings: Mapping[str, Any]) -> str:
    if PPO_KEYS & settings.keys():
        return "trl-ppo"
    return "trl-prm" if PRM_KEYS & settings.keys() else "trl-reward"
