"""`reward_model.json`: the metadata of a saved reward model."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.checks.json_types import wrong_json_field
from rlhf_losses.data.added_tokens import EndOfTexts, TextEnd
from rlhf_losses.data.chat_messages import clean_content
from rlhf_losses.data.row_lengths import Overlong
from rlhf_losses.data.segmentation import SEGMENTATIONS
from rlhf_losses.errors import InvalidFeedbackError, InvalidLossError, UnsupportedModelError, did_you_mean, shown
from rlhf_losses.feedback import Feedback
from rlhf_losses.losses import Aggregated, AnyLoss
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.scoring.canaries import CANARY_TEXT, Canary, record_canaries
from rlhf_losses.scoring.head_weights import head_sha256
from rlhf_losses.transforms import Fitted, FittedPipeline, Requirement, TransformPipeline, standardize

FILE = "reward_model.json"
SCHEMA = 5
"""Version of the format of the file. Files of schema 1 have no key `schema`."""

RENAMED_KEYS = {"feedback": "feedback_types", "learned": "loss_parameters", "score_read_at": "score_position"}
"""Keys of schema 1 and their names in later schemas."""

REPLACED_KEYS = ("canary_text", "canary_score", "reference_mean", "reference_std")
"""Keys of schema 1 whose values are in `canaries` and `transforms` of later schemas."""

POSITIONS = {"end of text": "end_of_text", "ends of steps": "end_of_steps"}
"""Values of `score_position` in schema 1 and in later schemas."""


SCORING_SETTINGS = ("segmentation", "separator", "aggregate", "aggregate_temperature")
"""Attributes by which the score of a text is computed from those of its steps."""

DERIVED_KEYS = ("score_position", "scoring_sha256")
"""Keys whose values follow from others. They are compared when the file is read, so that a changed value is found."""


@dataclass(frozen=True)
class EstimateMetadata:
    """A score estimate that was fitted to a model; its tensors are in a separate file.

    Attributes:
        text: string form of the estimate, with its options.
        canaries: tokens and scores of fixed inputs when the estimate was fitted.
    """

    text: str
    canaries: list[Canary]


@dataclass(frozen=True)
class RewardModelMetadata:
    """Properties of a reward model that scoring uses besides its weights and its tokenizer.

    Attributes:
        loss: string form of the loss that the model was trained with, or `"unknown"`.
        feedback_types: names of the feedback types that it was trained on.
        segmentation: how an answer is split into steps: `"paragraphs"`, `"lines"` or `"sentences"`; None if the model
            scores whole texts.
        separator: string inserted between two steps.
        aggregate: how the score of a text is computed from the scores of its steps: `"mean"`, `"sum"`, `"minimum"` or
            `"soft_minimum"`.
        aggregate_temperature: temperature of the soft minimum, in score units.
        end_of_texts: how a plain text ends: `"tokenizer"` if the tokenizer alone makes its tokens, as in every other
            program; `"eos"` if `Scorer` appends EOS to the text; None appends EOS unless the tokenizer adds it.
        overlong: treatment of texts longer than the limit in training: `"drop"`, `"truncate_prompt"` or `"error"`; None
            if unknown.
        max_length: largest number of tokens of a text in training, or None if there was no limit.
        loss_parameters: trained parameters of the loss, like cut points, by term and name; scores do not use them.
        canaries: tokens and scores of fixed inputs, which are checked when the model is loaded.
        chat_template_sha256: hash of the chat template; None if the tokenizer has none.
        head_sha256: hash of the weights of the score head in float32; None if unknown.
        pad_token_id: id of the padding token; None if unknown.
        transforms: fitted values of score transforms, by the string form of the pipeline up to the transform.
        estimates: fitted score estimates, by name.
        versions: versions of the libraries that saved the model.
    """

    loss: str
    feedback_types: list[str]
    segmentation: str | None = None
    separator: str = "\n"
    aggregate: str = "mean"
    aggregate_temperature: float = 1.0
    end_of_texts: EndOfTexts | None = None
    overlong: Overlong | None = None
    max_length: int | None = None
    loss_parameters: dict[str, list[float]] = field(default_factory=dict)
    canaries: list[Canary] = field(default_factory=list)
    chat_template_sha256: str | None = None
    head_sha256: str | None = None
    pad_token_id: int | None = None
    transforms: dict[str, dict[str, Any]] = field(default_factory=dict)
    estimates: dict[str, EstimateMetadata] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: library_versions())

    @property
    def score_position(self) -> str:
        """Return where scores are computed: `"end_of_text"` or `"end_of_steps"`."""
        return "end_of_text" if self.segmentation is None else "end_of_steps"

    @property
    def has_recorded_template(self) -> bool:
        """Return whether the chat template was recorded: its hash, or that there was none."""
        return self.chat_template_sha256 is not None or self.head_sha256 is not None

    @property
    def scoring_sha256(self) -> str:
        """Return a hash of the settings by which the score of a text is computed from those of its steps."""
        settings = {name: getattr(self, name) for name in SCORING_SETTINGS}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @property
    def aggregation(self) -> Aggregated:
        """Return the loss that aggregates the scores of steps."""
        return Aggregated(by=self.aggregate, temperature=self.aggregate_temperature)

    def fitted_pipeline(self, pipeline: TransformPipeline, source: str) -> FittedPipeline:
        """Return a pipeline of score transforms with the values that were fitted to this model.

        Args:
            pipeline: the transforms.
            source: name of the model in messages.

        Raises:
            UnsupportedModelError: a transform was not fitted.
        """
        fitted: list[Fitted] = []
        for transform, text in zip(pipeline.transforms, pipeline.prefixes(), strict=True):
            values = self.transforms.get(text, {})
            if Requirement.REFERENCE in transform.requires and not values:
                options = "" if text == str(standardize) else f", transforms='{text}'"
                call = f"fit_reference(scorer, prompts, completions{options})"
                raise UnsupportedModelError(
                    f"'{source}' was fitted to no reference samples, so the values of the score transform '{text}' "
                    f"are unknown. Fit them with {setting('reference_samples', 'FILE', python=call)}."
                )
            try:
                fitted.append({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
            except (TypeError, ValueError, RuntimeError):
                raise _wrong_value("transforms", values, source) from None
        return FittedPipeline(pipeline, tuple(fitted))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file."""
        derived = {name: getattr(self, name) for name in DERIVED_KEYS}
        return {"schema": SCHEMA, **asdict(self), **derived}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str = FILE) -> "RewardModelMetadata":
        """Return the metadata in the content of a file.

        Args:
            content: content of a file of any schema up to the current one.
            source: name of the file in messages.

        Raises:
            UnsupportedModelError: the schema is newer, a key is unknown or missing, or a value has the wrong type.
        """
        try:
            content = upgrade(content, source)
            _require_known_keys(content, [*cls.__dataclass_fields__, "schema", *DERIVED_KEYS], source)
            values = {name: value for name, value in content.items() if name in cls.__dataclass_fields__}
            plain = {name: value for name, value in values.items() if name not in ("canaries", "estimates")}
            _require_types(plain, cls, source)
            values["canaries"] = _canaries(values.get("canaries", []), source)
            values["estimates"] = {
                name: EstimateMetadata(**{**saved, "canaries": _canaries(saved["canaries"], source)})
                for name, saved in values.get("estimates", {}).items()
            }
            metadata = cls(**values)
        except (TypeError, KeyError, AttributeError) as error:
            raise UnsupportedModelError(
                f"'{source}' is incomplete, or a value has the wrong type: {error}. Save the model again with "
                "save_merged()."
            ) from error
        metadata._require_known_values(source)
        _require_score_position(metadata, content.get("score_position"), source)
        _require_scoring_settings(metadata, content.get("scoring_sha256"), source)
        return metadata

    def _require_known_values(self, source: str) -> None:
        """Raise `UnsupportedModelError` for a value that no version of this package writes."""
        known = {
            "segmentation": (None, *SEGMENTATIONS),
            "overlong": (None, *get_args(Overlong)),
            "end_of_texts": (None, *get_args(EndOfTexts)),
        }
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise _wrong_value(name, getattr(self, name), source)
        if self.max_length is not None and self.max_length < 1:
            raise _wrong_value("max_length", self.max_length, source)
        try:
            _ = self.aggregation
        except InvalidLossError as error:
            raise UnsupportedModelError(f"'{source}' has another aggregation: {error}") from None

    def save(self, folder: str | Path) -> None:
        """Write `reward_model.json` into the folder of a model."""
        Path(folder, FILE).write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "RewardModelMetadata | None":
        """Read `reward_model.json` from the folder of a model.

        Returns:
            The metadata, or None if there is no such file.

        Raises:
            UnsupportedModelError: the file is not valid, or was written by a newer version.
        """
        file = Path(folder, FILE)
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UnsupportedModelError(f"'{file}' is not valid JSON: {error}. Download the file again.") from error
        return cls.from_dict(content, str(file))


def describe_model(
    loss: AnyLoss,
    feedback_types: Iterable[type[Feedback]],
    model: nn.Module | None,
    tokenizer: PreTrainedTokenizerBase,
    *,
    segmentation: str | None = None,
    separator: str = "\n",
    end_of_texts: EndOfTexts | None = None,
    overlong: Overlong | None = None,
    max_length: int | None = None,
    loss_parameters: Mapping[str, list[float]] | None = None,
) -> RewardModelMetadata:
    """Return the metadata of a trained reward model.

    Args:
        loss: the loss that the model was trained with; an `Aggregated` term determines the aggregation of steps.
        feedback_types: the feedback types that the model was trained on.
        model: the trained model. None if its weights are distributed over processes: then no canaries are recorded.
        tokenizer: tokenizer of the model.
        segmentation: how an answer is split into steps; None for a model of whole texts.
        separator: string inserted between two steps.
        end_of_texts: how a plain text ends, see `RewardModelMetadata`.
        overlong: treatment of texts longer than the limit in training.
        max_length: largest number of tokens of a text in training.
        loss_parameters: trained parameters of the loss, by term and name.
    """
    terms = [term.loss for term in loss.as_objective().terms]
    aggregated = next((term for term in terms if isinstance(term, Aggregated)), Aggregated())
    return RewardModelMetadata(
        loss=str(loss),
        feedback_types=[feedback_type.__name__ for feedback_type in feedback_types],
        canaries=[] if model is None else record_canaries(model, tokenizer, TextEnd.of(tokenizer, end_of_texts)),
        chat_template_sha256=chat_template_sha256(tokenizer),
        head_sha256=None if model is None else head_sha256(model),
        pad_token_id=tokenizer.pad_token_id,
        segmentation=segmentation,
        separator=separator,
        end_of_texts=end_of_texts,
        aggregate=aggregated.by,
        aggregate_temperature=aggregated.temperature,
        overlong=overlong,
        max_length=max_length,
        loss_parameters=dict(loss_parameters or {}),
    )


def chat_template_sha256(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the SHA-256 hash of a chat template, or None if the tokenizer has none."""
    template: Any = tokenizer.chat_template
    if not template:
        return None
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def upgrade(content: Mapping[str, Any], source: str = FILE) -> dict[str, Any]:
    """Return the content of a file of an earlier schema in the current schema.

    Args:
        content: content of `reward_model.json`.
        source: name of the file in messages.

    Raises:
        UnsupportedModelError: the content is not an object, its schema is newer, or a key of schema 1 is unknown.

    Examples:
        >>> old = {"loss": "hinge", "feedback": ["Pairs"], "reference_mean": 1.0, "reference_std": 2.0}
        >>> upgrade(old)["transforms"]
        {'standardize': {'mean': 1.0, 'std': 2.0}}
    """
    if not isinstance(content, Mapping):
        raise UnsupportedModelError(f"'{source}' is {type(content).__name__}, not a JSON object. Save the model again.")
    schema = content.get("schema", 1)
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise UnsupportedModelError(
            f"'{source}' has schema {schema!r}, but this version of rlhf-losses supports schemas up to {SCHEMA}. "
            "Update it: pip install --upgrade rlhf-losses."
        )
    if schema == 1:
        content = _from_schema_1(content, source)
    if content["schema"] == 2:
        content = _from_schema_2(content)
    if content["schema"] < 5:  # and schema 3 has no hashes of the head and of the settings
        content = {**content, "end_of_texts": "eos"}
    return {**content, "schema": SCHEMA}


def _from_schema_2(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content in schema 3.

    Schema 2 recorded the dtype of the weights also for scores that were computed in mixed precision, and one canary for
    each estimate.
    """
    estimates = {
        name: {"text": saved["text"], "canaries": [{**saved["canary"], "dtype": None}]}
        for name, saved in content.get("estimates", {}).items()
    }
    canaries = [{**canary, "dtype": None} for canary in content.get("canaries", [])]
    return {**content, "schema": 3, "canaries": canaries, "estimates": estimates}


def _from_schema_1(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    kept = ("loss", "segmentation", "separator", "aggregate", "aggregate_temperature", "versions")
    _require_known_keys(content, [*kept, *RENAMED_KEYS, *REPLACED_KEYS, "estimates"], source)
    upgraded = {"schema": 2, **{name: content[name] for name in kept if name in content}}
    upgraded |= {new: content[old] for old, new in RENAMED_KEYS.items() if old in content}
    if "score_position" in upgraded:
        upgraded["score_position"] = POSITIONS.get(upgraded["score_position"], upgraded["score_position"])
    text = content.get("canary_text", CANARY_TEXT)
    if content.get("canary_score") is not None:
        upgraded["canaries"] = [_canary(text, content["canary_score"])]
    if content.get("reference_std") is not None:
        values = {"mean": content.get("reference_mean"), "std": content["reference_std"]}
        upgraded["transforms"] = {str(standardize): values}
    upgraded["estimates"] = {
        name: {"text": saved["text"], "canary": _canary(text, saved["canary_score"])}
        for name, saved in content.get("estimates", {}).items()
    }
    return upgraded


def _canaries(values: Any, source: str) -> list[Canary]:
    """Return recorded inputs after a check of their types."""
    if not isinstance(values, list):
        raise _wrong_value("canaries", values, source)
    for value in values:
        _require_types(value, Canary, source)
        try:
            clean_content(value["input"], "The input of a canary")
        except InvalidFeedbackError as error:
            raise UnsupportedModelError(f"'{source}' is damaged. {error}") from None
    return [Canary(**value) for value in values]


def _require_types(values: Mapping[str, Any], dataclass_type: type, source: str) -> None:
    """Raise `UnsupportedModelError` for a value that has not the type of its field."""
    wrong = wrong_json_field(values, dataclass_type)
    if wrong is not None:
        raise _wrong_value(wrong, values[wrong], source)


def _wrong_value(name: str, value: Any, source: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"'{source}' has {name} = {shown(value)}, which this package does not write, so scores could be wrong. "
        "Download the file again, or save the model again with save_merged()."
    )


def _canary(text: str, score: float) -> dict[str, Any]:
    return {"input": text, "dtype": None, "score": score}


def _require_known_keys(content: Mapping[str, Any], known: list[str], source: str) -> None:
    unknown = [name for name in content if name not in known]
    if unknown:
        raise UnsupportedModelError(
            f"'{source}' has the unknown key '{unknown[0]}'.{did_you_mean(unknown[0], known)} Scores could be wrong "
            "without it. Correct the file, or update rlhf-losses to the version that wrote it."
        )


def _require_score_position(metadata: RewardModelMetadata, recorded: str | None, source: str) -> None:
    if recorded not in (None, metadata.score_position):
        raise UnsupportedModelError(
            f"'{source}' has score_position '{recorded}', but segmentation {metadata.segmentation!r} means "
            f"'{metadata.score_position}'. Restore the segmentation, or save the model again."
        )


def _require_scoring_settings(metadata: RewardModelMetadata, recorded: str | None, source: str) -> None:
    if recorded not in (None, metadata.scoring_sha256):
        values = ", ".join(f"{name}={getattr(metadata, name)!r}" for name in SCORING_SETTINGS)
        raise UnsupportedModelError(
            f"'{source}' has {values}, which are not the values that were saved (scoring_sha256 differs), so scores "
            "would be computed in another way than in training. Restore the file, or save the model again."
        )


def library_versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that decide scores."""
    names = ("rlhf-losses", "trl", "transformers", "peft", "torch")
    return {name: importlib.metadata.version(name) for name in names}
