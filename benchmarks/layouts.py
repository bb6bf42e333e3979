"""Time of training and scoring in every layout, beside TRL on the same data, model and machine.

    python benchmarks/layouts.py
    python benchmarks/layouts.py --lists qa_feedback/rankings.train.jsonl
    python benchmarks/layouts.py --size 0.5B --bf16 --attention flash_attention_2      # on a GPU; attention is TRL's

Every contestant trains a new copy of one model with one `trainer.train()` a round; rounds are interleaved, and the
median counts. The share of the floor is the time that the distinct tokens would take at the machine's measured
matrix-product rate, divided by the time taken. A forward pass needs 2 operations a weight and token, and in each
layer 4 a hidden unit and pair of tokens of which one sees the other; training needs three times as many.
"""

import csv
import itertools
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import trl
from datasets.utils.logging import disable_progress_bar
from measure import Measured, environment, linear_parameters, matrix_rate, measuring
from transformers import AutoModelForCausalLM, Qwen2Config
from workloads import SIZES, Workload, as_pairs, dialogues, from_file, make_model

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.layouts import PrefixSharedLayout


@dataclass
class Settings:
    """What to measure."""

    size: str = field(default="16M", metadata={"help": f"Size of the model: {', '.join(SIZES)}."})
    pairs: str | None = field(default=None, metadata={"help": "JSON Lines with prompt, chosen, rejected."})
    lists: str | None = field(default=None, metadata={"help": "JSON Lines with prompt, completions, ranks."})
    batch: int = field(default=8, metadata={"help": "Pairs or lists a batch."})
    pair_steps: int = field(default=8, metadata={"help": "Batches of pairs a round."})
    list_steps: int = field(default=1, metadata={"help": "Batches of lists a round."})
    rounds: int = field(default=3, metadata={"help": "Rounds."})
    bf16: bool = field(default=False, metadata={"help": "Train under bfloat16 autocast."})
    attention: str = field(default="sdpa", metadata={"help": "attn_implementation of TRL's contestants."})
    only: str | None = field(default=None, metadata={"help": "Measure only pairs, lists or scoring."})
    output: str = field(default="benchmarks/results/layouts.csv", metadata={"help": "Where the numbers go."})


@dataclass
class Contestant:
    """A way to do the work: `prepare` makes ready what is not measured, and returns what is."""

    name: str
    prepare: Callable[[], Callable[[], Any]]
    tokens: int = 0


GROUPED = {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False}
"""TRL's trainer drops the column of lengths, so columns are selected by hand."""

COLUMNS = (
    "workload", "contestant", "seconds", "times_the_first", "tokens", "distinct_tokens", "distinct_tokens_a_second",
    "floor", "memory_mib",
)  # fmt: skip


def main() -> None:
    """Measure, print the table, and write it."""
    (settings,) = trl.TrlParser([Settings]).parse_args_and_config()
    disable_progress_bar()
    print(environment(), "; bfloat16 autocast" if settings.bf16 else "; float32")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, contest in {"pairs": pairs, "lists": lists, "scoring": scoring}.items():
            if settings.only in (None, name):
                rows += contest(settings, folder)
    Path(settings.output).parent.mkdir(parents=True, exist_ok=True)
    with open(settings.output, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def pairs(settings: Settings, folder: str) -> list[dict[str, Any]]:
    """Train on pairs: TRL as it comes, TRL grouped by length, and our layouts."""
    rows = settings.batch * settings.pair_steps
    workload = from_file(settings.pairs, rows) if settings.pairs else dialogues(rows)
    arguments = _arguments(settings, folder)
    contestants = [
        _trl("TRL", workload, settings, arguments),
        _trl("TRL, grouped by length", workload, settings, arguments | GROUPED),
        *(
            _ours(layout, workload, settings, arguments, "bradley_terry")
            for layout in ("padded", "packed", "prefix_shared")
        ),
    ]
    return _contest(workload, contestants, settings, passes=3)


def lists(settings: Settings, folder: str) -> list[dict[str, Any]]:
    """Train on lists: TRL on every pair of them, a loop over pairs, and our layouts."""
    rows = settings.batch * settings.list_steps
    workload = from_file(settings.lists, rows) if settings.lists else _four_answers(rows)
    arguments = _arguments(settings, folder)
    every_pair = as_pairs(workload)
    contestants = [
        _trl("TRL on every pair", every_pair, settings, arguments | {"gradient_accumulation_steps": 6}),
        _looped("a loop over the pairs of a list", workload, settings),
        *(
            _ours(layout, workload, settings, arguments, "accumulated_pairs")
            for layout in ("padded", "packed", "prefix_shared")
        ),
        _ours("prefix_shared", workload, settings, arguments, "accumulated_pairs", tokens_per_pass=100_000),
    ]
    return _contest(workload, contestants, settings, passes=3)


def scoring(settings: Settings, folder: str) -> list[dict[str, Any]]:
    """Score eight completions a prompt: as TRL's GRPO calls a reward model, and with the scorer."""
    workload = from_file(settings.lists, 8) if settings.lists else _four_answers(8)
    rows = [{**row, "completions": (row["completions"] * 8)[:8]} for row in workload.rows]
    for row in rows:
        row["completions"] = [f"{text} Variant {number}." for number, text in enumerate(row["completions"])]
    workload = Workload(workload.name + ", 8 completions", rows, workload.tokenizer)
    prompts = [row["prompt"] for row in rows for _ in row["completions"]]
    completions = [text for row in rows for text in row["completions"]]
    scorers = [
        _scorer(layout, workload, settings, prompts, completions) for layout in ("padded", "packed", "prefix_shared")
    ]
    contestants = [_grpo(workload, settings, folder, prompts, completions), *scorers]
    return _contest(workload, contestants, settings, passes=1)


def _contest(
    workload: Workload, contestants: list[Contestant], settings: Settings, passes: int
) -> list[dict[str, Any]]:
    measured: dict[str, list[Measured]] = {contestant.name: [] for contestant in contestants}
    for _, contestant in itertools.product(range(settings.rounds), contestants):
        work = contestant.prepare()
        with measuring() as one:
            work()
        measured[contestant.name].append(one)
        del work
    model = make_model(settings.size, workload.tokenizer)
    rate = matrix_rate(torch.bfloat16 if settings.bf16 else torch.float32, _device())
    distinct, seen = _distinct(workload)
    layers, hidden = model.config.num_hidden_layers, model.config.hidden_size
    floor = passes * (2 * linear_parameters(model) * distinct + 4 * layers * hidden * seen) / rate
    first = statistics.median(one.seconds for one in measured[contestants[0].name])
    print(f"\n{workload.name}: {len(workload.rows)} rows, {distinct:,} distinct tokens, {rate / 1e9:.0f} GFLOP/s\n")
    print(
        f"| | seconds (range) | x {contestants[0].name} | tokens | distinct tokens a second | share of the floor | "
        "peak memory, MiB |\n" + "|---" * 7 + "|"
    )
    rows = []
    for contestant in contestants:
        seconds = [one.seconds for one in measured[contestant.name]]
        median, memory = statistics.median(seconds), max(one.memory for one in measured[contestant.name])
        print(
            f"| {contestant.name} | {median:.2f} ({min(seconds):.2f}–{max(seconds):.2f}) | {first / median:.2f} | "
            f"{contestant.tokens:,} | {distinct / median:,.0f} | {floor / median:.0%} | {memory:,.0f} |",
            flush=True,
        )
        values = (
            workload.name,
            contestant.name,
            median,
            first / median,
            contestant.tokens,
            distinct,
            distinct / median,
            floor / median,
            memory,
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _trl(name: str, workload: Workload, settings: Settings, arguments: dict[str, Any]) -> Contestant:
    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer, attention=settings.attention)
        trainer = trl.RewardTrainer(
            model, trl.RewardConfig(**arguments), train_dataset=workload.dataset, processing_class=workload.tokenizer
        )
        rows = trainer.train_dataset.select_columns(["chosen_ids", "rejected_ids"])
        trainer.train_dataset = rows.add_column("length", [max(map(len, row.values())) for row in rows])
        contestant.tokens = sum(batch["input_ids"].numel() for batch in trainer.get_train_dataloader())
        return trainer.train

    contestant = Contestant(name, prepare)
    return contestant


def _ours(
    layout: Any, workload: Workload, settings: Settings, arguments: dict[str, Any], loss: str, **ours: Any
) -> Contestant:
    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer)
        trainer = RewardTrainer(
            model, RewardConfig(**arguments, layout=layout, **ours), train_dataset=workload.dataset,
            processing_class=workload.tokenizer, loss=loss,
        )  # fmt: skip
        batches = trainer.get_train_dataloader()
        contestant.tokens = sum(
            one["model_inputs"]["input_ids"].numel() for batch in batches for one in batch["passes"]
        )
        return trainer.train

    contestant = Contestant(", ".join(["rlhf_losses", layout, *(f"{k}={v}" for k, v in ours.items())]), prepare)
    return contestant


def _looped(name: str, workload: Workload, settings: Settings) -> Contestant:
    """Train as people write it by hand: the answers of a list padded together, and a loop over their pairs."""

    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer, attention=settings.attention).to(_device()).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        tokenizer = workload.tokenizer

        def train() -> None:
            contestant.tokens = 0
            for first in range(0, len(workload.rows), settings.batch):
                batch = workload.rows[first : first + settings.batch]
                for row in batch:
                    texts = [row["prompt"] + answer + tokenizer.eos_token for answer in row["completions"]]
                    inputs = tokenizer(texts, padding=True, return_tensors="pt").to(_device())
                    contestant.tokens += inputs["input_ids"].numel()
                    with torch.autocast(_device(), torch.bfloat16, enabled=settings.bf16):
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

    contestant = Contestant(name, prepare)
    return contestant


def _grpo(
    workload: Workload, settings: Settings, folder: str, prompts: list[str], completions: list[str]
) -> Contestant:
    def prepare() -> Callable[[], Any]:
        policy = AutoModelForCausalLM.from_config(
            Qwen2Config(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                        num_key_value_heads=2, vocab_size=len(workload.tokenizer))
        )  # fmt: skip
        trainer = trl.GRPOTrainer(
            policy, reward_funcs=make_model(settings.size, workload.tokenizer, attention=settings.attention).eval(),
            args=trl.GRPOConfig(
                folder, report_to="none", bf16=settings.bf16, use_cpu=_device() == "cpu",
                per_device_train_batch_size=64, num_generations=8,
            ),
            train_dataset=workload.dataset, processing_class=workload.tokenizer,
            reward_processing_classes=workload.tokenizer,
        )  # fmt: skip
        texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        contestant.tokens = workload.tokenizer(texts, padding=True, return_tensors="pt")["input_ids"].numel()
        inputs = [{"prompt": prompt} for prompt in prompts]
        return lambda: trainer._calculate_rewards(inputs, prompts, completions, [[0]] * len(prompts))

    contestant = Contestant("TRL's GRPO", prepare)
    return contestant


def _scorer(
    layout: Any, workload: Workload, settings: Settings, prompts: list[str], completions: list[str]
) -> Contestant:
    def prepare() -> Callable[[], Any]:
        model = make_model(settings.size, workload.tokenizer).to(_device())
        scorer = Scorer(model.bfloat16() if settings.bf16 else model, workload.tokenizer, layout=layout)
        return lambda: scorer(prompts, completions)

    texts = [workload.tokenizer(text)["input_ids"] for text in workload.texts()]
    tokens = {"padded": len(texts) * max(map(len, texts)), "packed": sum(map(len, texts))}
    return Contestant(f"rlhf_losses, {layout}", prepare, tokens.get(layout, _distinct(workload)[0]))


def _arguments(settings: Settings, folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder, "num_train_epochs": 1, "per_device_train_batch_size": settings.batch, "max_length": None,
        "learning_rate": 1e-4, "bf16": settings.bf16, "use_cpu": _device() == "cpu",
        "gradient_checkpointing": False, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "logging_strategy": "no", "dataloader_pin_memory": False,
    }  # fmt: skip


def _four_answers(rows: int) -> Workload:
    from workloads import grouped

    return grouped(rows, prompt=700, answers=4, answer=95)


def _distinct(workload: Workload) -> tuple[int, int]:
    """Return the distinct tokens of the rows, counted row by row, and the pairs of which one sees the other."""
    layout, eos = PrefixSharedLayout(shortest_shared=1), workload.tokenizer.eos_token
    tokens = seen = 0
    for row in workload.rows:
        answers = row.get("completions") or [row["chosen"], row["rejected"]]
        texts = [workload.tokenizer(row["prompt"] + answer + eos)["input_ids"] for answer in answers]
        positions = layout.arrange(texts).model_inputs["tree"].positions
        tokens += len(positions)
        seen += int((positions + 1).sum())
    return tokens, seen


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
