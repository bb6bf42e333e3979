"""What the four roles of PPO hold and take: adapters on one base, adapters with a reward model apart, four models.

python benchmarks/ppo_memory.py --hidden_size 512 --layers 8

Each set-up runs in a process of its own: a Llama with random weights, six optimizer steps of 16 completions of at
most 32 tokens. `weights` are the bytes held by the weights of all roles, each tensor once, against those of the base;
`peak` is by how much the process (or the accelerator) grew from before the models were made; `step` is the median
time of an optimizer step.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from measure import environment, measuring
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, LlamaForCausalLM

from rlhf_losses.ppo import PPOConfig, PPOTrainer, held_bytes, scorer_on
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.tiny_models import build_tokenizer
from rlhf_losses.scoring import Scorer

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SETUPS = {
    "one base": "three adapters on one base",
    "two bases": "policy and critic on one base, the reward model apart",
    "four models": "every weight of policy and critic trained",
}


def main() -> None:
    """Measure every set-up and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden_size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alone", nargs=2, metavar=("SETUP", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print("RESULT" + json.dumps(measure(args.alone[0], Path(args.alone[1]), args.rank)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder), args.hidden_size, args.layers, args.rank)
        print(environment())
        print(f"{'set-up':<13}{'weights':>12}{'of the base':>13}{'trained':>11}{'peak':>12}{'step':>9}")
        for setup, what in SETUPS.items():
            print(line(setup, run_alone(setup, folder, sys.argv[1:])) + f"   {what}", flush=True)


def make_models(folder: Path, hidden_size: int, layers: int, rank: int) -> None:
    """Save a base, and a reward model both as an adapter of it and whole."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        max_position_embeddings=128,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    classifier = AutoModelForSequenceClassification.from_pretrained(folder / "base", num_labels=1)
    adapted = get_peft_model(classifier, LoraConfig(r=rank, target_modules=LAYERS, task_type="SEQ_CLS"))
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "reward")
    for name in ("base", "adapter", "reward"):
        tokenizer.save_pretrained(folder / name)


def run_alone(setup: str, folder: str, argv: Sequence[str]) -> dict[str, Any]:
    """Measure a set-up in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, *argv, "--alone", setup, folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(next(x for x in done.stdout.splitlines() if x.startswith("RESULT"))[6:])
    return found


def measure(setup: str, folder: Path, rank: int) -> dict[str, Any]:
    """Return what a set-up holds, its peak and the time of a step."""
    LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))  # imports
    with measuring() as measured:
        trainer = make_trainer(setup, folder, rank)
        trainer.train()
    roles = [trainer.model, trainer.critic, trainer.reward_funcs[0].model]
    roles += [trainer.ref_model] if trainer.ref_model is not None else []
    logged = [entry["step_time"] for entry in trainer.state.log_history if "step_time" in entry]
    return {
        "held": held_bytes(roles),
        "base": held_bytes([AutoModelForCausalLM.from_pretrained(folder / "base")]),
        "trained": sum(p.nbytes for role in roles[:2] for p in role.parameters() if p.requires_grad),
        "peak": measured.memory,
        "step": median(logged),
    }


def make_trainer(setup: str, folder: Path, rank: int) -> PPOTrainer:
    """Return the trainer of a set-up."""
    policy: Any = str(folder / "base")
    if setup == "one base":
        policy = AutoModelForCausalLM.from_pretrained(folder / "base")
        scorer = scorer_on(policy, folder / "adapter")
    else:
        scorer = Scorer.from_pretrained(folder / "reward")
    prompts = ["Once there was a", "The fox sang to the", "One day the"] * 16
    settings: dict[str, Any] = {"max_steps": 6, "per_device_train_batch_size": 16, "max_completion_length": 32}
    quiet = {"report_to": "none", "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True, "self_check": False}
    machine = {"bf16": False, "gradient_checkpointing": False, "use_cpu": not torch.cuda.is_available()}
    return PPOTrainer(
        policy,
        scorer,
        PPOConfig(str(folder / "run"), num_iterations=2, **settings, **quiet, **machine),
        Dataset.from_dict({"prompt": prompts}),
        peft_config=None if setup == "four models" else LoraConfig(r=rank, target_modules=LAYERS),
    )


def line(setup: str, found: dict[str, Any]) -> str:
    """Return a row of the table."""
    mib = 2**20
    return (
        f"{setup:<13}{found['held'] / mib:>8.1f} MiB{found['held'] / found['base']:>12.2f}x"
        f"{found['trained'] / mib:>7.1f} MiB{found['peak']:>8.0f} MiB{found['step']:>7.2f} s"
    )


if __name__ == "__main__":
    main()
