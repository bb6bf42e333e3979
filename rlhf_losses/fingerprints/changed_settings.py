"""Settings that the state in a checkpoint would undo: those of the optimizer, of the schedule and of intervals."""

from collections.abc import Sequence
from typing import Any

from torch.optim.lr_scheduler import LambdaLR


def group_settings(optimizer: Any) -> list[dict[str, Any]]:
    """Return the settings of the parameter groups of a new optimizer: learning rate, weight decay, betas.

    Args:
        optimizer: the optimizer, before a state is loaded.
    """
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def use_settings(optimizer: Any, scheduler: Any, settings: Sequence[dict[str, Any]]) -> None:
    """Set the settings of an optimizer and a schedule to those of a new run at the step of the loaded state.

    Args:
        optimizer: the optimizer with the state of a checkpoint.
        scheduler: its schedule with the state of a checkpoint.
        settings: result of `group_settings`.
    """
    for group, new in zip(optimizer.param_groups, settings, strict=True):
        old = group.get("initial_lr", group["lr"])
        scale = new.get("initial_lr", new["lr"]) / old if old else 1.0
        group.update(new | {"lr": group["lr"] * scale})
    state = scheduler.state_dict()
    if isinstance(scheduler, LambdaLR):
        state["base_lrs"] = [group["initial_lr"] for group in optimizer.param_groups]
        for group, factor in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["lr"] = group["initial_lr"] * factor(scheduler.last_epoch)
    scheduler.load_state_dict(state | {"_last_lr": [group["lr"] for group in optimizer.param_groups]})
