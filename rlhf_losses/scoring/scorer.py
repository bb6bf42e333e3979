"""`Scorer`: a reward model as a function from prompts and completions to scores."""

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.checks.argument_checks import require_choice, require_instance, require_positive
from rlhf_losses.data.added_tokens import AddedTokens
from rlhf_losses.data.row_lengths import Overlong
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import (
    InvalidSettingError,
    NonFiniteError,
    UnsupportedModelError,
)
from rlhf_losses.feedback.base import Answer, Text
from rlhf_losses.hooks import transform_registry
from rlhf_losses.layouts import LayoutName, PaddedLayout, TextBatch, choose_layout, require_layout
from rlhf_losses.models.architectures import (
    ensure_pad_token,
    max_context_length,
    require_single_label,
)
from rlhf_losses.models.bfloat16 import warn_about_bfloat16
from rlhf_losses.models.embeddings import count_embeddings, require_embeddings
from rlhf_losses.models.model_argument import existing_path, require_device, require_dtype, require_tokenizer
from rlhf_losses.models.scores import features_and_scores, score_batch, use_float32_head
from rlhf_losses.scoring.aggregation import aggregate_steps
from rlhf_losses.scoring.answer_encoder import AnswerEncoder
from rlhf_losses.scoring.batched_forward import BatchedForward
from rlhf_losses.scoring.canaries import describe_change
from rlhf_losses.scoring.estimates import Estimator, FittedEstimate, find_estimate, fit_command
from rlhf_losses.scoring.identity import require_saved_model
from rlhf_losses.scoring.loading import load_reward_model
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.text_arguments import list_of_texts
from rlhf_losses.shapes import Features
from rlhf_losses.transforms import (
    FittedPipeline,
    Requirement,
    ScoredTexts,
    ScoreTransform,
    TransformPipeline,
)

logger = logging.getLogger(__name__)


def require_scorer(scorer: Any) -> None:
    """Raise `InvalidArgumentError` unless an argument is a `Scorer`; the message has the conversion."""
    remedy = "Pass Scorer.from_pretrained(PATH)."
    if isinstance(scorer, str | Path):
        remedy = f"Load it: Scorer.from_pretrained('{scorer}')."
    elif hasattr(scorer, "save_merged"):
        remedy = "Save its model and load it: Scorer.from_pretrained(trainer.save_merged())."
    require_instance(scorer, Scorer, "scorer", "a Scorer", remedy)


class Scorer:
    """A reward model that returns one score per text or conversation, for every loss.

    A scorer is a reward function of TRL's trainers: `GRPOTrainer(reward_funcs=scorer)`. The score of a text does not
    depend on the batch size or on the other texts. If the model was trained on steps, the score of a text is the mean
    of the scores of its steps, or the aggregate of its loss; `metadata.segmentation` determines the steps.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        metadata: metadata of the model. Without it, the score is computed at the end of the text.
        batch_size: largest number of texts in one forward pass; on a CPU also at most about 2,048 distinct tokens.
        layout: layout of the texts in a forward pass, as in `RewardConfig`.
        overlong: treatment of a text that does not fit: `"truncate_prompt"` truncates its prompt from the left, and
            `"error"` raises an error. `"drop"` truncates too, with a warning, because a reward function cannot drop a
            completion. By default as in the training of the model.

    Attributes:
        encoder: tokenizes prompts and completions as the model reads them.
        forward: forward passes over tokenized texts.
        transforms: score transforms with their fitted values, or None for raw scores; see `with_transforms`.
        folder: folder that the model was loaded from, or None.
        fitted: estimates that were fitted or loaded, by name.

    Raises:
        InvalidArgumentError: an argument of another type; `from_pretrained` loads a model from a path.
        InvalidSettingError: the batch size is not positive.
        UnsupportedModelError: the model has several labels or no score head, or the tokenizer has tokens without an
            embedding.
    """

    encoder_class: ClassVar[type[AnswerEncoder]] = AnswerEncoder

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        metadata: RewardModelMetadata | None = None,
        batch_size: int = 32,
        layout: LayoutName = "auto",
        overlong: Overlong | None = None,
    ) -> None:
        require_instance(
            model,
            (PreTrainedModel, PeftModel),
            "model",
            "a model of transformers",
            "To load one: Scorer.from_pretrained(PATH).",
        )
        require_tokenizer(tokenizer, "tokenizer")
        require_positive(batch_size, "batch_size")
        if metadata is not None:
            remedy = "Load it: RewardModelMetadata.load(FOLDER)."
            require_instance(metadata, RewardModelMetadata, "metadata", "a RewardModelMetadata", remedy)
        require_single_label(model.config, model.config.name_or_path or type(model).__name__)
        self.model = model.eval()
        warn_about_bfloat16(model, autocast=False)
        use_float32_head(self.model)
        ensure_pad_token(self.model.config, tokenizer)
        num_embeddings = count_embeddings(self.model)
        require_embeddings(tokenizer, num_embeddings, model.config.name_or_path or type(model).__name__)
        self.tokenizer = tokenizer
        self.metadata = metadata or RewardModelMetadata(loss="unknown", feedback_types=[])
        self.encoder = self.encoder_class(
            tokenizer,
            self.metadata,
            context_length=max_context_length(self.model.config),
            num_embeddings=num_embeddings,
            overlong=overlong or self.metadata.overlong or "drop",
        )
        chosen = choose_layout(self.model, PaddedLayout(tokenizer.pad_token_id or 0), layout)
        self.forward = BatchedForward(self.model, chosen, batch_size)
        self._warned_plain_text = False
        self.transforms: FittedPipeline | None = None
        self.folder: Path | None = None
        self.fitted: dict[str, FittedEstimate] = {}
        self.__name__ = self.encoder.name

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        dtype: torch.dtype | str = torch.float32,
        layout: LayoutName = "auto",
        overlong: Overlong | None = None,
        trust_remote_code: bool = False,
        **model_options: Any,
    ) -> Self:
        """Load a reward model: a merged model, a LoRA adapter, or any sequence classifier with one label.

        Args:
            path: folder or Hub id.
            batch_size: largest number of texts in one forward pass.
            device: by default the accelerator, if there is one.
            dtype: dtype of the parameters; the score head is always in float32.
            layout: layout of the texts in a forward pass.
            overlong: treatment of a text that does not fit, see `Scorer`.
            trust_remote_code: whether Python code that comes with the model is executed.
            model_options: other arguments of `from_pretrained` of the model class.

        Raises:
            InvalidArgumentError: an argument of another type.
            InvalidSettingError: an unknown device, dtype or treatment of texts, or a batch size that is not positive.
            UnsupportedModelError: there is no such model, it has no trained score head or several labels, or it is not
                the one that was saved.
        """
        path = existing_path(path)
        device = require_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        require_dtype(dtype)
        require_positive(batch_size, "batch_size")
        require_layout(layout)
        if overlong is not None:
            require_choice(overlong, get_args(Overlong), "overlong")
        model, tokenizer = load_reward_model(path, dtype, trust_remote_code, **model_options)
        return cls.from_loaded(
            model.to(device), tokenizer, path, batch_size=batch_size, layout=layout, overlong=overlong
        )

    @classmethod
    def from_loaded(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: str | Path, **options: Any
    ) -> Self:
        """Return the scorer of a model in memory with the metadata in its folder; check that it is the saved one.

        Args:
            model: a sequence classifier with one label.
            tokenizer: its tokenizer.
            path: folder that the model was loaded from.
            options: other arguments of `Scorer`.

        Raises:
            UnsupportedModelError: the model is not the one that was saved.
        """
        scorer = cls(model, tokenizer, RewardModelMetadata.load(path), **options)
        scorer.folder = Path(path)
        scorer.rename(Path(path).name)
        require_saved_model(scorer.model, tokenizer, scorer.metadata, path)
        return scorer

    def with_transforms(
        self, transforms: str | ScoreTransform | TransformPipeline, plugin_files: Iterable[str | Path] = ()
    ) -> Self:
        """Return a scorer on the same weights whose scores are transformed.

        Transforms of this scorer are replaced. The score of a whole text is aggregated first and then transformed.
        `score_steps` and other methods that return the scores of steps transform each of them.

        Args:
            transforms: a transform, a pipeline, or the string form of one, for example `"standardize | clip(limit=5)"`.
            plugin_files: plugin files that are not installed.

        Raises:
            UnknownNameError: a transform or an option is unknown.
            UnsupportedModelError: a transform was not fitted to this model; see `fit_reference`.
        """
        scorer = copy.copy(self)
        scorer.transforms = self.metadata.fitted_pipeline(as_pipeline(transforms, plugin_files), self.__name__)
        return scorer

    def rename(self, name: str) -> None:
        """Set the name that logs and messages use.

        Args:
            name: the name.
        """
        self.__name__ = self.encoder.name = name

    def __repr__(self) -> str:
        """Return the model, the loss that it was trained with, and the transforms."""
        transforms = "" if self.transforms is None else f", transforms='{self.transforms}'"
        return f"Scorer({self.__name__!r}, {type(self.model).__name__}, loss='{self.metadata.loss}'{transforms})"

    def affine(self) -> tuple[float, float] | None:
        """Return scale and shift if the scores are `scale * raw score + shift`, else None; `(1, 0)` for raw scores."""
        return (1.0, 0.0) if self.transforms is None else self.transforms.affine()

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Return the score of each completion after its prompt.

        Args:
            prompts: one prompt per completion.
            completions: the completions.
            columns: other arguments of TRL's reward functions. `tools`, `documents`, `system` and
                `chat_template_kwargs`, with one entry per completion, are arguments of the chat template.
        """
        encoded = self.encoder.encode_completions(prompts, completions, columns)
        self._warn_about_plain_texts(prompts, completions)
        return self.score_texts(encoded)

    def _warn_about_plain_texts(self, prompts: Sequence[Text], completions: Sequence[Text]) -> None:
        """Warn once about plain texts for a model that was trained on conversations."""
        is_plain = any(isinstance(one, str) for one in completions) and any(isinstance(one, str) for one in prompts)
        if self._warned_plain_text or not is_plain or not self._reads_templated_texts:
            return
        self._warned_plain_text = True
        logger.warning(
            "'%s' was trained on conversations, and it is given prompts and completions that are plain texts: they are "
            "scored as they are, without BOS, EOS and the text of the chat template. Pass lists of messages, or text "
            "that the chat template wrote.",
            self.__name__,
        )

    @property
    def _reads_templated_texts(self) -> bool:
        """Whether a plain text gets no tokens that mark its beginning or end, as the chat template writes them."""
        added = AddedTokens.of(self.tokenizer)
        return self.metadata.end_of_texts == "tokenizer" and not (added.before or added.after)

    def score(self, texts: Sequence[Text]) -> list[float]:
        """Return the scores of whole texts or whole conversations.

        Args:
            texts: strings, or conversations as lists of messages.

        Returns:
            One score per text. The scores of steps are aggregated if the model was trained on steps.
        """
        texts = list_of_texts(texts, "texts")
        return self.score_texts(self.encoder.encode_completions([None] * len(texts), texts))

    def score_steps(self, prompt: Text, steps: Sequence[str]) -> list[float]:
        """Return the score of each step of one answer, from one forward pass.

        Args:
            prompt: prompt of the answer.
            steps: steps of the answer, in order.

        Returns:
            One score per step, computed at the last token of the step.
        """
        steps = list_of_texts(steps, "steps")
        return self.score_answers([Answer(prompt, tuple(steps))])[0] if steps else []

    def score_answers(self, answers: Sequence[Answer]) -> list[list[float]]:
        """Return the scores at the end of each part of each answer.

        Args:
            answers: prompts with one or more parts.

        Returns:
            For each answer, one score per part.
        """
        for answer in answers:
            require_instance(answer, Answer, "answers", "a list of Answer", "Pass [Answer(prompt, (completion,))].")
        return self.score_encoded([self.encoder.encode(answer) for answer in answers])

    def score_encoded(self, texts: Sequence[Encoded]) -> list[list[float]]:
        """Return the scores at the positions of tokenized texts; equal texts are scored once."""
        parts = self.score_parts(texts, self.requires_features)
        scores = iter(self.transform(ScoredTexts.concatenate(parts)))
        return [list(islice(scores, len(part.scores))) for part in parts]

    def score_texts(self, texts: Sequence[Encoded]) -> list[float]:
        """Return the scores of whole tokenized texts; the scores of steps are aggregated."""
        parts = self.score_parts(texts, self.requires_features)
        return self.transform(ScoredTexts.concatenate([self.aggregate(part) for part in parts]))

    def features_and_scores(self, texts: Sequence[Encoded]) -> list[tuple[Features, list[float]]]:
        """Return the input vectors of the score head at the positions of tokenized texts, and the raw scores."""
        return [(part.features, part.scores.tolist()) for part in self.score_parts(texts, features=True)]

    def score_parts(self, texts: Sequence[Encoded], features: bool = False) -> list[ScoredTexts]:
        """Return the raw scores at the positions of each tokenized text.

        Args:
            texts: tokenized texts.
            features: whether to return the input vectors of the score head.

        Returns:
            For each text, the scores in float64 and the features in float32.

        Raises:
            NonFiniteError: a score is NaN or infinite.
        """
        parts = self.score_parts_unchecked(texts, features)
        for text, part in zip(texts, parts, strict=True):
            self.require_finite(text, part)
        return parts

    def score_parts_unchecked(self, texts: Sequence[Encoded], features: bool = False) -> list[ScoredTexts]:
        """Return what `score_parts` returns, also if a score is NaN or infinite.

        Args:
            texts: tokenized texts.
            features: whether to return the input vectors of the score head.
        """
        for text in texts:
            self.encoder.require_embedded(text)
        found = self.forward.run(texts, features_and_scores if features else _without_features)
        return [_scored(text, *tensors) for text, tensors in zip(texts, found, strict=True)]

    def require_finite(self, text: Encoded, scored: ScoredTexts) -> None:
        """Raise `NonFiniteError` if a raw score of a text is NaN or infinite.

        Args:
            text: the tokenized text.
            scored: its scores.
        """
        wrong = scored.scores[~torch.isfinite(scored.scores)]
        if len(wrong):
            raise NonFiniteError(
                f"'{self.__name__}' gives the score {wrong[0].item()} to a text of {len(text.ids)} tokens that begins "
                f"with {self.tokenizer.decode(text.ids[:20])!r}. The weights are finite, so hidden states overflow. "
                "Load the model with dtype=torch.float32."
            )

    def aggregate(self, steps: ScoredTexts) -> ScoredTexts:
        """Return the raw score of a whole text with these steps."""
        return aggregate_steps(self.metadata.aggregation, steps)

    def transform(self, texts: ScoredTexts) -> list[float]:
        """Return the transformed scores; without transforms, the raw scores."""
        if self.transforms is None:
            scores: list[float] = texts.scores.tolist()
            return scores
        return self.transforms.apply(replace(texts, features=texts.features.double())).tolist()

    @property
    def requires_features(self) -> bool:
        """Whether the transforms require the input vectors of the score head."""
        return self.transforms is not None and Requirement.FEATURES in self.transforms.pipeline.requires

    def estimator(self, name: str, plugin_files: Iterable[str | Path] = ()) -> Estimator:
        """Return a fitted score estimate as a function of prompts and completions.

        It is a reward function too: `reward_funcs=[scorer, scorer.estimator("laplace")]` with
        `reward_weights=[1.0, -0.5]`. See `fit_estimate`.

        Args:
            name: name of the estimate.
            plugin_files: plugin files that are not installed.

        Raises:
            UnknownNameError: no plugin provides the estimate.
            UnsupportedModelError: the estimate was not fitted to this model, or the model has changed since.
            InvalidSettingError: the estimate has the unit of the scores, and the transforms are not affine.
        """
        fitted = find_estimate(name, self.fitted, self.metadata.estimates, self.folder, plugin_files)
        self.fitted[name] = fitted
        change = describe_change(self.model, self.tokenizer, fitted.canaries, self.encoder.end_of_texts)
        if change is not None:
            raise UnsupportedModelError(
                f"'{self.__name__}' has changed since the score estimate '{name}' was fitted: {change}. "
                f"Fit it again: {fit_command(name)}"
            )
        affine = self.affine()
        if affine is None and fitted.estimate.unit_is_score:
            raise InvalidSettingError(
                f"The score estimate '{name}' is in units of the raw score, but '{self.transforms}' is not affine, so "
                "the estimate cannot be rescaled. Use affine transforms, for example "
                "scorer.with_transforms('standardize')."
            )
        return Estimator(
            fitted, self.encoder.encode_completions, self._scores_and_texts, abs(affine[0]) if affine else 1.0
        )

    def with_segmentation(self, segmentation: str) -> Self:
        """Return a scorer on the same weights that splits texts into steps in another way.

        Args:
            segmentation: see `RewardModelMetadata.segmentation`.
        """
        scorer = copy.copy(self)
        scorer.metadata = replace(self.metadata, segmentation=segmentation)
        scorer.encoder = replace(self.encoder, metadata=scorer.metadata)
        return scorer

    def with_overlong(self, overlong: Overlong | None) -> Self:
        """Return a scorer on the same weights with another treatment of texts that do not fit.

        Args:
            overlong: `"drop"`, `"truncate_prompt"` or `"error"`, see `Scorer`; None keeps that of this scorer.
        """
        scorer = copy.copy(self)
        scorer.encoder = replace(self.encoder, overlong=overlong or self.encoder.overlong)
        return scorer

    def _scores_and_texts(self, encoded: Sequence[Encoded]) -> tuple[list[float], ScoredTexts]:
        """Return the scores of tokenized texts, and the raw scores with features in float32."""
        parts = self.score_parts(encoded, features=True)
        texts = ScoredTexts.concatenate([self.aggregate(part) for part in parts])
        return self.transform(texts), ScoredTexts(texts.scores.float(), texts.features, texts.lengths.float())


def as_pipeline(
    transforms: str | ScoreTransform | TransformPipeline, plugin_files: Iterable[str | Path] = ()
) -> TransformPipeline:
    """Return a pipeline of score transforms.

    Args:
        transforms: a transform, a pipeline, or the string form of one.
        plugin_files: plugin files that are not installed.
    """
    if isinstance(transforms, str):
        return transform_registry(plugin_files).parse(transforms)
    if isinstance(transforms, ScoreTransform):
        return TransformPipeline((transforms,))
    remedy = "Pass for example 'standardize | clip(limit=5)'."
    require_instance(transforms, TransformPipeline, "transforms", "a transform, a pipeline or a string", remedy)
    return transforms


def _without_features(model: nn.Module, batch: TextBatch) -> tuple[Tensor, Tensor]:
    scores = score_batch(model, batch)
    return scores.new_empty(len(scores), 0), scores


def _scored(text: Encoded, features: Features, scores: Tensor) -> ScoredTexts:
    lengths = torch.tensor([position + 1 - text.prompt[1] for position in text.positions], dtype=torch.float64)
    return ScoredTexts(scores.double(), features.float(), lengths)
