"""Speed and memory of training and scoring in each layout, compared to TRL on the same data, model and machine.

    python -m benchmarks.layouts.throughput                     # synthetic data
    python -m benchmarks.layouts.throughput --only pairs --rounds 3
    python -m benchmarks.layouts.throughput --only lists --list_steps 2 --rounds 1 --lists rankings.train.jsonl
    python -m benchmarks.layouts.throughput --only scoring --rounds 2 --lists rankings.train.jsonl
    python -m benchmarks.layouts.throughput --only pairs --rounds 1 --bf16
    python -m benchmarks.layouts.throughput --size 1.5B --bf16 --attention flash_attention_2    # on a GPU

`--lists` and `--pairs` take a file in any supported dataset format.

Each method trains a new copy of one model with one `trainer.train()` per round. Rounds are interleaved, and the table
has the median. One more run, which is not timed, counts tokens and operations. Columns:

* tokens: tokens that pass through the model, including padding and repeated prompts.
* distinct tokens per second: distinct tokens of the data, the same for all methods, divided by the run time.
* MFU (model FLOPs utilization): operations that the distinct tokens need, divided by the run time and by the measured
  rate of a large matrix product. A forward pass needs 2 operations per weight and token and, in each layer, 4 per
  hidden unit and pair of tokens of which one attends to the other. Training needs three times as many. The layouts of
  rlhf_losses skip the last feed-forward network at unscored tokens; the formula includes it nevertheless.
* HFU (hardware FLOPs utilization): operations that the method computes in matrix products and attention, including
  padding, divided by the run time and by the same rate. They are counted (see `_lib/operation_count.py`): on a CPU,
  attention with a mask computes all pairs of tokens, a causal call the pairs that attend to each other, and a backward
  pass the attention scores again. On a GPU, torch counts a causal call as all pairs, and does not count flash-attn and
  FlexAttention.

A second table has the factors of the speed: the operations saved, which are the same on every machine, and the share of
the matrix rate (HFU), compared to that of the first method.

The results are in benchmarks/results/layouts/throughput.csv. A run replaces the rows of an earlier run with the same
work, workload, size, precision and device.

The tables are on the page docs/layouts.md.
"""

import argparse
import itertools
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import trl
from datasets.utils.logging import disable_progress_bar
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.comparison import Comparison, Method, Row, save_comparison
from benchmarks._lib.measurement import device, environment
from benchmarks._lib.study import RESULTS, argument_parser
from benchmarks._lib.workload_files import lists_from_file, pairs_from_file
from benchmarks._lib.workloads import (
    SIZES,
    Workload,
    all_pairs,
    dialogues,
    lists_of_fixed_length,
    make_reward_model,
    with_distinct_completions,
)
from rlhf_losses import RewardConfig, RewardTrainer, Scorer

LAYOUTS = ("padded", "packed", "prefix_shared")
GROUPED = {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False}
"""TRL's trainer drops the column with the lengths, so the columns are selected here."""


def main() -> None:
    """Measure, print the tables, and save the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--size", choices=SIZES, default="16M", help="size of the model")
    parser.add_argument("--pairs", help="file of pairs, or of feedback that is convertible to pairs")
    parser.add_argument("--lists", help="file of lists or pairs")
    parser.add_argument("--batch", type=int, default=8, help="pairs or lists per batch")
    parser.add_argument("--pair_steps", type=int, default=8, help="batches of pairs per round")
    parser.add_argument("--list_steps", type=int, default=1, help="batches of lists per round")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds")
    parser.add_argument("--bf16", action="store_true", help="train with bfloat16 autocast, score with bfloat16 weights")
    parser.add_argument("--attention", default="sdpa", help="attn_implementation of TRL's methods")
    parser.add_argument("--only", choices=["pairs", "lists", "scoring"], help="measure only this work")
    parser.add_argument("--output", type=Path, default=RESULTS / "layouts" / "throughput.csv", help="CSV file")
    args = parser.parse_args()
    disable_progress_bar()
    comparison = Comparison(args.size, args.rounds, args.bf16)
    print(f"{environment()}; {comparison.precision}")
    with tempfile.TemporaryDirectory() as folder:
        for work, measure in {"pairs": pairs, "lists": lists, "scoring": scoring}.items():
            if args.only in (None, work):
                save_comparison([{"work": work, **row} for row in measure(args, comparison, folder)], args.output)


def pairs(args: argparse.Namespace, comparison: Comparison, folder: str) -> list[Row]:
    """Train on pairs: TRL with its defaults, TRL with batches grouped by length, and each layout."""
    num_rows = args.batch * args.pair_steps
    workload = pairs_from_file(args.pairs, num_rows) if args.pairs else dialogues(num_rows)
    methods = Methods(workload, args, folder)
    return comparison.run(
        workload,
        [
            methods.trl("TRL"),
            methods.trl("TRL, grouped by length", **GROUPED),
            *(methods.reward_trainer("bradley_terry", layout=layout) for layout in LAYOUTS),
        ],
        num_passes=3,
    )


def lists(args: argparse.Namespace, comparison: Comparison, folder: str) -> list[Row]:
    """Train on lists: TRL with every pair, a loop over the pairs of each list, and each layout."""
    num_rows = args.batch * args.list_steps
    workload = lists_from_file(args.lists, num_rows) if args.lists else lists_of_fixed_length(num_rows, 700, 4, 95)
    every_pair = all_pairs(workload)
    accumulation = math.ceil(len(every_pair.rows) / len(workload.rows))
    methods = Methods(workload, args, folder)
    on_pairs = Methods(every_pair, args, folder)
    return comparison.run(
        workload,
        [
            on_pairs.trl("TRL on every pair", gradient_accumulation_steps=accumulation),
            methods.loop_over_pairs("a loop over the pairs of a list"),
            *(methods.reward_trainer("accumulated_pairs", layout=layout) for layout in LAYOUTS),
            methods.reward_trainer("accumulated_pairs", layout="prefix_shared", max_tokens_per_forward=100_000),
        ],
        num_passes=3,
    )


def scoring(args: argparse.Namespace, comparison: Comparison, folder: str) -> list[Row]:
    """Score eight completions per prompt: with the reward model call of TRL's GRPO trainer, and with a scorer."""
    if args.lists:
        workload = with_distinct_completions(lists_from_file(args.lists, 64), 8, 8)
    else:
        workload = lists_of_fixed_length(8, 700, 8, 95)
    methods = Methods(workload, args, folder)
    return comparison.run(workload, [methods.grpo(), *map(methods.scorer, LAYOUTS)], num_passes=1)


@dataclass(frozen=True)
class Methods:
    """The methods to compare on one workload.

    Attributes:
        workload: the data.
        args: parsed arguments.
        folder: output folder of the trainers.
    """

    workload: Workload
    args: argparse.Namespace
    folder: str

    def trl(self, name: str, **settings: Any) -> Method:
        """Train with TRL's trainer."""

        def prepare() -> Callable[[], Any]:
            trainer = trl.RewardTrainer(
                self._model(self.args.attention),
                trl.RewardConfig(**self._settings() | settings),
                train_dataset=self.workload.dataset,
                processing_class=self.workload.tokenizer,
            )
            rows = trainer.train_dataset.select_columns(["chosen_ids", "rejected_ids"])
            trainer.train_dataset = rows.add_column("length", [max(map(len, row.values())) for row in rows])
            trainer.remove_callback(PrinterCallback)
            return trainer.train

        return Method(name, prepare)

    def reward_trainer(self, loss: str, layout: Any, **settings: Any) -> Method:
        """Train with the trainer of this package."""

        def prepare() -> Callable[[], Any]:
            trainer = RewardTrainer(
                self._model(),
                RewardConfig(**self._settings(), layout=layout, **settings),
                train_dataset=self.workload.dataset,
                processing_class=self.workload.tokenizer,
                loss=loss,
            )
            trainer.remove_callback(PrinterCallback)
            return trainer.train

        return Method(", ".join(["rlhf_losses", layout, *(f"{k}={v}" for k, v in settings.items())]), prepare)

    def loop_over_pairs(self, name: str) -> Method:
        """Train with a plain loop: the answers of a list are padded to one batch, and each pair has a loss."""

        def prepare() -> Callable[[], Any]:
            model = self._model(self.args.attention).to(device()).train()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

            def train() -> None:
                for first in range(0, len(self.workload.rows), self.args.batch):
                    batch = self.workload.rows[first : first + self.args.batch]
                    for row in batch:
                        losses = self._pair_losses(model, row)
                        if losses:
                            (torch.stack(losses).mean() / len(batch)).backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()

            return train

        return Method(name, prepare)

    def grpo(self) -> Method:
        """Score with the reward model call of TRL's GRPO trainer."""

        def prepare() -> Callable[[], Any]:
            policy = AutoModelForCausalLM.from_config(
                Qwen2Config(
                    hidden_size=32,
                    intermediate_size=32,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    num_key_value_heads=2,
                    vocab_size=len(self.workload.tokenizer),
                )
            )
            trainer = trl.GRPOTrainer(
                policy,
                reward_funcs=self._scoring_model(self.args.attention),
                args=trl.GRPOConfig(
                    self.folder,
                    report_to="none",
                    bf16=self.args.bf16,
                    use_cpu=device() == "cpu",
                    per_device_train_batch_size=64,
                    num_generations=8,
                ),
                train_dataset=self.workload.dataset,
                processing_class=self.workload.tokenizer,
                reward_processing_classes=self.workload.tokenizer,
            )
            prompts, completions = self._flattened()
            inputs = [{"prompt": prompt} for prompt in prompts]
            return lambda: trainer._calculate_rewards(inputs, prompts, completions, [[0]] * len(prompts))

        return Method("TRL's GRPO", prepare)

    def scorer(self, layout: Any) -> Method:
        """Score with the scorer of this package."""

        def prepare() -> Callable[[], Any]:
            scorer = Scorer(self._scoring_model(), self.workload.tokenizer, layout=layout)
            prompts, completions = self._flattened()
            return lambda: scorer(prompts, completions)

        return Method(f"rlhf_losses, {layout}", prepare)

    def _model(self, attention: str = "sdpa") -> PreTrainedModel:
        return make_reward_model(self.args.size, self.workload.tokenizer, attention=attention)

    def _scoring_model(self, attention: str = "sdpa") -> PreTrainedModel:
        model = self._model(attention).to(device()).eval()
        return model.bfloat16() if self.args.bf16 else model

    def _pair_losses(self, model: PreTrainedModel, row: Row) -> list[torch.Tensor]:
        tokenizer = self.workload.tokenizer
        texts = [row["prompt"] + answer + tokenizer.eos_token for answer in row["completions"]]
        inputs = tokenizer(texts, padding=True, return_tensors="pt").to(device())
        with torch.autocast(device(), torch.bfloat16, enabled=self.args.bf16):
            scores = model(**inputs).logits[:, 0].float()
        order = itertools.permutations(range(len(texts)), 2)
        return [-F.logsigmoid(scores[i] - scores[j]) for i, j in order if row["ranks"][i] < row["ranks"][j]]

    def _flattened(self) -> tuple[list[str], list[str]]:
        """Return the prompt and the text of every completion."""
        rows = self.workload.rows
        prompts = [row["prompt"] for row in rows for _ in row["completions"]]
        return prompts, [text for row in rows for text in row["completions"]]

    def _settings(self) -> dict[str, Any]:
        return {
            "output_dir": self.folder,
            "num_train_epochs": 1,
            "per_device_train_batch_size": self.args.batch,
            "max_length": None,
            "learning_rate": 1e-4,
            "bf16": self.args.bf16,
            "use_cpu": device() == "cpu",
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "logging_strategy": "no",
            "dataloader_pin_memory": False,
        }


if __name__ == "__main__":
    main()
