"""Time of training and scoring in every layout, beside TRL on the same data, model and machine.

    python benchmarks/layouts.py                                            # synthetic data
    python benchmarks/layouts.py --pairs pairs.jsonl --lists lists.jsonl    # yours, in any layout the library reads
    python benchmarks/layouts.py --only scoring --bf16 --rounds 1
    python benchmarks/layouts.py --size 0.5B --bf16 --attention flash_attention_2      # on a GPU; attention is TRL's

Every contestant trains a new copy of one model with one `trainer.train()` a round; rounds are interleaved, and the
median counts. One run more, which is not timed, counts tokens and operations. The columns:

* tokens: those that pass through the model, padding and repeated prompts included.
* distinct tokens a second: the data's distinct tokens, the same for all contestants, by the time taken.
* share of the floor: the time that the distinct tokens would take at the machine's measured matrix-product rate,
  divided by the time taken. A forward pass needs 2 operations a weight and token, and in each layer 4 a hidden unit
  and pair of tokens of which one sees the other; training needs three times as many. Our layouts leave out what nobody
  reads, the last layer's feed-forward at most tokens, and are held to the whole all the same.
* matrix rate used: the operations that the contestant really makes in matrix products and attention, padding included,
  divided by the time taken and by the same rate. They are counted, not derived (`counting.py`): on a CPU attention
  under a mask computes all pairs of tokens, a causal call those that are seen, and a backward pass the scores again.
  On a GPU torch counts a causal call as if all pairs were seen, and sees neither flash-attn nor FlexAttention.

The CSV keeps the rows of other work, workloads, sizes, precisions and devices, and replaces those of the same.
"""

import itertools
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import trl
from contest import Contest, Contestant, Row, device, keep
from datasets.utils.logging import disable_progress_bar
from files import lists_from, pairs_from
from measure import environment
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config
from transformers.trainer_callback import PrinterCallback
from workloads import SIZES, Workload, as_pairs, dialogues, grouped, make_model, with_answers

from rlhf_losses import RewardConfig, RewardTrainer, Scorer


@dataclass
class Settings:
    """What to measure."""

    size: str = field(default="16M", metadata={"help": f"Size of the model: {', '.join(SIZES)}."})
    pairs: str | None = field(default=None, metadata={"help": "A file of pairs, or of what can be read as pairs."})
    lists: str | None = field(default=None, metadata={"help": "A file of lists, or of pairs, lists of two."})
    batch: int = field(default=8, metadata={"help": "Pairs or lists a batch."})
    pair_steps: int = field(default=8, metadata={"help": "Batches of pairs a round."})
    list_steps: int = field(default=1, metadata={"help": "Batches of lists a round."})
    rounds: int = field(default=3, metadata={"help": "Rounds."})
    bf16: bool = field(default=False, metadata={"help": "Train under bfloat16 autocast, score with bfloat16 weights."})
    attention: str = field(default="sdpa", metadata={"help": "attn_implementation of TRL's contestants."})
    only: str | None = field(default=None, metadata={"help": "Measure only pairs, lists or scoring."})
    output: str = field(default="benchmarks/results/layouts.csv", metadata={"help": "Where the numbers go."})

    @property
    def contest(self) -> Contest:
        """AttentionOptions contests are held."""
        return Contest(self.size, self.rounds, self.bf16)


GROUPED = {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False}
"""TRL's trainer drops the column of lengths, so columns are selected by hand."""


def main() -> None:
    """Measure, print the tables, and put their rows into the CSV."""
    (settings,) = trl.TrlParser([Settings]).parse_args_and_config()
    disable_progress_bar()
    print(f"{environment()}; {settings.contest.precision}")
    with tempfile.TemporaryDirectory() as folder:
        for work, contest in {"pairs": pairs, "lists": lists, "scoring": scoring}.items():
            if settings.only in (None, work):
                keep([{"work": work, **row} for row in contest(settings, folder)], Path(settings.output))


def pairs(settings: Settings, folder: str) -> list[Row]:
    """Train on pairs: TRL as it comes, TRL grouped by length, and our layouts."""
    rows = settings.batch * settings.pair_steps
    workload = pairs_from(settings.pairs, rows) if settings.pairs else dialogues(rows)
    arguments = _arguments(settings, folder)
    contestants = [
        _trl("TRL", workload, settings, arguments),
        _trl("TRL, grouped by length", workload, settings, arguments | GROUPED),
        *(
            _ours(layout, workload, settings, arguments, "bradley_terry")
            for layout in ("padded", "packed", "prefix_shared")
        ),
    ]
    return settings.contest.hold(workload, contestants, passes=3)


def lists(settings: Settings, folder: str) -> list[Row]:
    """Train on lists: TRL on every pair of them, a loop over pairs, and our layouts."""
    rows = settings.batch * settings.list_steps
    workload = lists_from(settings.lists, rows) if settings.lists else grouped(rows, 700, 4, 95)
    arguments = _arguments(settings, folder)
    every_pair = as_pairs(workload)
    same_step = {"gradient_accumulation_steps": math.ceil(len(every_pair.rows) / len(workload.rows))}
    contestants = [
        _trl("TRL on every pair", every_pair, settings, arguments | same_step),
        _looped("a loop over the pairs of a list", workload, settings),
        *(
            _ours(layout, workload, settings, arguments, "accumulated_pairs")
            for layout in ("padded", "packed", "prefix_shared")
        ),
        _ours("prefix_shared", workload, settings, arguments, "accumulated_pairs", max_tokens_per_forward=100_000),
    ]
    return settings.contest.hold(workload, contestants, passes=3)


def scoring(settings: Settings, folder: str) -> list[Row]:
    """Score eight completions a prompt: as TRL's GRPO calls a reward model, and with the scorer."""
    workload = with_answers(lists_from(settings.lists, 64), 8, 8) if settings.lists else grouped(8, 700, 8, 95)
    rows = workload.rows
    prompts = [row["prompt"] for row in rows for _ in row["completions"]]
    completions = [text for row in rows for text in row["completions"]]
    scorers = [
        _scorer(layout, workload, settings, prompts, completions) for layout in ("padded", "packed", "prefix_shared")
    ]
    contestants = [_grpo(workload, settings, folder, prompts, completions), *scorers]
    return settings.contest.hold(workload, contestants, passes=1)


def _trl(name: str, workload: Workload, settings: Settings, arguments: dict[str, Any]) -> Contestant:
    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer, attention=settings.attention)
        trainer = trl.RewardTrainer(
            model, trl.RewardConfig(**arguments), train_dataset=workload.dataset, processing_class=workload.tokenizer
        )
        rows = trainer.train_dataset.select_columns(["chosen_ids", "rejected_ids"])
        trainer.train_dataset = rows.add_column("length", [max(map(len, row.values())) for row in rows])
        trainer.remove_callback(PrinterCallback)
        return trainer.train

    return Contestant(name, prepare)


def _ours(
    layout: Any, workload: Workload, settings: Settings, arguments: dict[str, Any], loss: str, **ours: Any
) -> Contestant:
    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer)
        trainer = RewardTrainer(
            model, RewardConfig(**arguments, layout=layout, **ours), train_dataset=workload.dataset,
            processing_class=workload.tokenizer, loss=loss,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        return trainer.train

    return Contestant(", ".join(["rlhf_losses", layout, *(f"{k}={v}" for k, v in ours.items())]), prepare)


def _looped(name: str, workload: Workload, settings: Settings) -> Contestant:
    """Train as people write it by hand: the answers of a list padded together, and a loop over their pairs."""

    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer, attention=settings.attention).to(device()).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        tokenizer = workload.tokenizer

        def train() -> None:
            for first in range(0, len(workload.rows), settings.batch):
                batch = workload.rows[first : first + settings.batch]
                for row in batch:
                    texts = [row["prompt"] + answer + tokenizer.eos_token for answer in row["completions"]]
                    inputs = tokenizer(texts, padding=True, return_tensors="pt").to(device())
                    with torch.autocast(device(), torch.bfloat16, enabled=settings.bf16):
                        scores = model(**inputs).logits[:, 0].float()
                    ranked = itertools.permutations(range(len(texts)), 2)
                    better = [(i, j) for i, j in ranked if row["ranks"][i] < row["ranks"][j]]
                    losses = [-F.logsigmoid(scores[i] - scores[j]) for i, j in better]
                    if losses:
                        (torch.stack(losses).mean() / len(batch)).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

        return train

    return Contestant(name, prepare)


def _grpo(
    workload: Workload, settings: Settings, folder: str, prompts: list[str], completions: list[str]
) -> Contestant:
    def prepare() -> Callable[[], Any]:
        policy = AutoModelForCausalLM.from_config(
            Qwen2Config(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                        num_key_value_heads=2, vocab_size=len(workload.tokenizer))
        )  # fmt: skip
        trainer = trl.GRPOTrainer(
            policy, reward_funcs=_judge(workload, settings, settings.attention),
            args=trl.GRPOConfig(
                folder, report_to="none", bf16=settings.bf16, use_cpu=device() == "cpu",
                per_device_train_batch_size=64, num_generations=8,
            ),
            train_dataset=workload.dataset, processing_class=workload.tokenizer,
            reward_processing_classes=workload.tokenizer,
        )  # fmt: skip
        inputs = [{"prompt": prompt} for prompt in prompts]
        return lambda: trainer._calculate_rewards(inputs, prompts, completions, [[0]] * len(prompts))

    return Contestant("TRL's GRPO", prepare)


def _scorer(
    layout: Any, workload: Workload, settings: Settings, prompts: list[str], completions: list[str]
) -> Contestant:
    def prepare() -> Callable[[], Any]:
        scorer = Scorer(_judge(workload, settings), workload.tokenizer, layout=layout)
        return lambda: scorer(prompts, completions)

    return Contestant(f"rlhf_losses, {layout}", prepare)


def _judge(workload: Workload, settings: Settings, attention: str = "sdpa") -> PreTrainedModel:
    model = make_model(settings.size, workload.tokenizer, attention=attention).to(device()).eval()
    return model.bfloat16() if settings.bf16 else model


def _arguments(settings: Settings, folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder, "num_train_epochs": 1, "per_device_train_batch_size": settings.batch, "max_length": None,
        "learning_rate": 1e-4, "bf16": settings.bf16, "use_cpu": device() == "cpu",
        "gradient_checkpointing": False, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "logging_strategy": "no", "dataloader_pin_memory": False,
    }  # fmt: skip


if __name__ == "__main__":
    main()
