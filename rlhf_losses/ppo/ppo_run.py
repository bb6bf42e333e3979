"""What decides the result of a run of `PPOTrainer`, for its fingerprint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import nn
from xxhash import xxh3_128

from rlhf_losses.fingerprints.code_content import code_content
from rlhf_losses.fingerprints.content import Content, join_contents
from rlhf_losses.fingerprints.data_content import datasets_content
from rlhf_losses.fingerprints.model_content import model_content
from rlhf_losses.fingerprints.run_identity import RunIdentity
from rlhf_losses.fingerprints.run_settings import argument_settings, evaluation_decides, process_count
from rlhf_losses.fingerprints.setting_effects import PPO_EFFECTS
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.reward_functions import StepRewards, TokenRewardFunction
from rlhf_losses.scoring.ensemble import Ensemble
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.serving.remote_scorer import RemoteScorer

CODE_ARGUMENTS = ("rollout_func", "environment_factory", "tools")
"""Arguments of TRL's trainer that are functions which change completions."""

NAMES = ("critic", "end_tokens", "num_processes", "pretraining_dataset", "ref_model", "reward_funcs", *CODE_ARGUMENTS)
"""Names of what this module records besides settings, data and model."""


def begin(args: PPOConfig, arguments: Mapping[str, Any]) -> RunIdentity:
    """Return the identity of a run with its settings.

    Args:
        args: the configuration.
        arguments: further arguments of the trainer.

    Raises:
        InvalidSettingError: they differ from those of the checkpoint in `args.resume_from_checkpoint`.
    """
    processes = process_count(args)
    identity = RunIdentity(args, PPO_EFFECTS, NAMES, "PPOTrainer", {"num_processes": processes})
    code = {name: arguments[name] for name in CODE_ARGUMENTS if arguments.get(name)}
    identity.record(
        argument_settings(arguments),
        {name: join_contents(name, list(map(code_content, _as_list(one)))) for name, one in code.items()},
    )
    return identity


def record_data(
    identity: RunIdentity, datasets: Sequence[Any], pretraining: Any, args: PPOConfig, arguments: Mapping[str, Any]
) -> None:
    """Record prompts and pretraining texts; evaluation data only if they decide the result.

    Args:
        identity: identity of the run.
        datasets: prompts for training and for evaluation, or None; reward functions get all columns.
        pretraining: pretraining texts, or None.
        args: the configuration.
        arguments: further arguments of the trainer, of which `callbacks` can stop early.
    """
    train, evaluation = datasets
    content = {"train_dataset": None if train is None else datasets_content(train)}
    if evaluation is not None and evaluation_decides(args, arguments):
        content["eval_dataset"] = datasets_content(evaluation)
    if pretraining is not None:
        content["pretraining_dataset"] = datasets_content(pretraining, ["text"])
    identity.record(content=content)


def record_rewards(identity: RunIdentity, reward_funcs: Any) -> None:
    """Record the reward functions of a run.

    Args:
        identity: identity of the run.
        reward_funcs: one reward function or a list of them.
    """
    contents = list(map(reward_content, _as_list(reward_funcs)))
    identity.record(content={"reward_funcs": join_contents("reward functions", contents)})


def reward_content(function: Any) -> Content | None:
    """Return the content of a reward function: weights and metadata of reward models, code of other functions.

    Args:
        function: a reward function of `PPOTrainer`.
    """
    if isinstance(function, Scorer):
        return _scorer_content(function)
    if isinstance(function, RemoteScorer):
        return Content(str(function.info["fingerprint"]), f"RemoteScorer '{function.__name__}'")
    if isinstance(function, StepRewards):
        return join_contents(type(function).__name__, [reward_content(function.scorer)])
    if isinstance(function, Ensemble):
        return join_contents(f"ensemble by {function.combine}", list(map(reward_content, function.members)))
    if isinstance(function, TokenRewardFunction):
        return join_contents("rewards of tokens", [reward_content(function.function)])
    return model_content(function, trained=False) if isinstance(function, nn.Module) else code_content(function)


def _scorer_content(scorer: Scorer) -> Content | None:
    weights = model_content(scorer.model, trained=False)
    ignored = ("versions", "canaries", "estimates", "transforms")
    metadata = {name: value for name, value in asdict(scorer.metadata).items() if name not in ignored}
    if metadata["end_of_texts"] != "tokenizer":  # as in earlier versions
        del metadata["end_of_texts"]
    transforms: Any = scorer.transforms
    fitted = [] if transforms is None else [str(transforms.pipeline), _numbers(transforms.fitted)]
    text = json.dumps([metadata, fitted, scorer.encoder.overlong], sort_keys=True, default=str)
    return weights and Content(xxh3_128((weights.hash + text).encode()).hexdigest(), f"Scorer '{scorer.__name__}'")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _numbers(fitted: Any) -> list[Any]:
    return [{name: tensor.tolist() for name, tensor in sorted(one.items())} for one in fitted]
