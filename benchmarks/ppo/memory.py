"""Memory of the four models of PPO: adapters on one base model, a separate reward model, or four full models.

    python -m benchmarks.ppo.memory --hidden_size 512 --layers 8
    python -m benchmarks.ppo.memory --trl_1_12_python PYTHON

Each configuration runs in its own process: a Llama with random weights, three rollouts with 16 completions of at most
32 tokens, two epochs on each. `weights` is the size of the weights of policy, critic, reward model and reference, each
tensor once; the next column is its multiple of the base model. `peak` is the peak growth of the memory of the process
(or of the GPU) from before the models are loaded. `step` is the time of the training divided by its six optimizer
steps; without a GPU it is CPU time, which other processes hardly affect.

`--trl_1_12_python` is the Python interpreter of an environment with TRL 1.12.0, the last version with a PPO trainer,
and this package. That trainer is measured with the same models, prompts and batches.

The table is on the page docs/how-to/ppo-speed-and-memory.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

from benchmarks._lib.measurement import device, environment
from benchmarks._lib.measurement import measure as measure_memory
from benchmarks._lib.study import argument_parser
from benchmarks._lib.tables import print_markdown
from benchmarks._lib.workloads import save_language_model
from rlhf_losses.ppo import PPOConfig, PPOTrainer, scorer_on_base, weight_bytes
from rlhf_losses.scoring import Scorer

LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ONE_BASE, SEPARATE_REWARD_MODEL, FOUR_MODELS = "one base", "LoRA, separate reward model", "four models"
TRL_FOUR_MODELS, TRL_LORA = "TRL 1.12, four models", "TRL 1.12, LoRA on the policy"
ROLLOUTS, EPOCHS, COMPLETIONS, TOKENS = 3, 2, 16, 32
PROMPTS = ["Once there was a", "The fox sang to the", "One day the"] * COMPLETIONS
RESULT_PREFIX = "RESULT"
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure every configuration and print a table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--hidden_size", type=int, default=512, help="width of the model")
    parser.add_argument("--layers", type=int, default=8, help="number of layers")
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapters")
    parser.add_argument("--trl_1_12_python", metavar="PATH", help="interpreter with TRL 1.12.0 and this package")
    parser.add_argument("--single", nargs=2, metavar=("CONFIGURATION", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.single:
        configuration, models = args.single
        print(RESULT_PREFIX + json.dumps(measure(configuration, Path(models), args.rank)))
        return
    with tempfile.TemporaryDirectory() as folder:
        save_models(Path(folder), args.hidden_size, args.layers, args.rank)
        print(environment())
        columns = ["configuration", "weights", "multiple of the base", "trained", "peak", "step"]
        print_markdown(columns, _lines(folder, args))


def _lines(folder: str, args: argparse.Namespace) -> Iterator[list[str]]:
    interpreters = {ONE_BASE: sys.executable, SEPARATE_REWARD_MODEL: sys.executable, FOUR_MODELS: sys.executable}
    if args.trl_1_12_python:
        interpreters |= {TRL_FOUR_MODELS: args.trl_1_12_python, TRL_LORA: args.trl_1_12_python}
    for configuration, python in interpreters.items():
        result = run_in_process(python, configuration, folder, sys.argv[1:])
        weights, trained = (f"{result[name] / 2**20:.0f} MiB" for name in ("weights", "trained"))
        multiple = f"{result['weights'] / result['base']:.2f}×"
        yield [configuration, weights, multiple, trained, f"{result['peak']:.0f} MiB", f"{result['step']:.2f} s"]


def save_models(folder: Path, hidden_size: int, layers: int, rank: int) -> None:
    """Save a base model, and a reward model both as an adapter on it and merged."""
    tokenizer = save_language_model(folder / "base", hidden_size, layers, hidden_size // 64, max_length=128)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder / "base", num_labels=1)
    adapted = get_peft_model(classifier, LoraConfig(r=rank, target_modules=LINEAR_LAYERS, task_type="SEQ_CLS"))
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "reward")
    for name in ("adapter", "reward"):
        tokenizer.save_pretrained(folder / name)


def run_in_process(python: str, configuration: str, folder: str, argv: Sequence[str]) -> dict[str, Any]:
    """Measure a configuration in a new process."""
    command = [python, "-m", "benchmarks.ppo.memory", *argv, "--single", configuration, folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(RESULT_PREFIX))
    result: dict[str, Any] = json.loads(line.removeprefix(RESULT_PREFIX))
    return result


def measure(configuration: str, folder: Path, rank: int) -> dict[str, Any]:
    """Return the sizes of the weights in bytes, the peak memory in MiB and the time of a step in seconds."""
    # Import the modules of the model before the measurement.
    LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    make_trainer = make_trl_trainer if configuration in (TRL_FOUR_MODELS, TRL_LORA) else make_ppo_trainer
    with measure_memory() as measurement:
        trainer, models = make_trainer(configuration, folder, rank)
        start = seconds()
        trainer.train()
        spent = seconds() - start
    return {
        "weights": weight_bytes(models),
        "base": weight_bytes([AutoModelForCausalLM.from_pretrained(folder / "base")]),
        "trained": sum(p.nbytes for model in models[:2] for p in model.parameters() if p.requires_grad),
        "peak": measurement.memory_mib,
        "step": spent / (ROLLOUTS * EPOCHS),
    }


def make_ppo_trainer(configuration: str, folder: Path, rank: int) -> tuple[PPOTrainer, list[nn.Module]]:
    """Return the trainer of a configuration, and its models: policy, critic, reward model and reference."""
    policy: Any = str(folder / "base")
    if configuration == ONE_BASE:
        policy = AutoModelForCausalLM.from_pretrained(folder / "base")
        scorer = scorer_on_base(policy, folder / "adapter")
    else:
        scorer = Scorer.from_pretrained(folder / "reward")
    sizes: dict[str, Any] = {"max_steps": ROLLOUTS * EPOCHS, "num_iterations": EPOCHS, "max_completion_length": TOKENS}
    trainer = PPOTrainer(
        policy,
        scorer,
        PPOConfig(str(folder / "run"), sanity_check=False, **sizes, **common_settings()),
        Dataset.from_dict({"prompt": PROMPTS}),
        peft_config=None if configuration == FOUR_MODELS else LoraConfig(r=rank, target_modules=LINEAR_LAYERS),
    )
    return trainer, [trainer.model, trainer.critic, scorer.model, *filter(None, [trainer.ref_model])]


def make_trl_trainer(configuration: str, folder: Path, rank: int) -> tuple[Any, list[nn.Module]]:
    """Return the PPO trainer of TRL 1.12, and its models in the same order."""
    from trl.experimental import ppo

    tokenizer = AutoTokenizer.from_pretrained(folder / "base", padding_side="left")
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder / "base") for _ in range(2))
    critic, reward = (AutoModelForSequenceClassification.from_pretrained(folder / "reward") for _ in range(2))
    data = Dataset.from_dict({"input_ids": tokenizer(PROMPTS)["input_ids"]})
    sizes = {"total_episodes": ROLLOUTS * COMPLETIONS, "num_ppo_epochs": EPOCHS, "response_length": TOKENS}
    trainer = ppo.PPOTrainer(
        args=ppo.PPOConfig(
            str(folder / "run"),
            num_sample_generations=0,
            temperature=1.0,
            stop_token="eos",
            **sizes,
            **common_settings(),
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference if configuration == TRL_FOUR_MODELS else None,
        reward_model=reward,
        value_model=critic,
        train_dataset=data,
        eval_dataset=data,
        peft_config=None if configuration == TRL_FOUR_MODELS else LoraConfig(r=rank, target_modules=LINEAR_LAYERS),
    )
    return trainer, [trainer.policy_model, critic, reward, *filter(None, [trainer.ref_model])]


def seconds() -> float:
    """Return the wall-clock time with a GPU, and the CPU time otherwise."""
    return perf_counter() if device() == "cuda" else process_time()


def common_settings() -> dict[str, Any]:
    """Return the settings of both trainers."""
    settings = {"report_to": "none", "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True, "bf16": False}
    settings |= {"gradient_checkpointing": False, "use_cpu": device() == "cpu"}
    return {"per_device_train_batch_size": COMPLETIONS} | settings


if __name__ == "__main__":
    main()
