"""`reward_model.json`: what a saved reward model says about itself, and the score that proves its head."""

import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.layouts import PaddedLayout
from rlhf_losses.models.scores import score_batch

FILE = "reward_model.json"
CANARY = "The canary sang a short song in the morning."


@dataclass(frozen=True)
class RewardModelMetadata:
    """The loss, the feedback it read, where the score is read, and the score of a fixed text.

    `segmentation` is None where one score is read at the end of a text; else it names the way in which a
    text is cut into steps, and `aggregate` how one score is made of theirs. `separator` stands between steps.
    `reference_mean` and `reference_std` are those of the scores of reference samples, see `fit_reference`.
    `estimates` lie in files of their own: the text of each by its name, and what the canary scored when it was fitted.
    `loss_parameters` are the numbers that the loss learned beside the model, like cut points; scores do not depend on them.
    """

    loss: str
    feedback: list[str]
    segmentation: str | None = None
    separator: str = "\n"
    aggregate: str = "mean"
    aggregate_temperature: float = 1.0
    loss_parameters: dict[str, list[float]] = field(default_factory=dict)
    canary_score: float | None = None
    canary_text: str = CANARY
    reference_mean: float | None = None
    reference_std: float | None = None
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: _versions())

    def save(self, folder: str | Path) -> None:
        """Write the description into a model's folder."""
        told = asdict(self) | {"score_read_at": "ends of steps" if self.segmentation else "end of text"}
        Path(folder, FILE).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "RewardModelMetadata | None":
        """Read the description of a saved model, or None where there is none."""
        file = Path(folder, FILE)
        if not file.is_file():
            return None
        told = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{name: told[name] for name in cls.__dataclass_fields__ if name in told})


@torch.no_grad()
def canary_score(model: nn.Module, tokenizer: PreTrainedTokenizerBase, text: str = CANARY) -> float:
    """Return the score that `model` gives a fixed text."""
    encoded = encode(render(Answer(None, (text,)), tokenizer), tokenizer)
    device = next(model.parameters()).device
    batch = PaddedLayout(pad_token_id=0).lay_out([encoded.ids], [0], [len(encoded.ids) - 1])
    was_training = model.training
    model.eval()
    score = score_batch(model, send_to_device(batch, device)).item()
    model.train(was_training)
    return score


def require_same_head(model: nn.Module, tokenizer: PreTrainedTokenizerBase, description: RewardModelMetadata) -> None:
    """Raise `UnsupportedModelError` unless the recorded score of the canary comes back."""
    if description.canary_score is None:
        return
    score = canary_score(model, tokenizer, description.canary_text)
    if not same_score(model, score, description.canary_score):
        raise UnsupportedModelError(
            f"This model scores its canary text {score:.4f}, but {description.canary_score:.4f} was recorded when it "
            "was saved. Its weights or tokenizer are not the ones that were trained; save it again, or fetch every "
            "file of its folder."
        )


def same_score(model: nn.Module, score: float, recorded: float) -> bool:
    """Tell whether a score is the recorded one, but for rounding in the precision of the model."""
    exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
    return abs(score - recorded) <= (1e-3 if exact else 5e-2) * (1 + abs(recorded))


def _versions() -> dict[str, str]:
    names = ("rlhf-losses", "trl", "transformers", "peft", "torch")
    return {name: importlib.metadata.version(name) for name in names}
