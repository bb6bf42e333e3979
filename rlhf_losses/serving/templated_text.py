"""Texts that a client has rendered with the chat template: they are tokenized as the conversation would be."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.rendering import ChatTemplate, Rendered
from rlhf_losses.data.segmentation import split_segments
from rlhf_losses.errors import RlhfLossesError

QUESTION, REPLY = "\ue000", "\ue001"
"""Contents with which the template is rendered to find the text around them. They occur in no real text."""


@dataclass(frozen=True)
class TemplateMarks:
    r"""The text that a chat template writes around the last answer of a conversation.

    Attributes:
        bos: the BOS token, if the template writes it at the beginning.
        before: text between a question and its answer.
        after: text after an answer.
        segmentation: how answers are split into steps, or None.

    Examples:
        >>> marks = TemplateMarks(bos="<s>", before="[/INST]", after="</s>\n", segmentation=None)
        >>> marks.read("[INST]Why?[/INST]Because.</s>").text
        '<s>[INST]Why?[/INST]Because.</s>\n'
        >>> marks.read("Why? Because.") is None
        True
    """

    bos: str
    before: str
    after: str
    segmentation: str | None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, segmentation: str | None) -> Self | None:
        """Return the marks of the chat template of a tokenizer, or None if it has none that can be recognized.

        Args:
            tokenizer: the tokenizer.
            segmentation: how answers are split into steps, or None.
        """
        conversation = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": REPLY}]
        try:
            text = ChatTemplate(tokenizer, {}).render(conversation)
        except RlhfLossesError:
            return None
        opening, _, rest = text.partition(QUESTION)
        before, found, after = rest.partition(REPLY)
        if not found or not before.strip():
            return None
        bos = str(tokenizer.bos_token or "")
        return cls(bos if bos and opening.startswith(bos) else "", before, after, segmentation)

    def read(self, text: str) -> Rendered | None:
        """Return a text of the chat template as it is rendered for scoring, or None if it is another text.

        A missing BOS is added, since some clients remove it. So is the rest of what follows an answer, if its beginning
        is there: some clients stop at EOS. Otherwise the answer was cut off, and nothing is added.

        Args:
            text: a prompt with its answer.
        """
        start = text.rfind(self.before)
        if start < 0:
            return None
        missing = self.bos if not text.startswith(self.bos) else ""
        prompt_end = len(missing) + start + len(self.before)
        text = missing + text
        kept = self._kept_end(text[prompt_end:])
        content_end = len(text) - kept
        if self.after[:kept].strip() or not self.after.strip():
            text += self.after[kept:]
        ends: tuple[int, ...] = (len(text),)
        if self.segmentation is not None and text[prompt_end:content_end].strip():
            steps = split_segments(text[prompt_end:content_end], self.segmentation)
            ends = (*list(accumulate(map(len, steps), initial=prompt_end))[1:-1], len(text))
        return Rendered(text, prompt_end, ends, special_tokens=False)

    def _kept_end(self, answer: str) -> int:
        """Return how many characters of the text after an answer are at its end."""
        return next((count for count in range(len(self.after), 0, -1) if answer.endswith(self.after[:count])), 0)
