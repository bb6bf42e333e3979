"""Run TRL's tests of its `RewardTrainer` against this package's, with only the import changed.

    python integration_tests/trl_reward_trainer_tests.py TRL/tests/test_reward_trainer.py [--class trl] [-k NAME]

Other arguments are those of pytest. `--class trl` runs the tests on TRL's class, as a check of the stand-ins.

TRL's tests load models and datasets from the Hub by name. Here a folder with the same names has stand-ins: models with
random weights of the same architectures, tokenizers with the same special tokens, and datasets with the same columns
and numbers of rows.

The tests of the class are changed in one more place: a prepared dataset has one column `text_ids` with all texts of a
row here, where TRL has `chosen_ids` and `rejected_ids`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

ORGANIZATION = "trl-internal-testing"
ROOT = Path(__file__).parents[1]

SUBJECTS = ("the sky", "a poem", "the number two", "a short word", "the old house", "bread", "the moon", "a good name")
COLOURS = ("blue", "green", "red", "grey", "white")
NUM_TRAIN, NUM_TEST = 17, 2

TURNS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_TEMPLATE = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}" + TURNS
LLAMA_TEMPLATE = QWEN_TEMPLATE.replace("<|im_start|>", "<|start_header_id|>").replace("<|im_end|>", "<|eot_id|>")

IMPORTS = {
    "from trl import RewardConfig, RewardTrainer": "from rlhf_losses import RewardConfig, RewardTrainer",
}
PREPARED_COLUMNS = {
    'assert "chosen_ids" in trainer.train_dataset.column_names': (
        'assert "text_ids" in trainer.train_dataset.column_names'
    ),
    'assert "rejected_ids" in trainer.train_dataset.column_names\n': "\n",
    'trainer.train_dataset[i]["chosen_ids"][:': 'trainer.train_dataset[i]["text_ids"][0][:',
    'trainer.train_dataset[i]["rejected_ids"][:': 'trainer.train_dataset[i]["text_ids"][1][:',
    'assert "chosen_ids" in next(iter(trainer.eval_dataset': 'assert "text_ids" in next(iter(trainer.eval_dataset',
}
"""Lines about the columns of a prepared dataset, and the same claims about the column of this package."""

HELPERS = '''
"""The names that TRL's tests import from their helpers."""

import pytest


class TrlTestCase:
    @pytest.fixture(autouse=True)
    def set_tmp_dir(self, tmp_path):
        self.tmp_dir = str(tmp_path)


def require_peft(test):
    return test
'''

CONFTEST = '''
"""Settings of a machine without an accelerator, and the folder of shared files."""

from pathlib import Path

import pytest
import torch
from trl.trainer.base_config import _BaseConfig


@pytest.fixture(autouse=True)
def train_on_cpu(monkeypatch):
    original = _BaseConfig.__post_init__

    def without_accelerator(self):
        self.use_cpu = not torch.cuda.is_available()
        original(self)

    monkeypatch.setattr(_BaseConfig, "__post_init__", without_accelerator)


@pytest.fixture
def lazy_shared_datadir():
    return Path(__file__).parent / "data"
'''


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests and return the exit code of pytest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tests", type=Path, help="TRL's tests/test_reward_trainer.py")
    parser.add_argument("--class", dest="tested", choices=["rlhf_losses", "trl"], default="rlhf_losses")
    options, pytest_arguments = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return run(options.tests, Path(folder), options.tested, pytest_arguments)


def run(tests: Path, folder: Path, tested: str = "rlhf_losses", pytest_arguments: Sequence[str] = ()) -> int:
    """Run TRL's tests in a folder with stand-ins.

    Args:
        tests: TRL's `tests/test_reward_trainer.py`.
        folder: an empty folder.
        tested: `"rlhf_losses"`, or `"trl"` for TRL's class.
        pytest_arguments: further arguments of pytest.
    """
    source = tests.read_text(encoding="utf-8")
    if tested == "rlhf_losses":
        source = changed(source)
    package = folder / "tests"
    (package / "data").mkdir(parents=True)
    (package / "data" / "template.jinja").write_text(QWEN_TEMPLATE, encoding="utf-8")
    files = {"test_reward_trainer.py": source, "testing_utils.py": HELPERS, "conftest.py": CONFTEST, "__init__.py": ""}
    for name, content in files.items():
        (package / name).write_text(content, encoding="utf-8")
    write_datasets(folder / ORGANIZATION)
    write_models(folder)
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CI": "1", "PYTHONPATH": paths}
    environment["HF_DATASETS_CACHE"] = str(folder / "cache")
    command = [sys.executable, "-m", "pytest", "tests/test_reward_trainer.py", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *pytest_arguments], cwd=folder, env=environment, check=False).returncode


def changed(source: str) -> str:
    """Return TRL's tests with the import and the prepared column of this package."""
    for old, new in IMPORTS.items():
        if old not in source:
            raise SystemExit(f"The file does not contain the line '{old}'. Give TRL's tests/test_reward_trainer.py.")
        source = source.replace(old, new)
    for old, new in PREPARED_COLUMNS.items():
        source = source.replace(old, new)
    return source


def write_datasets(folder: Path) -> None:
    """Write `zen`, pairs in four formats, and `toolcall`, pairs with a tool call in the chosen answer."""
    splits = {"train": range(NUM_TRAIN), "test": range(NUM_TRAIN, NUM_TRAIN + NUM_TEST)}
    formats = {
        "standard_preference": lambda i: dict(zip(("prompt", "chosen", "rejected"), pair(i), strict=True)),
        "standard_implicit_prompt_preference": lambda i: standard_implicit(*pair(i)),
        "conversational_preference": lambda i: conversational(*pair(i)),
        "conversational_implicit_prompt_preference": lambda i: conversational_implicit(*pair(i)),
    }
    rows = {
        name: {split: [make(i) for i in numbers] for split, numbers in splits.items()} for name, make in formats.items()
    }
    write_configs(folder / "zen", rows)
    write_configs(folder / "toolcall", {"preference": {"train": [tool_call(i) for i in range(NUM_TRAIN)]}})


def pair(number: int) -> tuple[str, str, str]:
    """Return a prompt, a chosen and a rejected completion."""
    subject, colour = SUBJECTS[number % len(SUBJECTS)], COLOURS[number % len(COLOURS)]
    return f"Say something about {subject}.", f" I would call {subject} {colour}, or nearly so.", f" No {number}."


def standard_implicit(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"chosen": prompt + chosen, "rejected": prompt + rejected}


def conversational(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "prompt": [turn("user", prompt)],
        "chosen": [turn("assistant", chosen)],
        "rejected": [turn("assistant", rejected)],
    }


def conversational_implicit(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    row = conversational(prompt, chosen, rejected)
    return {name: row["prompt"] + row[name] for name in ("chosen", "rejected")}


def turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def tool_call(number: int) -> dict[str, Any]:
    """Return a pair of conversations with a tool, which the chosen one calls; the schemas of tools differ."""
    colour = COLOURS[number % len(COLOURS)]
    name, argument = ("set_colour", "colour") if number % 2 else ("set_name", "name")
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    function = {"name": name, "description": f"Set the {argument}.", "parameters": parameters}
    call = {"type": "function", "function": {"name": name, "arguments": {argument: colour}}}
    return {
        "prompt": [turn("user", f"Make it {colour}.")],
        "chosen": [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "name": name, "content": colour},
            turn("assistant", "Done."),
        ],
        "rejected": [turn("assistant", f"I cannot set anything to {colour}.")],
        "tools": json.dumps([{"type": "function", "function": function}]),
    }


def write_configs(folder: Path, rows: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """Write a dataset folder with several configurations, which `load_dataset` selects by name."""
    configs = []
    for name, splits in rows.items():
        (folder / name).mkdir(parents=True)
        for split, content in splits.items():
            lines = [json.dumps(row) + "\n" for row in content]
            (folder / name / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        files = "".join(f"\n  - split: {split}\n    path: {name}/{split}.jsonl" for split in splits)
        configs.append(f"- config_name: {name}\n  data_files:{files}\n")
    (folder / "README.md").write_text(f"---\nconfigs:\n{''.join(configs)}---\n", encoding="utf-8")


def write_models(folder: Path) -> None:
    """Write the models and tokenizers under the names that the tests use."""
    qwen = tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], QWEN_TEMPLATE)
    qwen.eos_token, qwen.pad_token = "<|im_end|>", "<|endoftext|>"
    llama = tokenizer(
        ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>",
         "<|start_header_id|>", "<|eot_id|>"],
        LLAMA_TEMPLATE,
    )  # fmt: skip
    llama.bos_token, llama.eos_token = "<|begin_of_text|>", "<|eot_id|>"  # without a padding token, as Llama 3
    neox = tokenizer(["<|endoftext|>", "<|padding|>"], None)
    neox.bos_token = neox.eos_token = neox.unk_token = "<|endoftext|>"  # the same, as GPT-NeoX
    layers = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    grouped = {**layers, "num_key_value_heads": 2}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 2}
    qwen_config = Qwen2Config(vocab_size=len(qwen), **grouped)
    causal = {
        "tiny-Qwen2ForCausalLM-2.5": (Qwen2ForCausalLM(qwen_config), qwen),
        "tiny-Qwen3MoeForCausalLM": (
            Qwen3MoeForCausalLM(Qwen3MoeConfig(vocab_size=len(qwen), **grouped, **experts)), qwen
        ),
        "tiny-LlamaForCausalLM-3.2": (LlamaForCausalLM(LlamaConfig(vocab_size=len(llama), **grouped)), llama),
        "tiny-GPTNeoXForCausalLM": (GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(neox), **layers)), neox),
    }  # fmt: skip
    scorer_config = Qwen2Config(vocab_size=len(qwen), num_labels=1, **grouped)
    causal["tiny-Qwen2ForSequenceClassification-2.5"] = (Qwen2ForSequenceClassification(scorer_config), qwen)
    for name, (model, its_tokenizer) in causal.items():
        model.save_pretrained(folder / ORGANIZATION / name)
        its_tokenizer.save_pretrained(folder / ORGANIZATION / name)
    qwen.save_pretrained(folder / "Qwen" / "Qwen3-4B")  # only its chat template and tokens are used
    write_remote_model(folder / ORGANIZATION / "tiny-RemoteForCausalLM", qwen, layers)


REMOTE_CODE = """
from transformers import AutoModel, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification, Qwen2Model


class RemoteConfig(Qwen2Config):
    model_type = "remote"


class RemoteModel(Qwen2Model):
    config_class = RemoteConfig


class RemoteForCausalLM(Qwen2ForCausalLM):
    config_class = RemoteConfig


class RemoteForSequenceClassification(Qwen2ForSequenceClassification):
    config_class = RemoteConfig


AutoModel.register(RemoteConfig, RemoteModel, exist_ok=True)
"""


def write_remote_model(folder: Path, its_tokenizer: PreTrainedTokenizerFast, layers: dict[str, int]) -> None:
    """Write a model whose classes are in a file of its folder."""
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(its_tokenizer), num_key_value_heads=2, **layers))
    model.save_pretrained(folder)
    its_tokenizer.save_pretrained(folder)
    (folder / "remote.py").write_text(REMOTE_CODE, encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    classes = {"AutoConfig": "Config", "AutoModelForCausalLM": "ForCausalLM"}
    classes["AutoModelForSequenceClassification"] = "ForSequenceClassification"
    config["auto_map"] = {auto: f"remote.Remote{name}" for auto, name in classes.items()}
    config |= {"model_type": "remote", "architectures": ["RemoteForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def tokenizer(special_tokens: list[str], template: str | None) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer that is trained on the texts of the stand-ins."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=special_tokens, show_progress=False
    )
    texts = [text for i in range(NUM_TRAIN) for text in (*pair(i), json.dumps(tool_call(i)))]
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, chat_template=template, extra_special_tokens=special_tokens, padding_side="right"
    )


if __name__ == "__main__":
    sys.exit(main())
