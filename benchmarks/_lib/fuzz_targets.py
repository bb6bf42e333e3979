"""Targets of fuzzing: what one random input is, and what reads it.

A target is made once with a folder for its files. Called with a source of random numbers, it makes one input and reads
it; an input that is accepted must give finite numbers.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Protocol
from unittest.mock import patch

import pyarrow
import torch
from datasets import Dataset, IterableDataset, disable_progress_bars
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from benchmarks._lib import fuzz_values
from rlhf_losses import Scorer
from rlhf_losses.cli import ppo, train
from rlhf_losses.cli.main import main
from rlhf_losses.cli.row_texts import TEXT_COLUMNS
from rlhf_losses.cli.score import score_rows
from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, prepare, required_feedback_types
from rlhf_losses.data.collator import Collator
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.data.dataset import column_names
from rlhf_losses.data.rating_groups import group_ratings
from rlhf_losses.errors import NonFiniteError
from rlhf_losses.feedback import Answer, feedback_types_in_columns
from rlhf_losses.files.columns import parse_columns
from rlhf_losses.files.splits import load_rows
from rlhf_losses.hooks import estimate_registry, loss_registry, transform_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.layouts import PaddedLayout
from rlhf_losses.losses import AnyLoss
from rlhf_losses.ppo.prompts import prompt_tokens
from rlhf_losses.scoring import evaluate
from rlhf_losses.scoring.metadata import describe_model
from rlhf_losses.testing.examples import example_batches_for, join

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Target(Protocol):
    """Makes and reads one input."""

    def __call__(self, rng: Random) -> None:
        """Make and read one input.

        Args:
            rng: source of random numbers.
        """


class AcceptedError(BaseException):
    """A command has read all its input and would start to train."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes with a chat template."""
    special = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: i for i, token in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForSequenceClassification:
    """Return a reward model with one layer and random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=512, num_labels=1, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForSequenceClassification(config).eval()


def save_reward_model(folder: Path) -> Path:
    """Save a reward model with its tokenizer and metadata, and return its folder."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loss = loss_registry().parse("bradley_terry")
    metadata = describe_model(loss, [loss.feedback_type], model, tokenizer)
    replace(metadata, transforms={"standardize": {"mean": 0.0, "std": 1.0}}).save(folder)
    return folder


def require_finite(values: Iterable[float]) -> None:
    """Raise `AssertionError` for a number that is NaN or infinite."""
    wrong = [value for value in values if not math.isfinite(value)]
    assert not wrong, f"an accepted input gives {wrong[0]}"


class Rows:
    """Rows of all feedback types: check, tokenization, batch and loss, from a table or a stream."""

    def __init__(self, _: Path) -> None:
        disable_progress_bars()
        self.tokenizer = build_tokenizer()

    def __call__(self, rng: Random) -> None:
        first = fuzz_values.row(rng)
        rows = [first, *([fuzz_values.mutated_row(rng, first)] if rng.random() < 0.3 else [])]
        rows[0] = fuzz_values.mutated_row(rng, first) if len(rows) == 1 else first
        dataset = as_dataset(rows, table=rng.random() < 0.3)
        loss = fitting_loss(rng, column_names(dataset))
        grouped = group_ratings(dataset, loss.as_objective())
        dataset = dataset if grouped is None else grouped.rows
        check_dataset(dataset, loss)
        types = required_feedback_types(loss, column_names(dataset))
        limit = LengthLimit(rng.choice([None, 50]), "max_length", rng.choice(["drop", "truncate_prompt", "error"]))
        prepared = list(prepare(dataset, RowEncoder(self.tokenizer, types), limit, loss=loss))
        if not prepared:
            return
        batch = Collator(PaddedLayout(0), types)(prepared)
        for one in batch["passes"]:
            scores = torch.linspace(-1, 1, len(one.score_row)).requires_grad_()
            value = loss(scores, one.feedback)
            if abs(value.item()) == math.inf:  # of numbers whose square float32 cannot hold; a run stops at this step
                raise NonFiniteError("The loss is infinite.")
            value.backward()
            require_finite([value.item(), *scores.grad.tolist()])


def fitting_loss(rng: Random, columns: list[str]) -> AnyLoss:
    """Return a loss for the feedback in columns, or one that needs pairs."""
    found = feedback_types_in_columns(columns)
    names = [entry.name for one in found for entry in loss_registry().for_feedback(one)]
    labelled = [name for name in names if loss_registry().parse(name).as_objective().uses_labels]
    return loss_registry().parse(rng.choice(labelled or ["bradley_terry"]))


def as_dataset(rows: list[fuzz_values.Row], table: bool) -> Dataset | IterableDataset:
    """Return rows as a table, or as a stream if Arrow cannot store them."""
    if table and not any(is_deep(value) for row in rows for value in row.values()):
        try:
            return Dataset.from_list(rows)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, RecursionError):
            pass
    columns = list(dict.fromkeys(column for row in rows for column in row))
    complete = [{column: row.get(column) for column in columns} for row in rows]
    return Stream(complete)


def is_deep(value: Any, depth: int = 0) -> bool:
    """Return whether lists or mappings are in one another so often that Arrow takes minutes for them."""
    if depth > 50:
        return True
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(is_deep(one, depth + 1) for one in inside)


class Stream(IterableDataset):
    """A stream over rows that `datasets` neither hashes nor converts."""

    def __init__(self, rows: list[fuzz_values.Row]) -> None:
        made = IterableDataset.from_generator(_yield, gen_kwargs={"rows": _Rows(rows)})
        self.__dict__.update(made.__dict__)


class _Rows:
    """Rows that the fingerprint of a stream does not read."""

    def __init__(self, rows: list[fuzz_values.Row]) -> None:
        self.rows = rows

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return _Rows, ([],)


def _yield(rows: _Rows) -> Iterable[fuzz_values.Row]:
    yield from rows.rows


class Texts:
    """Prompts, completions and columns of a scorer, rows of `score` and `evaluate`, and prompts of PPO."""

    def __init__(self, _: Path) -> None:
        disable_progress_bars()
        tokenizer = build_tokenizer()
        self.scorer = Scorer(build_model(tokenizer), tokenizer)

    def __call__(self, rng: Random) -> None:
        row = fuzz_values.row(rng)
        row = fuzz_values.mutated_row(rng, row) if rng.random() < 0.9 else row
        match rng.randrange(6):
            case 0:
                completions = [fuzz_values.odd_value(rng), fuzz_values.text(rng), fuzz_values.messages(rng)]
                completions = rng.sample(completions, k=rng.randint(1, 3))
                require_finite(self.scorer.score(rng.choice([completions, fuzz_values.odd_value(rng)])))
            case 1:
                prompts = rng.choice([fuzz_values.odd_value(rng), [row.get("prompt")]])
                completions = rng.choice([fuzz_values.odd_value(rng), [row.get("completion", "a")]])
                columns = {name: rng.choice([value, [value]]) for name, value in row.items() if isinstance(name, str)}
                for name in ("prompts", "completions", "prompt"):
                    columns.pop(name, None)
                require_finite(self.scorer(prompts, completions, **columns))
            case 2:
                require_finite(
                    self.scorer.score_steps(row.get("prompt"), row.get("completions", row.get("completion")))
                )
            case 3:
                answer = Answer(row.get("prompt"), (fuzz_values.odd_value(rng), *rng.choice([(), ("a",)])))
                require_finite(score for scores in self.scorer.score_answers([answer]) for score in scores)
            case 4:
                column = rng.choice(TEXT_COLUMNS)
                row = {**row, column: row.get(column, fuzz_values.odd_value(rng))}
                results = [result for _, result in score_rows(self.scorer, None, [row], 0)]
                json.dumps(results)
                require_finite(result["score"] for result in results if result["score"] is not None)
            case 5 if "prompt" in row:
                prompt_tokens(row, self.scorer.tokenizer)
            case _:
                evaluate(self.scorer, as_dataset([row], table=True))


class Expressions:
    """Strings of losses, transforms, estimates and columns; accepted losses are computed."""

    def __init__(self, _: Path) -> None:
        self.registry = loss_registry()
        self.names = list(self.registry)

    def __call__(self, rng: Random) -> None:
        match rng.randrange(10):
            case 0:
                transform_registry().parse(self._mutated(rng, self._transforms(rng)))
            case 1:
                estimate_registry().parse(self._mutated(rng, f"laplace(prior={self._value(rng)})"))
            case 2:
                parse_columns(self._mutated(rng, "chosen=a.b,rejected=c[0],prompt=d"))
            case _:
                loss = self.registry.parse(self._mutated(rng, self._sum(rng, 0)))
                self._compute(loss)
                assert self.registry.parse(str(loss)) == loss

    def _compute(self, loss: AnyLoss) -> None:
        try:
            batches = example_batches_for(loss)
        except AssertionError:  # the domain of the loss has no example
            return
        feedback = join(batches[0])
        scores = torch.linspace(-1, 1, feedback.score_count())
        require_finite([loss(scores, feedback).item()])

    def _sum(self, rng: Random, depth: int) -> str:
        terms = [self._term(rng, depth) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        return rng.choice([" + ", "+", " - ", " * ", " "] if rng.random() < 0.1 else [" + "]).join(terms)

    def _term(self, rng: Random, depth: int) -> str:
        if depth < 3 and rng.random() < 0.1:
            return f"{self._value(rng)} * ({self._sum(rng, depth + 1)})"
        name = rng.choice(self.names)
        known = list(self.registry[name].__dataclass_fields__)
        options = rng.sample(known, k=min(len(known), rng.randint(0, 2)))
        options = [*options, *(["unknown"] if rng.random() < 0.03 else [])]
        arguments = ", ".join(f"{option}={self._value(rng)}" for option in options)
        weight = f"{self._value(rng)} * " if rng.random() < 0.4 else ""
        return f"{weight}{name}({arguments})" if arguments else f"{weight}{name}"

    def _transforms(self, rng: Random) -> str:
        names = rng.choices([*transform_registry(), "clip(limit=5)", f"clip(limit={self._value(rng)})"], k=2)
        return " | ".join(names)

    def _value(self, rng: Random) -> str:
        odd = [
            "0",
            "-1",
            "1e999",
            "-1e-999",
            "99999999999",
            "1e308",
            "5e-324",
            "9**9**9",
            "2**100",
            "nan",
            "inf",
            "'a'",
        ]
        odd += ["True", "None", "[1]", "1j", "'learned'", "--1", "0x10", "1_000", "9" * 400, "9" * 5_000, "''", "b'a'"]
        odd += [repr(chr(0xD800)), "bradley_terry", "hinge(margin=1)", "'mean'", "'a=1, b=2'", "f'{1}'", "lambda: 0"]
        return rng.choice(odd) if rng.random() < 0.4 else str(rng.choice([1, 2, 3, 5, 0.1, 0.5, 1.5]))

    def _mutated(self, rng: Random, text: str) -> str:
        match rng.randrange(12):
            case 0:
                return fuzz_values.mutated_bytes(rng, text.encode("utf-8", "surrogatepass")).decode(
                    "utf-8", "surrogateescape"
                )
            case 1:
                count = rng.choice([3, 50, 300, 5_000])
                return "(" * count + text + ")" * rng.choice([count, count - 1])
            case 2:
                return " + ".join([text] * rng.choice([30, 500]))
            case 3:
                return rng.choice(["-", "not ", "~", "\n", "#", "\0", "x:=", "await ", "*"]) + text
            case 4:
                return text.replace(rng.choice(text), chr(rng.randrange(0x2FFF)), 1) if text else text
            case _:
                return text


class Arguments:
    """Command lines; a run that would train or load weights ends there."""

    def __init__(self, folder: Path) -> None:
        disable_progress_bars()
        self.folder = folder
        self.model = save_reward_model(folder / "model")
        self.data = folder / "pairs.jsonl"
        self.data.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 4)
        (folder / "bytes.yaml").write_bytes(b"\xff\xfe\0")
        (folder / "plugin.py").write_text("raise SystemExit(3)")
        (folder / "empty.py").write_text("")

    def __call__(self, rng: Random) -> None:
        run(self._command(rng), self.folder)

    def _command(self, rng: Random) -> list[str]:
        commands: Mapping[str, list[str]] = {
            "list": ["--feedback", "pairs"],
            "describe": ["bradley_terry"],
            "inspect": ["--dataset", str(self.data)],
            "train": self._training("--loss", "bradley_terry"),
            "ppo": self._training("--reward_model", str(self.model)),
            "score": ["--model", str(self.model), "--dataset", str(self.data)],
            "evaluate": ["--model", str(self.model), "--dataset", str(self.data)],
            "fit": ["laplace", "--model", str(self.model), "--dataset", str(self.data)],
        }
        name = rng.choice([*commands, "list", "describe", "train", "train"])
        words = list(commands[name])
        for _ in range(rng.choice([0, 1, 1, 2])):
            at = rng.randrange(len(words) + 1)
            match rng.randrange(5):
                case 0 | 1:
                    words[at:at] = [rng.choice(FLAGS), self._value(rng)]
                case 2:
                    words[at:at] = [f"{rng.choice(FLAGS)}={self._value(rng)}"]
                case 3 if words:
                    words[min(at, len(words) - 1)] = self._value(rng)
                case _:
                    words[at : at + 1] = rng.choice([[], [rng.choice(FLAGS)], words[at : at + 1] * 2])
        return [name, *words] if rng.random() < 0.95 else [*words, name]

    def _training(self, *words: str) -> list[str]:
        return [
            "--model",
            str(self.model),
            "--dataset",
            str(self.data),
            "--output_dir",
            str(self.folder / "out"),
            *words,
        ]

    def _value(self, rng: Random) -> str:
        paths = [self.folder, self.data, self.model, self.folder / "bytes.yaml", self.folder / "plugin.py"]
        paths += [self.folder / "empty.py", Path("/"), Path("."), Path("/dev/null"), self.folder / ("n" * 300)]
        values = [*map(str, paths), "", "   ", "-", "--", "-1", "0", "1", "2", "1e999", "nan", "inf", "2" * 30, "1.5"]
        values += [
            "true",
            "no",
            "None",
            "null",
            "[]",
            "{}",
            '{"a": 1}',
            "{",
            "a=b",
            "=",
            "n" * 300,
            "é\udcff",
            "\udcff",
        ]
        values += ["bradley_terry", "hinge(margin=1)", "levels=99999999999", "ordinal_regression(levels=99999999999)"]
        values += ["train", "test", "native", "hh_rlhf", "a\nb", "'", '"', "$HOME", "~", "hf://x", "http://127.0.0.1:9"]
        return rng.choice(values)


FLAGS = (
    *("--model", "--dataset", "--loss", "--output_dir", "--config", "--columns", "--converter", "--plugin", "--seed"),
    *("--max_steps", "--max_length", "--learning_rate", "--split", "--batch_size", "--device", "--transforms"),
    *("--per_device_train_batch_size", "--gradient_accumulation_steps", "--num_train_epochs", "--logging_steps"),
    *("--save_steps", "--save_total_limit", "--eval_strategy", "--save_strategy", "--eval_steps", "--overlong"),
    *("--layout", "--lora_r", "--lora_alpha", "--lora_dropout", "--lora_target_modules", "--no_use_peft", "--bf16"),
    *("--warmup_steps", "--weight_decay", "--max_grad_norm", "--lr_scheduler_type", "--optim", "--report_to"),
    *("--resume_from_checkpoint", "--eval_dataset", "--run_name", "--output", "--estimate", "--max_rows", "--json"),
    *("--chat_template_path", "--chat_template_kwargs", "--model_init_kwargs", "--dtype", "--attn_implementation"),
    *("--average_over", "--max_tokens_per_forward", "--pad_token", "--eos_token", "--feedback", "--family", "--beta"),
    *("--reward_model", "--reward_weights", "--temperature", "--num_generations", "--max_completion_length", "--gamma"),
    *("--critic", "--lam", "--skip_nonfinite", "--unknown", "-x", "--reference_samples", "--dataset_streaming"),
)
"""Flags of all commands."""


def run(words: list[str], folder: Path) -> None:
    """Run a command in this process; a trainer is not made.

    Args:
        words: the command line.
        folder: folder of the files of the run, whose output is removed.

    Raises:
        RlhfLossesError: the command refuses its input.
    """

    def stop(*_: Any, **__: Any) -> None:
        raise AcceptedError

    with (
        patch.object(train, "RewardTrainer", stop),
        patch.object(ppo, "PPOTrainer", stop),
        patch.dict("os.environ", {"RLHF_LOSSES_DEBUG": "1"}),
    ):
        try:
            main(words)
        except AcceptedError:
            pass
        except SystemExit as end:
            if end.code not in (0, None):  # --help and --version
                raise
    shutil.rmtree(folder / "out", ignore_errors=True)


class Configs:
    """Files for `--config`: valid YAML with odd values, and damaged YAML."""

    def __init__(self, folder: Path) -> None:
        self.arguments = Arguments(folder)
        self.file = folder / "run.yaml"

    def __call__(self, rng: Random) -> None:
        content = self._content(rng)
        content = fuzz_values.mutated_bytes(rng, content) if rng.random() < 0.3 else content
        self.file.write_bytes(content)
        run(["train", "--config", str(self.file)], self.arguments.folder)

    def _content(self, rng: Random) -> bytes:
        words = self.arguments._training("--loss", "bradley_terry")
        settings = dict(zip((word[2:] for word in words[::2]), words[1::2], strict=True))
        for _ in range(rng.choice([1, 1, 2])):
            settings[rng.choice(FLAGS).lstrip("-")] = self._yaml_value(rng)
        lines = "".join(f"{name}: {value}\n" for name, value in settings.items())
        return rng.choice([lines] * 8 + [self._odd_file(rng, lines)]).encode("utf-8", "surrogatepass")

    def _yaml_value(self, rng: Random) -> str:
        odd = [
            "",
            "[]",
            "{}",
            "[1, [2]]",
            "{1: 2}",
            "2024-01-01",
            "yes",
            "no",
            "on",
            "~",
            "null",
            ".nan",
            ".inf",
            "-.inf",
        ]
        odd += [
            "!!python/object:os.system x",
            "&a [*a]",
            "*unknown",
            "1e5",
            "1_000",
            "0o17",
            "12:30:45",
            "'a'",
            "-",
            "?",
        ]
        odd += [
            "!!binary aGVsbG8=",
            "!!set {a}",
            "|\n  a\n  b",
            json.dumps(fuzz_values.text(rng)),
            "9" * 400,
            "-1",
            "0",
        ]
        return rng.choice(odd)

    def _odd_file(self, rng: Random, lines: str) -> str:
        odd = ["", "-", "- a\n- b\n", "3", "null", "1: 2\n", "a: &a [*a]\n", "{" * 3_000, "[" * 3_000, lines + lines]
        odd += ["? [a]\n: b\n", "---\na: 1\n---\nb: 2\n", "\t", "%YAML 9.9\n---\na: 1", "env: 3\n", "env:\n  A: 1\n"]
        odd += [
            "!!python/object/apply:os.system ['true']",
            "loss: \ud800\n",
            "datasets: 3\n",
            "datasets: [{path: 3}]\n",
        ]
        return rng.choice(odd)


class DataFiles:
    """Data files with changed bytes, and JSON with odd values."""

    def __init__(self, folder: Path) -> None:
        disable_progress_bars()
        self.folder = folder
        rows = [{"prompt": 'a, "b"', "chosen": "né", "rejected": "c", "margin": i / 2} for i in range(5)]
        table = Dataset.from_list(rows)
        self.files: dict[str, bytes] = {}
        writers: Mapping[str, Callable[[Path], Any]] = {
            "jsonl": lambda file: table.to_json(file), "csv": lambda file: table.to_csv(file),
            "parquet": lambda file: table.to_parquet(file), "json": lambda file: table.to_json(file, lines=False),
        }  # fmt: skip
        for suffix, write in writers.items():
            write(folder / f"valid.{suffix}")
            self.files[suffix] = (folder / f"valid.{suffix}").read_bytes()
        self.files["tsv"] = self.files["csv"].replace(b",", b"\t")
        self.number = 0

    def __call__(self, rng: Random) -> None:
        suffix = rng.choice(list(self.files))
        content = fuzz_values.mutated_bytes(rng, self.files[suffix])
        if suffix in ("jsonl", "json") and rng.random() < 0.5:
            rows = [json_row(rng) for _ in range(rng.randint(1, 3))]
            content = (json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows))).encode()
        self.number += 1  # a new name, because readers cache by name
        file = self.folder / f"rows-{self.number}.{suffix}"
        file.write_bytes(content)
        try:
            dataset = convert_dataset(load_rows(file))
            loss = fitting_loss(rng, dataset.column_names)
            check_dataset(dataset, loss)
            if rng.random() < 0.3:
                inspect_dataset(dataset, loss_registry())
        finally:
            file.unlink()


def json_row(rng: Random) -> fuzz_values.Row:
    """Return a row that JSON can store."""
    row = fuzz_values.mutated_row(rng, fuzz_values.row(rng))
    try:
        return json.loads(json.dumps(row, default=str, skipkeys=True))
    except (ValueError, RecursionError):
        return {"chosen": "a", "rejected": 3}


class ModelFiles:
    """Files of a saved reward model with odd JSON values or changed bytes."""

    NAMES = ("reward_model.json", "reward_model.json", "config.json", "tokenizer_config.json", "tokenizer.json")

    def __init__(self, folder: Path) -> None:
        self.model = save_reward_model(folder / "saved")
        self.contents = {name: (self.model / name).read_bytes() for name in {*self.NAMES}}
        self.contents["adapter_config.json"] = json.dumps(
            {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": str(self.model), "r": 2}
        ).encode()

    def __call__(self, rng: Random) -> None:
        name = rng.choice([*self.NAMES, "reward_model.json", "reward_model.json", "adapter_config.json"])
        original = self.contents[name]
        changed = self._mutated(rng, original)
        try:
            (self.model / name).write_bytes(changed)
            scorer = Scorer.from_pretrained(self.model)
            require_finite(scorer.score(["A fox sang.", [{"role": "user", "content": "a"}]]))
            require_finite(scorer.with_transforms("standardize").score(["a"]))
        finally:
            if name == "adapter_config.json":
                (self.model / name).unlink()
            else:
                (self.model / name).write_bytes(original)

    def _mutated(self, rng: Random, content: bytes) -> bytes:
        if rng.random() < 0.25:
            return fuzz_values.mutated_bytes(rng, content)
        value = json.loads(content)
        place, key = value, None
        for _ in range(rng.randint(1, 4)):
            if not (isinstance(place, dict | list) and place):
                break
            parent, key = place, rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            place = parent[key]
        match rng.randrange(4):
            case 0 if isinstance(parent, dict):
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent["added"] = self._json(rng)
            case _:
                parent[key] = self._json(rng)
        return json.dumps(value).encode()

    def _json(self, rng: Random) -> Any:
        odd = [None, True, 0, -1, 1.5, 10**30, math.nan, math.inf, "", "text", [], [1], ["a"], {}, {"a": 1}, "\ud800"]
        return rng.choice([*odd, {"__type": "AddedToken"}, [None], [[]], {"a": {"b": []}}, "a" * 5_000, 2, 3, "lines"])


TARGETS: Mapping[str, Callable[[Path], Target]] = {
    "rows": Rows,
    "scorer": Texts,
    "expressions": Expressions,
    "arguments": Arguments,
    "configs": Configs,
    "data_files": DataFiles,
    "model_files": ModelFiles,
}
"""Targets by name."""
