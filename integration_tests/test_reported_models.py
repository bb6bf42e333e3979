"""Models and habits of public bug reports: padding, templates with EOS at every turn, added tokens, merged folders."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
)

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, UnsupportedModelError

pytestmark = [
    pytest.mark.upstream,
    pytest.mark.filterwarnings("ignore:fan_in_fan_out", "ignore:Setting `save_embedding_layers`"),
]

CHATS = [
    {
        "prompt": [{"role": "user", "content": f"What is {i}?"}],
        "chosen": [{"role": "assistant", "content": f"It is {i}, a number."}],
        "rejected": [{"role": "assistant", "content": "No" + "!" * i}],
    }
    for i in range(8)
]


@pytest.fixture
def pad_is_missing(other_tokenizer):
    """Return a tokenizer with EOS at the end of every turn and no padding token, as that of Llama 3."""
    other_tokenizer.pad_token = None
    return other_tokenizer


def save_language_model(model, tokenizer, folder) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_adapters_on_pythia_score_several_texts_at_once(pad_is_missing, tmp_path, settings, pairs):
    """The configuration of GPT-NeoX names no padding token, and transformers then refuses more than one text."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(pad_is_missing), **shape))
    base = save_language_model(model, pad_is_missing, tmp_path / "pythia")
    trainer = RewardTrainer(base, RewardConfig(**settings()), pairs, peft_config=LoraConfig(r=2))
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    texts = ["one", "another text", "a third"]
    for folder in (tmp_path / "saved", trainer.save_merged(tmp_path / "merged")):
        scorer = Scorer.from_pretrained(folder, layout="padded")
        assert scorer.tokenizer.pad_token_id != scorer.tokenizer.eos_token_id
        assert scorer.score(texts) == pytest.approx([scorer.score([text])[0] for text in texts], abs=1e-5)


def test_the_score_is_that_of_the_last_turn_where_every_turn_ends_with_eos(
    language_model, pad_is_missing, tmp_path, settings
):
    """With `pad = eos`, a plain classifier takes the score before EOS, or of the first turn."""
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), Dataset.from_list(CHATS), processing_class=pad_is_missing
    )
    trainer.train()
    folder = trainer.save_merged(tmp_path / "merged")
    scorer, tokenizer = Scorer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    talks = [row["prompt"] + row["chosen"] for row in CHATS]
    texts = [tokenizer.apply_chat_template(talk, tokenize=False) for talk in talks]
    assert all(text.count(tokenizer.eos_token) == 2 for text in texts)
    batch = tokenizer(texts, padding=True, padding_side="right", add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        logits = plain(**batch).logits.squeeze(-1)
    assert scorer.score(talks) == pytest.approx(logits.tolist(), abs=1e-5)


def test_tokens_that_were_added_to_gpt2_are_refused_or_get_embeddings(other_tokenizer, tmp_path, settings):
    """Before, the run ended with an `IndexError` in the first step."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(other_tokenizer), n_embd=32, n_layer=2, n_head=4))
    other_tokenizer.add_special_tokens({"bos_token": "<|startoftext|>", "pad_token": "<|padding|>"})
    base = save_language_model(model, other_tokenizer, tmp_path / "gpt2")
    rows = Dataset.from_list([{"chosen": f"<|startoftext|>{i}", "rejected": "no"} for i in range(8)])
    with pytest.raises(UnsupportedModelError, match=r"'<\|startoftext\|>' \(id 260\).*260 embeddings.*262 tokens"):
        RewardTrainer(base, RewardConfig(**settings()), rows)
    trainer = RewardTrainer(base, RewardConfig(**settings(resize_embeddings=True)), rows, peft_config=LoraConfig(r=2))
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    scorer = Scorer.from_pretrained(tmp_path / "saved")
    merged = Scorer.from_pretrained(trainer.save_merged(tmp_path / "merged"))
    texts = ["<|startoftext|>1", "no"]
    assert scorer.score(texts) == pytest.approx(merged.score(texts), abs=1e-5)


def test_adapters_that_are_loaded_twice_have_the_scores_of_training(language_model, tmp_path, settings, pairs):
    """Without the head in the adapter, each load has a new random head, and other scores."""
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), pairs, peft_config=LoraConfig(r=2, target_modules=["q_proj"])
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    texts = ["one", "another text"]
    first, second = (Scorer.from_pretrained(tmp_path / "saved").score(texts) for _ in range(2))
    assert first == pytest.approx(second, abs=1e-6)
    live = Scorer(trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class)
    assert first == pytest.approx(live.score(texts), abs=1e-4)


def test_merged_weights_in_the_folder_of_a_checkpoint_are_loaded_once(language_model, tmp_path, settings, pairs):
    """transformers adds an adapter that it finds beside merged weights."""
    peft_config = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), pairs, peft_config=peft_config)
    folder = tmp_path / "model"
    trainer.save_model(str(folder))
    trainer.save_merged(folder)
    ids = torch.tensor([[1, 50, 60, 2]])
    with torch.no_grad():
        loaded = AutoModelForSequenceClassification.from_pretrained(folder)(input_ids=ids).logits
        live = trainer.model.eval()(input_ids=ids).logits
    torch.testing.assert_close(loaded, live, rtol=1e-4, atol=1e-4)
