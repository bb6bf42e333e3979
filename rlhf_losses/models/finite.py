"""Detection of NaN and infinity in weights and gradients, before they reach an optimizer step or a file."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from rlhf_losses.errors import NonFiniteError
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

NamedParameters = Iterable[tuple[str, Tensor]]


def find_nonfinite(values: NamedParameters) -> str | None:
    """Return the name of the first tensor with NaN or infinity, and how many of its numbers are not finite.

    Args:
        values: tensors by name.

    Examples:
        >>> find_nonfinite([("weight", torch.ones(2)), ("bias", torch.tensor([1.0, float("nan")]))])
        "'bias' (1 of 2 numbers)"
    """
    for name, tensor in values:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            return f"'{name}' ({count} of {tensor.numel()} numbers)"
    return None


def require_finite_weights(model: nn.Module | Mapping[str, Tensor], result: str) -> None:
    """Raise `NonFiniteError` if a weight of a model is NaN or infinite.

    Args:
        model: a model, or its weights by name.
        result: the consequence, for the message.
    """
    found = find_nonfinite(model.named_parameters() if isinstance(model, nn.Module) else model.items())
    if found is not None:
        raise NonFiniteError(
            f"The weights {found} are NaN or infinite, so {result}. Use another copy of the model or an earlier "
            "checkpoint, or train again with a lower learning rate."
        )


class NonFiniteGuard:
    """Stops a run before an optimizer step with NaN or infinity, or skips a limited number of such steps.

    Args:
        skip: largest number of optimizer steps that are skipped.
        all_reduce: sums a tensor over the processes, so that all of them stop or skip together.
        all_gather: returns the texts of all processes.

    Attributes:
        skipped: number of skipped steps.

    Examples:
        >>> guard, weight = NonFiniteGuard(skip=1), nn.Parameter(torch.ones(1))
        >>> guard.record("the score of row 3 is nan")
        >>> guard.before_step(7, 1.0, [("weight", weight)])
        >>> guard.skipped
        1
    """

    def __init__(
        self,
        skip: int = 0,
        all_reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor,
        all_gather: Callable[[list[str]], Sequence[str]] = lambda texts: texts,
    ) -> None:
        self.skip = skip
        self.skipped = 0
        self._all_reduce, self._all_gather = all_reduce, all_gather
        self._problem = ""

    def record(self, problem: str) -> None:
        """Remember the first problem of the current step.

        Args:
            problem: the value that is not finite, and its place.
        """
        self._problem = self._problem or problem

    def before_step(
        self, step: int, norm: Tensor | float | None, parameters: NamedParameters, scaled: bool = False
    ) -> None:
        """Check the current step of all processes. A skipped step has no gradients, so the optimizer changes nothing.

        Args:
            step: number of the optimizer step, from 1.
            norm: norm of the gradients.
            parameters: parameters of the optimizer, by name.
            scaled: whether a gradient scaler skips steps with infinite gradients, as in float16.

        Raises:
            NonFiniteError: something is not finite, and no more steps may be skipped.
        """
        infinite_norm = norm is not None and not scaled and not math.isfinite(float(norm))
        wrong = torch.tensor(float(bool(self._problem) or infinite_norm))
        problem, self._problem = self._problem, ""
        if not float(self._all_reduce(wrong)):
            return
        parameters = list(parameters)
        if not problem and infinite_norm:
            gradients = ((name, one.grad) for name, one in parameters if one.grad is not None)
            found = find_nonfinite(gradients)
            problem = f"the gradient of {found} is NaN or infinite" if found else f"the gradients have the norm {norm}"
        message = "; ".join(filter(None, self._all_gather([problem])))
        if self.skipped >= self.skip:
            already = f" after {self.skipped} skipped steps" if self.skipped else ""
            raise NonFiniteError(
                f"Step {step}: {message}. The run stops before the optimizer step{already}, so the weights and earlier "
                "checkpoints are unchanged. Fix the data or the model, or lower the learning rate. To skip such "
                f"steps: {setting('skip_nonfinite', 10)}."
            )
        self.skipped += 1
        logger.warning("Step %d is skipped (%d of at most %d): %s.", step, self.skipped, self.skip, message)
        for _, parameter in parameters:
            parameter.grad = None
