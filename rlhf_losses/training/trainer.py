"""`RewardTrainer`: TRL's trainer for reward models, with any loss on any feedback type."""

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
import trl
from accelerate.utils import gather_object, send_to_device
from datasets import Dataset, IterableDataset
from peft import PeftConfig, PeftModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput

from rlhf_losses.cards.held_out_table import HeldOutSet
from rlhf_losses.cards.provenance import Provenance
from rlhf_losses.cards.reward_model_card import RewardModelCard
from rlhf_losses.checkpoints.checkpointing import Checkpointing
from rlhf_losses.checks.argument_checks import require_known_arguments
from rlhf_losses.checks.optional_packages import require_reporting
from rlhf_losses.data import Batch, Collator, ForwardPass
from rlhf_losses.data.added_tokens import EndOfTexts
from rlhf_losses.data.dataset import AnyDataset
from rlhf_losses.data.rows import FEEDBACK_COLUMNS, PREPARED_COLUMNS
from rlhf_losses.errors import InvalidFeedbackError, NonFiniteError
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.fingerprints.compared_run import ComparedRun
from rlhf_losses.fingerprints.run_identity import record_model
from rlhf_losses.layouts import Layout, PaddedLayout, choose_layout, require_same_scores
from rlhf_losses.losses import AnyLoss
from rlhf_losses.metrics import Tally, agreement, labelled_scores
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.bfloat16 import warn_about_bfloat16
from rlhf_losses.models.embeddings import count_embeddings
from rlhf_losses.models.finite import NonFiniteGuard, require_finite_weights
from rlhf_losses.models.inherited_defaults import earlier_names_accepted
from rlhf_losses.models.model_argument import model_or_path, require_optional_arguments
from rlhf_losses.models.peft import keep_4bit_trainable, share_trained_modules, trains_adapters
from rlhf_losses.models.saved_config import configure_as_reward_model, declare_float32
from rlhf_losses.models.saved_files import require_other_folder
from rlhf_losses.models.scores import score_batch, use_float32_head
from rlhf_losses.models.trainable_parameters import require_trainable, require_trained_parameters
from rlhf_losses.models.weight_files import require_readable_weights
from rlhf_losses.models.whole_weights import gather_weights, whole_copy
from rlhf_losses.processes.folder_claims import claim
from rlhf_losses.scoring.metadata import RewardModelMetadata, describe_model
from rlhf_losses.scoring.saved_tokenizer import tokenizer_to_save
from rlhf_losses.shapes import Scalar, Scores
from rlhf_losses.training import reward_run, validation
from rlhf_losses.training.adapter_folder import load_adapters
from rlhf_losses.training.config import RewardConfig, as_reward_config
from rlhf_losses.training.distributed import (
    DivisibleStream,
    choose_splitter,
    drop_repeated_rows,
    gather_over_processes,
    require_requested_sharding,
    require_supported_settings,
    sum_over_processes,
)
from rlhf_losses.training.hidden_state_cache import HiddenStateCache, find_cached_layers
from rlhf_losses.training.loss_parameters import LossParameters
from rlhf_losses.training.metric_totals import MetricTotals
from rlhf_losses.training.nonfinite import describe_nonfinite, is_finite
from rlhf_losses.training.run_card import base_of, card_of_run
from rlhf_losses.training.run_tokenizer import prepare_tokenizer
from rlhf_losses.training.step_loss import StepLoss
from rlhf_losses.training.training_data import EvalData, TrainingData

TRL_ARGUMENTS = set(inspect.signature(trl.RewardTrainer.__init__).parameters) - {"self", "data_collator"}
"""Arguments of TRL's trainer. The collator follows from the loss."""

OTHER_NAMES = {"tokenizer": "processing_class", "dataset": "train_dataset", "data": "train_dataset", "config": "args"}
"""Right names of arguments that older versions or other trainers have."""


class RewardTrainer(Checkpointing, ComparedRun, trl.RewardTrainer):
    """Trains a reward model with any loss. Arguments that are not listed here are those of TRL's `RewardTrainer`.

    Args:
        model: path of a model or of adapters, which are trained further, a sequence classifier with one label, or one
            with adapters.
        args: the configuration; `trl.RewardConfig` is accepted too.
        train_dataset: rows with columns of the feedback types of the loss.
        eval_dataset: the same for evaluation; a dictionary holds several datasets by name.
        processing_class: the tokenizer; by default the one saved with the model.
        loss: a loss, an objective, or the string form of one; by default `args.loss`.
        peft_config: adapters to train; the score head is always trained.
        hidden_state_cache: cache of an earlier trainer with the same frozen layers, see `hidden_state_cache_gib`.
        trl_arguments: further arguments of `trl.RewardTrainer`.

    Attributes:
        loss: the loss or objective of the run.
        objective: the same as a weighted sum of losses, which is minimized.
        loss_parameters: trainable parameters of the loss.
        step_loss: loss of the current optimizer step.
        cached_layers: frozen layers whose hidden states are cached, or None.
        provenance: names of the data and the command of the run, for the model card.
        held_out: results on held-out data for the model card; by default those of the log.

    Raises:
        FeedbackMismatchError: the data have no feedback that the loss uses, or the loss does not depend on labels.
        InvalidArgumentError: an argument has another type, for example a list of rows in place of a `Dataset`.
        InvalidFeedbackError: an invalid value, an empty text, or no row that fits the model.
        InvalidLossError: `loss` is not a loss.
        InvalidSettingError: a setting that excludes another one.
        UnsupportedModelError: a model with several labels, a tokenizer whose padding hides the end of a text, or tokens
            without an embedding.

    Examples:
        ```python
        trainer = RewardTrainer("Qwen/Qwen3-0.6B", train_dataset=pairs, loss="bradley_terry + 0.01 * centering")
        trainer.train()
        trainer.save_merged("reward_model")
        ```
    """

    args: RewardConfig
    _signature_columns: list[str] | None
    _end_of_texts: EndOfTexts | None = None
    provenance = Provenance()
    held_out: tuple[HeldOutSet, ...] = ()

    # The loss is the share of a micro-batch in the mean over the optimizer step, see `compute_loss`.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: str | Path | PreTrainedModel | PeftModel,
        args: TrainingArguments | None = None,
        train_dataset: AnyDataset | None = None,
        eval_dataset: EvalData = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        loss: AnyLoss | str | None = None,
        peft_config: PeftConfig | None = None,
        hidden_state_cache: HiddenStateCache | None = None,
        **trl_arguments: Any,
    ) -> None:
        require_known_arguments(trl_arguments, TRL_ARGUMENTS, "RewardTrainer", OTHER_NAMES)
        model = model_or_path(model)
        args = as_reward_config(args, Path(validation.model_name(model)).name)
        args.choose_learning_rate(trains_adapters(model, peft_config))
        require_reporting(args.report_to)
        require_optional_arguments(processing_class, peft_config)
        # Batches stay in their process: accelerate can concatenate batches of tensors only.
        args.accelerator_config.dispatch_batches = False
        self.loss = validation.choose_loss(loss, args)
        self.objective = self.loss.as_objective()
        self.identity = reward_run.begin(self.loss, args, trl_arguments)
        self.data = TrainingData(self.objective, args, train_dataset, eval_dataset)
        reward_run.record_data(self.identity, self.data, args, trl_arguments)
        path_or_model, model = model, load_adapters(model, args, peft_config, trl_arguments)
        config = validation.load_config(model, args)
        self._base = base_of(path_or_model, model)
        validation.require_scalar_model(model, config)
        if isinstance(model, str):
            require_readable_weights(model)
        validation.warn_about_longrope(config, args)
        self.context_length = max_context_length(config)
        prepared = prepare_tokenizer(processing_class, path_or_model, model, args, peft_config, trl_arguments)
        self._num_embeddings = prepared.num_embeddings
        if prepared.is_final:
            # Before the weights are loaded; TRL leaves tokenized data unchanged.
            self.data.prepare(prepared.tokenizer, self.context_length, self._num_embeddings)
        padded = PaddedLayout(int(prepared.tokenizer.pad_token_id), args.pad_to_multiple_of)
        with earlier_names_accepted():
            super().__init__(
                model=prepared.model,
                args=args,
                data_collator=Collator(padded, self.data.feedback_types),
                train_dataset=self.data.train,
                eval_dataset=self.data.evaluation,
                processing_class=prepared.tokenizer,
                peft_config=validation.complete_peft_config(prepared.peft_config, config),
                **trl_arguments,
            )
        self._prepare_model(has_cache=bool(hidden_state_cache))
        self._build_collaborators(padded, hidden_state_cache)
        has_weights = args.process_index == 0 or not self._sharded
        if has_weights:
            require_finite_weights(self._unwrapped_model, "the run does not start")
        record_model(self.identity, self._unwrapped_model, self.processing_class, has_weights)

    def _prepare_model(self, has_cache: bool) -> None:
        """Check the loaded model, and set what a reward model needs: its head in float32 and its configuration."""
        require_trainable(self._unwrapped_model)
        require_trained_parameters(self.optimizer, self._unwrapped_model)
        require_requested_sharding(self.args, self.accelerator)
        require_supported_settings(self.args, self.objective, self._sharded, has_cache)
        require_other_folder(self._unwrapped_model, Path(self.args.output_dir))
        warn_about_bfloat16(self.model, self.args.bf16)
        use_float32_head(self.model)
        configure_as_reward_model(self._unwrapped_model.config)
        validation.require_step_scores(self.model, self.loss, self.data.feedback_types)
        validation.warn_about_small_steps(self.objective, self.args, self.train_dataset)
        keep_4bit_trainable(self.model)
        if not self._sharded:
            share_trained_modules(self.model)

    def __repr__(self) -> str:
        """Return the loss, the model and the number of steps so far."""
        return f"RewardTrainer({type(self.model).__name__}, loss='{self.loss}', step={self.state.global_step})"

    def _build_collaborators(self, padded: PaddedLayout, cache: HiddenStateCache | None) -> None:
        """Create the objects that need the accelerator and the model."""
        self._all_reduce = sum_over_processes(self.accelerator)
        self._all_gather = gather_over_processes(self.accelerator)
        self.step_loss = StepLoss(self.objective, self.args.average_over, self._all_reduce)
        self.eval_loss = StepLoss(self.objective, self.args.average_over)
        self.loss_parameters = LossParameters(self.objective).to(self.args.device)
        self.metric_totals = {"train": MetricTotals(), "eval": MetricTotals()}
        self.guard = NonFiniteGuard(self.args.skip_nonfinite, self._all_reduce, gather_object)
        self.data_collator.layout = self._choose_layout(padded)
        self.data_collator.splitter = choose_splitter(self.args, self.objective, self._sharded)
        if cache is None and self.args.hidden_state_cache_gib:
            cache = HiddenStateCache(self.args.hidden_state_cache_gib)
        self.cached_layers = None if cache is None else find_cached_layers(self.model, cache)
        self._begin_checkpoints()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Return the loss of a micro-batch: its share of the optimizer step, or in evaluation its mean."""
        passes = inputs["passes"]
        scores = [self._scores(model, one) for one in passes]
        step = self.eval_loss if num_items_in_batch is None else self.step_loss
        if num_items_in_batch is None:
            step.begin(passes)
        if step.needs_scores():
            step.measure(scores)
        shares = [self._share(step, one, pass_scores) for one, pass_scores in zip(passes, scores, strict=True)]
        loss = torch.stack(shares).sum()
        if num_items_in_batch is not None:
            # Gradients are averaged over processes, but the shares add up to the loss over all processes.
            loss = self.accelerator.num_processes * loss
        return (loss, {"scores": scores}) if return_outputs else loss

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, while no other run can train into the folder. The arguments are those of `transformers.Trainer`."""
        with claim(self.args.output_dir, self.args.should_save, gather_object):
            return super().train(*args, **kwargs)

    def training_step(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: Tensor | None = None) -> Tensor:
        """Run one forward and backward pass per pass of the batch; processes exchange gradients after the last one."""
        *earlier, last = [{**inputs, "passes": [one]} for one in inputs["passes"]]
        loss = torch.zeros((), device=self.args.device)
        for one in earlier:
            with self.accelerator.no_sync(model):
                loss += super().training_step(model, one, num_items_in_batch)
        loss += super().training_step(model, last, num_items_in_batch)
        self.metric_totals["train"].end_batch()
        return loss

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer of the model and of the loss parameters."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        self.loss_parameters.add_to(optimizer, self.args.loss_parameters_learning_rate, self.accelerator)
        return optimizer

    def floating_point_ops(self, inputs: Batch) -> int:
        """Return the number of floating-point operations of all passes of a batch."""
        count = super().floating_point_ops
        return sum(int(count(one.texts.model_inputs)) for one in inputs["passes"])

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the loss, the scores of each row padded with NaN, and the number of scores of each row."""
        row_count = len(inputs["rows"])
        inputs = self._without_repeated_rows(self._to_device(inputs))
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        self.metric_totals["eval"].end_batch()
        if prediction_loss_only:
            return loss.detach(), None, None
        scores = _scores_by_row(inputs["passes"], outputs["scores"])
        scores += [loss.new_zeros(0)] * (row_count - len(scores))
        counts = torch.tensor([len(one) for one in scores], device=loss.device)
        return loss.detach(), pad_sequence(scores, batch_first=True, padding_value=float("nan")), counts

    def predict(
        self, test_dataset: AnyDataset, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Return the scores and the metrics of a dataset, which is checked and tokenized as in evaluation."""
        if not isinstance(test_dataset, DivisibleStream):
            require_dataset(test_dataset, "test_dataset")
        rows = self._prepare_dataset(test_dataset, self.processing_class, self.args, metric_key_prefix)
        return super().predict(rows, ignore_keys, metric_key_prefix)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Evaluate, and add the metrics over all items to the output, with the prefix of the dataset."""
        self.metric_totals["eval"].clear()
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        if not output.num_samples:
            raise InvalidFeedbackError(
                "The evaluation data are a stream of which no row is left, so there is nothing to measure. The log "
                "gives the reason for each row. Complete the rows, or raise max_length."
            )
        if output.metrics is not None:
            metrics = self._collect_metrics("eval")
            metrics["loss"] = sum(
                term.weight * metrics.get(f"loss/{name}", 0.0)
                for term, name in zip(self.objective.terms, self.objective.term_names, strict=True)
            )
            output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in metrics.items()})
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log TRL's metrics, the mean of each term of the loss, and the loss parameters."""
        if self.model.training:  # TRL gives the metrics of every dataset of an evaluation the prefix eval_.
            self._metrics["train"].update({name: [value] for name, value in self._collect_metrics("train").items()})
        super().log(logs, start_time)

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    @property
    def _sharded(self) -> bool:
        """Whether FSDP or DeepSpeed distributes the weights over processes."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _to_device(self, batch: Batch) -> Batch:
        moved: Batch = send_to_device(batch, self.args.device)
        return moved

    def _without_repeated_rows(self, batch: Batch) -> Batch:
        return drop_repeated_rows(batch, self.data_collator, self.accelerator, self.args.dataloader_drop_last)

    def _scores(self, model: torch.nn.Module, one: ForwardPass) -> Scores:
        with self.cached_layers.use(one.texts) if self.cached_layers else nullcontext():
            return score_batch(model, one.texts)

    def _share(self, step: StepLoss, one: ForwardPass, scores: Scores) -> Scalar:
        """Return the share of a forward pass, and add its metrics."""
        parameters, rated = self.loss_parameters.by_term(), self.objective.rates_steps
        share, tallies = step.share(one, scores, parameters)
        per_term = {f"loss/{name}": tally for name, tally in tallies.items()}
        metrics = agreement(scores, self.objective.with_outcomes(one.feedback), rated) | per_term
        labelled = labelled_scores(scores, one.feedback, rated)
        if is_finite(scores, tallies):
            self.metric_totals[self._mode].add(metrics, scores, labelled)
        else:
            self._report_nonfinite(describe_nonfinite(step, one, scores, parameters, f"{self._mode} data"))
            nothing = None if labelled is None else labelled[:0]
            self.metric_totals[self._mode].add(dict.fromkeys(metrics, Tally()), scores[:0], nothing)
        if self.model.training:
            self._total_train_tokens += one.num_tokens
        return share

    def _report_nonfinite(self, problem: str) -> None:
        """Record a problem until the optimizer step, where all processes stop or skip; DeepSpeed steps before that."""
        if self.model.training and not self.is_deepspeed_enabled:
            self.guard.record(problem)
            return
        where = f"Step {self.state.global_step + 1}" if self.model.training else "Evaluation"
        raise NonFiniteError(f"{where}: {problem}. Fix the data or the model, or lower the learning rate.")

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        named = chain(model.named_parameters(), self.loss_parameters.named_parameters(prefix="loss_parameters"))
        self.guard.before_step(self.state.global_step + 1, norm, named, scaled=self.accelerator.scaler is not None)
        return norm

    def _collect_metrics(self, mode: str) -> dict[str, float]:
        """Return the metrics of all processes since the last call."""
        totals = self.metric_totals[mode]
        metrics = totals.compute(self._all_reduce, self._all_gather) | self.loss_parameters.metrics()
        totals.clear()
        # Processes may differ in their forward passes, so the tokens are summed here.
        if self.guard.skip:
            metrics["skipped_steps"] = self.guard.skipped
        return metrics | {"num_tokens": float(self._all_reduce(torch.tensor(self._total_train_tokens)))}

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> Tensor | None:
        """Start an optimizer step; transformers calls this method with all its micro-batches."""
        self._restore_random_state()
        if not batch_samples:
            return None
        batch_samples[-1] = self._without_repeated_rows(batch_samples[-1])
        passes = [one for batch in batch_samples for one in batch["passes"]]
        totals = self.step_loss.begin(passes)
        several_passes = len(batch_samples) > 1 or self.data_collator.splitter is not None
        if several_passes and self.step_loss.needs_scores():
            self.step_loss.measure(self._scores_without_gradient(passes))
        return totals

    def _scores_without_gradient(self, passes: Sequence[ForwardPass]) -> list[Scores]:
        """Return scores with the dropout that the passes of the step will have."""
        model = self.model_wrapped if self._sharded else self.model
        model.train()
        with torch.random.fork_rng(), torch.no_grad(), self.compute_loss_context_manager():
            return [self._scores(model, one) for one in passes]

    def _choose_layout(self, padded: PaddedLayout) -> Layout:
        layout = choose_layout(self.model, padded, self.args.layout, trial=not self._sharded)
        if self.args.check_layout and layout is not padded:
            rows = islice(self.train_dataset, self.args.per_device_train_batch_size)
            require_same_scores(self.model, layout, padded, [ids for row in rows for ids in row["text_ids"]])
        return layout

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        if isinstance(dataset, DivisibleStream):
            return dataset
        count = count_embeddings(self.model) if hasattr(self, "model") else self._num_embeddings
        rows = self.data.prepared(dataset, processing_class, self.context_length, f"{dataset_name} data", count)
        if args.world_size == 1 or not isinstance(rows, IterableDataset):
            return rows
        training = dataset is self.data.train
        size = args.per_device_train_batch_size if training else args.per_device_eval_batch_size
        return DivisibleStream(rows, args.world_size * size)

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            self._signature_columns = [*PREPARED_COLUMNS, *FEEDBACK_COLUMNS]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        saved = RewardModelMetadata.load(resume_from_checkpoint)
        self.loss_parameters.load({} if saved is None else saved.loss_parameters)

    def _measurements(self) -> dict[str, Any]:
        return {"num_tokens": self._total_train_tokens, "totals": self.metric_totals["train"].state_dict()}

    def _continue_measurements(self, saved: Sequence[Mapping[str, Any]]) -> None:
        self._total_train_tokens = sum(one["num_tokens"] for one in saved)
        self.metric_totals["train"].clear()
        for one in saved:
            self.metric_totals["train"].add_state(one["totals"])

    def _save_metadata(self, model: torch.nn.Module, folder: Path) -> None:
        is_sharded = self._sharded and model is self._unwrapped_model
        self._metadata(None if is_sharded else model).save(folder)

    def _tokenizer_to_save(self) -> PreTrainedTokenizerBase:
        saved = tokenizer_to_save(
            self.processing_class, self._unwrapped_model.config, self.data.forms, self._length_of_texts
        )
        self._end_of_texts = saved.end_of_texts
        return saved.tokenizer

    @property
    def _length_of_texts(self) -> int | None:
        """Largest number of tokens of a text at scoring, see `AnswerEncoder.length_limit`."""
        limits = [self.context_length, self.args.max_length if self.args.overlong == "truncate_prompt" else None]
        return min((limit for limit in limits if limit), default=None)

    def _complete_saved(self, folder: Path) -> None:
        declare_float32(folder)
        self._card(folder).write(folder)

    def _card(self, folder: Path) -> RewardModelCard:
        used = self.train_dataset
        return card_of_run(
            folder,
            loss=self.loss,
            data=self.data,
            args=self.args,
            model=self._unwrapped_model,
            base=self._base,
            tokenizer=self.processing_class,
            provenance=self.provenance,
            used_rows=len(used) if isinstance(used, Dataset) else None,
            log=self.state.log_history,
            held_out=self.held_out,
        )

    def _model_to_merge(self) -> torch.nn.Module:
        if not self._sharded:
            return self._unwrapped_model
        weights = gather_weights(self.model, self.accelerator)
        return whole_copy(self._unwrapped_model, weights) if self.accelerator.is_main_process else self._unwrapped_model

    def _metadata(self, model: torch.nn.Module | None) -> RewardModelMetadata:
        return describe_model(
            self.loss,
            self.data.feedback_types,
            model,
            self.processing_class,
            segmentation=self.data.segmentation,
            separator=self.args.step_separator,
            end_of_texts=self._end_of_texts,
            overlong=self.args.overlong,
            max_length=self.args.max_length,
            loss_parameters=self.loss_parameters.to_dict(),
        )


def _scores_by_row(passes: Sequence[ForwardPass], scores: Sequence[Scores]) -> list[Scores]:
    """Return the scores of each row of a batch, in the order of the rows."""
    by_row: dict[int, Scores] = {}
    for one, pass_scores in zip(passes, scores, strict=True):
        counts = torch.bincount(one.score_row, minlength=len(one.rows))
        by_row |= zip(one.rows.tolist(), torch.split(pass_scores, counts.tolist()), strict=True)
    return [by_row[row] for row in sorted(by_row)]
