"""Several processes: sums over them, repeated rows at the end of an epoch, and limits of FSDP and DeepSpeed."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, send_to_device
from datasets import IterableDataset
from torch import Tensor

from rlhf_losses.data import Batch, Collator, EncodedRow
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts.splitting import ForwardPassSplitter, default_splitter
from rlhf_losses.losses import Objective
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.step_loss import is_batch_wide


def sum_over_processes(accelerator: Accelerator) -> Callable[[Tensor], Tensor]:
    """Return a function that sums a tensor over all processes; the result is on the device of the tensor."""

    def all_reduce(tensor: Tensor) -> Tensor:
        if accelerator.num_processes == 1:
            return tensor
        total: Tensor = accelerator.reduce(tensor.to(accelerator.device), reduction="sum")
        return total.to(tensor.device)

    return all_reduce


def gather_over_processes(accelerator: Accelerator) -> Callable[[Tensor], Tensor]:
    """Return a function that concatenates the rows of a matrix over all processes.

    Processes may have different numbers of rows. Rows of NaN are left out.
    """

    def all_gather(matrix: Tensor) -> Tensor:
        if accelerator.num_processes == 1:
            return matrix
        padded = accelerator.pad_across_processes(matrix.to(accelerator.device), pad_index=float("nan"))
        rows: Tensor = accelerator.gather(padded)
        return rows[~rows.isnan().all(dim=1)].to(matrix.device)

    return all_gather


class DivisibleStream(torch.utils.data.IterableDataset[EncodedRow]):
    """A stream that every process reads in full, of which accelerate gives each process every n-th batch.

    Without it, accelerate divides the shards of a stream among the processes, which then have different numbers of
    batches and wait for each other, or fills the last batches with rows from the beginning. One worker of a data loader
    reads the stream; the others would read parts of it.

    Args:
        stream: tokenized rows.
        multiple: number of rows of a batch of all processes; rows without scores are appended up to a multiple of it.
    """

    def __init__(self, stream: IterableDataset, multiple: int) -> None:
        self.stream, self.multiple = stream, multiple

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, on which the order of a shuffled stream depends."""
        self.stream.set_epoch(epoch)

    def __iter__(self) -> Iterator[EncodedRow]:
        """Yield the rows of the stream, and rows without scores at the end."""
        worker = torch.utils.data.get_worker_info()
        if worker is not None and worker.id > 0:
            return
        missing = 0
        for batch in self.stream.iter(batch_size=1):  # in a worker, `iter(self.stream)` skips shards of other workers
            row = cast(EncodedRow, {name: values[0] for name, values in batch.items()})
            yield row
            missing = (missing - 1) % self.multiple
        if missing:
            yield from [_row_without_scores(row)] * missing


def drop_repeated_rows(batch: Batch, collator: Collator, accelerator: Accelerator, drop_last: bool = False) -> Batch:
    """Return a batch without the rows that fill it up at the end of an epoch.

    With several processes, samplers fill the last batches of an epoch with rows from its beginning, and streams with
    rows without scores. These rows count neither in training nor in evaluation. If no row is left, the batch has one
    forward pass without scores, because all processes need a forward pass.

    Args:
        batch: the latest batch of this process.
        collator: makes a batch of the remaining rows.
        accelerator: the processes of the run, with the state of the data loader.
        drop_last: whether the data loader leaves out a last batch that is not full.
    """
    rows = batch["source"].rows
    new = [row for row in rows[: _count_new_rows(accelerator, len(rows), drop_last)] if row["score_text"]]
    if len(new) == len(rows):
        return batch
    remaining: Batch = send_to_device(collator(new or [_row_without_scores(rows[0])]), accelerator.device)
    return remaining


def choose_splitter(args: RewardConfig, objective: Objective, sharded: bool) -> ForwardPassSplitter | None:
    """Return how batches are divided into forward passes, or None for one pass per batch.

    A sharded model needs the same number of passes in every process, and a batch-wide loss computes the scores of a
    step of several passes twice; by default their batches are not divided.

    Args:
        args: the configuration; `max_tokens_per_forward` has precedence.
        objective: the weighted sum of losses.
        sharded: whether FSDP or DeepSpeed distributes the weights over processes.
    """
    if args.max_tokens_per_forward is not None:
        return ForwardPassSplitter(args.max_tokens_per_forward)
    return None if sharded or is_batch_wide(objective) else default_splitter(args.device)


def require_supported_settings(args: RewardConfig, objective: Objective, sharded: bool, uses_cache: bool) -> None:
    """Check settings that FSDP, DeepSpeed and torch.compile do not support.

    Args:
        args: the configuration.
        objective: the weighted sum of losses.
        sharded: whether FSDP or DeepSpeed distributes the weights over processes.
        uses_cache: whether the trainer received a `HiddenStateCache`.

    Raises:
        InvalidSettingError: a hidden-state cache with one of them; `max_tokens_per_forward` or a loss with trainable
            parameters with FSDP or DeepSpeed.
    """
    if (args.hidden_state_cache_gib or uses_cache) and (sharded or args.torch_compile):
        setting = (
            f"hidden_state_cache_gib={args.hidden_state_cache_gib}"
            if args.hidden_state_cache_gib
            else "hidden_state_cache"
        )
        raise InvalidSettingError(
            f"{setting} replaces frozen layers during a forward pass, which FSDP, DeepSpeed and torch.compile do not "
            "support. Remove the setting, or train without them."
        )
    if not sharded:
        return
    if args.max_tokens_per_forward is not None:
        raise InvalidSettingError(
            f"max_tokens_per_forward={args.max_tokens_per_forward} divides the batches of each process separately, but "
            "FSDP and DeepSpeed need the same number of forward passes in every process. Remove the setting, and set "
            "per_device_train_batch_size and gradient_accumulation_steps."
        )
    parameters = [name for term in objective.terms for name in term.loss.loss_parameters]
    if parameters:
        raise InvalidSettingError(
            f"The loss has the trainable parameters {', '.join(parameters)}, which FSDP and DeepSpeed do not update, "
            "because they are not part of the model. Train without them, or fix the value: 'rao_kupper(tie_width=1.0)'."
        )


def require_requested_sharding(
    args: RewardConfig, accelerator: Accelerator, environment: Mapping[str, str] = os.environ
) -> None:
    """Raise `InvalidSettingError` if FSDP or DeepSpeed was requested and accelerate uses neither.

    On CPUs accelerate trains with data parallelism instead, without a message.

    Args:
        args: the configuration.
        accelerator: the processes of the run.
        environment: environment variables, which `accelerate launch` sets.
    """
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        return
    requested = {"FSDP": args.fsdp, "DEEPSPEED": args.deepspeed}
    for name, value in requested.items():
        if value or environment.get(f"ACCELERATE_USE_{name}", "").lower() == "true":
            raise InvalidSettingError(
                f"{'DeepSpeed' if name == 'DEEPSPEED' else name} was requested, but accelerate trains without it "
                f"({accelerator.distributed_type.value}): with use_cpu it enables neither. Remove use_cpu; DeepSpeed "
                "then runs on CPUs with DS_ACCELERATOR=cpu and ddp_backend='gloo', and FSDP needs an accelerator. For "
                "data parallelism remove the request."
            )


def _count_new_rows(accelerator: Accelerator, count: int, drop_last: bool) -> int:
    """Return how many rows of this process are new in the latest batch, which has `count` rows in every process."""
    state = accelerator.gradient_state
    if accelerator.num_processes == 1 or not accelerator.even_batches or drop_last or not state.end_of_dataloader:
        return count
    try:
        length = len(state.active_dataloader.dataset)
    except TypeError:  # a stream
        return count
    remainder = length % (accelerator.num_processes * count)  # accelerate does not know it after a resume
    new = remainder - accelerator.process_index * count
    return min(max(new, 0), count) if remainder else count


def _row_without_scores(row: EncodedRow) -> EncodedRow:
    """Return a row with one token and without scores."""
    without: EncodedRow = {
        "text_ids": [row["text_ids"][0][:1]],
        "score_text": [],
        "score_position": [],
        "score_length": [],
        "feedback_to_score": [],
        "feedback_types": [],
        "length": 1,
        "row_number": row["row_number"],
        "removed": 0,
    }
    if "dataset_feedback_types" in row:
        without["dataset_feedback_types"] = row["dataset_feedback_types"]
    return without
