"""A script for TRL's removed PPOTrainer: with TRL 1.12, and with `rlhf_losses.compat.trl` in its place.

    python -m benchmarks.ppo.compat --trl_1_12_python PYTHON   # results/ppo/compat.csv and the table
    python -m benchmarks.ppo.compat --draw                     # the table from the CSV file

`PYTHON` is the Python interpreter of an environment with TRL 1.12.0, the last version with a PPO trainer, and this
package; all trainers run in it. The task is the synthetic one with its reward model. All weights of the policy are
trained, with TRL's settings but for the learning rate, for the same number of completions; `rlhf_losses.PPOTrainer`
has its defaults and the same temperature, learning rate and number of optimizer steps. The score is that of
completions of held-out prompts after the training; each seed is another training on the same models.

The table is on the page docs/measured.md.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, set_seed

from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import format_mean, print_markdown

TRL, COMPAT, OWN = "TRL 1.12", "the import changed", "rlhf_losses.PPOTrainer"
COMPLETIONS, EPOCHS, TEMPERATURE, EVALUATED = 32, 4, 0.7, 16
RESULT_PREFIX = "RESULT"
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Train with every trainer, and print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--trl_1_12_python", metavar="PATH", help="interpreter with TRL 1.12.0 and this package")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--rollouts", type=int, default=12, help=f"number of rollouts of {COMPLETIONS} completions")
    parser.add_argument("--learning_rates", type=float, nargs="+", default=[1e-4, 3e-4], help="learning rates")
    parser.add_argument("--single", nargs=2, help=argparse.SUPPRESS)
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    if args.single:
        trainer, folder = args.single
        for seed, rate in product(range(args.seeds), args.learning_rates):
            run = {"trainer": trainer, "learning_rate": rate, "seed": seed}
            result = train(trainer, Path(folder), rate, seed, args.rollouts)
            print(RESULT_PREFIX + json.dumps(run | result), flush=True)
        return
    run_study("compat", args, lambda: _parts(args), report)


def _parts(args: argparse.Namespace) -> Iterator[Rows]:
    with tempfile.TemporaryDirectory() as folder:
        save_task(Path(folder))
        for trainer in (TRL, COMPAT, OWN):
            yield run_in_process(trainer, folder, args)


def save_task(folder: Path) -> None:
    """Save the policy, the reward model and the prompts of the synthetic task."""
    from rlhf_losses import bradley_terry
    from rlhf_losses.sandbox import build_synthetic_task
    from rlhf_losses.sandbox.loop import train_reward_model

    task = build_synthetic_task(0)
    task.save(folder)
    scorer = train_reward_model(task, bradley_terry, folder / "run")
    scorer.model.save_pretrained(folder / "reward")
    prompts = {"train": task.train_prompts, "heldout": task.heldout_prompts}
    (folder / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")


def run_in_process(trainer: str, folder: str, args: argparse.Namespace) -> Rows:
    """Train with one trainer, at every learning rate with every seed, in a new process, and return the results."""
    rates = [str(rate) for rate in args.learning_rates]
    command = [args.trl_1_12_python, "-m", "benchmarks.ppo.compat", "--single", trainer, folder]
    command += ["--rollouts", str(args.rollouts), "--seeds", str(args.seeds), "--learning_rates", *rates]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT_PREFIX)]
    return [json.loads(line.removeprefix(RESULT_PREFIX)) for line in lines]


def train(trainer_name: str, folder: Path, rate: float, seed: int, rollouts: int) -> dict[str, float]:
    """Return the mean score before and after the training, and the KL at the end in nats per completion."""
    torch.set_num_threads(1)
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder / "policy") for _ in range(2))
    reward, value = (AutoModelForSequenceClassification.from_pretrained(folder / "reward") for _ in range(2))
    prompts = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
    before = score(policy, reward, tokenizer, prompts["heldout"], seed)
    settings = common_settings(folder, rate, seed)
    if trainer_name == OWN:
        trainer = own_trainer(policy, reward, tokenizer, prompts["train"], settings, rollouts)
    else:
        trainer = trl_trainer(trainer_name, settings, policy, reference, reward, value, tokenizer, prompts, rollouts)
    trainer.train()
    logs = trainer.state.log_history
    kl = [entry[name] for entry in logs for name in ("objective/kl", "kl_per_completion") if name in entry]
    after = score(policy, reward, tokenizer, prompts["heldout"], seed)
    return {"before": before, "after": after, "kl": float(np.mean(kl[-5:]))}


def trl_trainer(
    name: str,
    settings: dict[str, Any],
    policy: Any,
    reference: Any,
    reward: Any,
    value: Any,
    tokenizer: Any,
    prompts: dict[str, Sequence[str]],
    rollouts: int,
) -> Any:
    """Return the trainer of a script for TRL 1.12, with the classes of TRL or of this package."""
    from rlhf_losses.compat import trl as compat

    if name == TRL:
        from trl.experimental import ppo as module
    else:
        module = compat
    data = Dataset.from_dict({"input_ids": tokenizer(prompts["train"])["input_ids"]})
    return module.PPOTrainer(
        args=module.PPOConfig(
            total_episodes=rollouts * COMPLETIONS,
            num_ppo_epochs=EPOCHS,
            response_length=max_completion_length(),
            stop_token="eos",
            num_sample_generations=0,
            **settings,
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=data,
        eval_dataset=data,
    )


def own_trainer(
    policy: Any, reward: Any, tokenizer: Any, prompts: Sequence[str], settings: dict[str, Any], rollouts: int
) -> Any:
    """Return the trainer of this package with its defaults."""
    from rlhf_losses import PPOConfig, PPOTrainer, Scorer

    sizes = {"max_completion_length": max_completion_length(), "max_steps": rollouts * EPOCHS}
    args = PPOConfig(**settings, **sizes, num_iterations=EPOCHS, sanity_check=False, temperature=TEMPERATURE)
    return PPOTrainer(
        policy, Scorer(reward, tokenizer), args, Dataset.from_dict({"prompt": prompts}), processing_class=tokenizer
    )


def max_completion_length() -> int:
    """Return the largest number of tokens of a completion."""
    from rlhf_losses.sandbox.synthetic_task import MAX_COMPLETION_LENGTH

    return MAX_COMPLETION_LENGTH


def common_settings(folder: Path, rate: float, seed: int) -> dict[str, Any]:
    """Return the settings of all trainers."""
    settings = {"report_to": "none", "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True, "bf16": False}
    settings |= {"gradient_checkpointing": False, "use_cpu": True, "per_device_train_batch_size": COMPLETIONS}
    return settings | {"output_dir": str(folder / "policy-run"), "learning_rate": rate, "seed": seed}


@torch.no_grad()
def score(policy: Any, reward: Any, tokenizer: Any, prompts: Sequence[str], seed: int) -> float:
    """Return the mean score of sampled completions of prompts."""
    from rlhf_losses.compat.trl.policy_tokens import PolicyTokenScorer

    policy.eval()
    batch = tokenizer([prompt for prompt in prompts for _ in range(EVALUATED)], return_tensors="pt", padding=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = policy.generate(
            **batch, do_sample=True, temperature=TEMPERATURE, top_k=0, max_new_tokens=max_completion_length(),
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    completions = [_until(row, tokenizer.eos_token_id) for row in ids[:, batch["input_ids"].shape[1] :].tolist()]
    masks = batch["attention_mask"].bool()
    prompt_ids = [row[mask].tolist() for row, mask in zip(batch["input_ids"], masks, strict=True)]
    texts = [""] * len(completions)
    scorer = PolicyTokenScorer(reward, tokenizer)
    return float(np.mean(scorer(texts, texts, prompt_ids=prompt_ids, completion_ids=completions)))


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids


def report(results: pd.DataFrame) -> None:
    """Print the mean gain of each trainer at each learning rate, and the differences to TRL with the same seeds."""
    results["gain"] = results.after - results.before
    lines = []
    for (rate, trainer), runs in results.groupby(["learning_rate", "trainer"], sort=False):
        gains = runs.set_index("seed").gain
        reference = results[(results.learning_rate == rate) & (results.trainer == TRL)].set_index("seed").gain
        difference = "" if trainer == TRL else format_mean((gains - reference).dropna())
        lines.append([rate, trainer, len(runs), format_mean(gains), f"{runs.kl.mean():.1f}", difference])
    lines.sort(key=lambda line: line[0])
    print_markdown(["learning rate", "trainer", "seeds", "gain", "KL", "difference"], lines, text_columns=2)


if __name__ == "__main__":
    main()
