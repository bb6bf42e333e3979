"""Hidden states of frozen layers are stored only if they are the same in every epoch, in decoders and encoders."""

import pytest
import torch
import transformers as hf
from peft import LoraConfig, TaskType, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification

from rlhf_losses.layouts import PaddedLayout, choose_layout
from rlhf_losses.models.scores import score_batch
from rlhf_losses.training.hidden_state_cache import HiddenStateCache, find_cached_layers

pytestmark = pytest.mark.upstream

COMMON = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_labels": 1,
}
MARKS = {"cls_token_id": 1, "sep_token_id": 2}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
OPT = {name: value for name, value in COMMON.items() if name != "intermediate_size"}
WINDOWS = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
BERT = hf.BertConfig(**COMMON, **NO_DROPOUT)
LLAMA = hf.LlamaConfig(**COMMON)
FAMILIES = {
    "Qwen2, upper layers with a window": (
        hf.Qwen2Config(**COMMON, num_key_value_heads=2, **WINDOWS),
        ["q_proj", "v_proj"],
    ),
    "BERT": (BERT, ["query", "value"]),
    "ModernBERT": (hf.ModernBertConfig(**COMMON, **MARKS, local_attention=8, global_attn_every_n_layers=2), ["Wqkv"]),
}
TEXTS = [[5, 6, 7, 8, 9], [5, 6, 7, 10], [11, 12]]


def make(config: hf.PretrainedConfig) -> nn.Module:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config)


def adapted(config: hf.PretrainedConfig, names: list[str], **options) -> nn.Module:
    """Return a model with adapters in its second layer and above."""
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=2, target_modules=names, layers_to_transform=[1, 2], init_lora_weights=False,
        **options,
    )  # fmt: skip
    return get_peft_model(make(config), lora)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("requested", ["padded", "auto"])
def test_stored_hidden_states_give_the_same_scores_and_gradients(family, requested):
    model = adapted(*FAMILIES[family])
    layout = choose_layout(model, PaddedLayout(pad_token_id=0), requested)
    one = layout.batch(TEXTS, range(len(TEXTS)), [len(text) - 1 for text in TEXTS])
    cached = find_cached_layers(model, HiddenStateCache(gib=1.0))
    results = []
    for reused in (0, 1):
        with cached.use(one):
            scores = score_batch(model, one)
        assert cached.reused_passes == reused
        trained = [p for p in model.parameters() if p.requires_grad]
        results.append([scores, *torch.autograd.grad(scores.square().sum(), trained, allow_unused=True)])
    torch.testing.assert_close(*results)


def upper_layers_and(name: str) -> nn.Module:
    """Return a BERT in which the last layer and the module `name` are trained."""
    model = make(BERT)
    for parameter in model.bert.parameters():
        parameter.requires_grad = False
    for trained in (model.bert.encoder.layer[-1], model.get_submodule(name)):
        trained.requires_grad_()
    return model


CHANGING = {
    "word embeddings": (lambda: upper_layers_and("bert.embeddings.word_embeddings"), "are trained"),
    "a norm after the embeddings": (lambda: upper_layers_and("bert.embeddings.LayerNorm"), "are trained"),
    "some tokens": (lambda: adapted(LLAMA, ["q_proj"], trainable_token_indices=[3]), "are trained"),
    "dropout of a layer": (lambda: adapted(hf.BertConfig(**COMMON), ["query"]), "dropout"),
    "dropout of the embeddings": (
        lambda: adapted(hf.ModernBertConfig(**COMMON, **MARKS, embedding_dropout=0.1), ["Wqkv"]),
        "dropout",
    ),
    "dropout without a module": (
        lambda: adapted(hf.OPTConfig(**OPT, ffn_dim=48, word_embed_proj_dim=32, dropout=0.1), ["q_proj"]),
        "dropout",
    ),
}


@pytest.mark.parametrize("case", CHANGING)
def test_hidden_states_that_change_between_epochs_are_not_stored(case, caplog):
    make_model, reason = CHANGING[case]
    with caplog.at_level("WARNING", "rlhf_losses"):
        assert find_cached_layers(make_model(), HiddenStateCache(gib=1.0)) is None
    assert reason in caplog.text


def test_modules_after_the_frozen_layers_may_be_trained():
    assert find_cached_layers(upper_layers_and("bert.pooler"), HiddenStateCache(gib=1.0)).depth == 2
