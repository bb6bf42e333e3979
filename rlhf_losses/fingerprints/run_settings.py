"""The settings of a run that decide its result, as plain values."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from rlhf_losses.fingerprints.changed_settings import group_settings
from rlhf_losses.fingerprints.setting_effects import Effect, SettingEffects

METRIC_SCHEDULES = ("reduce_lr_on_plateau", "greedy")
"""Learning-rate schedules that depend on evaluation."""

DEEPSPEED_SECTIONS = ("optimizer", "scheduler", "gradient_clipping", "fp16", "bf16")
"""Sections of a DeepSpeed configuration that change the result."""


def result_settings(args: TrainingArguments, effects: SettingEffects) -> dict[str, Any]:
    """Return the settings of a configuration that change the result, as plain values.

    Args:
        args: the configuration.
        effects: effects of its settings.
    """
    compared = (Effect.RESULT, Effect.LENGTH)
    names = [one.name for one in fields(args) if effects.effect(one.name) in compared]
    settings = {name: plain(getattr(args, name)) for name in names}
    if settings["optim"] == "adamw_torch_fused":  # another implementation of the same optimizer
        settings["optim"] = "adamw_torch"
    return settings | {"deepspeed_config": _deepspeed_settings(args.deepspeed)}


def default_settings(args: TrainingArguments) -> dict[str, Any]:
    """Return the default values of the settings of a configuration, as plain values."""
    defaults = {one.name: one.default for one in fields(args) if one.default is not MISSING}
    defaults |= {one.name: one.default_factory() for one in fields(args) if one.default_factory is not MISSING}
    return {name: plain(value) for name, value in defaults.items()}


def process_count(args: TrainingArguments) -> int:
    """Return the number of processes of a run.

    Args:
        args: the configuration.
    """
    _ = args.device  # before, transformers returns 1
    return int(args.world_size)


def argument_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what arguments of a trainer change: early stopping, and an optimizer and a schedule of the user.

    Args:
        arguments: keyword arguments of a trainer of transformers.
    """
    optimizer, schedule = arguments.get("optimizers") or (None, None)
    named = arguments.get("optimizer_cls_and_kwargs")
    groups = [] if optimizer is None else group_settings(optimizer)
    given = [type(one).__name__ for one in (optimizer, schedule) if one is not None]
    return {
        "early_stopping": [
            [one.early_stopping_patience, one.early_stopping_threshold] for one in _early_stopping(arguments)
        ],
        "optimizers": plain([*given, *groups, *([named[0].__name__, named[1]] if named else [])]),
    }


def evaluation_decides(args: TrainingArguments, arguments: Mapping[str, Any]) -> bool:
    """Return whether the evaluation data change the result: the best model, early stopping or the learning rate.

    Args:
        args: the configuration.
        arguments: keyword arguments of the trainer, with its callbacks.
    """
    by_metric = plain(args.lr_scheduler_type) in METRIC_SCHEDULES
    keeps_best = args.load_best_model_at_end or args.save_strategy == SaveStrategy.BEST
    return bool(keeps_best or by_metric or _early_stopping(arguments))


def _early_stopping(arguments: Mapping[str, Any]) -> list[EarlyStoppingCallback]:
    callbacks = [one() if one is EarlyStoppingCallback else one for one in arguments.get("callbacks") or ()]
    return [one for one in callbacks if isinstance(one, EarlyStoppingCallback)]


def plain(value: Any) -> Any:
    """Return a value as JSON stores it.

    Examples:
        >>> plain({"betas": (0.9, 0.95), "modules": {"q_proj", "k_proj"}})
        {'betas': [0.9, 0.95], 'modules': ['k_proj', 'q_proj']}
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=str)
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    return str(value)


def _deepspeed_settings(config: Any) -> dict[str, Any] | None:
    if isinstance(config, str) and Path(config).is_file():
        config = json.loads(Path(config).read_text(encoding="utf-8"))
    if not isinstance(config, Mapping):
        return None
    return {name: plain(config[name]) for name in DEEPSPEED_SECTIONS if name in config}
