"""The terms of a loss on a model card: formula, summary and page."""

import inspect
import re
from dataclasses import dataclass
from typing import Any

from rlhf_losses.losses import AnyLoss, LossProperty
from rlhf_losses.losses.base import WeightedSum
from rlhf_losses.messages.documentation import documentation

FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


@dataclass(frozen=True)
class DescribedTerm:
    """One term of a loss.

    Attributes:
        weight: its weight in the sum.
        text: string form of the loss.
        summary: what it computes, one sentence.
        formula: its formula in LaTeX, or an empty string.
        link: address of its page, or an empty string for the loss of a plugin.
    """

    weight: float
    text: str
    summary: str
    formula: str
    link: str


def described_terms(loss: AnyLoss) -> list[DescribedTerm]:
    """Return the terms of a loss.

    Args:
        loss: a loss or a weighted sum of losses.

    Examples:
        >>> from rlhf_losses import bradley_terry, centering
        >>> [(term.weight, term.text) for term in described_terms(bradley_terry + 0.01 * centering)]
        [(1.0, 'bradley_terry'), (0.01, 'centering')]
    """
    if isinstance(loss, WeightedSum):
        return [_described(float(one.weight), one.expression) for one in loss.summands]
    return [_described(1.0, loss)]


def meaning_of_scores(loss: AnyLoss) -> list[str]:
    """Return sentences about the zero and the scale of scores that follow from the properties of a loss.

    Args:
        loss: a loss or a weighted sum of losses.
    """
    properties = loss.active_properties()
    if LossProperty.SHIFT_INVARIANT in properties:
        zero = (
            "The zero is arbitrary: the loss does not change if a constant is added to all scores. Compare scores of "
            "answers to the same prompt."
        )
    else:
        zero = "The loss determines the zero of the scores."
    if LossProperty.HOMOGENEOUS in properties:
        scale = "The loss has no unit of its own: the training data determine the scale."
    else:
        scale = "It determines their scale too." if zero.startswith("The loss") else "The loss determines the scale."
    return [zero, scale]


def _described(weight: float, loss: Any) -> DescribedTerm:
    cls = type(loss)
    text = inspect.getdoc(cls) or ""
    formula = FORMULA.search(text)
    link = documentation(f"reference/losses/{loss.name()}.md") if cls.__module__.startswith("rlhf_losses.") else ""
    summary = " ".join(text.split("\n\n")[0].split())
    return DescribedTerm(weight, str(loss), summary, "" if formula is None else formula[1].strip(), link)
