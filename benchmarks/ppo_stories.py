"""Does PPO learn on a real language model? TinyStories, a reward model trained on its own stories, over seeds.

python benchmarks/ppo_stories.py --model ../shared/models/TinyStories-656K --seeds 5    # results/ppo_stories.csv

An annotator prefers stories with more kind words. A reward model learns from how the annotator ranks stories of the
language model, and PPO from the reward model. The table has the kind words a story on prompts that neither has seen,
before and after, and the gain with a 95 % t-interval over seeds, which draw prompts, stories and both trainings.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from measure import environment
from peft import LoraConfig
from seeds import short, told, write
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from transformers.trainer_callback import PrinterCallback

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, parse_loss
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox import Sample
from rlhf_losses.sandbox.demo import SMALL_MACHINE
from rlhf_losses.scoring import evaluate

KIND = {"happy", "smiled", "love", "loved", "fun", "laughed", "hugged", "played", "nice", "kind", "friend", "friends"}
NAMES = ("Lily", "Tom", "Ben", "Anna", "Sam", "Mia", "Max", "Sue")
THINGS = ("ball", "kite", "doll", "book", "car", "hat")
PLACES = ("park", "garden", "beach")
PROMPTS = [f"One day, {n} went to the {p} with a {t} and" for n, t, p in product(NAMES, THINGS, PLACES)]
HELDOUT, LONGEST = 32, 40
"""Prompts, and tokens of a story."""


def main() -> None:
    """Run the loop for every seed, print a line each and the interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a language model of TinyStories")
    parser.add_argument("--loss", type=parse_loss, default="plackett_luce")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=80, help="optimizer steps of PPO, two on each 32 stories")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/ppo_stories.csv"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(environment())
    rows = []
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one_seed(seed, args, Path(folder)))
        print(" ".join(f"{name} {value:.3f}" for name, value in rows[-1].items()), flush=True)
    write(rows, args.output)
    print(f"\nbefore {short([row['before'] for row in rows])}, after {short([row['after'] for row in rows])}")
    print(f"gain {told([row['after'] - row['before'] for row in rows])} kind words a story")


def one_seed(seed: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train a reward model and a policy, and count kind words before and after."""
    start = time.perf_counter()
    prompts = Random(seed).sample(PROMPTS, len(PROMPTS))
    heldout, train = prompts[:HELDOUT], prompts[HELDOUT:]
    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    scorer = reward_model(args, ranked(tell(model, tokenizer, train, 8, seed)), seed, folder / "reward")
    before = tell(model, tokenizer, heldout, 8, seed + 1000)
    policy = train_policy(args, scorer, tokenizer, train, seed, folder / "policy")
    after = tell(policy, tokenizer, heldout, 8, seed + 1000)
    return {
        "seed": seed,
        "accuracy": evaluate(scorer, ranked(before))["accuracy"],
        "before": mean_kind_words(before),
        "after": mean_kind_words(after),
        "distinct_before": distinct(before),
        "distinct_after": distinct(after),
        "seconds": time.perf_counter() - start,
    }


def reward_model(args: argparse.Namespace, said: Dataset, seed: int, folder: Path) -> Scorer:
    """Train a reward model on the annotator's rankings."""
    config = RewardConfig(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        logging_strategy="no",
        seed=seed,
        model_init_kwargs={"dtype": "float32"},
        **SMALL_MACHINE,
    )
    trainer = RewardTrainer(
        str(args.model), config, said, peft_config=LoraConfig(r=16, target_modules="all-linear"), loss=args.loss
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return Scorer.from_pretrained(trainer.publish(), batch_size=128)


def train_policy(
    args: argparse.Namespace, scorer: Scorer, tokenizer: Any, prompts: Sequence[str], seed: int, folder: Path
) -> Any:
    """Train the policy with PPO and return it."""
    trainer = PPOTrainer(
        str(args.model),
        scorer,
        PPOConfig(
            str(folder),
            max_steps=args.steps,
            num_iterations=2,
            per_device_train_batch_size=32,
            learning_rate=1e-3,
            beta=0.1,
            score_normalization="running",
            max_completion_length=LONGEST,
            logging_strategy="no",
            self_check=False,
            seed=seed,
            model_init_kwargs={"dtype": "float32"},
            **SMALL_MACHINE,
        ),
        Dataset.from_dict({"prompt": list(prompts)}),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, target_modules="all-linear"),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return AutoModelForCausalLM.from_pretrained(trainer.publish(), dtype=torch.float32)


@torch.no_grad()
def tell(model: Any, tokenizer: Any, prompts: Sequence[str], count: int, seed: int) -> list[Sample]:
    """Return stories that a model tells."""
    batch = tokenizer([prompt for prompt in prompts for _ in range(count)], return_tensors="pt", padding=True)
    set_seed(seed)
    ids = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=True,
        top_k=0,
        max_new_tokens=LONGEST,
        pad_token_id=tokenizer.pad_token_id,
    )
    texts = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [Sample(prompt, texts[i * count : (i + 1) * count]) for i, prompt in enumerate(prompts)]


def ranked(samples: Sequence[Sample]) -> Dataset:
    """Return the stories of each prompt, ranked by their kind words."""
    return Dataset.from_list([{**s._asdict(), "ranks": [-kind_words(text) for text in s.completions]} for s in samples])


def kind_words(story: str) -> int:
    """Return how many words of a story are kind.

    >>> kind_words("Tom smiled. They had fun, and Tom smiled.")
    3
    """
    return sum(word in KIND for word in re.findall(r"[a-z]+", story.lower()))


def mean_kind_words(samples: Sequence[Sample]) -> float:
    """Return the mean over all stories."""
    counts = [kind_words(text) for s in samples for text in s.completions]
    return sum(counts) / len(counts)


def distinct(samples: Sequence[Sample]) -> float:
    """Return the share of different words in a story, which falls where words are repeated."""
    words = [re.findall(r"[a-z]+", text.lower()) for s in samples for text in s.completions]
    shares = [len(set(story)) / len(story) for story in words if story]
    return sum(shares) / len(shares)


if __name__ == "__main__":
    main()
