"""Checks before the training: arguments, datasets, models, lengths. Most of them run before any model is loaded."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from trl.trainer.utils import get_config_model_id

from rlhf_losses.checks.argument_checks import describe_type, require_instance
from rlhf_losses.checks.optional_packages import require_reporting
from rlhf_losses.data.added_tokens import TextEnd
from rlhf_losses.data.answers import completion_answers
from rlhf_losses.data.batches import locate_errors
from rlhf_losses.data.rendering import render
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import (
    FeedbackMismatchError,
    InvalidArgumentError,
    InvalidFeedbackError,
    InvalidSettingError,
    UnsupportedModelError,
)
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import SOURCE_ROW, listed_rows
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.embeddings import count_embeddings, require_embedded, require_embeddings
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.models.model_argument import existing_path
from rlhf_losses.models.peft import trains_adapters
from rlhf_losses.models.weight_files import require_readable_weights
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic_init import has_vocabulary_of
from rlhf_losses.ppo.prompts import all_prompt_tokens, prompt_rows
from rlhf_losses.ppo.reward_functions import find_scorers
from rlhf_losses.scoring.scorer import Scorer

logger = logging.getLogger(__name__)


def check_arguments(
    model: Any,
    reward_funcs: Any,
    args: PPOConfig,
    datasets: Sequence[Any],
    tokenizer: PreTrainedTokenizerBase | None,
    critic: str | PreTrainedModel | None,
    pretraining_dataset: Any,
    grpo_arguments: Mapping[str, Any],
) -> None:
    """Check the arguments of `PPOTrainer` before the policy is loaded.

    Args:
        model: policy.
        reward_funcs: one reward function or a list of them.
        args: settings of the run.
        datasets: training and evaluation data; each can be None, a dictionary or a stream.
        tokenizer: tokenizer of the policy; None loads the one of `model`.
        critic: critic to start from.
        pretraining_dataset: texts of PPO-ptx.
        grpo_arguments: other arguments of `trl.GRPOTrainer`.

    Raises:
        UnsupportedModelError: see the checks below.
        InvalidSettingError: see the checks below.
        FeedbackMismatchError: a dataset has no column `prompt`.
        InvalidFeedbackError: a prompt is too long.
    """
    check_settings(args, reward_funcs, grpo_arguments)
    require_reporting(args.report_to)
    check_prompt_column(datasets, grpo_arguments)
    check_pretraining(args, pretraining_dataset)
    if pretraining_dataset is not None:
        require_dataset(pretraining_dataset, "pretraining_dataset")
    check_critic(critic, args)
    check_policy(model, args)
    tokenizer = tokenizer or load_tokenizer(model, args)
    check_embeddings(model, tokenizer, datasets, args)
    check_prompt_lengths(model, tokenizer, datasets, args)
    scorers = find_scorers(reward_funcs if isinstance(reward_funcs, list) else [reward_funcs])
    check_reward_model_lengths(scorers, tokenizer, datasets, args)


def check_trainer(trainer: trl.GRPOTrainer) -> None:
    """Check properties that are known only after `trl.GRPOTrainer` has loaded policy and reference.

    Args:
        trainer: the trainer.

    Raises:
        UnsupportedModelError: the policy has image inputs.
        InvalidSettingError: DeepSpeed or FSDP is enabled.
    """
    if trainer._is_vlm:
        raise UnsupportedModelError(
            "This policy has image inputs, but the critic supports text only. Train it with trl.GRPOTrainer, "
            "which needs no critic."
        )
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise InvalidSettingError(
            "DeepSpeed or FSDP is enabled, and both support one model, while PPO trains two. "
            "Run on one device or with data parallelism: accelerate launch --multi_gpu."
        )


def short_name(model: Any) -> str:
    """Return the last part of a model's path."""
    path = model if isinstance(model, str) else get_config_model_id(model.config)
    return path.rstrip("/").split("/")[-1]


def check_settings(args: PPOConfig, reward_funcs: Any, grpo_arguments: Mapping[str, Any]) -> None:
    """Raise `InvalidSettingError` for no reward function, or a given learning-rate schedule."""
    for one in reward_funcs if isinstance(reward_funcs, list) else [reward_funcs]:
        check_reward_function(one)
    if not reward_funcs and not grpo_arguments.get("environment_factory"):
        raise InvalidSettingError(
            f"reward_funcs={reward_funcs!r} has no reward function, so there is nothing to maximize. "
            "Set reward_funcs to a Scorer, to a function of prompts and completions, or to a list of them."
        )
    if grpo_arguments.get("optimizers", (None, None))[1] is not None:
        raise InvalidSettingError(
            "optimizers has a learning-rate schedule, which cannot include the critic: it does not exist yet. "
            "Use lr_scheduler_type instead; an optimizer without a schedule is supported."
        )


def check_reward_function(reward_function: Any) -> None:
    """Raise an error for a reward function that is no function, model or path, or the path of no folder; not for None.

    Raises:
        InvalidArgumentError: an object of another type, or a class.
        UnsupportedModelError: there is no such folder.
    """
    if isinstance(reward_function, str):
        existing_path(reward_function)
    elif isinstance(reward_function, type) or not (reward_function is None or callable(reward_function)):
        raise InvalidArgumentError(
            f"A reward function {describe_type(reward_function)}, but it must be a function, a model or a path. "
            "Pass reward_funcs=Scorer.from_pretrained(PATH), or a list of reward functions."
        )


def check_datasets(datasets: Sequence[Any], grpo_arguments: Mapping[str, Any]) -> None:
    """Raise `InvalidArgumentError` for data of another type than a dataset.

    Args:
        datasets: training data, which can be None with an environment, and evaluation data, which can be a dictionary.
        grpo_arguments: other arguments of `trl.GRPOTrainer`.
    """
    train, evaluation = datasets
    if train is not None or not grpo_arguments.get("environment_factory"):
        require_dataset(train, "train_dataset")
    for data in evaluation.values() if isinstance(evaluation, dict) else [evaluation]:
        if data is not None:
            require_dataset(data, "eval_dataset")


def check_policy(model: Any, args: PPOConfig) -> None:
    """Raise `UnsupportedModelError` for a policy that is not a decoder-only language model."""
    config = _load_config(model, args) if isinstance(model, str) else model.config
    if isinstance(model, str):
        require_readable_weights(model)
    name = (config.architectures or [""])[0] if isinstance(model, str) else type(model).__name__
    architecture: Any = getattr(transformers, name, None) if isinstance(model, str) else model
    if config.is_encoder_decoder:
        received = f"The policy is a {name or config.model_type}, an encoder-decoder model"
    elif hasattr(architecture, "can_generate") and not architecture.can_generate():
        received = f"The policy is a {name}, which cannot generate text"
    else:
        return
    raise UnsupportedModelError(
        f"{received}, but PPO trains decoder-only language models. Use one, like Qwen/Qwen3-0.6B."
    )


PROMPT_NAMES = ("question", "query", "instruction", "problem", "messages", "input", "text")
"""Names of columns that contain the prompts in many datasets."""


def check_prompt_column(datasets: Iterable[Any], grpo_arguments: Mapping[str, Any]) -> None:
    """Raise `FeedbackMismatchError` for data without a column `prompt`, unless an environment provides the prompts."""
    if grpo_arguments.get("environment_factory"):
        return
    for data in datasets:
        if isinstance(data, dict):
            check_prompt_column(data.values(), grpo_arguments)
            continue
        columns = getattr(data, "column_names", None)
        if columns is not None and "prompt" not in columns:
            old = next((name for name in PROMPT_NAMES if name in columns), columns[0] if columns else "question")
            raise FeedbackMismatchError(
                f"The data have the columns {', '.join(columns) or '(none)'} and no prompt, so there is nothing to "
                f'complete. Rename one: dataset.rename_column("{old}", "prompt").'
            )


def check_pretraining(args: PPOConfig, pretraining_dataset: Any) -> None:
    """Raise `InvalidSettingError` for pretraining texts without a weight, and for a weight without texts."""
    if pretraining_dataset is not None and args.ptx_coef is None:
        raise InvalidSettingError(
            "pretraining_dataset is set without ptx_coef, so its loss has no weight. "
            "Set ptx_coef in PPOConfig (0 logs the loss without training on it), or omit the dataset."
        )
    if pretraining_dataset is None and args.ptx_coef is not None:
        raise InvalidSettingError(
            f"ptx_coef={args.ptx_coef} is set without pretraining texts, so there is no loss to weight. "
            "Set pretraining_dataset to a dataset with a column text, or omit ptx_coef."
        )


def check_critic(critic: str | PreTrainedModel | None, args: PPOConfig) -> None:
    """Check the critic to start from.

    Args:
        critic: path or model to start from, or None.
        args: settings of the run.

    Raises:
        InvalidSettingError: `critic` and `shared_critic` are both set.
        UnsupportedModelError: the critic is no classifier with one label.
    """
    if critic is None:
        return
    if args.shared_critic:
        raise InvalidSettingError(
            "critic and shared_critic=True are both set, but a shared critic is a head on the policy itself. "
            "Omit one of them."
        )
    check_single_value(critic, args.trust_remote_code)


def check_single_value(critic: str | PreTrainedModel, trust_remote_code: bool = False) -> None:
    """Raise `UnsupportedModelError` for a critic with several outputs per token, or a language model."""
    if isinstance(critic, str) and Path(critic, "adapter_config.json").is_file():
        return  # LoRA adapters are always loaded with one label
    trust = {"trust_remote_code": trust_remote_code}
    with explain_loading(str(critic), "a critic"):
        config = AutoConfig.from_pretrained(critic, **trust) if isinstance(critic, str) else critic.config
    if config.num_labels == 1:
        return
    name = (config.architectures or [""])[0] if isinstance(critic, str) else type(critic).__name__
    is_classifier = not name or "ForSequenceClassification" in name
    received = f"has num_labels={config.num_labels}" if is_classifier else f"is a {name}, which returns no score"
    raise UnsupportedModelError(
        f"The critic {received}, but the value of a state is one number. Use a reward model with num_labels=1, as "
        "rlhf-losses train saves it, or omit the critic to start from the reward model or from the policy."
    )


def check_reference(model: Any, reference: Any, args: PPOConfig, grpo_arguments: Mapping[str, Any]) -> None:
    """Check the reference of the KL penalty.

    Args:
        model: policy.
        reference: the given reference, or None.
        args: settings of the run.
        grpo_arguments: other arguments of `trl.GRPOTrainer`.

    Raises:
        InvalidArgumentError: the reference is no model.
        InvalidSettingError: the reference is the policy itself, or given for a policy with adapters or for a path.
        UnsupportedModelError: there is none, and the policy has no path to load it from.
    """
    adapters = trains_adapters(model, grpo_arguments.get("peft_config"))
    if reference is not None:
        _check_given_reference(model, reference, adapters)
    elif not (isinstance(model, str) or adapters or not args.beta or get_config_model_id(model.config)):
        raise UnsupportedModelError(
            "The policy was created in memory and has no path, but the reference of the KL penalty is loaded from it. "
            "Pass ref_model=copy.deepcopy(model), save the policy with model.save_pretrained(folder) and use the "
            "folder as model, or train adapters with peft_config."
        )


def _check_given_reference(model: Any, reference: Any, adapters: bool) -> None:
    require_instance(
        reference, PreTrainedModel, "ref_model", "a model of transformers",
        "Load it: AutoModelForCausalLM.from_pretrained(PATH).",
    )  # fmt: skip
    if isinstance(model, str):
        problem = f"model is the path '{model}'", "the policy is loaded with its reference"
        remedy = f"Pass model=AutoModelForCausalLM.from_pretrained('{model}')."
    elif adapters:
        problem = "the policy has adapters", "its reference is the policy without them"
        remedy = "Omit ref_model, or train all weights."
    elif reference is model:
        problem = "it is the policy itself", "it would be trained with it"
        remedy = "Pass ref_model=copy.deepcopy(model)."
    else:
        return
    raise InvalidSettingError(f"ref_model is set, but {problem[0]}, and {problem[1]}. {remedy}")


def check_same_weights(policy: PreTrainedModel, reference: PreTrainedModel) -> None:
    """Raise `UnsupportedModelError` for a policy that was modified after it was loaded.

    TRL loads the reference from the path of the policy.
    """
    weights = dict(reference.named_parameters())
    for name, weight in policy.named_parameters():
        if name not in weights or not torch.equal(weight, weights[name].to(weight)):
            raise UnsupportedModelError(
                f"The policy has other weights than '{get_config_model_id(policy.config)}', from which its reference "
                f"is loaded (first difference: {name}), so the KL penalty would undo the changes. "
                "Save it with model.save_pretrained(folder) and use the folder as model."
            )


def load_tokenizer(model: Any, args: PPOConfig) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer in the folder of a policy, or None for a policy that was created in memory."""
    name = model if isinstance(model, str) else get_config_model_id(model.config)
    if not name:
        return None
    with explain_loading(name, "a tokenizer"):
        return AutoTokenizer.from_pretrained(name, trust_remote_code=args.trust_remote_code)


def check_embeddings(
    model: Any, tokenizer: PreTrainedTokenizerBase | None, datasets: Iterable[Any], args: PPOConfig
) -> None:
    """Check that the policy has an embedding for every token of the prompts, and that no prompt ends with EOS.

    Streams are not checked.

    Args:
        model: policy.
        tokenizer: tokenizer of the policy.
        datasets: training and evaluation data.
        args: settings of the run.

    Raises:
        UnsupportedModelError: a token has no embedding, or the tokenizer adds EOS to prompts.
    """
    if tokenizer is None:
        return
    config = _load_config(model, args) if isinstance(model, str) else model
    count, name = count_embeddings(config), short_name(model)
    require_embeddings(tokenizer, count, name)
    _require_open_prompts(tokenizer, datasets)
    for number, ids in all_prompt_tokens(datasets, tokenizer, args.chat_template_kwargs):
        require_embedded(ids, tokenizer, count, name, f"row {number} of the prompts")


def _require_open_prompts(tokenizer: PreTrainedTokenizerBase, datasets: Iterable[Any]) -> None:
    """Raise `UnsupportedModelError` for a tokenizer that adds EOS to prompts that are plain texts."""
    is_plain = any(isinstance(row["prompt"], str) for row in islice(prompt_rows(datasets), 1))
    if is_plain and TextEnd.of(tokenizer).added:
        raise UnsupportedModelError(
            f"The tokenizer of the policy adds EOS ('{tokenizer.eos_token}') after every text, so a completion would "
            "begin after the end of its prompt. Use the policy's own tokenizer: a reward model's is saved with this "
            "rule, and others have it as add_eos_token."
        )


def check_prompt_lengths(
    model: Any, tokenizer: PreTrainedTokenizerBase | None, datasets: Iterable[Any], args: PPOConfig
) -> None:
    """Check that prompts and completions fit into the policy's context. Streams are not checked.

    Args:
        model: policy.
        tokenizer: tokenizer of the policy.
        datasets: training and evaluation data.
        args: settings of the run.

    Raises:
        InvalidSettingError: `max_completion_length` is not smaller than the policy's context.
        InvalidFeedbackError: a prompt is too long.
    """
    context = max_context_length(_load_config(model, args) if isinstance(model, str) else model.config)
    if context is None or tokenizer is None:
        return
    max_prompt_length = context - (args.max_completion_length or 0)
    if max_prompt_length < 1:
        raise InvalidSettingError(
            f"max_completion_length={args.max_completion_length} leaves no tokens for a prompt in the policy's context "
            f"of {context} tokens. Use a lower value: {setting('max_completion_length', 128)}."
        )
    for prompts in datasets.values() if isinstance(datasets, dict) else datasets:
        rows = [(row, len(ids)) for row, ids in all_prompt_tokens([prompts], tokenizer, args.chat_template_kwargs)]
        long = [row for row, length in rows if length > max_prompt_length]
        if long:
            longest = max(length for _, length in rows)
            raise InvalidFeedbackError(
                f"{len(long)} of {len(rows)} prompts have more than {max_prompt_length} tokens (the longest "
                f"{longest}), so a completion of {args.max_completion_length} tokens does not fit into the policy's "
                f"context of {context}. Shorten or drop these prompts ({listed_rows(long)}), or lower "
                f"{setting('max_completion_length')}."
            )


def check_reward_model_lengths(
    scorers: Iterable[Scorer], tokenizer: PreTrainedTokenizerBase | None, datasets: Sequence[Any], args: PPOConfig
) -> None:
    """Check that completions fit into the contexts of the reward models. Streams are not checked.

    Logs a warning if prompts would be truncated, or if the length limit is only an estimate, because the reward model
    has another vocabulary.

    Args:
        scorers: reward models of the run.
        tokenizer: tokenizer of the policy.
        datasets: training and evaluation data.
        args: settings of the run.

    Raises:
        InvalidSettingError: completions are longer than the context of a reward model.
    """
    for scorer in scorers:
        context = max_context_length(scorer.model.config)
        if context is None or not args.max_completion_length:
            continue
        lengths = []
        for row in prompt_rows(datasets, args.chat_template_kwargs):
            with locate_errors(row[SOURCE_ROW], "the prompts"):
                lengths.append(_scored_length(row, scorer))
        overhead = max(length - prompt for length, prompt in lengths or [_scored_length({"prompt": ""}, scorer)])
        if args.max_completion_length > context - overhead:
            same_tokens = tokenizer is not None and has_vocabulary_of(scorer.tokenizer, tokenizer)
            _refuse_completions(scorer, context, context - overhead, args.max_completion_length, same_tokens)
        else:
            limit, of_prompts = scorer.encoder.length_limit.tokens or context, [length for length, _ in lengths]
            _warn_truncated_prompts(scorer, limit, of_prompts, args.max_completion_length)


def _refuse_completions(scorer: Scorer, context: int, limit: int, max_length: int, same_tokens: bool) -> None:
    message = (
        f"max_completion_length={max_length} exceeds the limit of the reward model '{scorer.__name__}': its context of "
        f"{context} tokens allows completions of {limit}. Use a lower value: "
        f"{setting('max_completion_length', max(1, limit))}."
    )
    if same_tokens:
        raise InvalidSettingError(message)
    logger.warning("%s This is an estimate, because its tokens differ from those of the policy.", message)


def _warn_truncated_prompts(scorer: Scorer, limit: int, lengths: Sequence[int], max_length: int) -> None:
    if long := sum(length + max_length > limit for length in lengths):
        logger.warning(
            "%d of %d prompts may be truncated on the left for the reward model '%s', whose limit is %d tokens: "
            "with a completion of %d they have up to %d. Shorten these prompts, or lower %s.",
            long, len(lengths), scorer.__name__, limit, max_length, max(lengths) + max_length,
            setting('max_completion_length'),
        )  # fmt: skip


def _load_config(model: str, args: PPOConfig) -> Any:
    with explain_loading(model, "a policy"):
        return AutoConfig.from_pretrained(model, trust_remote_code=args.trust_remote_code)


def _scored_length(row: Row, scorer: Scorer) -> tuple[int, int]:
    """Return the number of tokens that a scorer uses for an empty answer, and how many of them are the prompt's."""
    prompt = row["prompt"]
    empty: Any = "" if isinstance(prompt, str) else [{"role": "assistant", "content": ""}]
    columns = {name: [row.get(name)] for name in TEMPLATE_COLUMNS}
    (answer,) = completion_answers([prompt], [empty], columns)
    rendered = render(answer, scorer.tokenizer, scorer.metadata.separator, scorer.encoder.end_of_texts)
    text = encode(rendered, scorer.tokenizer)
    return len(text.ids), text.prompt_length
