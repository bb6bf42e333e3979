"""The data of a run: checked before a model is loaded, tokenized once there is a tokenizer."""

from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data import Limit, RowReader, check_dataset, prepare, required_feedback_types
from rlhf_losses.data.dataset import AnyDataset, column_names, group_ratings, share_prompts
from rlhf_losses.data.rows import feedback_types_in_row
from rlhf_losses.data.segmentation import find_splitter, join_segments
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import STEPWISE_TYPES, Feedback
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import Loss
from rlhf_losses.losses.indifference import is_regularizer
from rlhf_losses.training.config import RewardConfig

Evaluation: TypeAlias = AnyDataset | dict[str, AnyDataset] | None


class TrainingData:
    """What a loss is trained and evaluated on.

    Attributes:
        train: the training data, rated answers gathered by prompt where the loss compares them.
        evaluation: the same of the evaluation data: one dataset, several by name, or none.
        kinds: the kinds of feedback that the loss reads in them.
        splitter: the way of cutting a text into steps that fits the data, or None where there are no steps.

    Raises:
        FeedbackMismatchError: the columns hold no feedback that the loss reads, or it costs the same whatever they hold.
        InvalidFeedbackError: no data, or values that cannot be.
    """

    def __init__(self, loss: Loss, args: RewardConfig, train: AnyDataset | None, evaluation: Evaluation) -> None:
        if train is None:
            raise InvalidFeedbackError(
                "No train_dataset arrived, so there is nothing to learn. ForwardPass train_dataset=DATASET."
            )
        self.loss, self.args = loss, args
        self.train = self._checked(train, "train data")
        self.kinds = required_feedback_types(loss, column_names(self.train))
        _require_lesson(loss, self.kinds[0])
        named = evaluation if isinstance(evaluation, dict) else {"eval": evaluation}
        checked = {name: self._checked(data, f"{name} data") for name, data in named.items() if data is not None}
        self.evaluation = checked if isinstance(evaluation, dict) else checked.get("eval")
        self.splitter = _splitter(self.train, self.kinds, args.step_separator)

    def prepared(
        self, dataset: AnyDataset, tokenizer: PreTrainedTokenizerBase, context: int | None, name: str
    ) -> AnyDataset:
        """Return rows that a batch can be made of; `context` is the most tokens that the model reads."""
        if "text_ids" in column_names(dataset):
            return dataset
        dataset = group_ratings(dataset, self.loss, name)
        limits = [(self.args.max_length, "max_length"), (context, "the model's context")]
        tokens, source = min((limit for limit in limits if limit[0]), default=(None, "no limit"))
        reader = RowReader(tokenizer, self.kinds, self.args.step_separator)
        rows = prepare(dataset, reader, Limit(tokens, source, self.args.overlong), name)
        return share_prompts(rows) if self.args.average_over == "prompts" else rows

    def _checked(self, dataset: AnyDataset, name: str) -> AnyDataset:
        dataset = group_ratings(dataset, self.loss, name)
        check_dataset(dataset, self.loss, name)
        return dataset


def _require_lesson(loss: Loss, held: type[Feedback]) -> None:
    """Raise `FeedbackMismatchError` for a loss of regularizers alone, naming one that learns from the feedback held."""
    if not is_regularizer(loss):
        return
    example = next(entry.name for entry in loss_registry().for_feedback(held) if not is_regularizer(entry.loss()))
    weighed = [str(term) for term in loss.terms if term.weight]
    how = "by adding one" if len(weighed) == len(loss.terms) else "with a weight above 0"
    raise FeedbackMismatchError(
        f"The loss '{loss}' costs the same whatever people said, so the model would learn nothing from "
        f"{held.__name__}. Take a loss that reads them, {how}: '{' + '.join([example, *weighed])}'."
    )


def _splitter(train: AnyDataset, kinds: Sequence[type[Feedback]], separator: str) -> str | None:
    """Return the way of cutting that fits the steps of the data, or nothing where there are none."""
    stepwise = [kind for kind in kinds if kind in STEPWISE_TYPES]
    rows = islice(train, 1_000) if stepwise else ()
    answers = [answer for row in rows for kind in feedback_types_in_row(row, stepwise) for answer in kind.answers(row)]
    return find_splitter([join_segments([*map(str, one.parts)], separator) for one in answers]) if stepwise else None
