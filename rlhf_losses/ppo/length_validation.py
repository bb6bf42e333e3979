"""Whether prompts with completions as long as they may be fit what the policy reads, and what reward models read."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from datasets import Dataset
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase
from trl.trainer.utils import get_config_model_id

from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import InvalidFeedbackError, InvalidSettingError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic_init import reads_the_same
from rlhf_losses.scoring.scorer import Scorer

logger = logging.getLogger(__name__)


def tokenizer_of(model: Any, args: PPOConfig) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer that lies beside a policy, or None for one that was made in memory."""
    name = model if isinstance(model, str) else get_config_model_id(model.config)
    return AutoTokenizer.from_pretrained(name, trust_remote_code=args.trust_remote_code) if name else None


def require_room_to_write(
    model: Any, tokenizer: PreTrainedTokenizerBase | None, datasets: Iterable[Any], args: PPOConfig
) -> None:
    """Raise `InvalidFeedbackError` for prompts that leave no room for a completion in the policy's context.

    Streams are not looked through.
    """
    trust = {"trust_remote_code": args.trust_remote_code}
    context = max_context_length(AutoConfig.from_pretrained(model, **trust) if isinstance(model, str) else model.config)
    if context is None or tokenizer is None:
        return
    room = context - (args.max_completion_length or 0)
    if room < 1:
        raise InvalidSettingError(
            f"max_completion_length={args.max_completion_length} arrived, but the policy reads {context} tokens, which "
            "leaves none for a prompt. Set it lower: --max_completion_length 128."
        )
    for prompts in _prompts_of(datasets):
        lengths = [_length(prompt, tokenizer) for prompt in prompts]
        if (long := sum(length > room for length in lengths)) > 0:
            raise InvalidFeedbackError(
                f"{long} of {len(lengths)} prompts have more than {room} tokens (the longest {max(lengths)}), so "
                f"{args.max_completion_length} tokens of completion do not fit behind them in the policy's context "
                f"of {context}. Shorten or drop these prompts, or lower --max_completion_length."
            )


def require_room_to_score(
    scorers: Iterable[Scorer],
    tokenizer: PreTrainedTokenizerBase | None,
    datasets: Sequence[Any],
    args: PPOConfig,
) -> None:
    """Raise `InvalidSettingError` for completions that alone are longer than a reward model's context.

    Warns where prompts would be cut. A reward model with another vocabulary than the policy's counts other tokens,
    so for one of those too long completions are a warning too. Streams are not looked through.
    """
    for scorer in scorers:
        context = max_context_length(scorer.model.config)
        if context is None or not args.max_completion_length:
            continue
        sizes = [_size(prompt, scorer) for prompts in _prompts_of(datasets) for prompt in prompts]
        around = max(size - prompt for size, prompt in sizes or [_size("", scorer)])
        if args.max_completion_length > context - around:
            same = tokenizer is not None and reads_the_same(scorer.tokenizer, tokenizer)
            _refuse_answers(scorer, context, context - around, args.max_completion_length, same)
        else:
            _tell_cut_prompts(scorer, context, [size for size, _ in sizes], args.max_completion_length)


def _refuse_answers(scorer: Scorer, context: int, room: int, longest: int, same_tokens: bool) -> None:
    told = (
        f"max_completion_length={longest} arrived, but the reward model '{scorer.__name__}' reads {context} tokens, so "
        f"it cannot score an answer of more than {room}. Set it lower: --max_completion_length {max(1, room)}."
    )
    if same_tokens:
        raise InvalidSettingError(told)
    logger.warning("%s Its tokens are other ones than the policy's, so this is a guess.", told)


def _tell_cut_prompts(scorer: Scorer, context: int, lengths: Sequence[int], longest: int) -> None:
    if long := sum(length + longest > context for length in lengths):
        logger.warning(
            "%d of %d prompts may lose their beginning before the reward model '%s', which reads %d tokens: with a "
            "completion of %d they have up to %d. Shorten these prompts, or lower --max_completion_length.",
            long, len(lengths), scorer.__name__, context, longest, max(lengths) + longest,
        )  # fmt: skip


def _prompts_of(datasets: Iterable[Any]) -> Iterator[Sequence[Any]]:
    for data in datasets:
        if isinstance(data, dict):
            yield from _prompts_of(data.values())
        elif isinstance(data, Dataset) and "prompt" in data.column_names:
            yield data["prompt"]


def _length(prompt: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    if isinstance(prompt, str):
        return len(tokenizer(prompt)["input_ids"])
    rendered = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=True)
    return len(rendered["input_ids"])


def _size(prompt: Any, scorer: Scorer) -> tuple[int, int]:
    """Return how many tokens a scorer reads without an answer, and how many of them are the prompt's."""
    answer = Answer(prompt, ("" if isinstance(prompt, str) else [{"role": "assistant", "content": ""}],))
    text = encode(render(answer, scorer.tokenizer, scorer.metadata.separator), scorer.tokenizer)
    return len(text.ids), text.prompt_length
