"""Every model family gives the same scores and gradients in every layout, or uses the padded layout and logs why."""

import logging

import pytest
import torch
import transformers as hf
from thorough_cases import every_nth
from torch import nn
from transformers import AutoModelForSequenceClassification

from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout, choose_layout
from rlhf_losses.layouts.attention import EXPERIMENTAL_TREE_ATTENTIONS, TREE_ATTENTION
from rlhf_losses.models.architectures import PADDING_OFFSET_MODEL_TYPES, first_position, max_context_length
from rlhf_losses.models.scores import find_head, score_batch

VOCABULARY = 97
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_labels": 1,
}
GROUPED = {**COMMON, "num_key_value_heads": 2}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 1}

DECODERS = {
    "Llama": lambda: hf.LlamaConfig(**GROUPED),
    "Qwen2": lambda: hf.Qwen2Config(**GROUPED),
    "Qwen2, upper layers with a window": lambda: hf.Qwen2Config(
        **GROUPED, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
    "Qwen3": lambda: hf.Qwen3Config(**GROUPED, head_dim=8),
    "Mistral, sliding window": lambda: hf.MistralConfig(**GROUPED, sliding_window=6),
    "Gemma 2, soft-capping, alternating windows": lambda: hf.Gemma2Config(
        **GROUPED, head_dim=8, sliding_window=6, attn_logit_softcapping=2.0, query_pre_attn_scalar=8
    ),
    "Gemma 3, windows in most layers": lambda: hf.Gemma3TextConfig(
        **GROUPED, head_dim=8, sliding_window=6, query_pre_attn_scalar=8
    ),
    "Phi": lambda: hf.PhiConfig(**COMMON),
    "Phi 3": lambda: hf.Phi3Config(**GROUPED),
    "GPT-2, absolute positions": lambda: hf.GPT2Config(**GPT2, **SPECIAL_TOKENS),
    "GPT-NeoX (Pythia)": lambda: hf.GPTNeoXConfig(**COMMON),
    "OPT, absolute positions": lambda: hf.OPTConfig(
        **{name: value for name, value in COMMON.items() if name != "intermediate_size"},
        ffn_dim=48,
        word_embed_proj_dim=32,
    ),
    "Mixtral, experts": lambda: hf.MixtralConfig(**GROUPED, num_local_experts=4),
    "Qwen2-MoE, experts": lambda: hf.Qwen2MoeConfig(
        **GROUPED, num_experts=4, moe_intermediate_size=24, shared_expert_intermediate_size=24
    ),
}
CLS = {"cls_token_id": 1, "sep_token_id": 2}
ENCODERS = {
    "BERT": lambda: hf.BertConfig(**COMMON),
    "ModernBERT, windows in most layers": lambda: hf.ModernBertConfig(
        **COMMON, **CLS, local_attention=8, global_attn_every_n_layers=2
    ),
    "RoBERTa, position ids after padding_idx": lambda: hf.RobertaConfig(**COMMON),
    "ELECTRA": lambda: hf.ElectraConfig(**COMMON, embedding_size=16),
    "DistilBERT": lambda: hf.DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=32,
        hidden_dim=48,
        n_layers=3,
        n_heads=4,
        max_position_embeddings=128,
        **SPECIAL_TOKENS,
    ),
}
PADDED = {
    "ModernBERT, mean over tokens": (
        lambda: hf.ModernBertConfig(**COMMON, **CLS, classifier_pooling="mean"),
        "averages over the tokens",
    ),
    "EuroBERT, mean over scores": (
        lambda: hf.EuroBertConfig(**COMMON, mask_token_id=3, classifier_pooling="late"),
        "averages over the tokens",
    ),
    "DeBERTa, biased by distance": (lambda: hf.DebertaV2Config(**COMMON), "AttentionInterface"),
    "Bloom, biased by distance": (
        lambda: hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, **SPECIAL_TOKENS),
        "AttentionInterface",
    ),
    "gpt-oss, attention sinks": (
        lambda: hf.GptOssConfig(**GROUPED, head_dim=8, num_local_experts=4, num_experts_per_tok=2),
        "s_aux",
    ),
    "ELECTRA, causal": (
        lambda: hf.ElectraConfig(**COMMON, embedding_size=16, is_decoder=True),
        "one score per text",
    ),
}
PLAIN = PaddedLayout(pad_token_id=0)
pytestmark = [
    pytest.mark.upstream,
    pytest.mark.filterwarnings("ignore:`torch.jit.script`"),  # DeBERTa in older transformers
]


def make(config: hf.PretrainedConfig, seed: int = 0) -> nn.Module:
    """Return a model with large random weights: with the small initial ones attention has little effect."""
    torch.manual_seed(seed)
    # Older transformers run Gemma 2 with a kernel without soft-capping by default.
    options = {"attn_implementation": "eager"} if isinstance(config, hf.Gemma2Config) else {}
    model = AutoModelForSequenceClassification.from_config(config, **options)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.25)
    return model.eval()


def texts() -> list[list[int]]:
    """Return texts of three prompts: completions, steps of completions, and a text that is a prefix of another."""
    tokens = torch.randint(3, VOCABULARY, (200,), generator=torch.Generator().manual_seed(1)).tolist()
    first, second = tokens[:30], tokens[30:50]
    return [
        first + tokens[50:70],
        first + tokens[70:80],
        first + tokens[70:80] + tokens[80:95],
        first,
        second + tokens[100:103],
        second + tokens[110:130],
        tokens[150:160],
    ]


def score(model: nn.Module, layout, every: int = 1) -> torch.Tensor:
    """Return the scores of all tokens, or of every n-th one."""
    lines = texts()
    scored = [(text, position) for text, ids in enumerate(lines) for position in range(len(ids))]
    return score_batch(model, layout.batch(lines, *zip(*scored[::every], strict=True)))


def score_whole(model: nn.Module, layout) -> torch.Tensor:
    """Return the scores of whole texts."""
    lines = texts()
    return score_batch(model, layout.batch(lines, range(len(lines)), [len(ids) - 1 for ids in lines]))


MAKERS = {**DECODERS, **ENCODERS, **{family: maker for family, (maker, _) in PADDED.items()}}


@pytest.mark.parametrize("family", MAKERS)
def test_scores_of_whole_texts_are_the_logits_of_the_model(family):
    model = make(MAKERS[family]())
    lines = PLAIN.arrange(texts()).model_inputs
    torch.testing.assert_close(score_whole(model, PLAIN), model(**lines).logits.squeeze(-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout()], ids=["packed", "prefix_shared"])
@pytest.mark.parametrize("family", DECODERS)
def test_scores_and_gradients_equal_those_of_the_padded_layout(family, layout):
    model = make(DECODERS[family]())
    expected = score(model, PLAIN)
    gradients = gradients_of(model, expected)

    assert choose_layout(model, PLAIN, layout.name) == layout
    scores = score(model, layout)

    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(score(model, layout, every=2), expected[::2], rtol=1e-4, atol=1e-4)
    assert_same_gradients(gradients_of(model, scores), gradients)


@pytest.mark.parametrize("requested", ["auto", "packed"])
@pytest.mark.parametrize("family", ENCODERS)
def test_encoders_get_the_packed_layout(family, requested):
    model = make(ENCODERS[family]())
    expected = score_whole(model, PLAIN)
    gradients = gradients_of(model, expected)

    layout = choose_layout(model, PLAIN, requested)
    assert layout.name == "packed"
    scores = score_whole(model, layout)

    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    assert_same_gradients(gradients_of(model, scores), gradients)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_padding_token_inside_a_text_has_its_meaning_for_the_model(family):
    model = make(ENCODERS[family]())
    lines = [[5, 6, 0, 7, 8], [0, 9, 9], [7, 8, 9]]
    expected = model(**PLAIN.arrange(lines).model_inputs).logits.squeeze(-1)
    inputs = choose_layout(model, PLAIN).batch(lines, range(3), [4, 2, 2])
    torch.testing.assert_close(score_batch(model, inputs), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_accepts_texts_of_its_max_context_length(family):
    model = make(ENCODERS[family]())
    layout, longest = choose_layout(model, PLAIN), max_context_length(model.config)
    scores = [score_batch(model, one.batch([[5] * longest], [0], [longest - 1])) for one in (PLAIN, layout)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-4)
    assert longest == 128 - first_position(model)


@pytest.mark.parametrize("model_type", sorted(PADDING_OFFSET_MODEL_TYPES))
def test_first_position_is_after_padding_idx_in_listed_model_types(model_type):
    config = hf.AutoConfig.for_model(model_type, **COMMON, attention_window=[4] * 3, entity_vocab_size=9, emb_size=32)
    config.pad_token_id = 1  # as in all released models
    model = AutoModelForSequenceClassification.from_config(config)
    assert max_context_length(config) + first_position(model) == COMMON["max_position_embeddings"]
    assert first_position(model) == 2


class LastToken(nn.Module):
    """A head on the last token of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.linear(hidden[:, -1])


def test_an_encoder_with_a_head_on_another_token_gets_the_padded_layout(caplog):
    model = make(ENCODERS["RoBERTa, position ids after padding_idx"]())
    model.classifier = LastToken()
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        assert choose_layout(model, PLAIN, "packed") is PLAIN
    assert "a trial pass differs by" in caplog.text


@pytest.mark.parametrize("family", ENCODERS)
def test_prefix_sharing_is_refused_for_encoders(family, caplog):
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        assert choose_layout(make(ENCODERS[family]()), PLAIN, "prefix_shared") is PLAIN
    assert "is bidirectional, so a prompt depends on its completion; packed is supported" in caplog.text


def gradients_of(model: nn.Module, scores: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    scores.square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    largest = max(gradient.norm() for gradient in theirs.values())
    for name, expected in theirs.items():
        # The gradient of a key bias is rounding only: softmax does not change with a constant.
        size = expected.norm().clamp(min=1e-3 * largest)
        assert (ours[name] - expected).norm() / size < 1e-4, name


@pytest.mark.parametrize("family", every_nth(DECODERS, 3))
def test_bfloat16_scores_and_gradients_differ_by_rounding_only(family):
    assert_rounding_only(DECODERS[family], score, "prefix_shared", "packed")


@pytest.mark.parametrize("family", ENCODERS)
def test_bfloat16_scores_and_gradients_of_encoders_differ_by_rounding_only(family):
    assert_rounding_only(ENCODERS[family], score_whole, "packed")


def assert_rounding_only(maker, scores, *layouts: str) -> None:
    """Compare the rounding errors with those of the padded layout in bfloat16.

    The head is in float32, as in training. In one model an error may happen to be small, so the errors of several are
    added.
    """
    padded_errors, errors, differences = torch.zeros(2), torch.zeros(len(layouts), 2), torch.zeros(len(layouts), 2)
    for seed in range(5):
        exact = measured(make(maker(), seed), scores, PLAIN)
        padded = measured(in_bfloat16(maker, seed), scores, PLAIN)
        padded_errors += squared_distances(padded, exact)
        for number, name in enumerate(layouts):
            model = in_bfloat16(maker, seed)
            layout = choose_layout(model, PLAIN, name)
            assert layout.name == name
            ours = measured(model, scores, layout)
            errors[number] += squared_distances(ours, exact)
            differences[number] += squared_distances(ours, padded)
    assert (errors < 1.5**2 * padded_errors).all(), (errors.sqrt(), padded_errors.sqrt())
    assert (differences < 1.5**2 * padded_errors).all(), (differences.sqrt(), padded_errors.sqrt())


def squared_distances(ours, theirs) -> torch.Tensor:
    """Return the squared distances of the scores and of the gradients."""
    return torch.stack([(a - b).square().sum() for a, b in zip(ours, theirs, strict=True)])


def in_bfloat16(maker, seed: int = 0) -> nn.Module:
    model = make(maker(), seed).bfloat16()
    find_head(model).float()
    return model


def measured(model: nn.Module, scores, layout) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores, and the gradients of all weights in one vector."""
    found = scores(model, layout)
    gradients = gradients_of(model, found)
    rows = [gradients.get(name, torch.zeros_like(weight)) for name, weight in model.named_parameters()]
    return found.detach(), torch.cat([row.float().flatten() for row in rows])


@pytest.mark.parametrize("family", PADDED)
def test_an_unsupported_model_gets_the_padded_layout_with_a_reason(family, caplog):
    config, reason = PADDED[family]
    model = make(config())
    before = model.config._attn_implementation
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        assert choose_layout(model, PLAIN) is PLAIN
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("rlhf_losses")]
    assert line.startswith("Layout: padded.")
    assert reason in line
    assert model.config._attn_implementation == before


def test_padded_scores_stay_the_same_after_the_choice():
    """The model keeps the new attention function, which is ordinary attention without a tree."""
    for family in ("Llama", "Gemma 2, soft-capping, alternating windows", "Mistral, sliding window"):
        model = make(DECODERS[family]())
        expected = score(model, PLAIN)
        choose_layout(model, PLAIN)
        torch.testing.assert_close(score(model, PLAIN), expected, rtol=1e-4, atol=1e-4)


def test_a_wrong_layout_is_found_by_the_trial(caplog):
    """In a model that ignores the tree, tokens attend to all earlier tokens of the row."""
    model = make(DECODERS["Llama"]())
    forward = model.model.forward
    model.model.forward = lambda *args, tree=None, **kwargs: forward(*args, **kwargs)
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        assert choose_layout(model, PLAIN, "packed") is PLAIN
    assert "differs" in caplog.text


@pytest.mark.parametrize("name", [TREE_ATTENTION, *EXPERIMENTAL_TREE_ATTENTIONS])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_every_attention_function_is_loaded_by_its_name(name, tmp_path):
    """transformers reserves names that contain "flash"."""
    make(DECODERS["Llama"]()).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation=name)
    assert choose_layout(model, PLAIN).name == "prefix_shared"
    assert model.config._attn_implementation == name
