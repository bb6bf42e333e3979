"""The place of a score or a loss that is NaN or infinite: row, term and value."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rlhf_losses.data import ForwardPass
from rlhf_losses.metrics import Tally
from rlhf_losses.shapes import Scores
from rlhf_losses.training.step_loss import StepLoss


def is_finite(scores: Scores, tallies: Mapping[str, Tally]) -> bool:
    """Return whether scores and sums of losses are finite.

    Args:
        scores: scores of a forward pass.
        tallies: sums of the loss of each term.
    """
    return all(math.isfinite(tally.total) for tally in tallies.values()) and bool(torch.isfinite(scores).all())


@torch.no_grad()
def describe_nonfinite(
    step: StepLoss, forward_pass: ForwardPass, scores: Scores, parameters: Sequence[Mapping[str, Tensor]], data: str
) -> str:
    """Return which score, or which loss of which term, is not finite, and its row.

    Args:
        step: loss of the step.
        forward_pass: one of the passes of the step.
        scores: its scores.
        parameters: trainable parameters of each term, by name.
        data: name of the dataset.
    """
    wrong = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    if wrong:
        row = forward_pass.row_numbers[int(forward_pass.score_row[wrong[0]])]
        more = f", and {len(wrong) - 1} more of {len(scores)} scores" if len(wrong) > 1 else ""
        return f"the score of row {row} of {data} is {float(scores[wrong[0]])}{more}"
    losses = step.per_item_losses(forward_pass, scores, parameters)
    for name, values, rows in zip(step.objective.term_names, losses, step.item_rows(forward_pass), strict=True):
        wrong = (~torch.isfinite(values)).nonzero().flatten().tolist()
        if wrong:
            row = forward_pass.row_numbers[int(rows[wrong[0]])]
            return f"the loss {name} of row {row} of {data} is {float(values[wrong[0]])}"
    return f"the loss over rows {', '.join(map(str, forward_pass.row_numbers))} of {data} is not finite"
