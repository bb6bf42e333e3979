"""Encoders with their own tokenizers: trained, merged, saved and loaded as any reward model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, UnsupportedModelError

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
pytestmark = pytest.mark.upstream
PROMPTS, COMPLETIONS = ["Is it? ", "Why? "], ["Yes.", "Because it is, and was."]


def bert_tokenizer() -> hf.PreTrainedTokenizerFast:
    """Return a byte tokenizer that adds [CLS] before a text and [SEP] after it, and has no EOS token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )


@pytest.fixture
def encoder(tmp_path: Path) -> Callable[[str], str]:
    """Save a masked language model, or its body alone, with a tokenizer."""

    def save(family: str, suffix: str = "ForMaskedLM") -> str:
        torch.manual_seed(0)
        tokenizer, folder = bert_tokenizer(), tmp_path / family
        changes = {"cls_token_id": 1, "sep_token_id": 2} if family == "ModernBert" else {}
        config = getattr(hf, f"{family}Config")(vocab_size=len(tokenizer), **SHAPE, **changes)
        getattr(hf, f"{family}{suffix}")(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save


def plain_scores(folder: Path) -> list[float]:
    """Score the texts with transformers alone."""
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    texts = [prompt + completion for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)]
    with torch.no_grad():
        return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits[:, 0].tolist()


@pytest.mark.parametrize("targets", [None, "all-linear"])
@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
def test_an_encoder_with_adapters_scores_as_the_merged_plain_classifier(encoder, pairs, settings, family, targets):
    args = RewardConfig(**settings(save_strategy="steps", save_steps=3, learning_rate=1e-2))
    adapters = LoraConfig(r=4, target_modules=targets)
    trainer = RewardTrainer(encoder(family), args, pairs, peft_config=adapters, loss="bradley_terry")
    trainer.train()
    folder = trainer.save_merged()
    scores = Scorer.from_pretrained(folder)(PROMPTS, COMPLETIONS)
    assert scores == pytest.approx(plain_scores(folder), abs=1e-6)
    assert Scorer.from_pretrained(folder / "checkpoint-3")(PROMPTS, COMPLETIONS) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("family", ["Bert", "ModernBert", "ModernBertDecoder", "EuroBert"])
def test_new_modules_above_a_bare_encoder_are_trained_and_saved_with_the_adapter(encoder, pairs, settings, family):
    args = RewardConfig(**settings(save_strategy="steps", save_steps=3, learning_rate=1e-2))
    trainer = RewardTrainer(encoder(family, "Model"), args, pairs, peft_config=LoraConfig(r=4), loss="bradley_terry")
    trainer.train()
    folder = trainer.save_merged()
    scores = Scorer.from_pretrained(folder)(PROMPTS, COMPLETIONS)
    assert Scorer.from_pretrained(folder / "checkpoint-3")(PROMPTS, COMPLETIONS) == pytest.approx(scores, abs=1e-5)


def test_the_command_line_trains_an_encoder_without_default_lora_targets(encoder, pairs, done, tmp_path):
    rows = tmp_path / "pairs.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    done(
        "train", "--model", encoder("ModernBert"), "--dataset", rows, "--loss", "bradley_terry", "--max_steps", 1,
        "--output_dir", tmp_path / "reward", "--bf16", False, "--report_to", "none", "--disable_tqdm", True,
    )  # fmt: skip


def test_a_tokenizer_without_an_end_token_is_refused(language_model, pairs, settings, other_tokenizer):
    other_tokenizer.eos_token = None
    with pytest.raises(UnsupportedModelError, match=r"no EOS token.*eos_token='TOKEN'.*'<eos>'\.$"):
        RewardTrainer(language_model, RewardConfig(**settings()), pairs, processing_class=other_tokenizer)


def test_a_classifier_without_metadata_uses_the_special_tokens_of_its_tokenizer(encoder, tmp_path):
    config = hf.BertConfig.from_pretrained(encoder("Bert"), num_labels=1)
    hf.BertForSequenceClassification(config).save_pretrained(tmp_path / "Bert")
    scores = Scorer.from_pretrained(tmp_path / "Bert")(PROMPTS, COMPLETIONS)
    assert scores == pytest.approx(plain_scores(tmp_path / "Bert"), abs=1e-6)


def test_a_classifier_with_several_labels_is_refused_by_its_path(encoder, tmp_path):
    config = hf.BertConfig.from_pretrained(encoder("Bert"), num_labels=2)
    hf.BertForSequenceClassification(config).save_pretrained(tmp_path / "Bert")
    with pytest.raises(UnsupportedModelError, match=r"Bert' has num_labels=2.*one score per text.*rlhf-losses train"):
        Scorer.from_pretrained(tmp_path / "Bert")
