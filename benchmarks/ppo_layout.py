"""What the layout of policy, reference and critic is worth in PPO: shares of the step, and the time of an update.

python benchmarks/ppo_layout.py

A Llama with random weights completes prompts of ragged lengths, several times each, in every layout one after the
other, in one process; the layouts take turns for some rounds. Seconds are those of the trainer's own stopwatch
(`log_phase_times`), without an accelerator those of the processor, which who else uses the machine changes little: `passes`
are those of policy, reference and critic over rollouts, `update` is losses, gradients and the optimizer. The last two
columns say how many times as long the padded layout takes, for the update, and for both.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import Any

import torch
from datasets import Dataset
from measure import environment
from peft import LoraConfig
from workloads import save_language_model

from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.stories import vocabulary

LAYOUTS = ("padded", "packed", "prefix_shared")
READING = ("policy", "reference", "critic")


def main() -> None:
    """Measure every layout and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden_size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--longest_prompt", type=int, default=192, help="words of the longest prompt")
    parser.add_argument("--completion", type=int, default=32, help="tokens of a completion")
    parser.add_argument("--generations", type=int, default=4, help="completions a prompt")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--lora", action="store_true", help="train adapters instead of every weight")
    args = parser.parse_args()
    seconds: dict[str, dict[str, float]] = {layout: defaultdict(float) for layout in LAYOUTS}
    with tempfile.TemporaryDirectory() as folder:
        save_language_model(Path(folder), args.hidden_size, args.layers, heads=args.hidden_size // 32, context=1024)
        for _ in range(args.rounds):
            for layout in LAYOUTS:
                for phase, spent in measure(Path(folder), layout, args).items():
                    seconds[layout][phase] += spent
    print(environment())
    print(f"{args.generations} completions of {args.completion} tokens to each prompt of 16 to {args.longest_prompt}")
    print("| layout | generation | passes | update | update, s | padded : layout, update | with passes |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for layout, spent in seconds.items():
        print(line(layout, spent, seconds["padded"]), flush=True)


def measure(folder: Path, layout: str, args: argparse.Namespace) -> Mapping[str, float]:
    """Return the seconds of each phase over all optimizer steps."""
    words = vocabulary()
    lengths = [16 + (args.longest_prompt - 16) * i // 15 for i in range(16)]
    prompts = [" ".join(words[(7 * i + k) % len(words)] for k in range(size)) for i, size in enumerate(lengths)]
    settings: dict[str, Any] = {"max_steps": args.steps, "num_generations": args.generations, "num_iterations": 2}
    sizes = {"per_device_train_batch_size": 16, "max_completion_length": args.completion, "seed": 1}
    quiet = {
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "sanity_check": False,
    }
    machine = {"bf16": False, "gradient_checkpointing": False, "use_cpu": not torch.cuda.is_available()}
    trainer = PPOTrainer(
        str(folder),
        lambda completion_ids, **_: [float(len(ids)) for ids in completion_ids],
        PPOConfig(str(folder / "run"), layout=layout, log_phase_times=True, **settings, **sizes, **quiet, **machine),
        Dataset.from_dict({"prompt": prompts}),
        peft_config=LoraConfig(r=8, target_modules="all-linear") if args.lora else None,
    )
    stopwatch: Any = trainer._phase
    if not torch.cuda.is_available():
        stopwatch.now = process_time
    trainer.train()
    spent: Mapping[str, float] = stopwatch.total
    return spent


def line(layout: str, spent: Mapping[str, float], padded: Mapping[str, float]) -> str:
    """Return a row of the table."""
    total, passes = sum(spent.values()), read(spent)
    shares = " | ".join(f"{part / total:.0%}" for part in (spent["generation"], passes, spent["update"]))
    update, both = padded["update"] / spent["update"], read(padded, "update") / read(spent, "update")
    return f"| `{layout}` | {shares} | {spent['update']:.1f} | {update:.2f} | {both:.2f} |"


def read(spent: Mapping[str, float], *more: str) -> float:
    """Return the seconds of the passes over rollouts, and of other phases."""
    return sum(spent[phase] for phase in (*READING, *more))


if __name__ == "__main__":
    main()
