"""`PPOTrainer`: TRL's `GRPOTrainer` with a critic in the place of the group.

What GRPO does stays as it is: sampling prompts, generating, calling reward functions, the clipped policy loss,
checkpoints and logs. PPO is added at four places: the rollout gets rewards, values and advantages for every
token; the loss gets the value loss; the optimizer, clipping and checkpoints get the critic; and the KL
penalty moves from the loss to the rewards.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
import trl
from accelerate.utils import gather, is_peft_model
from peft import PeftModel
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import disable_dropout_in_model

from rlhf_losses.model import merged
from rlhf_losses.ppo import preflight
from rlhf_losses.ppo.advantages import (
    PerToken,
    explained_variance,
    generalized_advantages,
    lambda_returns,
    masked_mean,
    whiten,
)
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic import Critic, clipped_value_error
from rlhf_losses.ppo.rewards import log_ratio_to_reference, token_rewards, weighted_scores
from rlhf_losses.ppo.roles import add_adapters, choose_critic

Inputs = dict[str, Any]
CRITIC_FOLDER = "critic"


class PPOTrainer(trl.GRPOTrainer):
    """Proximal policy optimisation of a language model against reward functions.

    Args:
        model: the policy: a path, a causal language model, or a PEFT model of one.
        reward_funcs: one or several of what `trl.GRPOTrainer` takes; a `Scorer` is one.
        args: settings of the run.
        train_dataset: rows with a `prompt`, a text or a conversation.
        critic: what the critic starts from: a path or a model that gives one score a text and has the policy's
            vocabulary. By default the first `Scorer` in `reward_funcs` with the policy's vocabulary, else the
            policy with a head of zeros. The critic is always a copy. Where the policy has adapters, so has it.
        grpo_arguments: the other arguments of `trl.GRPOTrainer`, with the same meaning.

    Raises:
        UnusableModel: the critic gives several numbers or reads another vocabulary, or the reference cannot be loaded
            from where the policy is from.
        UnusableSetting: there is no reward function, or the run asks for what PPO does not do.
        FeedbackMismatch: the data have no column `prompt`.

    Metrics beside those of GRPO, all means over the tokens that the policy wrote, over all processes:
        `objective`: score minus `beta` times KL, a completion: what PPO maximises. `reward` is the score alone.
        `kl`, `kl_per_completion`: KL to the reference at rollout in nats, a token and a completion.
        `loss/policy`, `loss/value`: the two losses, the value loss before its weight.
        `ratio`, `approx_kl`: of the policy to itself at rollout; 1 and 0 in the first PPO epoch.
        `value/mean`, `value/explained_variance`: of the critic at rollout; `value/clip_ratio`: of its loss.

    Not done yet:
        A completion cut off by `max_completion_length` counts as finished: no value is put in for its rest. After
        resuming in the middle of the epochs of a rollout, a new one is made. DeepSpeed, FSDP and policies that read
        images are refused.

    Reference:
        Schulman et al. (2017), https://arxiv.org/abs/1707.06347; for language models Ziegler et al. (2019),
        https://arxiv.org/abs/1909.08593
    """

    args: PPOConfig
    model: PreTrainedModel
    beta: float

    _name = "PPO"
    _tag_names: ClassVar[list[str]] = ["trl", "ppo"]
    _paper: ClassVar[dict[str, str]] = {
        "title": "Fine-Tuning Language Models from Human Preferences",
        "id": "1909.08593",
        "citation": "@article{ziegler2019finetuning, author = {Ziegler, Daniel M. and others}, "
        "title = {Fine-Tuning Language Models from Human Preferences}, journal = {arXiv:1909.08593}, year = 2019}",
    }

    def __init__(
        self,
        model: str | PreTrainedModel | PeftModel,
        reward_funcs: Any = None,
        args: PPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        critic: str | PreTrainedModel | None = None,
        **grpo_arguments: Any,
    ) -> None:
        args = args or PPOConfig(f"{preflight.short_name(model)}-PPO")
        preflight.require_settings(args, reward_funcs, grpo_arguments)
        preflight.require_prompts([train_dataset, eval_dataset], grpo_arguments)
        preflight.require_reference(model, args, grpo_arguments)
        preflight.require_one_value(critic)
        preflight.require_room(model, processing_class, [train_dataset, eval_dataset], args)
        super().__init__(model, reward_funcs, args, train_dataset, eval_dataset, processing_class, **grpo_arguments)
        preflight.require_reach(self)
        if self.ref_model is not None and not isinstance(model, str):
            preflight.require_same_start(self.model, self.accelerator.unwrap_model(self.ref_model))
        self.critic = self._prepare_critic(choose_critic(critic, self.model, self._tokenizer, self.reward_funcs))
        self.add_callback(_ForgetGradients(self.critic))

    # The critic

    def _prepare_critic(self, critic: Critic) -> nn.Module:
        """Set up the critic as TRL does the policy: adapters, dropout, checkpointing, device, precision, processes."""
        if is_peft_model(self.model):
            policy: Any = self.model
            add_adapters(critic, policy.peft_config[policy.active_adapter])
        else:
            critic.requires_grad_(True)
        if self.args.disable_dropout:
            disable_dropout_in_model(critic)
        if self.args.gradient_checkpointing:
            critic.checkpoint_activations(self._checkpointing() or {})
        return self.accelerator.prepare_model(critic)

    @property
    def _bare_critic(self) -> Critic:
        return self.accelerator.unwrap_model(self.critic)

    def _values(self, inputs: Inputs) -> PerToken:
        return self.critic(*_sequences(inputs), length=inputs["completion_ids"].shape[1])

    @torch.no_grad()
    def _values_at_rollout(self, inputs: Inputs) -> PerToken:
        """Return the values of a whole rollout, computed in the pieces that the policy's log-probabilities are."""
        self.critic.eval()  # also switches gradient checkpointing off
        pieces = zip(*(tensor.split(self._piece()) for tensor in _sequences(inputs)), strict=True)
        length = inputs["completion_ids"].shape[1]
        return torch.cat([self.critic(ids, attention, length=length) for ids, attention in pieces])

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Create the optimizer with two groups more, for the parameters of the critic."""
        optimizer = super().create_optimizer(model)
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for group in self._critic_groups():
            if not known.issuperset(map(id, group["params"])):
                optimizer.add_param_group(group)
        return optimizer

    def _critic_groups(self) -> list[dict[str, Any]]:
        decays = set(self.get_decay_parameter_names(self.critic))
        trained = [(name, p) for name, p in self.critic.named_parameters() if p.requires_grad]
        return [
            {
                "params": [p for name, p in trained if (name in decays) == decayed],
                "weight_decay": self.args.weight_decay if decayed else 0.0,
                "lr": self.args.critic_learning_rate,
            }
            for decayed in (True, False)
        ]

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        return super()._clip_grad_norm(nn.ModuleList([model, self.critic]))

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        return super()._get_grad_norm(nn.ModuleList([model, self.critic]), grad_norm=grad_norm)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self._bare_critic.save(Path(output_dir) / CRITIC_FOLDER)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._bare_critic.load(Path(checkpoint) / CRITIC_FOLDER)

    def publish(self, output_dir: str | Path | None = None) -> Path:
        """Save the policy with any adapter merged, as a plain language model that anything can load."""
        folder = Path(output_dir or self.args.output_dir)
        policy = merged(self.accelerator.unwrap_model(self.model))
        if self.accelerator.is_main_process:
            policy.save_pretrained(folder)
            self.processing_class.save_pretrained(folder)
        return folder

    # The rollout

    def _calculate_rewards(self, inputs: Any, prompts: Any, *rest: Any) -> Tensor:
        """Keep the scores of this process's completions; they come back gathered from all processes."""
        gathered = super()._calculate_rewards(inputs, prompts, *rest)
        scores = weighted_scores(gathered, self.reward_weights.to(gathered.device))
        mine = self.accelerator.process_index * len(prompts)
        self._scores = scores[mine : mine + len(prompts)]
        return gathered

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Inputs:
        """Replace the advantages over the group by those over the critic, and add what the value loss needs."""
        rollout = super()._generate_and_score_completions(inputs)
        mask = _written(rollout)
        log_ratios = self._log_ratios_to_reference(rollout)
        rewards = token_rewards(self._scores, log_ratios, mask, self.beta)
        values = self._values_at_rollout(rollout)
        advantages = generalized_advantages(rewards, values, mask, self.args.gamma, self.args.lam)
        returns = lambda_returns(advantages, values, mask)
        self._record_rollout(rewards, log_ratios, values, returns, mask)
        rollout["values"], rollout["returns"] = values, returns
        rollout["advantages"] = whiten(advantages, mask, self._total) if self.args.whiten_advantages else advantages
        self._show_advantages(rollout["advantages"].sum(1) / mask.sum(1).clamp(min=1))
        return rollout

    @torch.no_grad()
    def _log_ratios_to_reference(self, rollout: Inputs) -> PerToken:
        """Return the log ratios of policy and reference at each token; zeros without a reference.

        The parent computes the policy's log-probabilities only where it needs them itself.
        """
        mask = _written(rollout)
        if "ref_per_token_logps" not in rollout:
            return torch.zeros_like(mask, dtype=torch.float32)
        logps = rollout.get("old_per_token_logps")
        if logps is None:
            with disable_gradient_checkpointing(self.model, self._checkpointing()):
                logps = self._get_per_token_logps_and_entropies(
                    self.model, *_sequences(rollout), mask.shape[1], batch_size=self._piece()
                )[0]
        return log_ratio_to_reference(logps, rollout["ref_per_token_logps"], mask)

    def _checkpointing(self) -> dict[str, Any] | None:
        settings: Any = self.args.gradient_checkpointing_kwargs
        return settings

    def _piece(self) -> int:
        args = self.args
        return args.per_device_train_batch_size if self.model.training else args.per_device_eval_batch_size

    # The loss

    def _compute_loss(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Add the value loss, averaged over the tokens of an optimizer step, to the clipped policy loss."""
        with self._penalty_in_the_rewards():
            policy_loss = super()._compute_loss(model, inputs)
        self.critic.train(self.model.training)
        mask, values = _written(inputs), self._values(inputs)
        errors = clipped_value_error(values, inputs["values"], inputs["returns"], self.args.cliprange_value)
        value_loss = torch.where(mask, errors, 0.0).sum() / self._tokens_a_step(inputs)
        self._record_loss(policy_loss, value_loss, values, inputs)
        return policy_loss + self.args.vf_coef * value_loss

    @contextmanager
    def _penalty_in_the_rewards(self) -> Iterator[None]:
        """Keep the parent from adding the KL penalty to the loss: the rewards have it already."""
        beta, self.beta = self.beta, 0.0
        try:
            yield
        finally:
            self.beta = beta

    def _tokens_a_step(self, inputs: Inputs) -> Tensor:
        """Return how many tokens a process sees in one optimizer step, or in one batch of an evaluation.

        A rollout is cut into `steps_per_generation` micro-batches, of which each step takes some.
        """
        tokens = inputs["num_items_in_batch"].clamp(min=1) / self.accelerator.num_processes
        return tokens * self._accumulated() / self.args.steps_per_generation if self.model.training else tokens

    def _accumulated(self) -> int:
        return self.current_gradient_accumulation_steps if self.model.training else 1

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        """Remember the log-probabilities, which the parent's loss does not hand out."""
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._latest_logps = result[0].detach()
        return result

    # The metrics

    def _total(self, sums: Tensor) -> Tensor:
        total: Any = self.accelerator.reduce(sums, reduction="sum")
        return total

    def _record(self, metrics: Mapping[str, Tensor]) -> None:
        recorded = self._metrics["train" if self.model.training else "eval"]
        for name, value in metrics.items():
            recorded[name].append(value.item())

    def _record_rollout(
        self, rewards: PerToken, log_ratios: PerToken, values: PerToken, returns: PerToken, mask: Tensor
    ) -> None:
        completions = self._total(torch.tensor(float(len(mask)), device=mask.device))
        metrics = {
            "objective": self._total(rewards.sum()) / completions,
            "value/mean": masked_mean(values, mask, self._total),
            "value/explained_variance": explained_variance(values, returns, mask, self._total),
        }
        if self.beta:
            metrics["kl"] = masked_mean(log_ratios, mask, self._total)
            metrics["kl_per_completion"] = self._total(log_ratios.sum()) / completions
        self._record(metrics)
        # The spread within groups says nothing here: PPO has no groups.
        self._metrics["train" if self.model.training else "eval"].pop("frac_reward_zero_std", None)

    @torch.no_grad()
    def _record_loss(self, policy_loss: Tensor, value_loss: Tensor, values: PerToken, inputs: Inputs) -> None:
        mask, new = _written(inputs), self._latest_logps
        log_ratios = torch.where(mask, new - inputs.get("old_per_token_logps", new), 0.0)
        moved = (values - inputs["values"]).abs() > self.args.cliprange_value
        # A micro-batch adds its share to the losses of a step; as a metric, shares are averaged.
        shares = torch.stack([policy_loss, value_loss]) * self._accumulated()
        shares = self._total(shares.detach()) / self.accelerator.num_processes
        self._record(
            {
                "loss/policy": shares[0],
                "loss/value": shares[1],
                "ratio": masked_mean(log_ratios.exp(), mask, self._total),
                "approx_kl": masked_mean(log_ratios.exp() - 1 - log_ratios, mask, self._total),
                "value/clip_ratio": masked_mean(moved.float(), mask, self._total),
            }
        )

    def _show_advantages(self, means: Tensor) -> None:
        """Put the mean advantage of each completion into the table of completions, in place of the group's."""
        everywhere: Any = gather(means)
        shown, gathered = self._logs["advantages"], everywhere.tolist()
        for _ in range(min(len(shown), len(gathered))):
            shown.pop()
        shown.extend(gathered)


class _ForgetGradients(TrainerCallback):
    """Clears the critic's gradients after each step: the trainer clears those of the policy only."""

    def __init__(self, critic: nn.Module) -> None:
        self.critic = critic

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.critic.zero_grad()


def _sequences(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask of prompts with their completions."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    return ids, torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)


def _written(inputs: Inputs) -> Tensor:
    """Return True at the tokens that the policy wrote, not at padding nor at the answers of tools."""
    mask = inputs["completion_mask"].bool()
    return mask & inputs["tool_mask"].bool() if "tool_mask" in inputs else mask
