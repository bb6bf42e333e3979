"""What was fitted beside the score: saved in a file of its own, and read in the same forward pass as the score."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.hooks.estimates import estimates
from rlhf_losses.losses import Aggregated
from rlhf_losses.scoring.metadata import canary_score, same_score
from rlhf_losses.shapes import Features, Scores
from rlhf_losses.transforms.estimate import ScoreEstimate

if TYPE_CHECKING:
    from rlhf_losses.scoring.scorer import Scorer, Text


@dataclass(frozen=True)
class Fitted:
    """An estimate, the tensors that its `fit` returned, and what the canary scored then."""

    estimate: ScoreEstimate
    tensors: dict[str, Tensor]
    canary_score: float

    def save(self, folder: Path) -> None:
        """Write the tensors into a model's folder."""
        save_file({name: value.contiguous() for name, value in self.tensors.items()}, file_of(self.estimate, folder))

    def told(self) -> dict[str, Any]:
        """Return what a model's description says of it."""
        return {"text": str(self.estimate), "canary_score": self.canary_score}


class Estimator:
    """A function of prompts and completions: what an estimate says of each text, beside its score."""

    def __init__(self, scorer: "Scorer", fitted: Fitted) -> None:
        self.scorer = scorer
        self.estimate, self.tensors = fitted.estimate, fitted.tensors
        self.__name__ = fitted.estimate.name()

    def __call__(self, prompts: "Sequence[Text]", completions: "Sequence[Text]", **_: Any) -> list[float]:
        """Return one estimate for each completion after its prompt."""
        return self.with_scores(prompts, completions)[1]

    def with_scores(self, prompts: "Sequence[Text]", completions: "Sequence[Text]") -> tuple[list[float], list[float]]:
        """Return the scores that the scorer gives, and the estimates, from one forward pass a text."""
        pairs = zip(prompts, completions, strict=True)
        answers = [self.scorer.split_steps(Answer(prompt, (completion,))) for prompt, completion in pairs]
        read = self.scorer.read_encoded([self.scorer.encode(answer) for answer in answers])
        features, scores = whole_texts(self.scorer, read)
        estimates = self.estimate.read(features, scores, **self.tensors)
        if self.estimate.in_units_of_score:
            estimates = estimates / self.scorer.std
        shown = [[(score - self.scorer.mean) / self.scorer.std for score in parts] for _, parts in read]
        return [self.scorer.aggregate(parts) for parts in shown], estimates.tolist()


def whole_texts(scorer: "Scorer", read: Sequence[tuple[Features, list[float]]]) -> tuple[Features, Scores]:
    """Return one vector and one score for each text; where the score is made of those of steps, so is the vector.

    The vectors of steps are weighed as the score of the text changes with the scores of its steps.
    """
    if not read:
        return torch.empty(0, 0), torch.empty(0)
    features, scores = zip(*(_whole_text(scorer.aggregated, *parts) for parts in read), strict=True)
    return torch.stack(features), torch.stack(scores)


def _whole_text(made: Aggregated, features: Features, scores: list[float]) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        parts = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
        whole = made.of_steps(parts)
        (share,) = torch.autograd.grad(whole, parts)
    return share.float() @ features.float(), whole.detach().float()


def fitted_in(scorer: "Scorer", name: str, plugin_files: Iterable[str | Path] = ()) -> Fitted:
    """Return what was fitted to the model of a scorer under a name.

    Raises:
        UnknownNameError: no plugin provides an estimate of that name.
        UnsupportedModelError: it was not fitted to this model, or the model has changed since.
    """
    if name not in scorer.fitted:
        scorer.fitted[name] = _load(scorer, name, plugin_files)
    fitted = scorer.fitted[name]
    score = canary_score(scorer.model, scorer.tokenizer, scorer.metadata.canary_text)
    if not same_score(scorer.model, score, fitted.canary_score):
        raise UnsupportedModelError(
            f"'{scorer.__name__}' scores its canary text {score:.4f}, but {fitted.canary_score:.4f} when {name} was "
            f"fitted, so it has been trained since and {name} is that of another model. Fit it again: "
            f"{how_to_fit(name)}"
        )
    return fitted


def file_of(estimate: ScoreEstimate, folder: Path) -> Path:
    """Return the file of an estimate in a model's folder."""
    return folder / f"estimate_{estimate.name()}.safetensors"


def how_to_fit(name: str) -> str:
    """Return what to type to fit an estimate."""
    return f"rlhf-losses fit --estimate {name} --model FOLDER --dataset FILE"


def _load(scorer: "Scorer", name: str, plugin_files: Iterable[str | Path]) -> Fitted:
    known, told = estimates(plugin_files), scorer.metadata.estimates.get(name)
    if told is None or scorer.folder is None:
        known.called(name)
        there = ", ".join([*scorer.metadata.estimates, *scorer.fitted]) or "none"
        raise UnsupportedModelError(
            f"{name} was not fitted to '{scorer.__name__}'; estimates that were: {there}. Fit it on the data that the "
            f"model was trained on: {how_to_fit(name)}"
        )
    estimate = known.parse(told["text"])
    file = file_of(estimate, scorer.folder)
    if not file.is_file():
        raise UnsupportedModelError(
            f"'{scorer.folder}' says that {name} was fitted, but {file.name} is not there. Fetch every file of the "
            f"folder, or fit it again: {how_to_fit(name)}"
        )
    return Fitted(estimate, load_file(file), told["canary_score"])
