"""Models whose position ids change above a text length: scores of `Scorer` depend on the text alone."""

import logging

import pytest
import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig, Phi3Config

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.models.architectures import longrope_threshold

pytestmark = pytest.mark.upstream


def phi3(tokenizer) -> Phi3Config:
    return Phi3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, original_max_position_embeddings=64, num_labels=1,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 10_000.0, "original_max_position_embeddings": 64,
            "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
        },
    )  # fmt: skip


def encoded(length: int) -> Encoded:
    ids = torch.randint(5, 30, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    return Encoded(ids, (length - 1,))


@pytest.mark.parametrize("layout", ["padded", "packed", "prefix_shared"])
def test_a_short_text_has_the_same_score_alone_and_with_a_long_one(tokenizer, layout):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(phi3(tokenizer))
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.25)
    scorer = Scorer(model, tokenizer, layout=layout)
    short, long = encoded(60), encoded(100)
    ((alone,),) = scorer.score_encoded([short])
    (together,), _ = scorer.score_encoded([short, long])
    assert together == pytest.approx(alone, abs=1e-5)
    batch = scorer.forward.layout.batch([short.ids, long.ids], [0], [59])
    with torch.no_grad():
        mixed = model(**batch.model_inputs, use_cache=False).logits
    assert mixed.flatten()[0 if mixed.dim() == 2 else 59].item() != pytest.approx(alone, abs=1e-3)


def test_training_on_texts_above_the_length_logs_a_warning(tokenizer, settings, pairs, caplog):
    model = AutoModelForSequenceClassification.from_config(phi3(tokenizer))
    for longest in (64, 65):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "rlhf_losses"):
            RewardTrainer(
                model, RewardConfig(**settings(max_length=longest)), pairs, processing_class=tokenizer,
                loss="bradley_terry",
            )  # fmt: skip
        assert ("max_length=64" in caplog.text) == (longest > 64)


def test_other_models_have_no_threshold():
    assert longrope_threshold(LlamaConfig()) == float("inf")
    assert longrope_threshold(LlamaConfig(rope_parameters={"rope_type": "default", "rope_theta": 1e4})) == float("inf")
