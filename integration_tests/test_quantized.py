"""LoRA on a 4-bit base: the same scores and gradients in every layout, and a plain model at the end."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tiny_llama import tiny_policy
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer
from rlhf_losses.layouts import PackedLayout, PaddedLayout, PrefixSharedLayout, choose_layout
from rlhf_losses.models.peft import keep_4bit_trainable
from rlhf_losses.models.scores import score_batch
from rlhf_losses.ppo.critic_init import choose_critic

pytest.importorskip("bitsandbytes", reason="4-bit weights need it")
pytestmark = [
    pytest.mark.upstream,
    pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning"),
]

FOUR_BITS = {
    "quantization_config": BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    ),
    "dtype": torch.float32,
}
LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
PLAIN = PaddedLayout(pad_token_id=0)
SHARED = list(range(5, 40))
TEXTS = [[*SHARED, 41, 42, 43], [*SHARED, 51, 52], SHARED[:20], [61, 62, 63, 64]]


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory, tokenizer) -> str:
    """Return the folder of a language model with at least 64 columns, the block size of the quantization."""
    folder = tmp_path_factory.mktemp("wide")
    tiny_policy(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def quantized(wide_model):
    torch.manual_seed(0)
    base = AutoModelForSequenceClassification.from_pretrained(wide_model, num_labels=1, **FOUR_BITS)
    assert type(base.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    return get_peft_model(base, LORA)


@pytest.mark.parametrize("layout", [PackedLayout(), PrefixSharedLayout()], ids=["packed", "prefix_shared"])
def test_scores_and_gradients_equal_those_of_the_padded_layout(quantized, layout):
    keep_4bit_trainable(quantized)
    assert choose_layout(quantized, PLAIN, layout.name) == layout
    quantized.train()
    padded, ours = (scores_and_gradients(quantized, one) for one in (PLAIN, layout))
    assert padded.keys() == ours.keys()
    for name, expected in padded.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-5, msg=name)


def scores_and_gradients(model, layout) -> dict[str, torch.Tensor]:
    scored = [(text, position) for text, ids in enumerate(TEXTS) for position in range(len(ids))]
    scores = score_batch(model, layout.batch(TEXTS, *zip(*scored, strict=True)))
    model.zero_grad()
    scores.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {"scores": scores.detach()} | gradients


def test_save_merged_writes_a_plain_model_with_the_same_scores(wide_model, tmp_path, settings, pairs):
    config = RewardConfig(**settings(max_steps=6, learning_rate=3e-3, model_init_kwargs=FOUR_BITS))
    trainer = RewardTrainer(wide_model, config, pairs, peft_config=LORA)
    trainer.train()
    folder = trainer.save_merged(tmp_path / "merged")
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    assert not hasattr(plain.config, "quantization_config")
    assert type(plain.model.layers[0].mlp.up_proj) is torch.nn.Linear
    assert {p.dtype for p in plain.parameters()} == {torch.float32}
    prompts, completions = ["Q "] * 3, ["yes", "no", "perhaps"]
    theirs = Scorer(trainer.model.eval(), trainer.processing_class)(prompts, completions)
    assert Scorer.from_pretrained(folder)(prompts, completions) == pytest.approx(theirs, rel=1e-3, abs=1e-3)


def test_a_critic_from_a_4bit_model_has_plain_weights_and_the_same_values(quantized):
    ids = torch.tensor([TEXTS[0]])
    policy = tiny_policy(vocab_size=quantized.config.vocab_size)
    critic = choose_critic(quantized, policy, tokenizer=None, reward_funcs=[])
    assert type(critic.backbone.layers[0].mlp.up_proj) is torch.nn.Linear
    critic.requires_grad_(True)  # as with full training of the policy
    with torch.no_grad():
        values = critic(ids, torch.ones_like(ids), num_tokens=2)
        torch.testing.assert_close(values[:, -1], quantized.eval()(ids).logits[:, 0], rtol=1e-3, atol=1e-3)


def test_a_4bit_policy_starts_from_the_policy_of_the_rollout(wide_model, tmp_path, settings):
    """The ratio before the first update is 1, also in packed layouts, and `save_merged` writes a plain model."""

    def length(completions, **_):
        return [float(len(text)) for text in completions]

    config = PPOConfig(**settings(max_steps=2, max_completion_length=8, model_init_kwargs=FOUR_BITS))
    prompts = Dataset.from_dict({"prompt": [f"{'Say it. ' * (i % 3)}{i}:" for i in range(16)]})
    trainer = PPOTrainer(wide_model, length, config, prompts, peft_config=LORA)
    assert trainer.sequence_forward.layout == PrefixSharedLayout()
    trainer.train()
    first = next(entry for entry in trainer.state.log_history if "ratio" in entry)
    assert first["ratio"] == pytest.approx(1, abs=1e-4)
    assert first["approx_kl"] == pytest.approx(0, abs=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(trainer.save_merged(tmp_path / "merged"))
    assert type(plain.model.layers[0].mlp.up_proj) is torch.nn.Linear
