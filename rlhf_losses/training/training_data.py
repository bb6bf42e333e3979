"""The data of a run: checked before a model is loaded, and tokenized as soon as there is a tokenizer."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, prepare, required_feedback_types
from rlhf_losses.data.answer_forms import AnswerForm, answer_forms
from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.dataset import AnyDataset, add_prompt_weights, column_names
from rlhf_losses.data.lost_characters import lost_characters
from rlhf_losses.data.rating_groups import group_ratings, json_key, without_long_answers
from rlhf_losses.data.read_columns import with_read_columns
from rlhf_losses.data.rows import EncodedRow, FeedbackTypes, feedback_types_in_row, is_prepared
from rlhf_losses.data.segmentation import infer_segmentation, join_segments
from rlhf_losses.data.text_problems import NO_WHITE_SPACE, TextProblems, find_text_problems
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import IMPLICIT_TYPES, STEPWISE_TYPES, Feedback, feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection.optional_values import optional_values
from rlhf_losses.losses import Objective
from rlhf_losses.models.embeddings import require_embedded
from rlhf_losses.training.config import RewardConfig

logger = logging.getLogger(__name__)

EvalData: TypeAlias = AnyDataset | dict[str, AnyDataset] | None

LEGACY_COLUMNS = {"chosen_input_ids": "chosen_ids", "rejected_input_ids": "rejected_ids"}
"""Columns of tokenized pairs in earlier versions of TRL, and their present names."""

INSPECTED_ROWS = 1_000
"""Number of rows from which the segmentation is inferred."""


ROWS_FOR_FORMS, ROWS_OF_STREAM_FOR_FORMS = 100, 10
"""Number of rows from which the forms of answers are inferred."""


@dataclass(frozen=True)
class EmbeddedRowEncoder(RowEncoder):
    """Tokenizes rows of a dataset of a run, and refuses tokens for which the model has no embedding.

    Args:
        num_embeddings: number of embeddings of the model, or None if it is unknown.
    """

    num_embeddings: int | None = None

    def encode_rows(
        self, rows: Sequence[Row], max_length: int | None = None, row_numbers: Sequence[int] | None = None
    ) -> Iterator[EncodedRow]:
        """Yield the tokenized texts of rows, as `RowEncoder.encode_rows` does, and the types of their dataset.

        Raises:
            UnsupportedModelError: a token has no embedding.
        """
        names = [one.__name__ for one in self.feedback_types if one not in IMPLICIT_TYPES]
        for row in super().encode_rows(rows, max_length, row_numbers):
            for ids in row["text_ids"]:
                require_embedded(ids, self.tokenizer, self.num_embeddings, "the model")
            yield {**row, "dataset_feedback_types": names}


class TrainingData:
    """The datasets of a run, and the feedback in them that the objective uses.

    Args:
        objective: the weighted sum of losses.
        args: the configuration.
        train: training data.
        evaluation: evaluation data: a dataset, several by name, or None.

    Attributes:
        train: training data, in which ratings are grouped by prompt if a loss compares answers.
        evaluation: evaluation data, grouped in the same way.
        feedback_types: the feedback types of the training data that the objective uses. Evaluation data may have other
            types, which the objective uses by conversion.
        segmentation: how an answer is split into steps: `args.segmentation`, or the segmentation that fits the training
            data; None for data without steps.
        forms: forms of the answers in the training data.
        given_rows: number of rows of the training data, or None for a stream.
        checked_rows: the same after ratings were grouped by prompt, before rows are dropped.
        rated_answers: number of rows with a rating that were grouped by prompt, or None.

    Raises:
        FeedbackMismatchError: the data have no feedback that the objective uses, or it consists of regularizers.
        InvalidArgumentError: not a dataset.
        InvalidFeedbackError: an invalid value.
    """

    def __init__(
        self, objective: Objective, args: RewardConfig, train: AnyDataset | None, evaluation: EvalData
    ) -> None:
        if train is None:
            raise InvalidFeedbackError(
                "`train_dataset` is required, but it is None, so there is nothing to learn. Pass train_dataset=DATASET."
            )
        require_dataset(train, "train_dataset")
        self._objective, self._args = objective, args
        self._lists: list[AnyDataset] = []
        self.given_rows = len(train) if isinstance(train, Dataset) else None
        self.rated_answers: int | None = None
        self.train, problems = self._checked(train, "train data")
        self.checked_rows = len(self.train) if isinstance(self.train, Dataset) else None
        self.feedback_types = required_feedback_types(objective, column_names(self.train))
        _require_labels(objective, self.feedback_types[0])
        named = evaluation if isinstance(evaluation, dict) else {"eval": evaluation}
        for data in named.values():
            if data is not None:
                require_dataset(data, "eval_dataset")
        checked = {name: self._checked(data, f"{name} data")[0] for name, data in named.items() if data is not None}
        self.evaluation = checked if isinstance(evaluation, dict) else checked.get("eval")
        inferred = _infer_segmentation(self.train, self.feedback_types, args.step_separator)
        self.segmentation = inferred and (args.segmentation or inferred)
        self.forms = _infer_forms(self.train, self.feedback_types)
        if isinstance(self.train, IterableDataset):
            first = find_text_problems(islice(self.train, ROWS_OF_STREAM_FOR_FORMS), self.feedback_types)
            problems = replace(first, first_rows=True)
        if problems.are_mostly_joined:
            logger.warning("%s", problems.sentences()[NO_WHITE_SPACE])
        for name, data in checked.items():
            _warn_about_shared_prompts(self.train, data, f"{name} data")
        for line in describe_column_uses(self.train, objective, self.feedback_types):
            logger.info("%s", line)

    def prepare(
        self, tokenizer: PreTrainedTokenizerBase, context_length: int | None, num_embeddings: int | None
    ) -> None:
        """Tokenize all datasets; see `prepared`."""

        def prepared(data: AnyDataset, name: str) -> AnyDataset:
            return self.prepared(data, tokenizer, context_length, f"{name} data", num_embeddings)

        if not is_prepared(column_names(self.train)):
            lost = lost_characters(_some_rows(self.train), self.feedback_types, tokenizer)
            if lost.is_notable:
                logger.warning("train data: %s", lost.describe())
        self.train = prepared(self.train, "train")
        if isinstance(self.evaluation, dict):
            self.evaluation = {name: prepared(data, name) for name, data in self.evaluation.items()}
        elif self.evaluation is not None:
            self.evaluation = prepared(self.evaluation, "eval")

    def prepared(
        self,
        dataset: AnyDataset,
        tokenizer: PreTrainedTokenizerBase,
        context_length: int | None,
        name: str,
        num_embeddings: int | None = None,
    ) -> AnyDataset:
        """Check and tokenize a dataset; one that is tokenized already is returned unchanged.

        Args:
            dataset: training or evaluation data.
            tokenizer: tokenizer of the model.
            context_length: largest number of tokens of the model, or None if it is unknown.
            name: name of the dataset in messages.
            num_embeddings: number of embeddings of the model, or None if it is unknown.

        Raises:
            UnsupportedModelError: a text has a token without an embedding.
        """
        if is_prepared(column_names(dataset)):
            return dataset
        if not any(dataset is one for one in self._checked_datasets):
            dataset, _ = self._checked(dataset, name)
        limits = [(self._args.max_length, "max_length"), (context_length, "the model's context")]
        tokens, source = min((limit for limit in limits if limit[0]), default=(None, "no limit"))
        columns = column_names(dataset)  # a prepared stream of which no row is left has none
        feedback_types = required_feedback_types(self._objective, columns) if columns else self.feedback_types
        encoder = EmbeddedRowEncoder(tokenizer, feedback_types, self._args.step_separator, num_embeddings)
        limit = LengthLimit(tokens, source, self._args.overlong)
        if isinstance(dataset, Dataset) and any(dataset is one for one in self._lists):
            dataset = without_long_answers(dataset, encoder, limit, name)
        rows = prepare(dataset, encoder, limit, name, self._objective, self._args.dataset_num_proc)
        return add_prompt_weights(rows) if self._args.average_over == "prompts" else rows

    @property
    def _checked_datasets(self) -> list[AnyDataset | None]:
        held_out = self.evaluation.values() if isinstance(self.evaluation, dict) else [self.evaluation]
        return [self.train, *held_out]

    def _checked(self, dataset: AnyDataset, name: str) -> tuple[AnyDataset, TextProblems]:
        dataset = _with_current_columns(readable_rows(dataset, name), name)
        grouped = group_ratings(dataset, self._objective, name)
        dataset = dataset if grouped is None else grouped.rows
        problems = check_dataset(dataset, self._objective, name)
        dataset = with_read_columns(dataset)
        if grouped is not None:
            self._lists.append(dataset)
            self.rated_answers = self.rated_answers or grouped.answers  # those of the training data, which come first
        return dataset, problems


def _with_current_columns(dataset: AnyDataset, name: str) -> AnyDataset:
    """Rename the columns of tokenized pairs of earlier versions of TRL, as TRL does."""
    if not set(LEGACY_COLUMNS) <= set(column_names(dataset)):
        return dataset
    warnings.warn(
        f"The columns {' and '.join(LEGACY_COLUMNS)} of {name} are those of earlier versions of TRL, which deprecates "
        f"them: they will not be supported in v1. Rename them to {' and '.join(LEGACY_COLUMNS.values())}.",
        FutureWarning,
        stacklevel=2,
    )
    return dataset.rename_columns(LEGACY_COLUMNS)


def _require_labels(objective: Objective, feedback_type: type[Feedback]) -> None:
    """Raise `FeedbackMismatchError` for an objective that does not depend on labels, with one that does."""
    if objective.uses_labels:
        return
    entries = loss_registry().for_feedback(feedback_type)
    example = next(entry.name for entry in entries if entry.cls().uses_labels)
    weighted = [str(term.weight * term.loss) for term in objective.terms if term.weight]
    remedy = "Add a loss that does" if len(weighted) == len(objective.terms) else "Give such a loss a weight above 0"
    raise FeedbackMismatchError(
        f"The loss '{objective}' does not depend on the labels in {feedback_type.__name__}, so the model would learn "
        f"nothing from them. {remedy}: '{' + '.join([example, *weighted])}'."
    )


def _infer_forms(train: AnyDataset, feedback_types: FeedbackTypes) -> frozenset[AnswerForm]:
    """Return the forms of the answers in some rows."""
    return answer_forms(_some_rows(train), feedback_types)


def _some_rows(train: AnyDataset) -> Iterable[Row]:
    """Return rows from the whole of a dataset, or from the beginning of a stream."""
    if isinstance(train, Dataset):
        rows: Iterable[Row] = train.select(range(0, len(train), max(len(train) // ROWS_FOR_FORMS, 1)))
        return rows
    return islice(train, ROWS_OF_STREAM_FOR_FORMS)


def _warn_about_shared_prompts(train: AnyDataset, evaluation: AnyDataset, name: str) -> None:
    """Warn if prompts of the evaluation data are in the training data; nothing is known of streams."""
    if not all(isinstance(data, Dataset) and "prompt" in data.column_names for data in (train, evaluation)):
        return
    prompts = set(map(json_key, evaluation["prompt"]))
    shared = len(prompts.intersection(map(json_key, train["prompt"])))
    if shared:
        logger.warning(
            "%s: %d of %d prompts are in the training data too, so its metrics say little about new prompts. Hold out "
            "whole prompts.",
            name, shared, len(prompts),
        )  # fmt: skip


def describe_column_uses(train: AnyDataset, objective: Objective, feedback_types: FeedbackTypes) -> list[str]:
    """Return what the terms of an objective do with the optional columns that a dataset has, and their values.

    The values of a stream, and of a dataset in which rows have other feedback, are left out.

    Args:
        train: the training data.
        objective: the weighted sum of losses.
        feedback_types: feedback types of the data that the objective uses.
    """
    lines = []
    for loss in (term.loss for term in objective.terms if term.loss.feedback_type in feedback_types):
        if isinstance(train, Dataset) and len(feedback_types_in_columns(train.column_names)) == 1:
            values = {name: f" ({one.describe()})" for name, one in optional_values(train, loss.feedback_type).items()}
        else:
            values = dict.fromkeys(column_names(train), "")
        used = {name: use for name, use in loss.column_uses.items() if name in values}
        lines += [f"{loss}: the column {name} {use}{values[name]}." for name, use in used.items()]
    return list(dict.fromkeys(lines))


def _infer_segmentation(train: AnyDataset, feedback_types: FeedbackTypes, separator: str) -> str | None:
    stepwise = [feedback_type for feedback_type in feedback_types if feedback_type in STEPWISE_TYPES]
    if not stepwise:
        return None
    answers = [
        answer
        for row in islice(train, INSPECTED_ROWS)
        for feedback_type in feedback_types_in_row(row, stepwise)
        for answer in row_answers(row, feedback_type)
    ]
    return infer_segmentation([join_segments([str(part) for part in answer.parts], separator) for answer in answers])
