"""A model that was saved in any precision is loaded in any precision, and another model is refused."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from thorough_cases import with_thorough
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, UnsupportedModelError
from rlhf_losses.models.precision import without_mixed_precision
from rlhf_losses.scoring.canaries import rounding_tolerance

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
ARCHITECTURES = {
    "llama": lambda size: LlamaForCausalLM(LlamaConfig(vocab_size=size, **LAYERS)),
    "qwen2": lambda size: Qwen2ForCausalLM(Qwen2Config(vocab_size=size, num_key_value_heads=2, **LAYERS)),
    "gpt2": lambda size: GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=3, n_head=4)),
}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
TEXTS = ["Red.", "A blue bird in a green tree.", "1 2 3"]
# PEFT warns that it adapts its settings to the layers of GPT-2.
pytestmark = [pytest.mark.filterwarnings("ignore:fan_in_fan_out"), pytest.mark.xdist_group("saved precision")]

lora = partial(LoraConfig, r=4, lora_dropout=0.0, target_modules="all-linear")


@pytest.fixture(scope="module")
def train(pairs, tokenizer, tmp_path_factory):
    def train(architecture, seed=0, peft_config=None, **settings):
        folder = tmp_path_factory.mktemp("precision")
        torch.manual_seed(seed)
        ARCHITECTURES[architecture](len(tokenizer)).save_pretrained(folder / "base")
        tokenizer.save_pretrained(folder / "base")
        arguments = {
            "max_steps": 4,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-2,
            "report_to": "none",
            "use_cpu": True,
        }
        args = RewardConfig(str(folder / "run"), save_strategy="no", seed=seed, **arguments, **settings)
        trainer = RewardTrainer(str(folder / "base"), args, pairs, peft_config=peft_config)
        trainer.train()
        trainer.save_model(str(folder / "saved"))
        trainer.save_merged(folder / "merged")
        return folder

    return train


@pytest.mark.parametrize(
    ("architecture", "seed"), with_thorough([("llama", 1), ("gpt2", 0)], [("llama", 0), ("llama", 2), ("qwen2", 0)])
)
def test_adapters_on_bfloat16_weights_are_loaded_in_any_precision(train, architecture, seed):
    folder = train(architecture, seed, lora(), model_init_kwargs={"dtype": "bfloat16"})
    for form in ("saved", "merged"):
        content = json.loads((folder / form / "reward_model.json").read_text())
        assert {canary["dtype"] for canary in content["canaries"]} == {"bfloat16"}
        for dtype in DTYPES:
            assert len(Scorer.from_pretrained(folder / form, dtype=dtype).score(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize(
    ("dtype", "autocast", "peft_config"),
    with_thorough(
        [("bfloat16", False, None), ("float32", True, lora())],
        [("float16", False, lora()), ("float32", True, None)],
    ),
    ids=["bfloat16_weights", "mixed_precision_adapters", "float16_adapters", "mixed_precision_weights"],
)
@pytest.mark.parametrize("architecture", ["llama"])
def test_other_precisions_are_loaded_in_any_precision(train, architecture, dtype, autocast, peft_config):
    """The scores of a model in mixed precision are recorded as the saved model gives them."""
    folder = train(architecture, 0, peft_config, bf16=autocast, model_init_kwargs={"dtype": dtype})
    for form in ("saved", "merged"):
        content = json.loads((folder / form / "reward_model.json").read_text())
        assert {canary["dtype"] for canary in content["canaries"]} == {dtype}
        for loaded in DTYPES:
            Scorer.from_pretrained(folder / form, dtype=loaded)


@pytest.mark.upstream
def test_scores_are_recorded_without_mixed_precision(train):
    folder = train("llama", 0, lora(), bf16=True)
    (canary, *_) = json.loads((folder / "saved" / "reward_model.json").read_text())["canaries"]
    scorer = Scorer.from_pretrained(folder / "saved")
    assert scorer.score([canary["input"]]) == pytest.approx([canary["score"]], rel=1e-5)


def test_mixed_precision_is_restored():
    model = torch.nn.Linear(1, 1)
    model._original_forward = lambda x: x
    model.forward = lambda x: x + 1
    with without_mixed_precision(model):
        assert model(1) == 1
    assert model(1) == 2


@pytest.fixture(scope="module")
def half(train) -> Path:
    """Return a folder with adapters that were trained on bfloat16 weights."""
    return train("llama", 0, lora(), model_init_kwargs={"dtype": "bfloat16"})


@pytest.fixture(params=["saved", "merged"])
def copied(half, request, tmp_path) -> Path:
    shutil.copytree(half / request.param, tmp_path / "model")
    return tmp_path / "model"


def change_weights(folder: Path, part: str, change) -> None:
    (file,) = folder.glob("*model.safetensors")
    weights = load_file(file)
    changed = {name: change(weight) if part in name else weight for name, weight in weights.items()}
    assert any(part in name for name in weights)
    save_file(changed, file, metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", with_thorough(DTYPES[-1:], DTYPES[:-1]), ids=str)
@pytest.mark.parametrize("seed", with_thorough([0], [1, 2]))
def test_a_new_head_is_refused_in_every_precision(copied, dtype, seed):
    torch.manual_seed(seed)
    change_weights(copied, "score", lambda weight: 0.02 * torch.randn_like(weight))
    with pytest.raises(UnsupportedModelError, match=r"score of its canary.*weights have changed"):
        Scorer.from_pretrained(copied, dtype=dtype)


def test_adapters_that_were_never_trained_are_refused(half, tmp_path):
    shutil.copytree(half / "saved", tmp_path / "model")
    change_weights(tmp_path / "model", "lora_B", torch.zeros_like)
    with pytest.raises(UnsupportedModelError, match=r"score of its canary.*weights have changed"):
        Scorer.from_pretrained(tmp_path / "model")


def test_another_chat_template_is_refused_however_little_it_changes_scores(copied):
    template = copied / "chat_template.jinja"
    template.write_text(template.read_text().replace("> ", ">"))
    with pytest.raises(UnsupportedModelError, match=r"canary conversation has other tokens.*chat template"):
        Scorer.from_pretrained(copied, dtype=torch.bfloat16)


def test_another_tokenizer_is_refused(copied):
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.backend_tokenizer.post_processor = None  # no BOS
    tokenizer.save_pretrained(copied)
    with pytest.raises(UnsupportedModelError, match=r"canary text has other tokens.*tokenizer"):
        Scorer.from_pretrained(copied)


def test_the_tolerance_is_that_of_the_least_precise_dtype():
    """32 times the unit roundoff, 2^-8 for bfloat16 and 2^-11 for float16, and at least 0.0001."""
    assert rounding_tolerance("float32", "float32") == rounding_tolerance("float64") == 1e-4
    assert (
        rounding_tolerance("bfloat16", "float32")
        == rounding_tolerance("float16", "bfloat16")
        == rounding_tolerance(None)
        == 32 / 256
    )
    assert rounding_tolerance("float16", "float32") == 32 / 2048
