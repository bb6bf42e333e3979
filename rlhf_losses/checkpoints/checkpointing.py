"""What the trainers of this package have in common: saving, checkpoints, resuming and uploads.

`Checkpointing` is a base class in front of TRL's trainer, because each of its methods extends one of
`transformers.Trainer` with `super()`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import IterableDataset
from peft import PeftModel
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy

from rlhf_losses.checkpoints.loader_workers import leave_signals_to_main_process
from rlhf_losses.checkpoints.log_state import LogState, load_log_states
from rlhf_losses.checkpoints.manifest import begin_checkpoint, commit_checkpoint
from rlhf_losses.checkpoints.resuming import (
    Resume,
    decided_by_main_process,
    reading_state,
    require_whole,
    resolve_checkpoint,
)
from rlhf_losses.checkpoints.rotation import find_best, make_room, remove_old_checkpoints
from rlhf_losses.checkpoints.stopping import StopControl, parse_duration
from rlhf_losses.checkpoints.uploads import uploading, uploading_while_training
from rlhf_losses.checkpoints.writing import running, writing
from rlhf_losses.models.saved_files import (
    one_form_per_folder,
    remove_stale_files,
    remove_stale_files_from_hub,
    require_form_of_checkpoint,
    require_resumable,
    save_merged,
)
from rlhf_losses.report.tracked_charts import TrackedCharts


class Card(Protocol):
    """A model card."""

    def completed(self, dataset_name: str | None, tags: tuple[str, ...]) -> "Card":
        """Return the card with the name of the data, if it is given, and further tags."""

    def write(self, folder: Path) -> None:
        """Write the card into a folder."""


class Checkpointing(Trainer):
    """Base class of trainers whose checkpoints are whole or none.

    A subclass sets `guard` and calls `_begin_checkpoints` at the end of its constructor.

    Attributes:
        stop_control: stops the run with a checkpoint.
    """

    processing_class: Any

    # The folder in which `save_merged` saved last, unless adapters were saved there since.
    _merged_folder: Path | None = None
    _resumed: Path | None = None
    _writes_checkpoint = False
    _loads_random_state = False
    _first_logged_step = 0

    def _begin_checkpoints(self) -> None:
        """Add the callbacks, which must come after all others."""
        limit = self.args.stop_after
        self.stop_control = StopControl(None if limit is None else parse_duration(limit))
        self.add_callback(TrackedCharts(self.callback_handler))
        self.add_callback(_LogRestorer(self))
        self.add_callback(self.stop_control)

    def train(self, resume_from_checkpoint: Resume = None, *args: Any, **kwargs: Any) -> Any:
        """Train, from the start or from a checkpoint.

        Args:
            resume_from_checkpoint: a checkpoint; `True` or `"last"` for the newest whole one in `args.output_dir`;
                `"auto"` for that or, without one, a new run.
            args: further arguments of `transformers.Trainer.train`.
            kwargs: the same, by name.

        Returns:
            The output of `transformers.Trainer.train`.

        Raises:
            DamagedCheckpointError: the checkpoint is damaged or incomplete, or there is none.
            RunStoppedError: a file cannot be read, or a checkpoint cannot be written.
        """
        run = Path(str(self.args.output_dir))
        checkpoint = resolve_checkpoint(resume_from_checkpoint, run)
        self._resumed = None if checkpoint is None else Path(checkpoint)
        if checkpoint is not None:
            with reading_state(checkpoint):
                TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
        with running(run), self._evaluates_on_start(checkpoint is None):
            output = super().train(checkpoint, *args, **kwargs)
        return output._replace(training_loss=output.metrics["train_loss"])

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the data loader of the training; its workers leave signals to this process."""
        return leave_signals_to_main_process(super().get_train_dataloader())

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader[Any]:
        """Return the data loader of an evaluation; its workers leave signals to this process."""
        return leave_signals_to_main_process(super().get_eval_dataloader(*args, **kwargs))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the mean loss over all steps of the run and not only over those since it was resumed."""
        if "train_loss" in logs:
            logs["train_loss"] = self._total_loss_scalar / max(self.state.global_step - self._first_logged_step, 1)
        super().log(logs, start_time)

    def save_merged(self, output_dir: str | Path | None = None) -> Path:
        """Save the model with adapters merged, in the form that `from_pretrained` loads.

        Adapters of an earlier save in the folder are removed. `push_to_hub` then uploads the merged model. With FSDP
        and DeepSpeed, all processes call this method.

        Args:
            output_dir: the folder; by default `args.output_dir`.

        Returns:
            The folder.
        """
        folder = Path(output_dir or self.args.output_dir)
        model = self._model_to_merge()
        if self.accelerator.is_main_process:
            with writing(folder):
                with self._with_tokenizer_to_save():
                    save_merged(model, self.processing_class, folder, self._save_metadata)
                self._complete_saved(folder)
        self._merged_folder = folder
        return folder

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model as it is trained: adapters without their base. Merged weights in the folder are removed.

        Args:
            output_dir: the folder; by default `args.output_dir`.
        """
        folder = Path(output_dir or self.args.output_dir)
        if _internal_call and folder == self._merged_folder:  # from `push_to_hub`
            self.save_merged(folder)
            return
        if _internal_call:  # from `_save_checkpoint`
            super().save_model(output_dir, _internal_call)
            return
        require_form_of_checkpoint(folder, adapters=isinstance(self._unwrapped_model, PeftModel))
        with writing(folder):
            super().save_model(output_dir)

    def push_to_hub(self, *args: Any, token: str | None = None, revision: str | None = None, **kwargs: Any) -> Any:
        """Upload the model as it was saved last: merged after `save_merged`, else adapters without their base.

        Files of an earlier push in the other form are removed. The arguments are those of `transformers.Trainer`.

        Raises:
            RunStoppedError: the Hub refuses, or cannot be reached.
        """
        folder = Path(str(self.args.output_dir))
        with uploading(folder, self.args.hub_model_id or folder.absolute().name):
            pushed = super().push_to_hub(*args, token=token, revision=revision, **kwargs)
            remove_stale_files_from_hub(self, token, revision)
        return pushed

    def create_model_card(
        self,
        model_name: str | None = None,
        dataset_name: str | None = None,
        tags: str | Sequence[str] | None = None,
    ) -> None:
        """Write the model card into the output folder.

        Args:
            model_name: has no effect; the name is `hub_model_id` or the name of the folder.
            dataset_name: Hub id, file or folder of the training data.
            tags: further tags.
        """
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir)
            added = (tags,) if isinstance(tags, str) else tuple(tags or ())
            self._card(folder).completed(dataset_name, added).write(folder)

    def _card(self, folder: Path) -> Card:
        """Return the model card of the model in a folder."""
        raise NotImplementedError

    @property
    def _unwrapped_model(self) -> nn.Module:
        model: nn.Module = self.accelerator.unwrap_model(self.model)
        return model

    # What subclasses add

    def _model_to_merge(self) -> nn.Module:
        """Return the model with whole weights; all processes call this method."""
        return self._unwrapped_model

    def _save_metadata(self, model: nn.Module, folder: Path) -> None:
        """Write further files before the weights of a saved model."""

    def _complete_saved(self, folder: Path) -> None:
        """Complete the files of a saved model after its weights."""

    def _tokenizer_to_save(self) -> PreTrainedTokenizerBase:
        """Return the tokenizer that is saved with a model."""
        tokenizer: PreTrainedTokenizerBase = self.processing_class
        return tokenizer

    def _measurements(self) -> dict[str, Any]:
        """Return the measurements since the last log, as plain numbers, lists and tensors."""
        return {}

    def _continue_measurements(self, saved: Sequence[Mapping[str, Any]]) -> None:
        """Continue from what `_measurements` returned in some processes of the earlier run."""

    # Checkpoints

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        with one_form_per_folder(self._unwrapped_model, folder, state_dict, self.args.should_save):
            if self.args.should_save:
                folder.mkdir(parents=True, exist_ok=True)
                with self._with_tokenizer_to_save():
                    self._save_metadata(self._unwrapped_model, folder)
                    super()._save(output_dir, state_dict)
                self._complete_saved(folder)
            else:
                super()._save(output_dir, state_dict)
        if folder == self._merged_folder:
            self._merged_folder = None

    @contextmanager
    def _with_tokenizer_to_save(self) -> Iterator[None]:
        """While the context lasts, the tokenizer is the one that is saved."""
        given = self.processing_class
        self.processing_class = self._tokenizer_to_save()
        try:
            yield
        finally:
            self.processing_class = given

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, then its manifest, and then remove old ones and upload."""
        folder = Path(self._get_output_dir(trial), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
        writes = bool(self.args.should_save)
        with writing(folder, removes=writes):
            if writes:
                make_room(folder)
                begin_checkpoint(folder)
            self.accelerator.wait_for_everyone()
            with self._without_rotation_and_upload():
                super()._save_checkpoint(model, trial)
            folder.mkdir(parents=True, exist_ok=True)  # on a node that shares no files
            self._log_state().save(folder, self.args.process_index)
            if writes:
                torch.save(self.args, folder / TRAINING_ARGS_NAME)  # with the limit that was set aside
            self.accelerator.wait_for_everyone()
            if writes:
                commit_checkpoint(folder)
            self.accelerator.wait_for_everyone()
        if writes:
            remove_old_checkpoints(folder, self.args.save_total_limit, self.state.best_model_checkpoint)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(folder))

    @contextmanager
    def _without_rotation_and_upload(self) -> Iterator[None]:
        limit, self.args.save_total_limit, self._writes_checkpoint = self.args.save_total_limit, None, True
        try:
            yield
        finally:
            self.args.save_total_limit, self._writes_checkpoint = limit, False

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if self._writes_checkpoint:
            return
        with uploading_while_training(self.args.hub_model_id):
            super()._push_from_checkpoint(checkpoint_folder)
            if self.args.hub_strategy != HubStrategy.END:
                remove_stale_files(self._unwrapped_model, Path(self.args.output_dir))
                remove_stale_files_from_hub(self)

    # Resuming

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        require_resumable(self._unwrapped_model, resume_from_checkpoint)
        with reading_state(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with reading_state(str(checkpoint)):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_scaler(self, checkpoint: str | None) -> None:
        with reading_state(str(checkpoint)):
            super()._load_scaler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with reading_state(str(checkpoint)):
            super()._load_rng_state(checkpoint)

    def _init_training_state(
        self, max_steps: int, num_update_steps_per_epoch: int, num_train_epochs: int, checkpoint: str | None, trial: Any
    ) -> tuple[int, int]:
        """Return the passes over the data so far, and the micro-batches of the current one.

        The length of a stream is unknown, so transformers takes all steps of a run for one pass. From a checkpoint of
        the last step, transformers would make one more step.
        """
        arguments = max_steps, num_update_steps_per_epoch, num_train_epochs, checkpoint, trial
        passes, micro_batches = super()._init_training_state(*arguments)
        saved = None if checkpoint is None else TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
        if saved is not None and saved.best_model_checkpoint:
            self.state.best_model_checkpoint = find_best(saved.best_model_checkpoint, Path(str(checkpoint)))
        if saved is not None and isinstance(self.train_dataset, IterableDataset):
            fraction, whole = math.modf(saved.epoch or 0.0)
            passes = int(whole)
            if not self.args.ignore_data_skip:
                micro_batches = round(fraction * saved.max_steps * self.args.gradient_accumulation_steps)
        if checkpoint is not None and self.state.global_step >= max_steps:
            passes, micro_batches = num_train_epochs, 0
        self._loads_random_state = checkpoint is not None and micro_batches > 0
        return passes, micro_batches

    def _resumed_passes(self) -> int:
        """Return how often the run read all rows before the checkpoint that it resumes from."""
        if self._resumed is None:
            return 0
        return int(TrainerState.load_from_json(str(self._resumed / TRAINER_STATE_NAME)).epoch or 0)

    def _restore_random_state(self) -> None:
        """Load the random numbers before the first batch of a resumed pass; transformers loads them after it."""
        if self._loads_random_state:
            self._loads_random_state = False
            self._load_rng_state(str(self._resumed))

    def _load_best_model(self) -> None:
        best = Path(str(self.state.best_model_checkpoint))
        decided_by_main_process(lambda: require_whole(best, state=False))
        with reading_state(best):
            super()._load_best_model()

    @contextmanager
    def _evaluates_on_start(self, wanted: bool) -> Iterator[None]:
        """A run that resumes has evaluated at its start."""
        given = self.args.eval_on_start
        self.args.eval_on_start = given and wanted
        try:
            yield
        finally:
            self.args.eval_on_start = given

    def _log_state(self) -> LogState:
        metrics = self._measurements() | {"skipped_steps": self.guard.skipped, "training": self.model.training}
        processes = int(self.args.world_size)
        last_logged = int(self._globalstep_last_logged)
        return LogState(self._tr_loss.clone(), float(self._total_loss_scalar), last_logged, processes, metrics)

    def _restore_log_state(self) -> None:
        """Continue the sums since the last log; transformers resets its own when a run starts."""
        self._first_logged_step = 0
        if self._resumed is None:
            return
        processes, rank = int(self.args.world_size), int(self.args.process_index)
        with reading_state(self._resumed):
            states = load_log_states(self._resumed)
            own = states[rank::processes]  # with fewer processes than before, each continues several
            for state in states[:1]:
                self._total_loss_scalar, self._globalstep_last_logged = state.total_loss, state.last_logged_step
                self.guard.skipped = state.metrics["skipped_steps"]
                self.model.train(state.metrics["training"])  # which metrics the last log has
            for state in own:
                # Losses are averaged over processes.
                self._tr_loss += state.loss.to(self._tr_loss.device) * (processes / state.num_processes)
            if states:
                self._continue_measurements([state.metrics for state in own])
            else:  # an earlier version
                self._first_logged_step = int(self.state.global_step)


class _LogRestorer(TrainerCallback):
    """Restores the measurements of a checkpoint after transformers has reset its own."""

    def __init__(self, trainer: Checkpointing) -> None:
        self.trainer = trainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Restore."""
        self.trainer._restore_log_state()
