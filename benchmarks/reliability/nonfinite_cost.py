"""Cost of the checks for NaN and infinity before each optimizer step.

    python -m benchmarks.reliability.nonfinite_cost
    python -m benchmarks.reliability.nonfinite_cost --size 16M --steps 20 --rounds 5

The same model trains on the same pairs with and without the checks, one after the other in each round. The result is
the median of the ratios of the rounds; 1.00 means no cost.

The ratios are on the page docs/reliability.md.
"""

import statistics
import tempfile
import time
from contextlib import nullcontext
from unittest.mock import patch

from datasets.utils.logging import disable_progress_bar
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.study import argument_parser
from benchmarks._lib.workloads import SIZES, Workload, dialogues, make_reward_model
from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.models.finite import NonFiniteGuard
from rlhf_losses.training import trainer as trainer_module


def seconds(workload: Workload, size: str, steps: int, checked: bool) -> float:
    """Return the duration of a training run.

    Args:
        workload: the pairs.
        size: a key of `SIZES`.
        steps: number of optimizer steps.
        checked: whether scores, losses and gradients are checked.
    """
    with tempfile.TemporaryDirectory() as folder:
        args = RewardConfig(
            folder, max_steps=steps, per_device_train_batch_size=4, report_to="none", save_strategy="no",
            disable_tqdm=True, bf16=False, logging_steps=steps,
        )  # fmt: skip
        model = make_reward_model(size, workload.tokenizer)
        trainer = RewardTrainer(model, args, workload.dataset, processing_class=workload.tokenizer)
        trainer.remove_callback(PrinterCallback)
        without_guard = patch.object(NonFiniteGuard, "before_step", lambda *_, **__: None)
        without_test = patch.object(trainer_module, "is_finite", lambda *_: True)
        with nullcontext() if checked else without_guard, nullcontext() if checked else without_test:
            start = time.perf_counter()
            trainer.train()
            return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Print the ratio of the durations."""
    parser = argument_parser(__doc__)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(arguments)
    disable_progress_bar()
    workload = dialogues(32)
    seconds(workload, args.size, 2, checked=True)  # warm-up
    ratios = []
    for number in range(1, args.rounds + 1):
        with_checks, without = (seconds(workload, args.size, args.steps, checked) for checked in (True, False))
        ratios.append(with_checks / without)
        print(f"round {number}: {with_checks:.2f} s with the checks, {without:.2f} s without, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} ({args.size}, {args.steps} steps)")


if __name__ == "__main__":
    main()
