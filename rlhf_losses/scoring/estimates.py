"""Score estimates that were fitted to a model: their files, and estimates as functions of prompts and completions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import UnsupportedModelError, first_line
from rlhf_losses.feedback.base import Text
from rlhf_losses.hooks import estimate_registry
from rlhf_losses.messages.printed_commands import printed_command
from rlhf_losses.scoring.canaries import Canary
from rlhf_losses.scoring.metadata import EstimateMetadata
from rlhf_losses.transforms import ScoredTexts, ScoreEstimate


@dataclass(frozen=True)
class FittedEstimate:
    """An estimate that was fitted to a model.

    Attributes:
        estimate: the estimate.
        tensors: the tensors that `fit` returned, by name.
        canaries: tokens and scores of fixed inputs when the estimate was fitted.
    """

    estimate: ScoreEstimate
    tensors: dict[str, Tensor]
    canaries: list[Canary]

    @property
    def metadata(self) -> EstimateMetadata:
        """Return the entry for `reward_model.json`."""
        return EstimateMetadata(str(self.estimate), self.canaries)

    def save(self, folder: Path) -> None:
        """Write the fitted tensors to `estimate_{name}.safetensors` in `folder`.

        Args:
            folder: folder of the model.
        """
        save_file(
            {name: value.contiguous() for name, value in self.tensors.items()}, estimate_file(self.estimate, folder)
        )


class Estimator:
    """A fitted score estimate as a function of prompts and completions.

    It is a reward function of TRL's trainers, as a `Scorer` is. `Scorer.estimator` creates it.

    Args:
        fitted: the estimate with its tensors.
        encode: tokenizes completions after their prompts, with further columns.
        score: returns the scores of tokenized texts, and their raw scores with features.
        scale: factor from the raw scores to the scores.
    """

    def __init__(
        self,
        fitted: FittedEstimate,
        encode: Callable[[Sequence[Text], Sequence[Text], Mapping[str, Any]], list[Encoded]],
        score: Callable[[Sequence[Encoded]], tuple[list[float], ScoredTexts]],
        scale: float = 1.0,
    ) -> None:
        self.estimate, self.tensors = fitted.estimate, fitted.tensors
        self.scale = scale if self.estimate.unit_is_score else 1.0
        self._encode, self._score = encode, score
        self.__name__ = self.estimate.name()

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return one number per completion; for the arguments see `Scorer`."""
        return self.with_scores(prompts, completions, **columns)[1]

    def with_scores(
        self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any
    ) -> tuple[list[float], list[float]]:
        """Return the scores and the estimates of completions, from one forward pass per text.

        Args:
            prompts: one prompt per completion.
            completions: the completions.
            columns: arguments of the chat template, with one entry per completion.
        """
        return self.score_texts(self._encode(prompts, completions, columns))

    def score_texts(self, texts: Sequence[Encoded]) -> tuple[list[float], list[float]]:
        """Return the scores and the estimates of tokenized texts.

        Args:
            texts: texts from `Scorer.encoder.encode`.
        """
        scores, scored = self._score(texts)
        try:
            estimates = self.estimate.predict(scored, self.tensors) * self.scale
        except (LookupError, RuntimeError) as error:
            raise UnsupportedModelError(
                f"The fitted values of the score estimate '{self.__name__}' cannot be used: {first_line(error)}. "
                f"Fit it again: {fit_command(self.__name__)}"
            ) from error
        return scores, estimates.tolist()


def find_estimate(
    name: str,
    fitted: Mapping[str, FittedEstimate],
    saved: Mapping[str, EstimateMetadata],
    folder: Path | None,
    plugin_files: Iterable[str | Path] = (),
) -> FittedEstimate:
    """Return an estimate that was fitted to a model.

    Args:
        name: name of the estimate.
        fitted: estimates in memory, by name.
        saved: estimates in the metadata of the model, by name.
        folder: folder of the model; None for a model that was not loaded from one.
        plugin_files: plugin files that are not installed.

    Raises:
        UnknownNameError: no plugin provides the estimate.
        UnsupportedModelError: the estimate was not fitted to this model, or its file is missing.
    """
    if name in fitted:
        return fitted[name]
    registry = estimate_registry(plugin_files)
    if name not in saved or folder is None:
        registry.lookup(name)
        model = "this model" if folder is None else f"the model in '{folder}'"
        raise UnsupportedModelError(
            f"The score estimate '{name}' was not fitted to {model}; fitted: {', '.join([*saved, *fitted]) or 'none'}. "
            f"Fit it to the data that the model was trained on: {fit_command(name)}"
        )
    estimate = registry.parse(saved[name].text)
    file = estimate_file(estimate, folder)
    if not file.is_file():
        raise UnsupportedModelError(
            f"The file '{file}' of the score estimate '{name}' is missing. Download all files of the folder, or fit "
            f"the estimate again: {fit_command(name)}"
        )
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UnsupportedModelError(
            f"The file '{file}' of the score estimate '{name}' cannot be read: {first_line(error)}. Download it "
            f"again, or fit the estimate again: {fit_command(name)}"
        ) from error
    return FittedEstimate(estimate, tensors, saved[name].canaries)


def estimate_file(estimate: ScoreEstimate, folder: Path) -> Path:
    """Return the file with the tensors of an estimate in the folder of a model."""
    return folder / f"estimate_{estimate.name()}.safetensors"


def fit_command(name: str) -> str:
    """Return the command that fits an estimate."""
    return printed_command("fit", "--estimate", name, "--model", "FOLDER", "--dataset", "FILE")
