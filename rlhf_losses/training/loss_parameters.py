"""Numbers that a loss learns: parameters beside the model, which stays a plain classifier with one score."""

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.losses import Loss
from rlhf_losses.losses.objective import term_names


class LossParameters(nn.Module):
    """The numbers that the terms of a loss learn, each term with its own.

    >>> from rlhf_losses.losses import rao_kupper
    >>> LossParameters(rao_kupper).told()
    {'rao_kupper.log_tie_width': [0.0]}
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.names = term_names(loss)
        self.terms = [
            {name: nn.Parameter(torch.tensor(start)) for name, start in term.loss.loss_parameters.items()}
            for term in loss.terms
        ]
        self.kept = nn.ModuleList(map(nn.ParameterDict, self.terms))

    def __len__(self) -> int:
        return sum(1 for _ in self.parameters())

    def by_term(self) -> list[Mapping[str, Tensor]]:
        """Return the numbers of each term by name, as `Loss.price` takes them."""
        return list(self.terms)

    def told(self) -> dict[str, list[float]]:
        """Return every number in words and lists, as they are saved with a model."""
        return {
            f"{term}.{name}": value.tolist()
            for term, numbers in zip(self.names, self.terms, strict=True)
            for name, value in numbers.items()
        }

    def metrics(self) -> dict[str, float]:
        """Return every number by itself, for logs.

        >>> from rlhf_losses.losses import OrdinalPreference
        >>> LossParameters(OrdinalPreference(levels=2)).metrics()
        {'learned/ordinal_preference.log_gaps.0': 0.0, 'learned/ordinal_preference.log_gaps.1': 0.0}
        """
        return {
            f"learned/{name}" if len(values) == 1 else f"learned/{name}.{i}": value
            for name, values in self.told().items()
            for i, value in enumerate(values)
        }

    @torch.no_grad()
    def load(self, told: Mapping[str, list[float]]) -> None:
        """Take the numbers that were saved with a model, or raise `UnsupportedModelError` if they are those of another loss."""
        own = self.told()
        if {name: len(value) for name, value in told.items()} != {name: len(value) for name, value in own.items()}:
            raise UnsupportedModelError(
                f"The checkpoint holds the learned numbers {', '.join(told) or '(none)'}, but the loss learns "
                f"{', '.join(own) or '(none)'}. Resume with the loss that the checkpoint was trained with."
            )
        for term, numbers in zip(self.names, self.terms, strict=True):
            for name, value in numbers.items():
                value.copy_(torch.tensor(told[f"{term}.{name}"]))

    def join(self, optimizer: torch.optim.Optimizer, learning_rate: float, accelerator: Accelerator) -> None:
        """Let an optimizer move the numbers too, with a rate of their own and without decay.

        They are no part of the model, so that nobody else clears their gradients or averages them over processes.
        """
        numbers = list(self.parameters())
        joined = {id(one) for group in optimizer.param_groups for one in group["params"]}
        if not numbers or id(numbers[0]) in joined:
            return
        optimizer.add_param_group({"params": numbers, "lr": learning_rate, "weight_decay": 0.0})

        def average(*_: object) -> None:
            for number in numbers if accelerator.num_processes > 1 else ():
                mine = torch.zeros_like(number) if number.grad is None else number.grad
                number.grad = accelerator.reduce(mine, reduction="mean")

        def clear(*_: object) -> None:
            for number in numbers:
                number.grad = None

        optimizer.register_step_pre_hook(average)
        optimizer.register_step_post_hook(clear)
