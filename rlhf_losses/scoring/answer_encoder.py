"""`AnswerEncoder`: tokens of prompts and completions, as a reward model reads them."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.added_tokens import TextEnd
from rlhf_losses.data.answers import clean_answer, completion_answers
from rlhf_losses.data.chat_messages import content_text, is_blank
from rlhf_losses.data.rendering import Rendered
from rlhf_losses.data.row_lengths import LengthLimit, Overlong
from rlhf_losses.data.segmentation import split_segments
from rlhf_losses.data.tokenization import Encoded, encode, encode_answers, fit_prompts
from rlhf_losses.errors import OverlongTextError
from rlhf_losses.feedback.base import Answer, Text
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.models.embeddings import require_embedded
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.text_arguments import paired_texts

logger = logging.getLogger(__name__)


@dataclass
class AnswerEncoder:
    """Tokenizes prompts and completions as a reward model reads them, and truncates prompts that do not fit.

    Args:
        tokenizer: tokenizer of the model.
        metadata: metadata of the model: the end of texts, the separator and the segmentation of steps.
        context_length: largest number of tokens of the model, if it has one.
        num_embeddings: number of tokens with an embedding, if it is known.
        overlong: treatment of a text that does not fit, see `Scorer`.
        name: name of the model in messages.

    Attributes:
        end_of_texts: how plain texts end: with EOS, which the tokenizer adds or the encoder appends.
    """

    tokenizer: PreTrainedTokenizerBase
    metadata: RewardModelMetadata
    context_length: int | None
    num_embeddings: int | None
    overlong: Overlong
    name: str = "reward_model"
    _warned: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        self.end_of_texts = TextEnd.of(self.tokenizer, self.metadata.end_of_texts)

    def encode_completions(
        self,
        prompts: Sequence[Text | None],
        completions: Sequence[Text],
        columns: Mapping[str, Any] | None = None,
    ) -> list[Encoded]:
        """Tokenize completions after their prompts, split into steps if the model was trained on steps.

        Args:
            prompts: one prompt per completion; None for a whole text.
            completions: the completions.
            columns: arguments of the chat template, see `Scorer.__call__`.

        Raises:
            InvalidArgumentError: prompts or completions are not lists of texts.
            InvalidFeedbackError: a completion is null, or does not fit into the context of the model.
        """
        prompts, completions = paired_texts(prompts, completions)
        return [self.encode(self.split_steps(one)) for one in completion_answers(prompts, completions, columns)]

    def split_steps(self, answer: Answer) -> Answer:
        """Split a whole answer into the steps whose scores are aggregated, if the model was trained on steps."""
        segmentation, (completion,) = self.metadata.segmentation, answer.parts
        if segmentation is None or is_blank(completion):
            return answer
        if isinstance(completion, str):
            return replace(answer, parts=tuple(split_segments(completion, segmentation)))
        before, last, prompt = completion[:-1], completion[-1], answer.prompt
        opening = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt or [])
        first, *rest = split_segments(content_text([last]), segmentation)
        return replace(answer, prompt=opening + before, parts=([{**last, "content": first}], *rest))

    @property
    def length_limit(self) -> LengthLimit:
        """Largest number of tokens of a text: the context, or `max_length` if the training truncated prompts to it."""
        context, trained = self.context_length, self.metadata.max_length
        if self._was_trained_on_truncated_prompts and trained and trained < (context or math.inf):
            return LengthLimit(trained, "max_length of the training", self.overlong)
        return LengthLimit(context, "the context length of the model", self.overlong)

    @property
    def _was_trained_on_truncated_prompts(self) -> bool:
        return self.overlong == self.metadata.overlong == "truncate_prompt"

    def encode(self, answer: Answer) -> Encoded:
        """Tokenize an answer; the prompt of one that is too long is truncated from the left.

        Raises:
            InvalidFeedbackError: the answer alone does not fit into the context of the model, or the text does not fit
                and `overlong` is `"error"`.
            UnsupportedModelError: a token has no embedding.
        """
        return self.encode_row([answer])[0]

    def encode_row(self, answers: Sequence[Answer]) -> list[Encoded]:
        """Tokenize the answers of one row, whose prompts are truncated by the same number of tokens.

        Args:
            answers: the answers of a row.

        Raises:
            InvalidFeedbackError: an answer does not fit, see `encode`.
            UnsupportedModelError: a token has no embedding.
        """
        return [self.require_fit(one) for one in next(self.encode_rows([answers]))]

    def encode_rows(self, rows: Iterable[Sequence[Answer]]) -> Iterator[list[Encoded]]:
        """Yield the tokenized answers of each row with truncated prompts; `require_fit` checks the result.

        Threads tokenize the answers of later rows meanwhile.

        Args:
            rows: the answers of each row; they are read as they are needed.

        Raises:
            UnsupportedModelError: a token has no embedding.
        """
        limit = self.length_limit.tokens
        cleaned = ([clean_answer(one) for one in answers] for answers in rows)
        for texts in encode_answers(cleaned, self.tokenizer, self.metadata.separator, self.end_of_texts):
            for text in texts:
                self.require_embedded(text)
            yield fit_prompts(texts, limit)

    def encode_rendered(self, rendered: Rendered) -> Encoded:
        """Tokenize a text that is rendered already; the prompt of one that is too long is truncated from the left.

        Args:
            rendered: the text, with the ends of its prompt and of the parts of its answer.

        Raises:
            InvalidFeedbackError: the text does not fit, see `encode`.
            UnsupportedModelError: a token has no embedding.
        """
        text = encode(rendered, self.tokenizer)
        self.require_embedded(text)
        return self.require_fit(fit_prompts([text], self.length_limit.tokens)[0])

    def require_embedded(self, text: Encoded) -> None:
        """Raise `UnsupportedModelError` if a token of a text has no embedding.

        Args:
            text: the tokenized text.
        """
        require_embedded(text.ids, self.tokenizer, self.num_embeddings, self.name)

    def require_fit(self, text: Encoded) -> Encoded:
        """Return a tokenized text that fits into the context of the model.

        Args:
            text: a text from `encode`, or tokens of a dataset.

        Raises:
            OverlongTextError: the text does not fit, or its prompt was truncated and `overlong` is `"error"`.
        """
        context, length = self.context_length, len(text.ids) + text.removed
        if context is not None and len(text.ids) > context:
            raise OverlongTextError(
                f"A text has {length} tokens, and its answer alone more than {context}, the context length of "
                f"the model. Shorten the answers (in PPO with {setting('max_completion_length')}), or use a model with "
                "a longer context."
            )
        if text.removed:
            self._report_truncation(length, context)
        return text

    def _report_truncation(self, length: int, context: int | None) -> None:
        if self.overlong == "error":
            raise OverlongTextError(
                f"A text has {length} tokens, more than {context}, the context length of the model. Shorten the "
                f"prompt, or truncate prompts: {setting('overlong', 'truncate_prompt')}."
            )
        if self.overlong == "drop" and not self._warned:
            self._warned = True
            logger.warning(
                "'%s' truncates a prompt on the left, because the text has %d tokens and the model has a context of "
                "%d. Further prompts are truncated without a warning. Set %s to accept this, or %s to stop.",
                self.name, length, context, setting("overlong", "truncate_prompt"), setting("overlong", "error"),
            )  # fmt: skip
