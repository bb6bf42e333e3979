"""Training time with cached hidden states of frozen layers: LoRA on the last layers, several losses, several epochs.

    python -m benchmarks.layouts.hidden_state_cache --rows 32

One model with random weights and LoRA on its last layers is trained with several losses, each for some epochs: without
a cache, with a cache per loss (`hidden_state_cache_gib`), and with one cache for all losses. The table has the seconds
of `trainer.train()` for each loss. The loss values of the three runs are equal.

The ratios of the times are on the page docs/layouts.md.
"""

import argparse
import tempfile
from collections.abc import Iterator
from typing import Any

from peft import LoraConfig
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.measurement import device, environment, measure
from benchmarks._lib.study import argument_parser
from benchmarks._lib.tables import print_markdown
from benchmarks._lib.workloads import SIZES, Workload, dialogues, make_reward_model
from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.training.hidden_state_cache import HiddenStateCache

LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CACHED_OVER = ("nothing", "epochs", "epochs and losses")


def main() -> None:
    """Train with each cache and print a table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--size", choices=SIZES, default="16M", help="size of the model")
    parser.add_argument("--rows", type=int, default=64, help="number of pairs")
    parser.add_argument("--epochs", type=int, default=2, help="epochs per loss")
    parser.add_argument("--trained_layers", type=int, default=1, help="number of last layers with adapters")
    parser.add_argument("--losses", nargs="+", default=["bradley_terry", "hinge", "squared_difference"])
    parser.add_argument("--cache_gib", type=float, default=4.0, help="size of the cache")
    args = parser.parse_args()
    print(environment())
    print(
        f"{args.size} parameters, LoRA on {args.trained_layers} of {SIZES[args.size]['num_hidden_layers']} layers, "
        f"{args.rows} pairs, {args.epochs} epochs with each of {len(args.losses)} losses"
    )
    print_markdown(
        ["cached over", *(f"{loss}, s" for loss in args.losses), "x nothing", "loss values"], measure_all(args)
    )


def measure_all(args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield one line of the table for each cache."""
    workload = dialogues(args.rows)
    baseline = None
    for cached_over in CACHED_OVER:
        seconds, losses = zip(*train_all(workload, cached_over, args), strict=True)
        baseline = baseline or sum(seconds)
        loss_values = ", ".join(f"{loss:.4f}" for loss in losses)
        yield [cached_over, *(f"{one:.1f}" for one in seconds), f"{baseline / sum(seconds):.2f}", loss_values]


def train_all(workload: Workload, cached_over: str, args: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Train with every loss, and yield the seconds and the mean training loss of each."""
    common_cache = HiddenStateCache(args.cache_gib)
    for loss in args.losses:
        own_caches = {"nothing": None, "epochs": HiddenStateCache(args.cache_gib)}
        trainer = make_trainer(workload, loss, own_caches.get(cached_over, common_cache), args)
        with measure() as measurement:
            result = trainer.train()
        yield measurement.seconds, result.training_loss


def make_trainer(
    workload: Workload, loss: str, cache: HiddenStateCache | None, args: argparse.Namespace
) -> RewardTrainer:
    """Return a trainer of adapters on the last layers."""
    num_layers = int(SIZES[args.size]["num_hidden_layers"])
    trained = list(range(num_layers - args.trained_layers, num_layers))
    settings: dict[str, Any] = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no"}
    settings |= {"disable_tqdm": True, "bf16": False, "gradient_checkpointing": False, "use_cpu": device() == "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            make_reward_model(args.size, workload.tokenizer),
            RewardConfig(folder, num_train_epochs=args.epochs, **settings),
            train_dataset=workload.dataset,
            processing_class=workload.tokenizer,
            peft_config=LoraConfig(r=8, target_modules=LINEAR_LAYERS, layers_to_transform=trained),
            loss=loss,
            hidden_state_cache=cache,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


if __name__ == "__main__":
    main()
