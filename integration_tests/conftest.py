"""A tiny model and tokenizer, made in memory and saved to a temporary folder: nothing is downloaded."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CI", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import cli as cli
from command_line import done as done
from command_line import write_rows as write_rows
from datasets import Dataset
from peft import LoraConfig
from shared_models import one_language_model_per_seed
from shared_models import pytest_collection_finish as pytest_collection_finish
from shared_models import pytest_sessionfinish as pytest_sessionfinish
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per byte, and BOS before every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run the tests of this folder without checks of annotated shapes, which unit tests make."""
    from jaxtyping import config

    # pytest calls this hook for the tests of every folder.
    config.update("jaxtyping_disable", item.path.is_relative_to(Path(__file__).parent))
    try:
        return (yield)
    finally:
        config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session", autouse=True)
def shared_language_models() -> Iterator[None]:
    """Train the language model of each synthetic task once for all tests and workers."""
    with one_language_model_per_seed():
        yield


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture
def other_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer that a test may change."""
    return byte_tokenizer()


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the folder of a two-layer language model with its tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def reward_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForSequenceClassification:
    """Return a one-layer reward model that was never trained."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=0,
    )
    return LlamaForSequenceClassification(config)


@pytest.fixture(scope="session")
def pairs() -> Dataset:
    """Return sixteen pairs of different lengths."""
    rows = [
        {
            "prompt": f"What is {i} + {i}? ",
            "chosen": f"It is {2 * i}" + "." * (i % 5),
            "rejected": f"No idea{'!' * (i % 3)}",
            "margin": (i % 4) / 2,
        }
        for i in range(16)
    ]
    return Dataset.from_list(rows)


@pytest.fixture(scope="session")
def trained(language_model: str, pairs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a trainer that has trained adapters and a score head."""
    # Not above: the oldest jaxtyping checks only what no conftest has imported.
    from rlhf_losses.training import RewardConfig, RewardTrainer

    arguments = {"max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "report_to": "none"}
    trainer = RewardTrainer(
        language_model,
        RewardConfig(str(tmp_path_factory.mktemp("lora")), **arguments, bf16=False, use_cpu=True, disable_tqdm=True),
        train_dataset=pairs,
        peft_config=LoraConfig(r=4),
        loss="bradley_terry",
    )
    trainer.train()
    return trainer


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return training arguments that log every step, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        plain = {
            "output_dir": str(tmp_path / "run"),
            "max_steps": 3,
            "per_device_train_batch_size": 4,
            "per_device_eval_batch_size": 4,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "bf16": False,
            "gradient_checkpointing": False,
            "use_cpu": True,
            "disable_tqdm": True,
            "seed": 7,
        }
        return plain | changes

    return make
