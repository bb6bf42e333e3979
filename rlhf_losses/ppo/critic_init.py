"""Who plays the critic: the reward model, the policy itself, or a model of the user's. Each plays it on a copy."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate.utils import is_peft_model
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.errors import InvalidSettingError, UnsupportedModelError
from rlhf_losses.models.peft import merged
from rlhf_losses.ppo.critic import Critic, SeparateCritic, SharedCritic
from rlhf_losses.scoring.ensemble import Ensemble
from rlhf_losses.ppo.reward_functions import StepRewards
from rlhf_losses.ppo.shared_base import LORA, tied_copy
from rlhf_losses.scoring.loading import load_reward_model
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.scoring.standardized import StandardizedScorer


def choose_critic(
    critic: str | PreTrainedModel | None,
    policy: Any,
    tokenizer: PreTrainedTokenizerBase,
    reward_funcs: Sequence[Any],
) -> Critic:
    """Return the critic that was asked for; by default one from the reward model, else from the policy.

    The reward model is the first `Scorer` among `reward_funcs` that reads the policy's tokens.

    Raises:
        UnsupportedModelError: the critic reads another vocabulary, or has no head that is read at every token.
    """
    if isinstance(critic, str):
        return critic_from_path(critic, policy, tokenizer)
    if critic is not None:
        check_vocabulary_size(critic, policy)
        return critic_from_classifier(plain_copy(critic))
    scorers = [scorer for scorer in scorers_of(reward_funcs) if reads_the_same(scorer.tokenizer, tokenizer)]
    return critic_from_scorer(scorers[0], policy) if scorers else critic_from_policy(policy)


def scorers_of(reward_funcs: Iterable[Any]) -> list[Scorer]:
    """Return the scorers among reward functions, also those inside others."""
    found: list[Scorer] = []
    for function in reward_funcs:
        if isinstance(function, Scorer):
            found.append(function)
        elif isinstance(function, StepRewards):
            found += scorers_of([function.scorer])
        elif isinstance(function, Ensemble):
            found += scorers_of(function.members)
    return found


def standardized(reward_funcs: Any) -> Any:
    """Return reward functions with every scorer in them standardised to its reference samples.

    Raises:
        UnsupportedModelError: a scorer was never fitted.
        InvalidSettingError: there is no scorer.
    """
    functions = reward_funcs if isinstance(reward_funcs, list) else [reward_funcs]
    if not scorers_of(functions):
        raise InvalidSettingError(
            "score_normalization='reference' arrived, but only a Scorer can be fitted to reference samples, and there "
            "is none among the reward functions. Choose 'running'."
        )
    return [_standardized(function) for function in functions]


def _standardized(function: Any) -> Any:
    if isinstance(function, Scorer):
        return StandardizedScorer(function)
    if isinstance(function, StepRewards):
        function = copy.copy(function)
        function.scorer = _standardized(function.scorer)
    if isinstance(function, Ensemble):
        function = copy.copy(function)
        function.members = [_standardized(member) for member in function.members]
    return function


def critic_from_scorer(scorer: Scorer, policy: Any) -> SeparateCritic:
    """Return a critic that at first says what the scorer would: its scale is that of the scores.

    Where the policy has adapters the critic only needs some too, and its transformer is the scorer's.
    """
    critic = (
        critic_on_weights_of(scorer.model) if has_lora(policy) else critic_from_classifier(plain_copy(scorer.model))
    )
    if isinstance(scorer, StandardizedScorer):
        with torch.no_grad():
            offset = torch.zeros(1) if critic.head.bias is None else critic.head.bias
            critic.head.weight.div_(scorer.std)
            critic.head.bias = nn.Parameter((offset - scorer.mean).to(critic.head.weight.device) / scorer.std)
    return critic


def critic_on_weights_of(model: Any) -> SeparateCritic:
    """Return a critic on the very weights of a classifier, with copies of its head and of its adapters."""
    classifier = model.get_base_model() if is_peft_model(model) else model
    critic = critic_from_classifier(classifier)
    adapters = model.peft_config[model.active_adapter] if has_lora(model) else None
    return SeparateCritic(tied_copy(critic.backbone), copy.deepcopy(critic.head), adapters)


def critic_from_path(path: str, policy: Any, tokenizer: PreTrainedTokenizerBase) -> Critic:
    """Return a critic made of a reward model on disk or on the hub, in the policy's precision."""
    if not reads_the_same(AutoTokenizer.from_pretrained(path), tokenizer):
        raise UnsupportedModelError(
            f"The critic '{path}' has another vocabulary than the policy: it would read its tokens as other words. "
            "Give a critic with the policy's tokenizer. (A reward model may have any: it gets the text.)"
        )
    model, _ = load_reward_model(path, dtype=policy.dtype)
    return critic_from_classifier(model)


def critic_from_classifier(model: PreTrainedModel) -> SeparateCritic:
    """Return a critic made of the backbone and the score head of a sequence classifier."""
    head = getattr(model, "score", None)
    if isinstance(head, ModulesToSaveWrapper):
        head = head.modules_to_save[head.active_adapter]
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no linear layer called score with one output. A critic is read at every "
            "token, which only classifiers on a causal language model allow. Take one of those (Llama, Qwen, GPT-2, …)."
        )
    backbone: Any = model.base_model
    return SeparateCritic(backbone, head)


def critic_from_policy(policy: Any) -> SeparateCritic:
    """Return a critic on the policy's transformer, with a head of zeros: at first every value is 0.

    A policy with adapters shares its frozen weights with the critic, which gets copies of the adapters.
    """
    if has_lora(policy):
        backbone = one_adapter(tied_copy(backbone_of(policy)), policy.active_adapter)
        return SeparateCritic(backbone, head_of_zeros(policy), policy.peft_config[policy.active_adapter])
    return SeparateCritic(plain_copy(policy).base_model, head_of_zeros(policy))


def shared_critic(policy: Any) -> Critic:
    """Return a head of zeros on the policy's own transformer."""
    return SharedCritic(backbone_of(policy), head_of_zeros(policy).to(policy.device))


def backbone_of(policy: Any) -> PreTrainedModel:
    """Return the transformer of a language model, under its head and through PEFT."""
    backbone: PreTrainedModel = without_peft(policy).base_model
    return backbone


def without_peft(policy: Any) -> PreTrainedModel:
    """Return a language model without PEFT around it; its adapters stay in it."""
    model: PreTrainedModel = policy.get_base_model() if is_peft_model(policy) else policy
    return model


def head_of_zeros(policy: Any) -> nn.Linear:
    """Return a head for the policy's hidden states that says 0 to everything."""
    head = nn.Linear(policy.config.get_text_config().hidden_size, 1, bias=False)
    nn.init.zeros_(head.weight)
    return head


def plain_copy(model: Any) -> Any:
    """Return a copy of a model, with its adapters merged into plain weights."""
    plain = merged(model)
    return copy.deepcopy(model) if plain is model else plain


def add_adapters(critic: SeparateCritic, policy_adapters: PeftConfig) -> None:
    """Put adapters like the policy's into a critic that has none, and train adapters and head only.

    Raises:
        UnsupportedModelError: the critic has none of the layers that the policy's adapters sit in.
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
            f"The policy has adapters, and the critic, a {type(critic.backbone).__name__}, cannot take the same: "
            f"{error} Give a critic of the policy's architecture, or train without peft_config."
        ) from error
    critic.adapters = settings


def one_adapter(module: nn.Module, kept: str) -> Any:
    """Return a module without adapters but one: TRL keeps the start of an adapter that is trained on as another."""
    for layer in module.modules():
        if isinstance(layer, BaseTunerLayer):
            for name in set(layer._get_available_adapters()) - {kept}:
                layer.delete_adapter(name)
    return module


def is_switched(policy: nn.Module) -> bool:
    """Return whether a policy plays its own reference now: with its adapters off, or with those it began with."""
    layer = next((module for module in policy.modules() if isinstance(module, BaseTunerLayer)), None)
    return layer is not None and (layer.disable_adapters or layer.active_adapters == ["ref"])


def has_lora(model: Any) -> bool:
    """Return whether a model has LoRA adapters."""
    return is_peft_model(model) and isinstance(model.peft_config[model.active_adapter], LoraConfig)


def check_vocabulary_size(critic: PreTrainedModel, policy: Any) -> None:
    """Refuse a critic whose vocabulary is of another size than the policy's; its tokenizer is not at hand."""
    theirs, ours = (config.get_text_config().vocab_size for config in (critic.config, policy.config))
    if theirs != ours:
        raise UnsupportedModelError(
            f"The critic has a vocabulary of {theirs} tokens and the policy one of {ours}, so it would read its "
            "tokens as other words. Give a critic with the policy's tokenizer. (A reward model may have any: it gets "
            "the text.)"
        )


def reads_the_same(theirs: PreTrainedTokenizerBase, ours: PreTrainedTokenizerBase) -> bool:
    """Return whether every token of ours has the same number in theirs."""
    return ours.get_vocab().items() <= theirs.get_vocab().items()
