"""Parameters that a run would train: those of a model, and those of an optimizer that a user passes."""

from peft import PeftModel
from torch import nn
from torch.optim import Optimizer

from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError


def require_trainable(model: nn.Module) -> None:
    """Raise `InvalidArgumentError` for a model whose weights are all frozen: a run would not change it.

    PEFT loads adapters frozen unless it is told otherwise.

    Args:
        model: the model that is trained, with its adapters.

    Examples:
        >>> import torch
        >>> require_trainable(torch.nn.Linear(1, 1))
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        remedy = (
            "Load its adapters for training: PeftModel.from_pretrained(BASE, PATH, is_trainable=True)."
            if isinstance(model, PeftModel)
            else "Call model.requires_grad_(True), or pass peft_config."
        )
        raise InvalidArgumentError(f"All weights of `model` are frozen, so the run would not change it. {remedy}")


def require_trained_parameters(optimizer: Optimizer | None, model: nn.Module) -> None:
    """Raise `InvalidSettingError` for an optimizer of parameters that are not those of the model, or are all frozen.

    The run would train something else, or nothing.

    Args:
        optimizer: the optimizer, or None.
        model: the model that is trained, with its adapters.

    Examples:
        >>> import torch
        >>> model, other = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        >>> require_trained_parameters(torch.optim.SGD(model.parameters(), 0.1), model)
        >>> require_trained_parameters(torch.optim.SGD(other.parameters(), 0.1), model)
        Traceback (most recent call last):
        rlhf_losses.errors.InvalidSettingError: `optimizers` has an optimizer of 2 parameters, of which 0 are ...
    """
    if optimizer is None:
        return
    given = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    of_model = {id(parameter): parameter.requires_grad for parameter in model.parameters()}
    trained = sum(of_model.get(id(parameter), False) for parameter in given)
    if not trained or not all(id(parameter) in of_model for parameter in given):
        raise InvalidSettingError(
            f"`optimizers` has an optimizer of {len(given)} parameters, of which {trained} are trained parameters of "
            "the model. Create it from those of the model that is passed, without peft_config, or omit it and set "
            "optim and learning_rate."
        )
