"""Loading compares a reward model with the metadata of the saved one, in every precision."""

import shutil

import pytest
import torch
from changed_files import change_head, change_json
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig

from rlhf_losses import Scorer, bradley_terry
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.scores import find_head
from rlhf_losses.sandbox.tiny_models import build_tokenizer
from rlhf_losses.scoring import describe_model
from rlhf_losses.scoring.canaries import CANARY_TEXTS
from rlhf_losses.scoring.metadata import RewardModelMetadata

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
DATE = "{{ strftime_now('%d %b %Y') }}" + TEMPLATE


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Return the folder of a reward model of steps whose weights can be quantized, and whose head is not round."""
    from tiny_llama import tiny_classifier

    words = sorted({word for text in CANARY_TEXTS for word in text.split()})
    tokenizer = build_tokenizer(words)
    tokenizer.chat_template = DATE
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 64}
    model = tiny_classifier(**sizes, pad_token_id=tokenizer.pad_token_id)
    folder = tmp_path_factory.mktemp("wide")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    described = describe_model(bradley_terry, [], model, tokenizer, segmentation="paragraphs")
    described.save(folder)
    return folder


@pytest.fixture
def copied(wide, tmp_path):
    return shutil.copytree(wide, tmp_path / "model")


def refusal_of(folder, **options) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        Scorer.from_pretrained(folder, **options)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_head_is_that_of_the_file_in_every_precision(wide, dtype):
    head = find_head(Scorer.from_pretrained(wide, dtype=dtype).model).weight
    assert head.dtype == torch.float32
    assert torch.equal(head, load_file(wide / "model.safetensors")["score.weight"])


@pytest.mark.parametrize("loaded", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "rounded",
    [
        lambda weight: weight.bfloat16(),
        lambda weight: weight.half().float(),
        lambda weight: (weight * 1000).round() / 1000,
    ],
    ids=["bfloat16", "float16", "decimals"],
)
def test_a_rounded_head_is_refused(copied, rounded, loaded):
    change_head(copied, rounded)
    message = refusal_of(copied, dtype=loaded)
    assert "its score head has other weights" in message or "score of its canary" in message
    assert "Save the model again" in message


def test_a_changed_chat_template_is_refused_even_if_no_conversation_was_recorded(copied):
    assert all(canary.form == "text" for canary in RewardModelMetadata.load(copied).canaries)
    (copied / "chat_template.jinja").write_text(DATE.replace("<", "["))
    assert "its chat template has changed: it has the SHA-256 hash" in refusal_of(copied)
    (copied / "chat_template.jinja").unlink()
    assert "its chat template has changed: there is none" in refusal_of(copied)


@pytest.mark.parametrize(
    "change",
    [{"segmentation": "sentences"}, {"separator": " "}, {"aggregate": "minimum"}, {"aggregate_temperature": 2.0}],
    ids=lambda change: next(iter(change)),
)
def test_changed_settings_of_steps_are_refused(copied, change):
    change_json(copied, "reward_model.json", **change)
    [(name, value)] = change.items()
    message = refusal_of(copied)
    assert f"{name}={value!r}" in message
    assert "not the values that were saved" in message


def test_a_changed_padding_token_is_refused(copied, tmp_path):
    recorded = RewardModelMetadata.load(copied).pad_token_id
    change_json(copied, "config.json", pad_token_id=recorded + 1)
    assert f"of its configuration is {recorded + 1}, but {recorded} was recorded" in refusal_of(copied)


def test_another_padding_token_of_the_tokenizer_is_refused(copied):
    change_json(copied, "tokenizer_config.json", pad_token=Scorer.from_pretrained(copied).tokenizer.bos_token)
    assert "the padding token of its tokenizer is" in refusal_of(copied)


def quantized(bits: int) -> dict:
    pytest.importorskip("bitsandbytes", reason="quantized weights need it")
    options = {4: {"load_in_4bit": True, "bnb_4bit_compute_dtype": torch.float32}, 8: {"load_in_8bit": True}}
    return {"quantization_config": BitsAndBytesConfig(**options[bits])}


@pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning", "ignore:MatMul8bitLt")
@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_weights_are_loaded_and_a_lost_head_is_refused(wide, copied, bits):
    scorer = Scorer.from_pretrained(wide, **quantized(bits))
    assert torch.equal(find_head(scorer.model).weight, load_file(wide / "model.safetensors")["score.weight"])
    torch.manual_seed(1)
    change_head(copied, lambda weight: 0.02 * torch.randn_like(weight))
    message = refusal_of(copied, **quantized(bits))
    tolerance = {4: "75%", 8: "25%"}[bits]
    assert (
        "its score head has other weights" in message
        or f"its weights have changed (quantization to {bits} bits changes scores by at most {tolerance})" in message
    )
