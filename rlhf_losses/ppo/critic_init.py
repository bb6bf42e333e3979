"""Selection and initialization of the critic: from a reward model, from the policy, or from a given model.

Every critic is a copy of its source, except for a shared critic.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import is_peft_model
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from trl.trainer.utils import disable_dropout_in_model

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.models.peft import keep_4bit_trainable, merge_adapters
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic import Critic, SeparateCritic, SharedCritic
from rlhf_losses.ppo.forward import backbone_of
from rlhf_losses.ppo.reward_functions import find_scorers
from rlhf_losses.ppo.shared_base import LORA, tied_copy
from rlhf_losses.scoring.loading import load_reward_model
from rlhf_losses.scoring.scorer import Scorer

FILLED_ROWS = 1024
"""Tables of embeddings for the same vocabulary differ by fewer rows: they are filled up to multiples."""


def build_critic(
    critic: str | PreTrainedModel | None,
    policy: Any,
    tokenizer: PreTrainedTokenizerBase,
    reward_funcs: Sequence[Any],
    args: PPOConfig,
) -> Critic:
    """Return the critic of a run, prepared for training like the policy: adapters, dropout, gradient checkpointing.

    Args:
        critic: path or model to start from; None for the default of `choose_critic`.
        policy: language model, which may have adapters.
        tokenizer: tokenizer of the policy.
        reward_funcs: reward functions of the run.
        args: settings of the run.

    Raises:
        UnsupportedModelError: the critic has another vocabulary, no score head at every token, or none of the layers
            to which the policy's adapters belong.
    """
    if args.shared_critic:
        chosen: Critic = SharedCritic(backbone_of(policy), zero_head(policy).to(policy.device))
    else:
        chosen = choose_critic(critic, policy, tokenizer, reward_funcs, args.trust_remote_code)
    if isinstance(chosen, SeparateCritic) and is_peft_model(policy):
        add_adapters(chosen, policy.peft_config[policy.active_adapter])
    else:
        chosen.requires_grad_(True)
    if args.disable_dropout:
        disable_dropout_in_model(chosen)
    if args.gradient_checkpointing:
        chosen.enable_gradient_checkpointing(args.gradient_checkpointing_kwargs or {})
    keep_4bit_trainable(chosen)
    return chosen


def choose_critic(
    critic: str | PreTrainedModel | None,
    policy: Any,
    tokenizer: PreTrainedTokenizerBase,
    reward_funcs: Sequence[Any],
    trust_remote_code: bool = False,
) -> SeparateCritic:
    """Return the given critic; by default one from the reward model, else from the policy.

    The reward model is the first `Scorer` among `reward_funcs` with the policy's vocabulary whose scores are raw or an
    affine function of the raw scores.

    Args:
        critic: path or model to start from, or None.
        policy: language model, which may have adapters.
        tokenizer: tokenizer of the policy.
        reward_funcs: reward functions of the run.
        trust_remote_code: whether code that comes with the critic is executed.

    Raises:
        UnsupportedModelError: the critic has another vocabulary, or no score head at every token.
    """
    if isinstance(critic, str):
        return critic_from_path(critic, policy, tokenizer, trust_remote_code)
    if critic is not None:
        check_vocabulary_size(critic, policy)
        return critic_from_classifier(plain_copy(critic))
    affine = [scorer for scorer in find_scorers(reward_funcs) if scorer.affine() is not None]
    scorers = [scorer for scorer in affine if has_vocabulary_of(scorer.tokenizer, tokenizer)]
    return critic_from_scorer(scorers[0], policy) if scorers else critic_from_policy(policy)


def critic_from_scorer(scorer: Scorer, policy: Any) -> SeparateCritic:
    """Return a critic whose initial values are the scores of a scorer.

    If the policy has LoRA adapters, the critic shares the scorer's frozen weights.

    Args:
        scorer: scorer without transforms, or with affine ones.
        policy: language model.
    """
    critic = (
        critic_on_weights_of(scorer.model) if has_lora(policy) else critic_from_classifier(plain_copy(scorer.model))
    )
    affine = scorer.affine()
    if scorer.transforms is not None and affine is not None:
        scale, shift = affine
        with torch.no_grad():
            offset = torch.zeros(1) if critic.head.bias is None else critic.head.bias
            critic.head.weight.mul_(scale)
            critic.head.bias = nn.Parameter((scale * offset + shift).to(critic.head.weight.device))
    return critic


def critic_on_weights_of(model: Any) -> SeparateCritic:
    """Return a critic that shares the weights of a classifier, with copies of its head and its adapters."""
    classifier = model.get_base_model() if is_peft_model(model) else model
    critic = critic_from_classifier(classifier)
    adapters = model.peft_config[model.active_adapter] if has_lora(model) else None
    return SeparateCritic(tied_copy(critic.backbone), copy.deepcopy(critic.head), adapters)


def critic_from_path(
    path: str, policy: Any, tokenizer: PreTrainedTokenizerBase, trust_remote_code: bool = False
) -> SeparateCritic:
    """Return a critic from a reward model on disk or on the Hub, in the policy's precision."""
    with explain_loading(path, "a critic"):
        own = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    if not has_vocabulary_of(own, tokenizer):
        raise UnsupportedModelError(
            f"The critic '{path}' has another vocabulary than the policy, so the policy's token ids would have another "
            "meaning for it. Use a critic with the policy's tokenizer. (A reward model can have any tokenizer: it "
            "scores text.)"
        )
    model, _ = load_reward_model(path, policy.dtype, trust_remote_code)
    return critic_from_classifier(model)


def critic_from_classifier(model: PreTrainedModel) -> SeparateCritic:
    """Return a critic with the transformer and the score head of a sequence classifier."""
    head = getattr(model, "score", None)
    if isinstance(head, ModulesToSaveWrapper):
        head = head.modules_to_save[head.active_adapter]
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no linear layer called score with one output, and a critic needs a value at "
            "every token. Use a classifier on a causal language model (Llama, Qwen, GPT-2, …)."
        )
    backbone: Any = model.base_model
    return SeparateCritic(backbone, head)


def critic_from_policy(policy: Any) -> SeparateCritic:
    """Return a critic on the policy's transformer with a head of zeros, so that all initial values are 0.

    If the policy has LoRA adapters, the critic shares its frozen weights and has copies of the adapters.
    """
    if has_lora(policy):
        backbone = keep_adapter(tied_copy(backbone_of(policy)), policy.active_adapter)
        return SeparateCritic(backbone, zero_head(policy), policy.peft_config[policy.active_adapter])
    return SeparateCritic(plain_copy(policy).base_model, zero_head(policy))


def zero_head(policy: Any) -> nn.Linear:
    """Return a head of zeros for the policy's hidden states."""
    head = nn.Linear(policy.config.get_text_config().hidden_size, 1, bias=False)
    nn.init.zeros_(head.weight)
    return head


def plain_copy(model: Any) -> Any:
    """Return a copy of a model, with its adapters merged into plain weights."""
    plain = merge_adapters(model)
    return copy.deepcopy(model) if plain is model else plain


def add_adapters(critic: SeparateCritic, policy_adapters: PeftConfig) -> None:
    """Add the policy's adapters to a critic without adapters, and train adapters and head only.

    Args:
        critic: critic, which is modified.
        policy_adapters: settings of the policy's adapters.

    Raises:
        UnsupportedModelError: the critic has none of the layers to which the policy's adapters belong.
    """
    if critic.adapters is None:
        _inject(critic, policy_adapters)
    else:
        for name, parameter in critic.named_parameters():
            parameter.requires_grad_(LORA in name)
    critic.head.requires_grad_(True)
    for parameter in critic.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _inject(critic: SeparateCritic, policy_adapters: PeftConfig) -> None:
    settings: Any = copy.deepcopy(policy_adapters)
    settings.task_type = None
    settings.modules_to_save = None
    try:
        inject_adapter_in_model(settings, critic)
    except ValueError as error:
        raise UnsupportedModelError(
            f"The policy has adapters, and the critic, a {type(critic.backbone).__name__}, does not support the same "
            f"ones: {error} Use a critic of the policy's architecture, or train without peft_config."
        ) from error
    critic.adapters = settings


def keep_adapter(module: nn.Module, kept: str) -> Any:
    """Delete all adapters of a module but one; TRL keeps the initial values of a trained adapter as another one."""
    for layer in module.modules():
        if isinstance(layer, BaseTunerLayer):
            for name in set(layer._get_available_adapters()) - {kept}:
                layer.delete_adapter(name)
    return module


def has_lora(model: Any) -> bool:
    """Return whether a model has LoRA adapters."""
    return bool(is_peft_model(model)) and isinstance(model.peft_config[model.active_adapter], LoraConfig)


def check_vocabulary_size(critic: PreTrainedModel, policy: Any) -> None:
    """Raise `UnsupportedModelError` if critic and policy have vocabularies of different sizes.

    A critic may have more rows than the policy, because embeddings of the same tokens are filled up to other multiples.
    """
    critic_size, policy_size = (config.get_text_config().vocab_size for config in (critic.config, policy.config))
    if not 0 <= critic_size - policy_size < FILLED_ROWS:
        raise UnsupportedModelError(
            f"The critic has a vocabulary of {critic_size} tokens and the policy one of {policy_size}, so the policy's "
            "token ids would have another meaning for it. Use a critic with the policy's tokenizer; if the tokens were "
            f"added to the policy, call critic.resize_token_embeddings({policy_size}) too. (A reward model can have "
            "any tokenizer: it scores text.)"
        )


def has_vocabulary_of(tokenizer: PreTrainedTokenizerBase, policy_tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether every token of the policy has the same id in another tokenizer."""
    return bool(policy_tokenizer.get_vocab().items() <= tokenizer.get_vocab().items())
