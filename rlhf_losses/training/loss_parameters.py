"""Trainable parameters of a loss, such as tie widths and cut points.

They are not part of the model, which stays a sequence classifier with one label.
"""

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.losses import Objective


class LossParameters(nn.Module):
    """The trainable parameters of the terms of an objective; each term has its own.

    Args:
        objective: the weighted sum of losses.

    Attributes:
        term_names: name of each term.

    Examples:
        >>> from rlhf_losses.losses import rao_kupper
        >>> LossParameters(rao_kupper.as_objective()).to_dict()
        {'rao_kupper.log_tie_width': [0.0]}
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.term_names = objective.term_names
        self._terms = [
            {name: nn.Parameter(torch.tensor(values)) for name, values in term.loss.loss_parameters.items()}
            for term in objective.terms
        ]
        self._registered = nn.ModuleList(map(nn.ParameterDict, self._terms))  # for `parameters` and `to`

    def __len__(self) -> int:
        return sum(1 for _ in self.parameters())

    def by_term(self) -> list[Mapping[str, Tensor]]:
        """Return the parameters of each term, by name, as `Loss.per_item_loss` takes them."""
        return list(self._terms)

    def to_dict(self) -> dict[str, list[float]]:
        """Return the values by term and name, as they are saved with a model."""
        return {
            f"{term}.{name}": value.tolist()
            for term, parameters in zip(self.term_names, self._terms, strict=True)
            for name, value in parameters.items()
        }

    def metrics(self) -> dict[str, float]:
        """Return one metric per value.

        Examples:
            >>> from rlhf_losses.losses import OrdinalPreference
            >>> sorted(LossParameters(OrdinalPreference(levels=2).as_objective()).metrics())
            ['loss_parameters/ordinal_preference.log_gaps.0', 'loss_parameters/ordinal_preference.log_gaps.1']
        """
        return {
            f"loss_parameters/{name}" if len(values) == 1 else f"loss_parameters/{name}.{index}": value
            for name, values in self.to_dict().items()
            for index, value in enumerate(values)
        }

    @torch.no_grad()
    def load(self, saved: Mapping[str, list[float]]) -> None:
        """Set the values to those that were saved with a model.

        Args:
            saved: values by term and name, see `to_dict`.

        Raises:
            UnsupportedModelError: the values belong to another loss.
        """
        own = self.to_dict()
        if {name: len(values) for name, values in saved.items()} != {name: len(values) for name, values in own.items()}:
            raise UnsupportedModelError(
                f"The checkpoint has the loss parameters {', '.join(saved) or '(none)'}, but the loss has "
                f"{', '.join(own) or '(none)'}. Resume with the loss that the checkpoint was trained with."
            )
        for term, parameters in zip(self.term_names, self._terms, strict=True):
            for name, value in parameters.items():
                value.copy_(torch.tensor(saved[f"{term}.{name}"]))

    def add_to(self, optimizer: torch.optim.Optimizer, learning_rate: float, accelerator: Accelerator) -> None:
        """Add the parameters to an optimizer as a group with its own learning rate and without weight decay.

        Because the parameters are not part of the model, hooks of the optimizer average their gradients over processes
        and clear them.

        Args:
            optimizer: the optimizer of the model. A second call changes nothing.
            learning_rate: learning rate of the group.
            accelerator: the processes of the run.
        """
        parameters = list(self.parameters())
        present = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if not parameters or id(parameters[0]) in present:
            return
        optimizer.add_param_group({"params": parameters, "lr": learning_rate, "weight_decay": 0.0})

        def average_gradients(*_: object) -> None:
            for parameter in parameters if accelerator.num_processes > 1 else ():
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = accelerator.reduce(own, reduction="mean")

        def clear_gradients(*_: object) -> None:
            for parameter in parameters:
                parameter.grad = None

        optimizer.register_step_pre_hook(average_gradients)
        optimizer.register_step_post_hook(clear_gradients)
