"""`PPOTrainer`: TRL's `GRPOTrainer` with a critic instead of groups of completions.

TRL samples prompts, generates completions, calls reward functions, computes the clipped policy loss, and writes
checkpoints and logs. The overrides here add what PPO needs: rewards, values and advantages of each token, the value
loss, and the critic in optimizer, gradient clipping and checkpoints. Each override calls a collaborator:

| collaborator | task |
|---|---|
| `RewardPipeline` | outputs of reward functions → reward of each token |
| `AdvantageEstimator` | rewards and values → advantages and returns |
| `SequenceForward` | log-probabilities and hidden states, padded or packed |
| `Critic` | values, parameters, files |
| `KLController`, `EarlyStopping` | coefficient of the KL penalty; end of a rollout |
| `PretrainingLoss` | cross-entropy on pretraining texts |
| `PPOMonitor` | metrics, sanity check, times |
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import trl
from accelerate.utils import gather_object
from datasets import Dataset, IterableDataset
from peft import PeftModel
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import get_config_model_id

from rlhf_losses.cards.policy_card import PolicyCard
from rlhf_losses.cards.provenance import Provenance
from rlhf_losses.checkpoints.checkpointing import Checkpointing
from rlhf_losses.checkpoints.resuming import reading_state
from rlhf_losses.checks.argument_checks import require_known_arguments
from rlhf_losses.data.template_arguments import with_template_arguments
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.fingerprints.compared_run import ComparedRun
from rlhf_losses.fingerprints.model_content import model_content
from rlhf_losses.fingerprints.run_identity import record_model
from rlhf_losses.layouts import PackedLayout, PaddedLayout
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.bfloat16 import warn_about_bfloat16
from rlhf_losses.models.embeddings import count_embeddings, require_embedded
from rlhf_losses.models.finite import NonFiniteGuard, require_finite_weights
from rlhf_losses.models.inherited_defaults import earlier_names_accepted
from rlhf_losses.models.model_argument import model_or_path, require_optional_arguments
from rlhf_losses.models.peft import keep_4bit_trainable, trains_adapters
from rlhf_losses.models.saved_files import require_other_folder
from rlhf_losses.models.trainable_parameters import require_trainable
from rlhf_losses.ppo import ppo_run
from rlhf_losses.ppo.advantage_estimation import AdvantageEstimator
from rlhf_losses.ppo.checkpoints import PPOState
from rlhf_losses.ppo.completion_text import as_written, mark_cut_off
from rlhf_losses.ppo.config import PPOConfig, as_ppo_config, standardized_rewards
from rlhf_losses.ppo.critic import (
    CRITIC_FOLDER,
    Critic,
    SeparateCritic,
    ZeroCriticGradients,
    predict_values,
)
from rlhf_losses.ppo.critic_init import build_critic
from rlhf_losses.ppo.formulas import PerToken, clipped_value_error
from rlhf_losses.ppo.forward import SequenceForward, choose_policy_layout, choose_sequence_layout
from rlhf_losses.ppo.kl import ESTIMATORS, EarlyStopping, KLController, log_ratio_to_reference
from rlhf_losses.ppo.monitoring import PPOMonitor, SanityCheck
from rlhf_losses.ppo.phase_timer import PhaseTimer, synchronized_time
from rlhf_losses.ppo.policy_run_card import card_of_policy
from rlhf_losses.ppo.pretraining import PretrainingLoss, tokenize_windows
from rlhf_losses.ppo.prompt_sampler import EveryPrompt
from rlhf_losses.ppo.prompts import clean_prompts, has_own_tokens, prompt_tokens
from rlhf_losses.ppo.read_tokens import WrittenTexts
from rlhf_losses.ppo.reference import use_reference
from rlhf_losses.ppo.reward_functions import (
    TokenLevelReward,
    check_rewards,
    load_reward_functions,
    raise_together,
    require_finite_scores,
    standardize_scorers,
)
from rlhf_losses.ppo.rewards import RawRewards, RewardPipeline
from rlhf_losses.ppo.rollout import Rollout
from rlhf_losses.ppo.rollout_steps import RolloutSteps
from rlhf_losses.ppo.settings_checks import (
    check_arguments,
    check_datasets,
    check_reference,
    check_same_weights,
    check_trainer,
    short_name,
)
from rlhf_losses.processes.folder_claims import claim

GRPO_ARGUMENTS = set(inspect.signature(trl.GRPOTrainer.__init__).parameters) - {"self"}
"""Arguments of TRL's trainer."""

OTHER_NAMES = {
    **dict.fromkeys(("tokenizer", "processing"), "processing_class"),
    **dict.fromkeys(("dataset", "data"), "train_dataset"),
    **dict.fromkeys(("reward_model", "reward_models", "reward_func"), "reward_funcs"),
    **dict.fromkeys(("value_model", "critic_model"), "critic"),
    "ref_policy": "ref_model",
    "config": "args",
    "policy": "model",
}
"""Right names of arguments that older versions or other trainers have."""


class PPOTrainer(Checkpointing, ComparedRun, trl.GRPOTrainer):
    """Proximal policy optimization (PPO) of a language model with reward functions.

    Args:
        model: policy: a path, a causal language model, or a PEFT model of one.
        reward_funcs: one or several reward functions, as for `trl.GRPOTrainer`; a `Scorer` is one, and a path is
            loaded as one.
        args: settings of the run.
        train_dataset: rows with a column `prompt`, texts or conversations.
        eval_dataset: the same for evaluation, or a dictionary of datasets.
        processing_class: tokenizer of the policy; by default the one in its folder.
        critic: initial critic: a path or a model that returns one score per text and has the policy's vocabulary. By
            default a copy of the first `Scorer` in `reward_funcs` with the policy's vocabulary, else a copy of the
            policy with a head of zeros. If the policy has adapters, the critic has adapters too.
        ref_model: reference of the KL penalty, for a policy without adapters that is passed as a model. By default it
            is loaded from the path of the policy; with adapters it is the policy without them.
        pretraining_dataset: rows with a column `text`. Their next-token cross-entropy is added to the loss with the
            weight `ptx_coef` (PPO-ptx). An update uses as many texts as completions; the critic's warm-up uses none.
        grpo_arguments: other arguments of `trl.GRPOTrainer`, with the same meaning.

    Raises:
        UnsupportedModelError: the critic has several outputs or another vocabulary, or the reference cannot be loaded
            from the policy's path.
        InvalidArgumentError: an argument of another type, such as a list of rows in place of a `Dataset`.
        InvalidSettingError: there is no reward function, or a setting does not apply to PPO.
        FeedbackMismatchError: the data have no column `prompt`, or the pretraining texts no column `text`.
        InvalidFeedbackError: a prompt and its completion do not fit into the policy's context.

    Metrics in addition to those of `trl.GRPOTrainer`, as means over all processes:

    * `objective/rlhf_reward`: reward per completion after clipping, minus `kl_coefficient` times its KL. PPO
      maximizes it. TRL's `reward` is the weighted sum of the raw scores.
    * `kl`, `kl_per_completion`: KL to the reference at rollout, per token and per completion, in nats.
    * `kl_coefficient`: coefficient of the KL penalty at rollout, in units of the scores: `beta` times the standard
      deviation of the scores that `score_normalization` divides by.
    * `value/mean`: value of the critic at rollout, per token.
    * `value/explained_variance`: share of the variance of the returns that the critic explains at rollout.
    * `value/clip_ratio`: share of tokens whose value has moved by more than `cliprange_value` since the rollout.
    * `loss/policy`, `loss/value`: policy loss, and value loss before its weight `vf_coef`.
    * `loss/pretraining`: cross-entropy on pretraining texts per token, before its weight `ptx_coef`.
    * `ratio`, `approx_kl`: probability ratio and KL of the policy to the policy at rollout, per token; 1 and 0 in the
      first PPO epoch.
    * `time/{phase}`, with `log_phase_times`: share of a phase in the time of a step. Phases are `generation`,
      `scoring`, `reference`, `policy`, `critic`, `rollout` (its remaining time) and `update`.

    Not supported: DeepSpeed, FSDP, and policies with image inputs.

    References:
        Schulman et al. (2017), https://arxiv.org/abs/1707.06347; for language models Ziegler et al. (2019),
        https://arxiv.org/abs/1909.08593
    """

    args: PPOConfig
    reward_funcs: list[Any]
    model: PreTrainedModel
    beta: float
    provenance = Provenance()

    _tag_names: ClassVar[list[str]] = ["trl", "ppo"]

    def __init__(
        self,
        model: str | Path | PreTrainedModel | PeftModel,
        reward_funcs: Any = None,
        args: PPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        critic: str | PreTrainedModel | None = None,
        ref_model: PreTrainedModel | None = None,
        pretraining_dataset: Any = None,
        **grpo_arguments: Any,
    ) -> None:
        require_known_arguments(grpo_arguments, GRPO_ARGUMENTS, "PPOTrainer", OTHER_NAMES)
        model = model_or_path(model)
        critic = None if critic is None else model_or_path(critic, "critic")
        require_optional_arguments(processing_class, grpo_arguments.get("peft_config"))
        args = as_ppo_config(args, short_name(model))
        args.choose_learning_rates(trains_adapters(model, grpo_arguments.get("peft_config")))
        self.identity = ppo_run.begin(args, grpo_arguments)
        check_datasets([train_dataset, eval_dataset], grpo_arguments)
        train_dataset, eval_dataset = _readable_rows(train_dataset), _readable_rows(eval_dataset)
        datasets = [train_dataset, eval_dataset]
        reward_funcs = load_reward_functions(reward_funcs, args.device, args.trust_remote_code)
        check_arguments(
            model, reward_funcs, args, datasets, processing_class, critic, pretraining_dataset, grpo_arguments
        )
        check_reference(model, ref_model, args, grpo_arguments)
        if args.score_normalization == "reference":
            reward_funcs = standardize_scorers(reward_funcs)
        ppo_run.record_data(self.identity, datasets, pretraining_dataset, args, grpo_arguments)
        ppo_run.record_rewards(self.identity, reward_funcs)
        with use_reference(ref_model), earlier_names_accepted():
            super().__init__(model, reward_funcs, args, train_dataset, eval_dataset, processing_class, **grpo_arguments)
        require_trainable(self._unwrapped_model)
        require_finite_weights(self._unwrapped_model, "the run does not start")
        check_trainer(self)
        if self.ref_model is not None and ref_model is None and not isinstance(model, str):
            check_same_weights(self.model, self.accelerator.unwrap_model(self.ref_model))
        require_other_folder(self._unwrapped_model, Path(args.output_dir))
        warn_about_bfloat16(self.model, args.bf16)
        self._build_collaborators(critic, pretraining_dataset)
        require_finite_weights(self._unwrapped_critic, "the run does not start")
        record_model(self.identity, self._unwrapped_model, self._tokenizer)
        end_tokens = sorted(set(self._end_token_ids()))
        given = {} if ref_model is None else {"ref_model": model_content(ref_model, trained=False)}
        self.identity.record({"end_tokens": end_tokens}, {"critic": model_content(self._unwrapped_critic), **given})

    def __repr__(self) -> str:
        """Return the policy, the reward functions and the number of steps so far."""
        rewards = ", ".join(self.reward_func_names)
        return f"PPOTrainer({type(self.model).__name__}, rewards=[{rewards}], step={self.state.global_step})"

    def _build_collaborators(self, critic: str | PreTrainedModel | None, pretraining_dataset: Any) -> None:
        """Create critic, reward pipeline, forward passes, KL control and monitoring from the settings."""
        args = self.args
        keep_4bit_trainable(self.model)
        chosen = build_critic(critic, self.model, self._tokenizer, self.reward_funcs, args)
        self.critic: nn.Module = self.accelerator.prepare_model(chosen)
        self.add_callback(ZeroCriticGradients(self.critic))
        self._choose_layouts()
        self.pretraining_loss = self._build_pretraining_loss(pretraining_dataset)
        self.reward_pipeline = RewardPipeline(
            self.reward_weights,
            standardized=standardized_rewards(args),
            score_clip=args.score_clip,
            missing_eos_penalty=args.missing_eos_penalty,
            missing_eos_score=args.missing_eos_score,
            whiten_rewards=args.whiten_rewards,
            all_reduce=self._all_reduce,
        )
        self.advantage_estimator = AdvantageEstimator(
            gamma=args.gamma,
            lam=args.lam,
            value_lam=args.value_lam,
            whiten_advantages=args.whiten_advantages,
            bootstrap_truncated=args.bootstrap_truncated,
            all_reduce=self._all_reduce,
        )
        self.guard = NonFiniteGuard(args.skip_nonfinite, self._all_reduce, gather_object)
        self.kl_controller = KLController(args.kl_target, args.kl_horizon)
        self.monitor = self._build_monitor()
        self.early_stopping = EarlyStopping(args.early_stop_kl or torch.inf, self._discard_rollout)
        self.add_callback(self.early_stopping)
        self.add_callback(RolloutSteps())
        self._begin_checkpoints()

    def _choose_layouts(self) -> None:
        """Choose how policy, reference and critic arrange sequences."""
        pad, requested, critic = self._tokenizer.pad_token_id, self.args.layout, self._unwrapped_critic
        padding_reason = None
        if self.aux_loss_enabled:
            padding_reason = "the load-balancing loss of its experts counts tokens of padded sequences"
        elif getattr(self, "use_transformers_continuous_batching", False):
            padding_reason = "continuous batching generates with attention functions of its own"
        models = [self.model] if self.ref_model is None else [self.model, self.accelerator.unwrap_model(self.ref_model)]
        layout = choose_policy_layout(models, pad, requested, padding_reason)
        self.sequence_forward = SequenceForward(layout, self.temperature, self.accelerator.autocast)
        if isinstance(critic, SeparateCritic):
            layout = choose_sequence_layout(critic.backbone, critic.backbone, pad, requested)
        critic.sequence_forward = SequenceForward(layout)

    def _build_pretraining_loss(self, texts: Any) -> PretrainingLoss | None:
        if texts is None:
            return None
        args, pad = self.args, self._tokenizer.pad_token_id
        max_length = min(args.ptx_max_length, max_context_length(self.model.config) or args.ptx_max_length)
        windows = tokenize_windows(texts, self._tokenizer, max_length)
        layout = PaddedLayout(pad) if self.sequence_forward.layout is None else PackedLayout()
        loss = PretrainingLoss(windows, layout, args.per_device_train_batch_size, args.seed, self._all_reduce)
        self.add_callback(loss)
        return loss

    def _build_monitor(self) -> PPOMonitor:
        args, print_line = self.args, self.accelerator.print
        sanity_check = timer = None
        if args.sanity_check:
            low_precision = args.bf16 or args.fp16 or self.model.dtype != torch.float32
            tolerance = 1e-2 if low_precision else 1e-4
            sanity_check = SanityCheck(print_line, self._tokenizer, self.reward_funcs, tolerance)
        if args.log_phase_times:
            timer = PhaseTimer(self._metrics["train"], print_line, partial(synchronized_time, self.accelerator.device))
            self.add_callback(timer)
        return PPOMonitor(
            self._metrics,
            self._logs["advantages"],
            all_reduce=self._all_reduce,
            num_processes=self.accelerator.num_processes,
            sanity_check=sanity_check,
            timer=timer,
        )

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, while no other run can train into the folder. The arguments are those of `transformers.Trainer`."""
        with claim(self.args.output_dir, self.args.should_save, gather_object):
            return super().train(*args, **kwargs)

    # Rollout

    def _generate(self, prompts: list[Any]) -> Any:
        """Give reward functions the text that the policy wrote; TRL drops its special tokens."""
        with self.monitor.phase("generation"):
            prompt_ids, completion_ids, tool_mask, completions, *others = super()._generate(prompts)
        written = as_written(completions, prompt_ids, completion_ids, self._tokenizer, self._end_token_ids())
        self._prompt_ids = prompt_ids
        return prompt_ids, completion_ids, tool_mask, written, *others

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids: Any) -> Tensor:
        """Keep the raw rewards of this process; TRL gathers the scores of all processes."""
        inputs = with_template_arguments(inputs, self.args.chat_template_kwargs or {}, self.tools)
        if not self.args.score_truncated_with_eos:
            inputs = mark_cut_off(inputs, completion_ids, self._end_token_ids())
        with self.monitor.phase("scoring"), self._checked_reward_functions():
            gathered: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids)
        require_finite_scores(gathered, self.reward_funcs, self.reward_func_names, self.state.global_step + 1)
        start = self.accelerator.process_index * len(prompts)
        token_rewards = [
            function.token_rewards(completion_ids, self._tokenizer) if isinstance(function, TokenLevelReward) else None
            for function in self.reward_funcs
        ]
        self._raw_rewards = RawRewards(gathered[start : start + len(prompts)], token_rewards)
        written = WrittenTexts.of(inputs, completions, self._prompt_ids, completion_ids, self._end_token_ids())
        self.monitor.check_texts(written, self.model.training)
        return gathered

    @contextmanager
    def _checked_reward_functions(self) -> Iterator[None]:
        """While the context lasts, record errors of reward functions, NaN and infinity; then raise them together."""
        functions: list[Any] = self.reward_funcs
        failures: list[Exception] = []
        self.reward_funcs = [check_rewards(function, self.state.global_step + 1, failures) for function in functions]
        try:
            yield
        finally:
            self.reward_funcs = functions
        raise_together(failures, gather_object)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Replace the advantages of GRPO by those of the critic, and add values and returns."""
        self._rows = clean_prompts(inputs)
        with self.monitor.phase("rollout"):
            rollout: dict[str, Any] = super()._generate_and_score_completions(self._rows)
            return self._add_advantages(rollout)

    def _add_advantages(self, data: dict[str, Any]) -> dict[str, Any]:
        rollout, training, beta = Rollout.view(data, self._end_token_ids()), self.model.training, self.beta
        kl = ESTIMATORS[self.args.kl_estimator](self._log_ratios(rollout))
        pipeline = self.reward_pipeline
        first = training and pipeline.is_new
        rewards = pipeline.process(self._raw_rewards, rollout, update_stats=training)
        penalized = pipeline.subtract_penalty(rewards, beta * kl, rollout)
        with self.monitor.phase("critic"):
            state_values = predict_values(self.critic, rollout, self._batch_size())
            if first:  # an initial critic has values on another scale
                slope, intercept = self.advantage_estimator.line_to_returns(penalized, state_values, rollout)
                self._unwrapped_critic.rescale(slope, intercept)
                state_values = slope * state_values + intercept
        data |= self.advantage_estimator.estimate(penalized, state_values, rollout)
        scores = pipeline.in_units_of_scores(rewards, rollout)
        kl_per_completion = self.monitor.record_rollout(rollout, scores, kl, beta * pipeline.unit, training)
        if training and beta:
            completions = len(kl) * self.accelerator.num_processes
            self.beta = self.kl_controller.update(beta, kl_per_completion, completions)
        return data

    @torch.no_grad()
    def _log_ratios(self, rollout: Rollout) -> PerToken:
        """Return the log ratios of policy and reference; 0 without a reference."""
        if rollout.ref_logps is None:
            return torch.zeros_like(rollout.action_mask, dtype=torch.float32)
        logps = rollout.logps
        if logps is None:
            inputs = self.model, rollout.input_ids, rollout.attention_mask, rollout.num_tokens, self._batch_size()
            with disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
                logps, *_ = self._get_per_token_logps_and_entropies(*inputs)
        return log_ratio_to_reference(logps, rollout.ref_logps, rollout.action_mask)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Run policy or reference in the layout of the run, with position ids that do not count padding."""
        padded = super()._get_per_token_logps_and_entropies
        unwrapped = self.accelerator.unwrap_model(model)
        is_reference = self.ref_model is not None and unwrapped is self.accelerator.unwrap_model(self.ref_model)
        with self.monitor.log_probs_phase(unwrapped, is_reference, self.model.training):
            return self.sequence_forward.log_probs(model, *args, padded=padded, **kwargs)

    # Loss

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        """Add the value loss, and the loss on pretraining texts, to the clipped policy loss."""
        trains_policy = torch.is_grad_enabled() and not self._in_critic_warmup()
        record = self.sequence_forward.record(self._unwrapped_critic.shared_backbone)
        with self._no_kl_term(), record as recorded, torch.set_grad_enabled(trains_policy):
            policy_loss: Tensor = super()._compute_loss(model, inputs)
        rollout = Rollout.view(inputs)
        value_loss, values = self._value_loss(rollout, recorded.hidden_states)
        assert recorded.logps is not None
        approx_kl = self.monitor.record_loss(
            policy_loss,
            value_loss,
            rollout=rollout,
            values=values,
            logps=recorded.logps,
            cliprange_value=self.args.cliprange_value,
            accumulation_steps=self._accumulation_steps(),
            training=self.model.training,
        )
        if self.model.training:
            self.early_stopping.update(approx_kl)
        loss = policy_loss + self.args.vf_coef * value_loss
        if self.pretraining_loss is None or not trains_policy:
            return loss
        return loss + self._weighted_pretraining_loss(self.pretraining_loss, model)

    def _value_loss(self, rollout: Rollout, policy_states: Tensor | None) -> tuple[Tensor, PerToken]:
        """Return the value loss, averaged over the tokens of an optimizer step, and the values of the critic."""
        self.critic.train(self.model.training)
        sequences = rollout.input_ids, rollout.attention_mask, rollout.num_tokens
        values = self.critic(*sequences, policy_states)[:, :-1]
        errors = clipped_value_error(values, rollout.values, rollout.returns, self.args.cliprange_value)
        return torch.where(rollout.action_mask, errors, 0.0).sum() / self._tokens_per_step(rollout), values

    def _weighted_pretraining_loss(self, pretraining_loss: PretrainingLoss, model: nn.Module) -> Tensor:
        weight, accumulation_steps = self.args.ptx_coef or 0.0, self._accumulation_steps()
        with torch.set_grad_enabled(weight > 0):
            loss = pretraining_loss.micro_batch_loss(model, self._step, accumulation_steps)
        logged = self.monitor.mean_over_processes(loss) * accumulation_steps
        self.monitor.record({"loss/pretraining": logged}, self.model.training)
        return weight * loss

    @contextmanager
    def _no_kl_term(self) -> Iterator[None]:
        """Disable the KL term in TRL's loss: the rewards contain the KL penalty."""
        beta, self.beta = self.beta, 0.0
        try:
            yield
        finally:
            self.beta = beta

    def _in_critic_warmup(self) -> bool:
        return bool(self.model.training and self.state.global_step < self.args.critic_warmup_steps)

    def _tokens_per_step(self, rollout: Rollout) -> Tensor:
        """Return the tokens per process in one optimizer step, or in one batch of an evaluation.

        A rollout has `steps_per_generation` micro-batches, and an optimizer step uses some of them.
        """
        tokens: Tensor = rollout.num_tokens_in_rollout.clamp(min=1) / self.accelerator.num_processes
        if self.model.training:
            tokens = tokens * self._accumulation_steps() / self.args.steps_per_generation
        return tokens

    def _accumulation_steps(self) -> int:
        return int(self.current_gradient_accumulation_steps) if self.model.training else 1

    def _batch_size(self) -> int:
        args = self.args
        return int(args.per_device_train_batch_size if self.model.training else args.per_device_eval_batch_size)

    def _end_token_ids(self) -> list[int]:
        """Return every token that ends a completion: those of the generation config, EOS and padding."""
        declared: Any = self.accelerator.unwrap_model(self.model).generation_config.eos_token_id
        ends = [declared] if isinstance(declared, int) else list(declared or [])
        return [*ends, self._tokenizer.eos_token_id, self._tokenizer.pad_token_id]

    def _discard_rollout(self) -> None:
        self._buffered_inputs: list[dict[str, Any]] | None = None

    def _all_reduce(self, sums: Tensor) -> Tensor:
        total: Tensor = self.accelerator.reduce(sums, reduction="sum")
        return total

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        """Read the tokens of the rows, or render them with their template arguments; TRL uses those of the run only."""
        if has_own_tokens(self._rows):
            rows = with_template_arguments(self._rows, self.args.chat_template_kwargs or {}, self.tools)
            tokenized: Any = ([prompt_tokens(row, self._tokenizer, self.chat_template) for row in rows], None, {})
        else:
            tokenized = super()._tokenize_prompts(prompts)
        count = count_embeddings(self._unwrapped_model)
        for ids in tokenized[0]:
            require_embedded(ids, self._tokenizer, count, short_name(self._unwrapped_model), "a prompt")
        return tokenized

    # Optimizer and checkpoints

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """Return the order of the prompts; that of a pass depends on the passes before, also after a resume."""
        prompts = len(self.train_dataset if dataset is None else dataset)
        prompts_per_rollout = self.args.generation_batch_size // self.num_generations
        sampler = EveryPrompt(super()._get_train_sampler, prompts, prompts_per_rollout)
        for _ in range(self._resumed_passes()):
            next(iter(sampler))
        return sampler

    @property
    def _unwrapped_critic(self) -> Critic:
        critic: Critic = self.accelerator.unwrap_model(self.critic)
        return critic

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Create the optimizer with two more parameter groups for the critic."""
        optimizer: Optimizer = super().create_optimizer(model)
        decay_parameters, args = set(self.get_decay_parameter_names(self._unwrapped_critic)), self.args
        assert args.critic_learning_rate is not None  # PPOConfig sets the default
        self._unwrapped_critic.add_to_optimizer(
            optimizer, decay_parameters, args.weight_decay, args.critic_learning_rate
        )
        return optimizer

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clip the gradients of the policy and of the critic, each to `max_grad_norm`; return their joint norm."""
        policy_norm = super()._clip_grad_norm(model)
        # Not with accelerate, which can remove the scale of fp16 gradients only once.
        critic_norm = nn.utils.clip_grad_norm_(self.critic.parameters(), self.args.max_grad_norm)
        return (policy_norm**2 + critic_norm**2) ** 0.5

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Return the norm, and stop before an optimizer step with NaN or infinity."""
        both = nn.ModuleDict({"policy": model, "critic": self.critic})
        norm = super()._get_grad_norm(both, grad_norm=grad_norm)
        scaled = self.accelerator.scaler is not None
        self.guard.before_step(self.state.global_step + 1, norm, both.named_parameters(), scaled)
        return norm

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self._unwrapped_critic.save(Path(output_dir) / CRITIC_FOLDER, self.processing_class)
        statistics, shift = self.reward_pipeline.state_dict(), self._unwrapped_critic.shift
        state = PPOState(self._step, self._buffered_inputs, self.beta, statistics, shift)
        state.save(output_dir, self.args.process_index)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            with reading_state(checkpoint):
                self._unwrapped_critic.load(Path(checkpoint) / CRITIC_FOLDER)
            state = PPOState.load(checkpoint, self.args.process_index, self.args.device)
            self._step, self._buffered_inputs, self.beta = state.step, state.buffered_inputs, state.beta
            self.reward_pipeline.load_state_dict(state.reward_stats)
            self._unwrapped_critic.shift = state.value_shift
            if self.identity.is_changed("beta"):
                self.beta = self.args.beta

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        require_finite_weights(self._unwrapped_critic, f"'{folder}' is not written")
        super()._save(output_dir, state_dict)

    def _complete_saved(self, folder: Path) -> None:
        self._card(folder).write(folder)

    def _card(self, folder: Path) -> PolicyCard:
        return card_of_policy(
            folder,
            args=self.args,
            model=self._unwrapped_model,
            base=get_config_model_id(self._unwrapped_model.config) or None,
            functions=self.reward_funcs,
            names=self.reward_func_names,
            weights=self.reward_weights.tolist(),
            prompts=self.train_dataset,
            provenance=self.provenance,
            log=self.state.log_history,
        )

    def _measurements(self) -> dict[str, Any]:
        tables = {name: list(values) for name, values in self._logs.items() if name in ("prompt", "completion")}
        by_name = {
            name: {key: list(values) for key, values in self._logs[name].items()} for name in ("rewards", "extra")
        }
        metrics = {name: list(values) for name, values in self._metrics["train"].items()}
        return {"metrics": metrics, "tables": tables, "by_name": by_name, "advantages": list(self._logs["advantages"])}

    def _continue_measurements(self, saved: Sequence[Mapping[str, Any]]) -> None:
        self._metrics["train"].clear()
        for one in saved:
            self._metrics["train"].update(one["metrics"])
            for name, values in (*one["tables"].items(), ("advantages", one["advantages"])):
                self._logs[name].clear()
                self._logs[name].extend(values)
            for name, columns in one["by_name"].items():
                for key, values in columns.items():
                    self._logs[name][key].extend(values)


def _readable_rows(data: Any) -> Any:
    """Return a dataset, or several by name, without columns of images; TRL reads all columns of a row."""
    if isinstance(data, dict):
        return {name: _readable_rows(one) for name, one in data.items()}
    return readable_rows(data) if isinstance(data, Dataset | IterableDataset) else data
