"""What it saves to keep what frozen layers gave each text: LoRA on the last layers, several losses, several epochs.

python benchmarks/frozen.py

One model with random weights, LoRA on its last layers alone, trained with one loss after another, each for some epochs:
first with nothing kept, then with `hidden_state_cache_gib`, then with the states of the first loss handed to the next. All in
one process; seconds are those of `trainer.train()`, and all three give the same losses.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from measure import environment, measuring
from peft import LoraConfig
from transformers.trainer_callback import PrinterCallback
from workloads import SIZES, Workload, dialogues, make_model

from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.training.hidden_state_cache import HiddenStateCache

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KEPT = ("nothing", "epochs", "epochs and losses")


def main() -> None:
    """Train every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="16M")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--trained_layers", type=int, default=1, help="how many of the last layers have adapters")
    parser.add_argument("--losses", nargs="+", default=["bradley_terry", "hinge", "squared_difference"])
    parser.add_argument("--kept_gib", type=float, default=4.0)
    args = parser.parse_args()
    work = dialogues(args.rows)
    print(environment())
    print(f"{args.size} parameters, LoRA on {args.trained_layers} of {SIZES[args.size]['num_hidden_layers']} layers, "
          f"{args.rows} pairs, {args.epochs} epochs of each of {len(args.losses)} losses")  # fmt: skip
    print("| kept over | " + " | ".join(f"{loss}, s" for loss in args.losses) + " | x nothing | losses |")
    print("|---|" + "---:|" * (len(args.losses) + 2))
    plain = 0.0
    for kept in KEPT:
        seconds, ends = zip(*run(work, kept, args), strict=True)
        plain = plain or sum(seconds)
        told = " | ".join(f"{one:.1f}" for one in seconds)
        print(
            f"| {kept} | {told} | {plain / sum(seconds):.2f} | {', '.join(f'{end:.4f}' for end in ends)} |", flush=True
        )


def run(work: Workload, kept: str, args: argparse.Namespace) -> list[tuple[float, float]]:
    """Return the seconds and the mean training loss of each loss."""
    shared = HiddenStateCache(args.kept_gib)
    found = []
    for loss in args.losses:
        states = {"nothing": None, "epochs": HiddenStateCache(args.kept_gib)}.get(kept, shared)
        trainer = make_trainer(work, loss, states, args)
        trainer.remove_callback(PrinterCallback)
        with measuring() as measured:
            trained = trainer.train()
        found.append((measured.seconds, trained.training_loss))
    return found


def make_trainer(work: Workload, loss: str, states: HiddenStateCache | None, args: argparse.Namespace) -> RewardTrainer:
    """Return a trainer of adapters on the last layers."""
    layers = int(SIZES[args.size]["num_hidden_layers"])
    last = list(range(layers - args.trained_layers, layers))
    quiet: dict[str, Any] = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    machine = {"bf16": False, "gradient_checkpointing": False, "use_cpu": not torch.cuda.is_available()}
    with tempfile.TemporaryDirectory() as folder:
        return RewardTrainer(
            make_model(args.size, work.tokenizer),
            RewardConfig(str(Path(folder)), num_train_epochs=args.epochs, **quiet, **machine),
            train_dataset=work.dataset,
            processing_class=work.tokenizer,
            peft_config=LoraConfig(r=8, target_modules=LINEAR, layers_to_transform=last),
            loss=loss,
            hidden_state_cache=states,
        )


if __name__ == "__main__":
    main()
