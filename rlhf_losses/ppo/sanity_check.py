"""The first rollout, told so that anyone can see whether the set-up is right.

Most of what goes wrong in PPO goes wrong in silence: a reward a token too early, a reward model that reads another
chat template, log-probabilities that are not those of the policy that wrote the tokens. Each of these shows here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf_losses.ppo.critic_init import reads_the_same, scorers_of
from rlhf_losses.scoring.scorer import Scorer

SAMPLES = 2
LONGEST = 60
"""Tokens of a completion that are shown, its last ones."""


class SanityCheck:
    """Tells, once, who reads which tokens, where rewards are paid, and that the policy is itself.

    Args:
        tell: prints a line, on one process.
        tokenizer: the policy's.
        reward_funcs: those of the run.
        tolerance: how far the ratio of the policy to itself may be from 1.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        tokenizer: PreTrainedTokenizerBase,
        reward_funcs: Sequence[Any],
        tolerance: float,
    ) -> None:
        self.tell = tell
        self.tokenizer = tokenizer
        self.reward_funcs = reward_funcs
        self.tolerance = tolerance
        self.told_rollout = self.told_ratio = False

    def rollout(self, ids: Sequence[Sequence[int]], scores: Tensor, paid: Tensor) -> None:
        """Tell about tokenizers, and show where the first completions are paid; the first time only."""
        if self.told_rollout:
            return
        self.told_rollout = True
        self.tell("PPO self-check")
        for line in told_readers(self.reward_funcs, self.tokenizer):
            self.tell(f"  {line}")
        self.tell("  What is paid, after the token that earns it (before the KL penalty):")
        rows = zip(ids, scores.tolist(), paid.tolist(), strict=True)
        for number, (tokens, amounts, places) in enumerate(list(rows)[:SAMPLES], start=1):
            self.tell(f"    {number}. {told_completion(tokens, amounts, places, self.tokenizer)}")

    def first_epoch(self, ratio: float, approx_kl: float) -> None:
        """Tell whether the policy agrees with itself, in the first loss after the rollout that was told about."""
        if self.told_ratio or not self.told_rollout:
            return
        self.told_ratio = True
        right = abs(ratio - 1) <= self.tolerance and abs(approx_kl) <= self.tolerance
        verdict = "ok" if right else WRONG_RATIO
        self.tell(f"  In the first epoch the ratio is {ratio:.6f} and the approximate KL {approx_kl:.6f}: {verdict}")


WRONG_RATIO = (
    "NOT OK, it should be 1 and 0. The policy reads its own tokens otherwise than it wrote them: set "
    "disable_dropout=True, or compute in a higher precision."
)


def told_readers(reward_funcs: Iterable[Any], ours: PreTrainedTokenizerBase) -> list[str]:
    """Return a line for each reward model on how its tokenizer and chat template compare with the policy's."""
    scorers = scorers_of(reward_funcs)
    lines = [f"The policy reads {len(ours)} tokens and ends with {ours.eos_token!r}; padding is {ours.pad_token!r}."]
    if ours.pad_token_id == ours.eos_token_id:
        lines.append("Padding and end are the same token; masks tell them apart, so rewards are paid at the end.")
    return [*lines, *(told_reader(scorer, ours) for scorer in scorers)]


def told_reader(scorer: Scorer, ours: PreTrainedTokenizerBase) -> str:
    """Return a line on how a scorer reads what the policy writes."""
    theirs = scorer.tokenizer
    tokens = "reads the policy's tokens" if reads_the_same(theirs, ours) else "has other tokens, and is given the text"
    if ours.chat_template is None and theirs.chat_template is None:
        return f"{scorer.__name__} {tokens}; neither has a chat template."
    if ours.chat_template == theirs.chat_template:
        return f"{scorer.__name__} {tokens}; the chat templates are the same."
    return f"{scorer.__name__} {tokens}; the chat templates differ: conversations are written as each was trained."


def told_completion(
    ids: Sequence[int], amounts: Sequence[float], paid: Sequence[bool], tokenizer: PreTrainedTokenizerBase
) -> str:
    """Return a completion with what it is paid in brackets.

    It ends at the last of `ids`, and begins `LONGEST` tokens before.
    """
    start = max(len(ids) - LONGEST, 0)
    pieces = ["… " if start else ""]
    waiting: list[int] = []
    for token, amount, here in list(zip(ids, amounts, paid, strict=False))[start:]:
        waiting.append(token)
        if here:
            pieces.append(f"{tokenizer.decode(waiting)}[{amount:+.4f}]")
            waiting = []
    return ("".join(pieces) + tokenizer.decode(waiting)).replace("\n", "⏎")
