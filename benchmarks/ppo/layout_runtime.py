"""Run time of PPO in each layout: shares of the phases, and the speed of an update.

    python -m benchmarks.ppo.layout_runtime

A Llama with random weights completes prompts of different lengths, several times each, in each layout. The layouts
alternate for some rounds in one process. Seconds are those of the trainer (`log_phase_times`); without a GPU they are
CPU time, which other processes hardly affect. `forward` are the forward passes of policy, reference and critic over
rollouts; `update` are losses, gradients and the optimizer. The last two columns are the time of the padded layout
divided by that of the layout, for the update, and for the update with the forward passes over rollouts.

The table is on the page docs/how-to/ppo-speed-and-memory.md.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

from datasets import Dataset
from peft import LoraConfig

from benchmarks._lib.measurement import device, environment
from benchmarks._lib.study import argument_parser
from benchmarks._lib.tables import print_markdown
from benchmarks._lib.workloads import save_language_model
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.stories import vocabulary

LAYOUTS = ("padded", "packed", "prefix_shared")
FORWARD_PHASES = ("policy", "reference", "critic")
SHORTEST_PROMPT, NUM_PROMPTS = 16, 16


def main() -> None:
    """Measure every layout and print a table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--hidden_size", type=int, default=256, help="width of the model")
    parser.add_argument("--layers", type=int, default=6, help="number of layers")
    parser.add_argument("--longest_prompt", type=int, default=192, help="words of the longest prompt")
    parser.add_argument("--completion", type=int, default=32, help="tokens of a completion")
    parser.add_argument("--generations", type=int, default=4, help="completions per prompt")
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps per round")
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds")
    parser.add_argument("--lora", action="store_true", help="train LoRA adapters instead of all weights")
    args = parser.parse_args()
    seconds: dict[str, Counter[str]] = {layout: Counter() for layout in LAYOUTS}
    with tempfile.TemporaryDirectory() as folder:
        save_language_model(Path(folder), args.hidden_size, args.layers, args.hidden_size // 32, max_length=1024)
        for _ in range(args.rounds):
            for layout in LAYOUTS:
                seconds[layout].update(measure(Path(folder), layout, args))
    print(environment())
    print(
        f"{args.generations} completions of {args.completion} tokens to each prompt of {SHORTEST_PROMPT} to "
        f"{args.longest_prompt} words"
    )
    print_markdown(
        ["layout", "generation", "forward", "update", "update, s", "padded : layout, update", "with forward"],
        _lines(seconds),
    )


def measure(folder: Path, layout: str, args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of each phase over all optimizer steps."""
    settings: dict[str, Any] = {"max_steps": args.steps, "num_generations": args.generations, "num_iterations": 2}
    settings |= {"per_device_train_batch_size": 16, "max_completion_length": args.completion, "seed": 1}
    settings |= {"report_to": "none", "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True}
    settings |= {"sanity_check": False, "bf16": False, "gradient_checkpointing": False, "use_cpu": device() == "cpu"}
    trainer = PPOTrainer(
        str(folder),
        completion_lengths,
        PPOConfig(str(folder / "run"), layout=layout, log_phase_times=True, **settings),
        Dataset.from_dict({"prompt": prompts(args.longest_prompt)}),
        peft_config=LoraConfig(r=8, target_modules="all-linear") if args.lora else None,
    )
    timer = trainer.monitor.timer
    if device() == "cpu":
        timer.now = process_time
    trainer.train()
    return dict(timer.total)


def completion_lengths(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Return the number of tokens of each completion as its reward."""
    return [float(len(ids)) for ids in completion_ids]


def prompts(longest: int) -> list[str]:
    """Return prompts whose lengths increase in equal steps."""
    words = vocabulary()
    lengths = [SHORTEST_PROMPT + (longest - SHORTEST_PROMPT) * i // (NUM_PROMPTS - 1) for i in range(NUM_PROMPTS)]
    return [" ".join(words[(7 * i + k) % len(words)] for k in range(length)) for i, length in enumerate(lengths)]


def _lines(seconds: dict[str, Counter[str]]) -> Iterator[list[str]]:
    padded = seconds["padded"]
    for layout, spent in seconds.items():
        shares = [part / spent.total() for part in (spent["generation"], _forward(spent), spent["update"])]
        update = padded["update"] / spent["update"]
        both = (padded["update"] + _forward(padded)) / (spent["update"] + _forward(spent))
        cells = [f"{share:.0%}" for share in shares]
        yield [f"`{layout}`", *cells, f"{spent['update']:.1f}", f"{update:.2f}", f"{both:.2f}"]


def _forward(spent: Counter[str]) -> float:
    return sum(spent[phase] for phase in FORWARD_PHASES)


if __name__ == "__main__":
    main()
