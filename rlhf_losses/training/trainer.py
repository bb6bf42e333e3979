"""`RewardTrainer`: TRL's, with any loss over any feedback."""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import trl
from peft import PeftModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_utils import EvalLoopOutput

from rlhf_losses.data import Batch, Collator, ForwardPass
from rlhf_losses.data.dataset import PREPARED, VALUES, AnyDataset
from rlhf_losses.layouts import Layout, PaddedLayout, choose_layout, require_same_scores
from rlhf_losses.losses import Aggregated, Loss
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.peft import keep_4bit_trainable, merged
from rlhf_losses.models.scores import find_head, score_batch
from rlhf_losses.scoring.metadata import RewardModelMetadata, canary_score
from rlhf_losses.shapes import Scores
from rlhf_losses.training import validation
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.datasets import TrainingData
from rlhf_losses.training.hidden_state_cache import HiddenStateCache, find_cached_layers
from rlhf_losses.training.loss_parameters import LossParameters
from rlhf_losses.training.meter import Meter, metric_names
from rlhf_losses.training.passes import choose_splitter
from rlhf_losses.training.repeats import without_repeats
from rlhf_losses.training.sharded import require_possible
from rlhf_losses.training.terms import price, step_totals, total_cost, weigh
from rlhf_losses.training.whole_step import Means, is_batchwide, measure


class RewardTrainer(trl.RewardTrainer):
    """Train a reward model with any loss; every other argument is TRL's.

    Args:
        loss: a loss, its text, or None for the one that `args.loss` names.
        hidden_state_cache: those of an earlier trainer on the same base, `earlier.frozen.states`, see `hidden_state_cache_gib`.

    Raises:
        FeedbackMismatchError: the columns of the data hold no feedback that the loss reads, or it costs the same whatever
            they hold.
        InvalidFeedbackError: values that cannot be, empty texts, or no row that fits the model.
        UnsupportedModelError: several labels, or a tokenizer that would hide the end of a text.
    """

    args: RewardConfig
    _signature_columns: list[str] | None

    # The loss is already a mean over the whole optimizer step, see `compute_loss`.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: str | PreTrainedModel | PeftModel,
        args: RewardConfig | None = None,
        train_dataset: AnyDataset | None = None,
        eval_dataset: AnyDataset | dict[str, AnyDataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        loss: Loss | str | None = None,
        peft_config: Any = None,
        hidden_state_cache: HiddenStateCache | None = None,
        **trl_arguments: Any,
    ) -> None:
        args = args or RewardConfig(f"{Path(_name(model)).name}-Reward")
        self.loss = validation.choose_loss(loss, args)
        self.data = TrainingData(self.loss, args, train_dataset, eval_dataset)
        config = validation.load_config(model, args)
        validation.require_one_label(model, config)
        tokenizer = processing_class or validation.load_tokenizer(model, args)
        validation.configure_special_tokens(tokenizer, args)
        self.context = max_context_length(config)
        validation.warn_of_positions(config, args)
        self.train_meter, self.eval_meter = Meter(), Meter()
        self.step_means: Means | None = None
        padded = PaddedLayout(int(tokenizer.pad_token_id), args.pad_to_multiple_of)
        super().__init__(
            model=model,
            args=args,
            data_collator=Collator(padded, self.data.kinds),
            train_dataset=self.data.train,
            eval_dataset=self.data.evaluation,
            processing_class=tokenizer,
            peft_config=validation.complete_adapter(peft_config, config),
            **trl_arguments,
        )
        require_possible(args, self.loss, self._sharded, bool(hidden_state_cache))
        find_head(self.model).float()
        validation.require_scores_inside(self.model, self.loss, self.data.kinds)
        keep_4bit_trainable(self.model)
        self.data_collator.layout = self._choose_layout(padded)
        self.data_collator.cut = choose_splitter(args, self.loss, self._sharded)
        if hidden_state_cache is None and args.hidden_state_cache_gib:
            hidden_state_cache = HiddenStateCache(args.hidden_state_cache_gib)
        self.frozen = hidden_state_cache and find_cached_layers(self.model, hidden_state_cache)
        self.numbers = LossParameters(self.loss).to(args.device)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Return the loss of one micro-batch, as its share of the mean over the optimizer step."""
        passes = inputs["passes"]
        scores = [self._scores(model, one) for one in passes]
        if num_items_in_batch is None:
            totals, copies = step_totals(self.loss, passes, self.args.average_over), 1
            means = measure(self.loss, passes, scores, totals, self.args.average_over)
        else:
            # Processes average their gradients, while the totals are sums over all of them.
            totals, copies = num_items_in_batch, self.accelerator.num_processes
            means = self.step_means or self._means_everywhere(passes, scores, totals)
        costs = [self._priced(one, seen, totals, means) for one, seen in zip(passes, scores, strict=True)]
        loss = copies * torch.stack(costs).sum()
        return (loss, {"scores": scores}) if return_outputs else loss

    def training_step(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: Tensor | None = None) -> Tensor:
        """Go forward and backward once a pass; processes exchange gradients after the last one only."""
        *earlier, last = [{**inputs, "passes": [one]} for one in inputs["passes"]]
        loss = torch.zeros((), device=self.args.device)
        for one in earlier:
            with self.accelerator.no_sync(model):
                loss += super().training_step(model, one, num_items_in_batch)
        loss += super().training_step(model, last, num_items_in_batch)
        self.train_meter.end_batch()
        return loss

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer of the model and of the numbers that the loss learns."""
        optimizer = super().create_optimizer(model)
        self.numbers.join(optimizer, self.args.loss_parameters_learning_rate, self.accelerator)
        return optimizer

    def floating_point_ops(self, inputs: Batch) -> int:
        """Return the operations of a batch, by the tokens that its passes compute."""
        return sum(int(super(RewardTrainer, self).floating_point_ops(one["model_inputs"])) for one in inputs["passes"])

    def save_merged(self, output_dir: str | Path | None = None) -> Path:
        """Save the model with any adapter merged, as a plain sequence classifier that anything can load."""
        folder = Path(output_dir or self.args.output_dir)
        model = merged(self.accelerator.unwrap_model(self.model))
        if self.accelerator.is_main_process:
            model.save_pretrained(folder)
            self.processing_class.save_pretrained(folder)
            self._describe(model).save(folder)
            (folder / "adapter_config.json").unlink(missing_ok=True)
            (folder / "adapter_model.safetensors").unlink(missing_ok=True)
        return folder

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the loss, one line of scores a row (NaN fills up), and the number of scores of each row."""
        rows = len(inputs["rows"])
        inputs = without_repeats(self._prepare_inputs(inputs), self.data_collator, self.accelerator)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        self.eval_meter.end_batch()
        if prediction_loss_only:
            return loss.detach(), None, None
        lines = _scores_of_rows(inputs["passes"], outputs["scores"])
        lines += [loss.new_zeros(0)] * (rows - len(lines))
        counts = torch.tensor([len(line) for line in lines], device=loss.device)
        return loss.detach(), pad_sequence(lines, batch_first=True, padding_value=float("nan")), counts

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate, and report the mean over all items instead of a mean of batch means."""
        self.eval_meter.clear()
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        if output.metrics is not None:
            output.metrics[f"{prefix}_loss"] = self._mean_eval_loss()
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log TRL's metrics and one mean a term of the loss."""
        mode = "train" if self.model.training else "eval"
        meter = self._meter
        self._metrics[mode].update({name: [mean] for name, mean in meter.means(self.accelerator).items()})
        meter.clear()
        self._metrics[mode].update({name: [value] for name, value in self.numbers.metrics().items()})
        self._metrics[mode]["num_tokens"] = [self._tokens_everywhere()]
        super().log(logs, start_time)

    @property
    def _meter(self) -> Meter:
        return self.train_meter if self.model.training else self.eval_meter

    def _mean_eval_loss(self) -> float:
        means = self.eval_meter.means(self.accelerator)
        named = zip(self.loss.terms, metric_names(self.loss), strict=True)
        return sum(term.weight * means.get(name, 0.0) for term, name in named)

    def _scores(self, model: torch.nn.Module, one: ForwardPass) -> Scores:
        with self.frozen.use(one) if self.frozen else nullcontext():
            return score_batch(model, one)

    def _priced(self, one: ForwardPass, scores: Scores, totals: Tensor, means: Means) -> Tensor:
        numbers = [{**learned, **mean} for learned, mean in zip(self.numbers.by_term(), means, strict=True)]
        costs = price(self.loss, scores, one, numbers)
        weights = weigh(self.loss, one, self.args.average_over)
        self._meter.record(self.loss, scores, one, costs, weights)
        if self.model.training:
            self._total_train_tokens += int(one["num_tokens"])
        return total_cost(self.loss, costs, weights, totals)

    def _means_everywhere(self, passes: Sequence[ForwardPass], scores: Sequence[Scores], totals: Tensor) -> Means:
        return measure(self.loss, passes, scores, totals, self.args.average_over, self._everywhere)

    def _everywhere(self, sums: Tensor) -> Tensor:
        return self.accelerator.reduce(sums, reduction="sum") if self.accelerator.num_processes > 1 else sums

    def _measured_beforehand(self, batches: Sequence[Batch], totals: Tensor) -> Means | None:
        """Return the means of a step of several passes, scored once more without a gradient, dropout as it will be."""
        several = len(batches) > 1 or self.data_collator.cut is not None
        if not (several and is_batchwide(self.loss)):
            return None
        model = self.model_wrapped if self._sharded else self.model
        passes = [one for batch in batches for one in self._prepare_inputs(batch)["passes"]]
        model.train()
        with torch.random.fork_rng(), torch.no_grad(), self.compute_loss_context_manager():
            scores = [self._scores(model, one) for one in passes]
        return self._means_everywhere(passes, scores, totals)

    def _tokens_everywhere(self) -> float:
        """Return the tokens trained on so far, added up here because processes may differ in their passes."""
        return float(self._everywhere(torch.tensor(self._total_train_tokens, device=self.args.device)))

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> Tensor | None:
        if not batch_samples:
            return None
        batch_samples[-1] = without_repeats(batch_samples[-1], self.data_collator, self.accelerator)
        passes = [one for batch in batch_samples for one in batch["passes"]]
        totals = self._everywhere(step_totals(self.loss, passes, self.args.average_over).to(device))
        self.step_means = self._measured_beforehand(batch_samples, totals)
        return totals

    def _choose_layout(self, padded: PaddedLayout) -> Layout:
        """Choose the layout, and compare it with the padded one on the first rows where that is asked for."""
        layout = choose_layout(self.model, padded, self.args.layout, trial=not self._sharded)
        if self.args.check_layout and layout is not padded:
            rows = islice(self.train_dataset, self.args.per_device_train_batch_size)
            require_same_scores(self.model, layout, padded, [ids for row in rows for ids in row["text_ids"]])
        return layout

    @property
    def _sharded(self) -> bool:
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        return self.data.prepared(dataset, processing_class, self.context, f"{dataset_name} data")

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            self._signature_columns = [*PREPARED, *VALUES]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        saved = RewardModelMetadata.load(resume_from_checkpoint)
        self.numbers.load({} if saved is None else saved.loss_parameters)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            self._describe(self.accelerator.unwrap_model(self.model)).save(output_dir or self.args.output_dir)

    def _describe(self, model: torch.nn.Module) -> RewardModelMetadata:
        return RewardModelMetadata(
            loss=str(self.loss),
            feedback=[kind.__name__ for kind in self.data.kinds],
            segmentation=self.data.splitter and (self.args.segmentation or self.data.splitter),
            **_aggregate(self.loss),
            separator=self.args.step_separator,
            loss_parameters=self.numbers.told(),
            canary_score=None if self._sharded else canary_score(model, self.processing_class),
        )


def _scores_of_rows(passes: Sequence[ForwardPass], scores: Sequence[Scores]) -> list[Scores]:
    """Return the scores of each row of a batch, in the order of the rows."""
    lines: dict[int, Scores] = {}
    for one, seen in zip(passes, scores, strict=True):
        counts = torch.bincount(one["score_row"], minlength=len(one["rows"]))
        lines |= zip(one["rows"].tolist(), seen.split(counts.tolist()), strict=True)
    return [lines[row] for row in sorted(lines)]


def _name(model: str | PreTrainedModel) -> str:
    return model if isinstance(model, str) else model.config._name_or_path or type(model).__name__


def _aggregate(loss: Loss) -> dict[str, Any]:
    """Return how the loss makes one score of the scores of an answer's steps, where it does."""
    made = next((term.loss for term in loss.terms if isinstance(term.loss, Aggregated)), None)
    return {} if made is None else {"aggregate": made.by, "aggregate_temperature": made.temperature}
