"""The data of a run: checked before a model is loaded, and tokenized as soon as there is a tokenizer."""

from itertools import islice
from typing import TypeAlias

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, prepare, required_feedback_types
from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.dataset import AnyDataset, add_prompt_weights, column_names, group_ratings
from rlhf_losses.data.rows import FeedbackTypes, feedback_types_in_row
from rlhf_losses.data.segmentation import infer_segmentation, join_segments
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import STEPWISE_TYPES, Feedback
from rlhf_losses.files.media_columns import without_media
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import Objective
from rlhf_losses.training.config import RewardConfig

EvalData: TypeAlias = AnyDataset | dict[str, AnyDataset] | None

INSPECTED_ROWS = 1_000
"""Number of rows from which the segmentation is inferred."""


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
        feedback_types: the feedback types of the data that the objective uses.
        segmentation: how an answer is split into steps: `args.segmentation`, or the segmentation that fits the training
            data; None for data without steps.

    Raises:
        FeedbackMismatchError: the data have no feedback that the objective uses, or it consists of regularizers.
        InvalidFeedbackError: no data, or an invalid value.
    """

    def __init__(
        self, objective: Objective, args: RewardConfig, train: AnyDataset | None, evaluation: EvalData
    ) -> None:
        if train is None:
            raise InvalidFeedbackError(
                "train_dataset is None, so there is nothing to learn. Pass train_dataset=DATASET."
            )
        self._objective, self._args = objective, args
        self.train = self._checked(train, "train data")
        self.feedback_types = required_feedback_types(objective, column_names(self.train))
        _require_labels(objective, self.feedback_types[0])
        named = evaluation if isinstance(evaluation, dict) else {"eval": evaluation}
        checked = {name: self._checked(data, f"{name} data") for name, data in named.items() if data is not None}
        self.evaluation = checked if isinstance(evaluation, dict) else checked.get("eval")
        inferred = _infer_segmentation(self.train, self.feedback_types, args.step_separator)
        self.segmentation = inferred and (args.segmentation or inferred)

    def prepare(self, tokenizer: PreTrainedTokenizerBase, context_length: int | None) -> None:
        """Tokenize all datasets; see `prepared`."""
        self.train = self.prepared(self.train, tokenizer, context_length, "train data")
        if isinstance(self.evaluation, dict):
            self.evaluation = {
                name: self.prepared(data, tokenizer, context_length, f"{name} data")
                for name, data in self.evaluation.items()
            }
        elif self.evaluation is not None:
            self.evaluation = self.prepared(self.evaluation, tokenizer, context_length, "eval data")

    def prepared(
        self, dataset: AnyDataset, tokenizer: PreTrainedTokenizerBase, context_length: int | None, name: str
    ) -> AnyDataset:
        """Check and tokenize a dataset; one that is tokenized already is returned unchanged.

        Args:
            dataset: training or evaluation data.
            tokenizer: tokenizer of the model.
            context_length: largest number of tokens of the model, or None if it is unknown.
            name: name of the dataset in messages.
        """
        if "text_ids" in column_names(dataset):
            return dataset
        if not any(dataset is one for one in self._checked_datasets):
            dataset = self._checked(dataset, name)
        limits = [(self._args.max_length, "max_length"), (context_length, "the model's context")]
        tokens, source = min((limit for limit in limits if limit[0]), default=(None, "no limit"))
        encoder = RowEncoder(tokenizer, self.feedback_types, self._args.step_separator)
        rows = prepare(dataset, encoder, LengthLimit(tokens, source, self._args.overlong), name, self._objective)
        return add_prompt_weights(rows) if self._args.average_over == "prompts" else rows

    @property
    def _checked_datasets(self) -> list[AnyDataset | None]:
        held_out = self.evaluation.values() if isinstance(self.evaluation, dict) else [self.evaluation]
        return [self.train, *held_out]

    def _checked(self, dataset: AnyDataset, name: str) -> AnyDataset:
        dataset = group_ratings(without_media(dataset, name), self._objective, name)
        check_dataset(dataset, self._objective, name)
        return dataset


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
