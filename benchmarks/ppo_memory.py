"""What the four roles of PPO hold and take: adapters on one base, adapters with a reward model apart, four models.

python benchmarks/ppo_memory.py --hidden_size 512 --layers 8
python benchmarks/ppo_memory.py --trl_1_12_python ~/trl-1.12/bin/python

Each set-up runs in a process of its own: a Llama with random weights, three rollouts of 16 completions of at most 32
tokens, each trained on twice. `weights` are the bytes held by the weights of all roles, each tensor once, against those
of the base; `peak` is by how much the process (or the accelerator) grew from before the models were made; `step` is the
time of the training by its six optimizer steps, without an accelerator in seconds of the processor, which who else uses
the machine changes little.

With the interpreter of an environment that has TRL 1.12.0 and this package, the last PPO trainer of TRL itself is
measured beside them on the same models, prompts and batches: four models as it wants them, and with an adapter as
policy.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from datasets import Dataset
from measure import environment, measuring
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)
from workloads import save_language_model

from rlhf_losses.ppo import PPOConfig, PPOTrainer, held_bytes, scorer_on_base
from rlhf_losses.scoring import Scorer

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SETUPS = {
    "one base": "three adapters on one base",
    "two bases": "policy and critic on one base, the reward model apart",
    "four models": "every weight of policy and critic trained",
}
OF_TRL = {
    "TRL 1.12": "four models, every weight of policy and critic trained",
    "TRL, LoRA": "the policy and its reference on one base, every weight of the critic trained",
}
ROLLOUTS, EPOCHS, COMPLETIONS, TOKENS = 3, 2, 16, 32
PROMPTS = ["Once there was a", "The fox sang to the", "One day the"] * COMPLETIONS


def main() -> None:
    """Measure every set-up and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden_size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--trl_1_12_python", metavar="PATH", help="an interpreter with TRL 1.12.0 and this package")
    parser.add_argument("--alone", nargs=2, metavar=("SETUP", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print("RESULT" + json.dumps(measure(args.alone[0], Path(args.alone[1]), args.rank)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder), args.hidden_size, args.layers, args.rank)
        print(environment())
        print(f"{'set-up':<13}{'weights':>12}{'of the base':>13}{'trained':>11}{'peak':>12}{'step':>9}")
        for python, setups in ((sys.executable, SETUPS), (args.trl_1_12_python, OF_TRL)):
            for setup, what in setups.items() if python else ():
                print(line(setup, run_alone(python, setup, folder, sys.argv[1:])) + f"   {what}", flush=True)


def make_models(folder: Path, hidden_size: int, layers: int, rank: int) -> None:
    """Save a base, and a reward model both as an adapter of it and whole."""
    tokenizer = save_language_model(folder / "base", hidden_size, layers, heads=hidden_size // 64, context=128)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder / "base", num_labels=1)
    adapted = get_peft_model(classifier, LoraConfig(r=rank, target_modules=LAYERS, task_type="SEQ_CLS"))
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "reward")
    for name in ("adapter", "reward"):
        tokenizer.save_pretrained(folder / name)


def run_alone(python: str, setup: str, folder: str, argv: Sequence[str]) -> dict[str, Any]:
    """Measure a set-up in a fresh process of an interpreter."""
    done = subprocess.run(
        [python, __file__, *argv, "--alone", setup, folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(next(x for x in done.stdout.splitlines() if x.startswith("RESULT"))[6:])
    return found


def measure(setup: str, folder: Path, rank: int) -> dict[str, Any]:
    """Return what a set-up holds, its peak and the time of a step."""
    LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))  # imports
    with measuring() as measured:
        trainer, roles = of_trl(setup, folder, rank) if setup in OF_TRL else ours(setup, folder, rank)
        start = now()
        trainer.train()
        seconds = now() - start
    return {
        "held": held_bytes(roles),
        "base": held_bytes([AutoModelForCausalLM.from_pretrained(folder / "base")]),
        "trained": sum(p.nbytes for role in roles[:2] for p in role.parameters() if p.requires_grad),
        "peak": measured.memory,
        "step": seconds / (ROLLOUTS * EPOCHS),
    }


def ours(setup: str, folder: Path, rank: int) -> tuple[PPOTrainer, list[nn.Module]]:
    """Return the trainer of a set-up, and the roles that hold weights: policy, critic, reward model and reference."""
    policy: Any = str(folder / "base")
    if setup == "one base":
        policy = AutoModelForCausalLM.from_pretrained(folder / "base")
        scorer = scorer_on_base(policy, folder / "adapter")
    else:
        scorer = Scorer.from_pretrained(folder / "reward")
    sizes: dict[str, Any] = {"max_steps": ROLLOUTS * EPOCHS, "num_iterations": EPOCHS, "max_completion_length": TOKENS}
    trainer = PPOTrainer(
        policy,
        scorer,
        PPOConfig(str(folder / "run"), sanity_check=False, **sizes, **common()),
        Dataset.from_dict({"prompt": PROMPTS}),
        peft_config=None if setup == "four models" else LoraConfig(r=rank, target_modules=LAYERS),
    )
    return trainer, [trainer.model, trainer.critic, scorer.model, *filter(None, [trainer.ref_model])]


def of_trl(setup: str, folder: Path, rank: int) -> tuple[Any, list[nn.Module]]:
    """Return the PPO trainer of TRL 1.12, and its roles in the same order."""
    from trl.experimental import ppo

    tokenizer = AutoTokenizer.from_pretrained(folder / "base", padding_side="left")
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder / "base") for _ in range(2))
    critic, judge = (AutoModelForSequenceClassification.from_pretrained(folder / "reward") for _ in range(2))
    data = Dataset.from_dict({"input_ids": tokenizer(PROMPTS)["input_ids"]})
    sizes = {"total_episodes": ROLLOUTS * COMPLETIONS, "num_ppo_epochs": EPOCHS, "response_length": TOKENS}
    trainer = ppo.PPOTrainer(
        args=ppo.PPOConfig(
            str(folder / "run"), num_sample_generations=0, temperature=1.0, stop_token="eos", **sizes, **common()
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference if setup == "TRL 1.12" else None,
        reward_model=judge,
        value_model=critic,
        train_dataset=data,
        eval_dataset=data,
        peft_config=None if setup == "TRL 1.12" else LoraConfig(r=rank, target_modules=LAYERS),
    )
    return trainer, [trainer.policy_model, critic, judge, *filter(None, [trainer.ref_model])]


def now() -> float:
    """Return the time in seconds: of the processor, unless an accelerator computes."""
    return perf_counter() if torch.cuda.is_available() else process_time()


def common() -> dict[str, Any]:
    """Return the settings that both trainers have."""
    quiet = {"report_to": "none", "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True}
    machine = {"bf16": False, "gradient_checkpointing": False, "use_cpu": not torch.cuda.is_available()}
    return {"per_device_train_batch_size": COMPLETIONS} | quiet | machine


def line(setup: str, found: dict[str, Any]) -> str:
    """Return a row of the table."""
    mib = 2**20
    return (
        f"{setup:<13}{found['held'] / mib:>8.1f} MiB{found['held'] / found['base']:>12.2f}x"
        f"{found['trained'] / mib:>7.1f} MiB{found['peak']:>8.0f} MiB{found['step']:>7.2f} s"
    )


if __name__ == "__main__":
    main()
