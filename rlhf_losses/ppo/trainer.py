"""`PPOTrainer`: TRL's `GRPOTrainer` with a critic in the place of the group.

What GRPO does stays as it is: sampling prompts, generating, calling reward functions, the clipped policy loss,
checkpoints and logs. PPO is added at four places: the rollout gets rewards, values and advantages for every
token (`with_advantages`); the loss gets the value loss; the optimizer, clipping and checkpoints get the critic
(`with_critic`); and the KL penalty moves from the loss to the rewards.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.layouts import Layout, PackedLayout, PaddedLayout
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.peft import keep_4bit_trainable, merged
from rlhf_losses.ppo import settings_checks, length_validation
from rlhf_losses.ppo.callbacks import EarlyStopping
from rlhf_losses.ppo.checkpoints import load_state, save_state
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic import Critic, SeparateCritic, clipped_value_error
from rlhf_losses.ppo.critic_init import choose_critic, scorers_of, shared_critic, standardized
from rlhf_losses.ppo.formulas import PerToken, masked_mean
from rlhf_losses.ppo.in_rows import TrainerInRows
from rlhf_losses.ppo.ppo_metrics import ratio_metrics
from rlhf_losses.ppo.pretraining import PretrainingLoss, windows_of
from rlhf_losses.ppo.with_advantages import Inputs, TrainerWithAdvantages, sequences, written


class PPOTrainer(TrainerWithAdvantages, TrainerInRows):
    """Proximal policy optimisation of a language model against reward functions.

    Args:
        model: the policy: a path, a causal language model, or a PEFT model of one.
        reward_funcs: one or several of what `trl.GRPOTrainer` takes; a `Scorer` is one.
        args: settings of the run.
        train_dataset: rows with a `prompt`, a text or a conversation.
        critic: what the critic starts from: a path or a model that gives one score a text and has the policy's
            vocabulary. By default the first `Scorer` in `reward_funcs` with the policy's vocabulary, else the
            policy with a head of zeros. The critic is always a copy. Where the policy has adapters, so has it.
        pretraining_dataset: rows with a `text` whose next-token cross-entropy is added to the loss, weighted by
            `ptx_coef` (PPO-ptx): in every update as many texts as completions, without the warm-up of the critic.
        grpo_arguments: the other arguments of `trl.GRPOTrainer`, with the same meaning.

    Raises:
        UnsupportedModelError: the critic gives several numbers or reads another vocabulary, or the reference cannot be loaded
            from where the policy is from.
        InvalidSettingError: there is no reward function, or the run asks for what PPO does not do.
        FeedbackMismatchError: the data have no column `prompt`, or the pretraining texts no column `text`.

    Metrics beside those of GRPO, all means over the tokens that the policy wrote, over all processes:
        `objective`: all that a completion is paid, minus `kl_coefficient` times KL: what PPO maximises. `reward` is
            the weighted sum of the scores as the reward functions gave them.
        `kl`, `kl_per_completion`: KL to the reference at rollout in nats, a token and a completion.
        `loss/policy`, `loss/value`: the two losses, the value loss before its weight.
        `loss/pretraining`: the cross-entropy on pretraining texts, a token, before its weight.
        `ratio`, `approx_kl`: of the policy to itself at rollout; 1 and 0 in the first PPO epoch.
        `value/mean`, `value/explained_variance`: of the critic at rollout; `value/clip_ratio`: of its loss.

    Not done yet:
        DeepSpeed, FSDP and policies that read images are refused.

    Reference:
        Schulman et al. (2017), https://arxiv.org/abs/1707.06347; for language models Ziegler et al. (2019),
        https://arxiv.org/abs/1909.08593
    """

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
        pretraining_dataset: Any = None,
        **grpo_arguments: Any,
    ) -> None:
        args = args or PPOConfig(f"{settings_checks.short_name(model)}-PPO")
        settings_checks.require_settings(args, reward_funcs, grpo_arguments)
        settings_checks.require_prompts([train_dataset, eval_dataset], grpo_arguments)
        settings_checks.require_reference(model, args, grpo_arguments)
        settings_checks.require_mix(args, pretraining_dataset)
        settings_checks.require_one_critic(critic, args)
        settings_checks.require_one_value(critic)
        settings_checks.require_writer(model, args)
        tokenizer, prompts = (
            processing_class or length_validation.tokenizer_of(model, args),
            [train_dataset, eval_dataset],
        )
        length_validation.require_room_to_write(model, tokenizer, prompts, args)
        judges = scorers_of(reward_funcs if isinstance(reward_funcs, list) else [reward_funcs])
        length_validation.require_room_to_score(judges, tokenizer, prompts, args)
        if args.score_normalization == "reference":
            reward_funcs = standardized(reward_funcs)
        super().__init__(model, reward_funcs, args, train_dataset, eval_dataset, processing_class, **grpo_arguments)
        settings_checks.require_reach(self)
        if self.ref_model is not None and not isinstance(model, str):
            settings_checks.require_same_start(self.model, self.accelerator.unwrap_model(self.ref_model))
        keep_4bit_trainable(self.model)
        self.train_beside(self._choose_critic(critic))
        keep_4bit_trainable(self.critic)
        self.choose_layout()
        self._bare_critic.layout = self._layout_of_critic()
        self.mix = None if pretraining_dataset is None else self._new_mix(pretraining_dataset)
        self.price_rollouts()
        self.time_phases()
        self.early_stop = EarlyStopping(args.early_stop_kl or torch.inf, self._give_up_rollout)
        self.add_callback(self.early_stop)

    def _new_mix(self, texts: Any) -> PretrainingLoss:
        longest = min(self.args.ptx_max_length, max_context_length(self.model.config) or self.args.ptx_max_length)
        windows = windows_of(texts, self._tokenizer, longest)
        layout = PackedLayout() if self.layout else PaddedLayout(self._tokenizer.pad_token_id)
        mix = PretrainingLoss(windows, layout, self.args.per_device_train_batch_size, self.args.seed, self._total)
        self.add_callback(mix)
        return mix

    # The critic

    def _choose_critic(self, critic: str | PreTrainedModel | None) -> Critic:
        if self.args.shared_critic:
            return shared_critic(self.model)
        return choose_critic(critic, self.model, self._tokenizer, self.reward_funcs)

    def _layout_of_critic(self) -> Layout | None:
        critic = self._bare_critic
        return self.layout_in(critic.backbone, critic.backbone) if isinstance(critic, SeparateCritic) else self.layout

    def _values(self, inputs: Inputs) -> PerToken:
        """Return the value before each token of the completions."""
        return self.critic(*sequences(inputs), length=inputs["completion_ids"].shape[1])[:, :-1]

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        save_state(output_dir, self.args.process_index, self._state())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._restore(load_state(checkpoint, self.args.process_index, self.args.device))

    def _state(self) -> dict[str, Any]:
        """Return where the run is: in its rollout, with its KL coefficient and its scales of scores.

        The number of micro-batches is also the place in the pretraining texts.
        """
        return {
            "micro_batches": self._step,
            "rollout": self._buffered_inputs,
            "coefficient": self.coefficient.value,
            "scales": self.reward_pipeline.state(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._step = state["micro_batches"]
        self._buffered_inputs = state["rollout"]
        self.beta = self.coefficient.value = state["coefficient"]
        self.reward_pipeline.restore(state["scales"])

    def save_merged(self, output_dir: str | Path | None = None) -> Path:
        """Save the policy with any adapter merged, as a plain language model that anything can load."""
        folder = Path(output_dir or self.args.output_dir)
        policy = merged(self.accelerator.unwrap_model(self.model))
        if self.accelerator.is_main_process:
            policy.save_pretrained(folder)
            self.processing_class.save_pretrained(folder)
        return folder

    def _give_up_rollout(self) -> None:
        self._buffered_inputs = None

    # The loss

    def _compute_loss(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Add the value loss, averaged over the tokens of an optimizer step, to the clipped policy loss."""
        learns = torch.is_grad_enabled() and not self._warms_up()
        with self._penalty_in_the_rewards(), self._bare_critic.watching(), torch.set_grad_enabled(learns):
            policy_loss = super()._compute_loss(model, inputs)
        self.critic.train(self.model.training)
        mask, values = written(inputs), self._values(inputs)
        errors = clipped_value_error(values, inputs["values"], inputs["returns"], self.args.cliprange_value)
        value_loss = torch.where(mask, errors, 0.0).sum() / self._tokens_a_step(inputs)
        self._record_loss(policy_loss, value_loss, values, inputs)
        loss = policy_loss + self.args.vf_coef * value_loss
        return loss if self.mix is None or not learns else loss + self._weighted_pretraining_loss(self.mix, model)

    def _weighted_pretraining_loss(self, mix: PretrainingLoss, model: nn.Module) -> Tensor:
        weight = self.args.ptx_coef or 0.0
        with torch.set_grad_enabled(weight > 0):
            share = mix.share(model, self._step, self._accumulated())
        everywhere = self._total(share.detach()) / self.accelerator.num_processes
        self._record({"loss/pretraining": everywhere * self._accumulated()})
        return weight * share

    def _warms_up(self) -> bool:
        """Return whether the policy still waits for the critic to learn what it is worth."""
        return self.model.training and self.state.global_step < self.args.critic_warmup_steps

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
        with self._phase_of_reading(self.accelerator.unwrap_model(args[0])):
            result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._latest_logps = result[0].detach()
        return result

    @torch.no_grad()
    def _record_loss(self, policy_loss: Tensor, value_loss: Tensor, values: PerToken, inputs: Inputs) -> None:
        mask, new = written(inputs), self._latest_logps
        moved = (values - inputs["values"]).abs() > self.args.cliprange_value
        # A micro-batch adds its share to the losses of a step; as a metric, shares are averaged.
        shares = torch.stack([policy_loss, value_loss]) * self._accumulated()
        shares = self._total(shares.detach()) / self.accelerator.num_processes
        ratios = ratio_metrics(new, inputs.get("old_per_token_logps", new), mask, self._total)
        if self.model.training:
            self.early_stop.seen.append(ratios["approx_kl"].item())
            if self._sanity_check is not None:
                self._sanity_check.first_epoch(ratios["ratio"].item(), ratios["approx_kl"].item())
        clipped = {"value/clip_ratio": masked_mean(moved.float(), mask, self._total)}
        self._record({"loss/policy": shares[0], "loss/value": shares[1]} | ratios | clipped)
