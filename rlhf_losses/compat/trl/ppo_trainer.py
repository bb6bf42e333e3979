"""`PPOTrainer` with the arguments of TRL 1.12's, on the trainer of this package."""

import copy
import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftConfig, PeftModel
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from rlhf_losses.checks.argument_checks import describe_type, require_instance, require_known_arguments
from rlhf_losses.compat.trl.policy_tokens import PolicyTokenScorer, with_embedded_padding, with_prompt_tokens
from rlhf_losses.compat.trl.ppo_config import PPOConfig
from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError, UnsupportedModelError
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.models.embeddings import count_embeddings
from rlhf_losses.models.model_argument import require_tokenizer
from rlhf_losses.models.peft import merge_adapters, trains_adapters
from rlhf_losses.ppo import PPOTrainer as OwnTrainer

logger = logging.getLogger(__name__)

OLD_NAMES = {"config": "args", "tokenizer": "processing_class", "policy": "model", "ref_policy": "ref_model"}
"""Names of arguments in TRL 0.12 and before, and the later ones."""

SHOWN_COMPLETIONS = 5
"""Number of completions in a table during the training."""


class PPOTrainer(OwnTrainer):
    """`rlhf_losses.PPOTrainer` with the arguments of TRL 1.12's `PPOTrainer`, and with those of TRL 0.12.

    The reward model reads the tokens of the policy, so it needs the policy's tokenizer.

    Args:
        args: the configuration.
        processing_class: tokenizer of the policy.
        model: policy, a language model or a PEFT model of one.
        ref_model: reference of the KL penalty; by default the policy at the start.
        reward_model: a sequence classifier with one label, any reward function of `rlhf_losses.PPOTrainer`, or a list.
        train_dataset: rows with tokens in `input_ids`, or with a text or a conversation in `prompt`.
        value_model: initial critic, a sequence classifier with one label; it is copied. By default the reward model.
        data_collator: a `DataCollatorWithPadding`, or None; nothing else is accepted.
        eval_dataset: the same rows for evaluation.
        optimizers: an optimizer of parameters of the policy, and None.
        callbacks: callbacks of the run.
        peft_config: adapters to train.
        old_names: arguments under the names of TRL 0.12.

    Raises:
        InvalidArgumentError: an argument of another type, or one that does not exist.
        InvalidSettingError: a setting is refused, or a reference that is not the base of the adapters.
        UnsupportedModelError: the models have other vocabularies, or more than one label.

    Examples:
        ```python
        trainer = PPOTrainer(
            args=training_args,
            processing_class=tokenizer,
            model=policy,
            ref_model=ref_policy,
            reward_model=reward_model,
            value_model=value_model,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            peft_config=peft_config,
        )
        ```
    """

    def __init__(
        self,
        args: PPOConfig | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        model: Any = None,
        ref_model: PreTrainedModel | None = None,
        reward_model: Any = None,
        train_dataset: Any = None,
        value_model: PreTrainedModel | None = None,
        data_collator: Any = None,
        eval_dataset: Any = None,
        optimizers: tuple[Optimizer | None, Any] = (None, None),
        callbacks: list[TrainerCallback] | None = None,
        peft_config: PeftConfig | None = None,
        **old_names: Any,
    ) -> None:
        require_known_arguments(old_names, [*_ARGUMENTS, *OLD_NAMES], "PPOTrainer")
        args = old_names.get("config", args)
        processing_class = old_names.get("tokenizer", processing_class)
        model = old_names.get("policy", model)
        ref_model = old_names.get("ref_policy", ref_model)
        _require_arguments(args, processing_class, model, reward_model, data_collator, optimizers)
        require_dataset(train_dataset, "train_dataset")
        assert args is not None
        assert processing_class is not None
        tokenizer = with_embedded_padding(processing_class, model)
        set_end_token(model, tokenizer, args)
        size = len(train_dataset) if isinstance(train_dataset, Dataset) else None
        own = args.own_config(size)
        super().__init__(
            model,
            _as_reward_function(reward_model, model, tokenizer, args),
            own,
            with_prompt_tokens(train_dataset, tokenizer, args.dataset_num_proc),
            with_prompt_tokens(eval_dataset, tokenizer, args.dataset_num_proc),
            tokenizer,
            critic=value_model,
            ref_model=choose_reference(model, ref_model, peft_config) if own.beta else None,
            optimizers=optimizers,
            callbacks=callbacks,
            peft_config=peft_config,
        )
        if eval_dataset is not None and args.num_sample_generations:
            self.add_callback(SampleCompletions(self, args.num_sample_generations))

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        """Return a schedule with a constant learning rate on each rollout, as TRL's; others than `LambdaLR` unchanged.

        Args:
            num_training_steps: number of optimizer steps of the run.
            optimizer: the optimizer.
        """
        schedule = super().create_scheduler(num_training_steps, optimizer)
        if isinstance(schedule, LambdaLR):
            schedule.lr_lambdas = [
                partial(_at_start_of_rollout, one, self.args.steps_per_rollout) for one in schedule.lr_lambdas
            ]
        return schedule

    def generate_completions(self, sampling: bool = False) -> None:
        """Print a table with completions of the evaluation data, their scores and advantages.

        Args:
            sampling: one batch only, and at most five completions of it.
        """
        datasets = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"eval": self.eval_dataset}
        for data in datasets.values():
            if isinstance(data, Dataset):
                size = min(self.args.per_device_eval_batch_size, len(data)) if sampling else len(data)
                self._print_completions(data.select(range(size)), SHOWN_COMPLETIONS if sampling else None)

    def _print_completions(self, data: Dataset, count: int | None) -> None:
        Path(self.args.output_dir, "completions").mkdir(parents=True, exist_ok=True)
        training = copy.deepcopy(self._logs)
        self._replace_tables({name: () for name in self._logs})
        self.log_completions, self.num_completions_to_print = True, count
        try:
            self.evaluate(data)
        finally:
            self._replace_tables(training)
            self.log_completions = self.args.log_completions
            self.num_completions_to_print = self.args.num_completions_to_print

    def _replace_tables(self, contents: Mapping[str, Any]) -> None:
        """Replace the tables of completions, in place."""
        tables: Mapping[str, Any] = self._logs
        for name, table in tables.items():
            table.clear()
            (table.update if isinstance(table, dict) else table.extend)(contents[name])


_ARGUMENTS = set(inspect.signature(PPOTrainer.__init__).parameters) - {"self", "old_names"}


class SampleCompletions(TrainerCallback):
    """Print tables with completions of the evaluation data during the training.

    Args:
        trainer: the trainer.
        count: number of tables.
    """

    def __init__(self, trainer: PPOTrainer, count: int) -> None:
        self.trainer = trainer
        self.rollout = trainer.args.steps_per_rollout
        self.every = max(1, trainer.args.max_steps // self.rollout // count) * self.rollout

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Print a table after the first rollout, and after every further part of the training; the step is logged."""
        if state.global_step and (state.global_step - self.rollout) % self.every == 0:
            self.trainer.generate_completions(sampling=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Print a table if a part of the training ends here."""
        self.on_step_begin(args, state, control)


def _at_start_of_rollout(schedule: Callable[[int], float], steps_per_rollout: int, step: int) -> float:
    return schedule(step // steps_per_rollout * steps_per_rollout)


def set_end_token(model: Any, tokenizer: PreTrainedTokenizerBase, args: PPOConfig) -> None:
    """Set the token that ends a completion in the generation config of the policy.

    Args:
        model: policy.
        tokenizer: its tokenizer.
        args: the configuration, with `stop_token` or `stop_token_id`.

    Raises:
        InvalidSettingError: the policy has no such token.
    """
    if args.stop_token is not None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    elif args.stop_token_id is not None:
        count = count_embeddings(model)
        if count is not None and args.stop_token_id >= count:
            raise InvalidSettingError(
                f"stop_token_id={args.stop_token_id} is no token of the policy, which has {count}, so it would end no "
                f"completion. Use the id of a token, for example {tokenizer.eos_token_id}."
            )
        model.generation_config.eos_token_id = args.stop_token_id
    else:
        logger.warning(
            "No stop_token: TRL's trainer generates response_length tokens, also after EOS. Here EOS ends a "
            "completion, as with stop_token='eos'."
        )


def choose_reference(model: Any, ref_model: Any, peft_config: PeftConfig | None) -> PreTrainedModel | None:
    """Return the reference of the KL penalty, or None for that of adapters: the policy without them.

    Args:
        model: policy.
        ref_model: the given reference; None is a copy of the policy.
        peft_config: adapters to train.

    Raises:
        InvalidSettingError: a policy with adapters, and a reference that is not its base.
    """
    if not trains_adapters(model, peft_config):
        return _copy(model) if ref_model is None else ref_model
    if ref_model is not None and not _are_equal(ref_model, merge_adapters(model)):
        raise InvalidSettingError(
            "ref_model has other weights than the policy, but the policy trains adapters, and its reference is the "
            "policy at the start. Omit ref_model, or train all weights without peft_config."
        )
    return None


def _copy(model: nn.Module) -> Any:
    copied = copy.deepcopy(model)
    vars(copied).pop("forward", None)  # a method that an earlier trainer of the model has bound to it
    return copied


def _are_equal(one: nn.Module, other: nn.Module) -> bool:
    weights, others = dict(one.named_parameters()), dict(other.named_parameters())
    return weights.keys() == others.keys() and all(
        weights[name].equal(others[name].to(weights[name])) for name in weights
    )


def _as_reward_function(reward_model: Any, model: Any, tokenizer: PreTrainedTokenizerBase, args: PPOConfig) -> Any:
    """Return a reward function that reads the tokens of the policy, or the given function; for a list, one each."""
    if isinstance(reward_model, list):
        return [_as_reward_function(one, model, tokenizer, args) for one in reward_model]
    if not isinstance(reward_model, nn.Module):
        return reward_model
    policy, count = count_embeddings(model), count_embeddings(reward_model)
    known = [id_ for id_ in tokenizer.get_vocab().values() if policy is None or id_ < policy]
    if count is not None and max(known) >= count:
        raise UnsupportedModelError(
            f"The reward model has embeddings of {count} tokens, and the policy's tokenizer has a token with the id "
            f"{max(known)}, so the reward model cannot read all tokens of the policy. If it has another tokenizer, "
            "pass reward_model=Scorer.from_pretrained(PATH), which reads the text. If tokens were added to the policy, "
            f"call reward_model.resize_token_embeddings({policy}), and the same for value_model."
        )
    return PolicyTokenScorer(reward_model.to(args.device), tokenizer, batch_size=args.local_rollout_forward_batch_size)


def _require_arguments(
    args: Any, tokenizer: Any, model: Any, reward_model: Any, data_collator: Any, optimizers: tuple[Any, Any]
) -> None:
    """Check the arguments that the translation reads, and refuse those that cannot have an effect."""
    require_instance(
        args, PPOConfig, "args", "the PPOConfig of rlhf_losses.compat.trl",
        "Import it from there; rlhf_losses.PPOConfig belongs to rlhf_losses.PPOTrainer.",
    )  # fmt: skip
    require_tokenizer(tokenizer)
    require_instance(
        model, (PreTrainedModel, PeftModel), "model", "a language model",
        "Load it: AutoModelForCausalLM.from_pretrained(PATH).",
    )  # fmt: skip
    if reward_model is None:
        raise InvalidArgumentError(
            "`reward_model` is None, so there is nothing to maximize. Pass a sequence classifier with one label, or a "
            "function of prompts and completions."
        )
    if data_collator is not None and type(data_collator) is not DataCollatorWithPadding:
        raise InvalidArgumentError(
            f"`data_collator` {describe_type(data_collator)}, but prompts are read row by row here, and padded by the "
            "trainer. Omit it, and change the rows with train_dataset.map."
        )
    policy = {id(parameter) for parameter in model.parameters()}
    groups = [] if optimizers[0] is None else optimizers[0].param_groups
    if not policy.issuperset(id(one) for group in groups for one in group["params"]):
        raise InvalidSettingError(
            "`optimizers` has an optimizer of parameters that are not those of the policy, such as those of "
            "value_model, of which a copy is trained. Pass an optimizer of the policy's parameters; the trainer adds "
            "those of the critic."
        )
