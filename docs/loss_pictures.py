"""Pictures of losses: the value and the gradient of each loss for the simplest feedback of its type.

Each picture has the hash of the numbers from which it was drawn, so that a test finds a picture of another formula.
"""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.feedback import (
    Attributes,
    Feedback,
    Labels,
    Lengths,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    shift_positions,
)
from rlhf_losses.hooks.contracts import LossClass
from rlhf_losses.losses import Aggregated, AnyLoss, BatchLoss, Loss

POINTS = torch.linspace(-4, 4, 81, dtype=torch.float64)
COLORS = ("#4c6ef5", "#e8590c", "#2b8a3e", "#ae3ec9")
GREY = "#868e96"
"""Readable on a light and on a dark page; the background is transparent."""


@dataclass(frozen=True)
class Curve:
    """A line of a picture.

    Attributes:
        label: what distinguishes it from the other lines.
        feedback: feedback on a few scores.
        scores: function of the value on the horizontal axis that returns these scores.
        loss: loss with other options, in place of that of the picture.
    """

    label: str
    feedback: Feedback
    scores: Callable[[Tensor], Sequence[Tensor | float]]
    loss: AnyLoss | None = None


@dataclass(frozen=True)
class Picture:
    """Lines over one horizontal axis.

    Attributes:
        axis: label of the horizontal axis.
        curves: the lines.
    """

    axis: str
    curves: tuple[Curve, ...]


def difference(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return two scores with a difference and the sum 0."""
    return x / 2, -x / 2


def picture_of(loss: LossClass) -> Picture:
    """Return the picture of a loss: its own, or else that of its feedback type."""
    return OWN_PICTURES.get(loss.name()) or PICTURES[loss.feedback_type]


def pair(**columns: object) -> Pairs:
    """Return a pair of the first two scores."""
    return Pairs(chosen=[0], rejected=[1], **columns)  # type: ignore[arg-type]


def of_single_scores(axis: str, feedback: Callable[[float], Feedback], values: Mapping[str, float]) -> Picture:
    """Return a picture over one score, with a line for each value of its feedback."""
    return Picture(axis, tuple(Curve(name, feedback(value), lambda x: (x,)) for name, value in values.items()))


def of_each_of_three(axis: str, feedback: Feedback, names: Sequence[str], others: Sequence[float]) -> Picture:
    """Return a picture with a line for each of three scores, while the two others keep their values."""
    low, high = others
    places = (lambda x: (x, low, high), lambda x: (low, x, high), lambda x: (low, high, x))
    return Picture(axis, tuple(Curve(name, feedback, place) for name, place in zip(names, places, strict=True)))


def rating(value: float) -> Ratings:
    """Return the rating of one answer."""
    return Ratings(candidates=[0], ratings=[value], sizes=[1])


def step(value: float) -> Steps:
    """Return one step with a label or a rating."""
    return Steps(steps=[0], values=[value])


DIFFERENCE = "chosen score − rejected score"
OUTCOMES = Picture(
    DIFFERENCE,
    (
        Curve("the chosen answer wins", pair(), difference),
        Curve("tie", pair(tie=[1.0]), difference),
        Curve("the rejected answer wins", pair(preference=[0.0]), difference),
    ),
)
EACH_ANSWER = Picture(
    "score of one answer; the other score is 0",
    (
        Curve("the chosen answer", pair(), lambda x: (x, 0.0)),
        Curve("the rejected answer", pair(), lambda x: (0.0, x)),
    ),
)
EACH_SCORE = Picture("score", (Curve("", pair(), lambda x: (x, x)),))

PICTURES: Mapping[type[Feedback], Picture] = {
    Pairs: Picture(DIFFERENCE, (Curve("", pair(), difference),)),
    Rankings: of_each_of_three(
        "score of one of three answers; the other scores are 0.5 and −0.5",
        Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]),
        ("the best answer", "the second answer", "the worst answer"),
        (0.5, -0.5),
    ),
    Ratings: of_single_scores("score", rating, {"rating −1": -1.0, "rating 1": 1.0}),
    Labels: of_single_scores(
        "score", lambda value: Labels(candidates=[0], labels=[value]), {"good answer": 1.0, "bad answer": 0.0}
    ),
    Steps: of_single_scores("score of the step", step, {"right step": 1.0, "wrong step": 0.0}),
    Feedback: EACH_SCORE,
}
"""Pictures by feedback type."""

OWN_PICTURES: Mapping[str, Picture] = {
    "centered_bradley_terry": EACH_ANSWER,
    "independent_classification": EACH_ANSWER,
    "eurus": EACH_ANSWER,
    "rao_kupper": OUTCOMES,
    "davidson": OUTCOMES,
    "ordinal_preference": Picture(
        DIFFERENCE,
        tuple(
            Curve(name, pair(margin=[float(grade)]), difference)
            for grade, name in enumerate(("tie (grade 0)", "slightly better (1)", "better (2)", "much better (3)"))
        ),
    ),
    "centering": Picture("chosen score + rejected score", (Curve("", pair(), lambda x: (x / 2, x / 2)),)),
    "ordinal_rating": of_single_scores("score", rating, {f"{one} of 5 stars": one for one in (1, 2, 3, 5)}),
    "multi_attribute": of_single_scores(
        "score",
        lambda value: Attributes.from_row({"attributes": {"helpfulness": value}}),
        {"helpfulness −1": -1.0, "helpfulness 1": 1.0},
    ),
    "segment_rating": of_single_scores("score of the step", step, {"rating −1": -1.0, "rating 1": 1.0}),
    "pqm": of_each_of_three(
        "score of one of three steps; the other scores are 0",
        Steps.from_row({"labels": [1, 1, 0]}),
        ("first right step", "second right step", "wrong step"),
        (0.0, 0.0),
    ),
    "aggregated": Picture(
        "score of one of two steps of the chosen answer; the other scores are 0",
        tuple(
            Curve(
                by,
                StepwiseRankings.from_row({"chosen_steps": ["a", "b"], "rejected_steps": ["c"]}),
                lambda x: (x, 0.0, 0.0),
                Aggregated(by=by),
            )
            for by in ("mean", "sum", "minimum", "soft_minimum")
        ),
    ),
    "batch_sum_to_zero": Picture("mean score of the optimizer step", EACH_SCORE.curves),
    "length_decorrelation": Picture(
        "score of the longest of three answers; the scores of the shorter ones are 0 and 1",
        (Curve("", Lengths(texts=[0, 1, 2], lengths=[10, 20, 30]), lambda x: (0.0, 1.0, x)),),
    ),
}
"""Pictures of losses for which that of the feedback type is not enough."""


def values_and_gradients(loss: AnyLoss, curve: Curve) -> tuple[list[float], list[float]]:
    """Return the mean loss at each point, and its derivative with respect to the value on the horizontal axis."""
    terms = (curve.loss or loss).as_objective().terms
    # Values of a batch loss depend on all scores, so each point is a batch of its own.
    batches = POINTS.split(1) if any(isinstance(term.loss, BatchLoss) for term in terms) else [POINTS]
    xs = [batch.clone().requires_grad_() for batch in batches]
    values = torch.cat([sum(term.weight * mean_loss(term.loss, curve, x) for term in terms) for x in xs])
    gradients = torch.cat(torch.autograd.grad(values.sum(), xs))
    return rounded(values.detach()), rounded(gradients)


def mean_loss(loss: Loss[Any], curve: Curve, x: Tensor) -> Tensor:
    """Return the mean over the items of the feedback at each point, of shape (points)."""
    scores = torch.stack([torch.as_tensor(one).expand(len(x)) for one in curve.scores(x)], dim=1).flatten()
    copies = shift_positions([curve.feedback] * len(x), [len(scores) // len(x)] * len(x))
    feedback = type(curve.feedback).concatenate(copies)
    parameters = {name: torch.tensor(one, dtype=torch.float64) for name, one in loss.loss_parameters.items()}
    return loss.per_item_loss(scores.double(), feedback, parameters).reshape(len(x), -1).mean(dim=1)


def rounded(numbers: Tensor) -> list[float]:
    """Return numbers with five decimals, so that the hash does not depend on the machine."""
    return [round(number, 5) + 0.0 for number in numbers.tolist()]


def data_of(loss: LossClass) -> dict[str, tuple[list[float], list[float]]]:
    """Return the values and gradients of each line of the picture of a loss, by label."""
    return {curve.label: values_and_gradients(loss, curve) for curve in picture_of(loss).curves}


def hash_of(loss: LossClass) -> str:
    """Return the hash of the numbers and labels of the picture of a loss."""
    content = repr((picture_of(loss).axis, data_of(loss)))
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def drawing(loss: LossClass) -> str:
    """Return the picture of a loss as SVG, with the hash of its data as identifier."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": loss.name(),
        "font.family": "sans-serif",
        "font.size": 11,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
        "axes.prop_cycle": plt.cycler(color=COLORS),
    }
    shown = picture_of(loss)
    with plt.rc_context(style):
        figure, panels = plt.subplots(1, 2, figsize=(7, 2.9), layout="constrained")
        for label, lines in data_of(loss).items():
            for panel, numbers in zip(panels, lines, strict=True):
                panel.plot(POINTS.tolist(), numbers, label=label, linewidth=1.8)
        for panel, title in zip(panels, ("loss", "gradient"), strict=True):
            panel.set_title(title, fontsize=12)
            panel.axhline(0, color=GREY, linewidth=0.5)
            panel.axvline(0, color=GREY, linewidth=0.5)
        figure.supxlabel(shown.axis, fontsize=11)
        if len(shown.curves) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Identifier": hash_of(loss)})
        plt.close(figure)
    return "\n".join(line.rstrip() for line in svg.getvalue().splitlines()) + "\n"
