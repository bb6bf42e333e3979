"""Comparison of the tokens that a policy wrote with those that a reward model reads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.answers import CUT_OFF
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.feedback.base import Row, Text
from rlhf_losses.messages.documentation import documentation
from rlhf_losses.ppo.completion_text import without_end
from rlhf_losses.ppo.critic_init import has_vocabulary_of
from rlhf_losses.ppo.prompts import PROMPT_IDS
from rlhf_losses.scoring.scorer import Scorer

SHOWN_TOKENS = 3
"""Number of tokens that a message shows from the first different one on."""


@dataclass(frozen=True)
class WrittenTexts:
    """Completions of a rollout with the tokens that the policy read and wrote.

    Attributes:
        prompts: the prompts.
        completions: the completions, as reward functions receive them.
        columns: arguments of the chat template, one per row, which completions are scored as cut off, and all tokens
            of prompts and completions.
        ids: tokens of each prompt and its completion, without those that end it.
        cut_off: number of completions without EOS.
    """

    prompts: Sequence[Text]
    completions: Sequence[Text]
    columns: Mapping[str, Sequence[Any]]
    ids: Sequence[Sequence[int]]
    cut_off: int

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        completions: Sequence[Text],
        prompt_ids: Sequence[Sequence[int]],
        completion_ids: Sequence[Sequence[int]],
        end_tokens: Collection[int],
    ) -> "WrittenTexts":
        """Return the texts of a rollout.

        Args:
            rows: a row with a prompt, and with arguments of the chat template, for each completion.
            completions: the completions, as reward functions receive them.
            prompt_ids: tokens of the prompts.
            completion_ids: tokens of the completions.
            end_tokens: tokens that end a completion.
        """
        tokens = {PROMPT_IDS: prompt_ids, "completion_ids": completion_ids}
        names = [name for name in (*TEMPLATE_COLUMNS, CUT_OFF) if any(name in row for row in rows)]
        return cls(
            [row["prompt"] for row in rows],
            completions,
            {name: [row.get(name) for row in rows] for name in names} | tokens,
            [[*prompt, *without_end(ids, end_tokens)] for prompt, ids in zip(prompt_ids, completion_ids, strict=True)],
            sum(not ids or ids[-1] not in end_tokens for ids in completion_ids),
        )


def describe_reading(scorer: Scorer, written: WrittenTexts, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return lines about the tokens that a reward model reads: whether they are those of the policy, and EOS.

    A model with another vocabulary reads other tokens in any case; it gets no line about them.

    Args:
        scorer: the reward model.
        written: completions of a rollout.
        tokenizer: tokenizer of the policy.
    """
    lines = []
    if written.cut_off:
        manner = "without EOS" if CUT_OFF in written.columns else "as if they ended with EOS"
        lines.append(
            f"{scorer.__name__} scores {written.cut_off} of {len(written.ids)} completions {manner}: the policy "
            "reached max_completion_length first."
        )
    if not has_vocabulary_of(scorer.tokenizer, tokenizer):
        return lines
    read = scorer.encoder.encode_completions(written.prompts, written.completions, written.columns)
    pairs = [(list(ours), text.ids) for ours, text in zip(written.ids, read, strict=True)]
    different = [(ours, theirs) for ours, theirs in pairs if theirs[: len(ours)] != ours]
    if not different:
        return [f"{scorer.__name__} reads the tokens that the policy wrote.", *lines]
    ours, theirs = different[0]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False)))
    wrote, reads = (
        tokenizer.convert_ids_to_tokens(ids[same : same + SHOWN_TOKENS], skip_special_tokens=False)
        for ids in (ours, theirs)
    )
    return [
        f"{scorer.__name__} reads other tokens than the policy wrote in {len(different)} of {len(pairs)} texts. In the "
        f"first one, from token {same} on, the policy wrote {wrote}, and the reward model reads {reads}. Its scores "
        "are those of the text. This needs a change only if it reads special tokens that the policy wrote as text: see "
        f"{documentation('ppo.md#the-sanity-check')}.",
        *lines,
    ]
