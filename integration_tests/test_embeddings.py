"""Every token of a text has an embedding, and configurations need not name a padding token."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset, IterableDataset
from peft import LoraConfig, get_peft_model
from thorough_cases import each_value
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses import (
    InvalidSettingError,
    PPOConfig,
    PPOTrainer,
    RewardConfig,
    RewardTrainer,
    Scorer,
    UnsupportedModelError,
    bradley_terry,
)
from rlhf_losses.scoring import evaluate

# PEFT says that it saves resized embeddings with the adapters.
pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")]

PLAIN = [{"prompt": "Say it. ", "chosen": f"Yes {i}.", "rejected": "No."} for i in range(8)]
NEW = [{**row, "chosen": row["chosen"] + "<new>"} for row in PLAIN]
"""The token `<new>` has the id 260, the number of embeddings of the model."""


@pytest.fixture
def larger(other_tokenizer):
    other_tokenizer.add_tokens(["<new>"])
    return other_tokenizer


def data(rows, stream=False):
    return IterableDataset.from_generator(lambda: iter(rows)) if stream else Dataset.from_list(rows)


@pytest.mark.parametrize("stream", [False, True])
def test_a_training_text_with_a_token_without_embedding_is_refused(language_model, settings, larger, stream):
    with pytest.raises(
        UnsupportedModelError, match=r"token '<new>' \(id 260\).*260 embeddings.*261 tokens.*resize_embeddings=True"
    ):
        RewardTrainer(language_model, RewardConfig(**settings()), data(NEW, stream), processing_class=larger).train()


@pytest.mark.parametrize("in_memory", [False, True])
def test_an_evaluation_text_with_a_token_without_embedding_is_refused(language_model, settings, larger, in_memory):
    model = language_model
    if in_memory:
        model = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
    with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\).*260 embeddings"):
        RewardTrainer(model, RewardConfig(**settings()), data(PLAIN), data(NEW), processing_class=larger)
    trainer = RewardTrainer(model, RewardConfig(**settings()), data(PLAIN), processing_class=larger)
    with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\).*260 embeddings"):
        trainer.evaluate(data(NEW))


def test_tokens_that_no_text_has_need_no_embedding(language_model, settings, larger):
    """The tokenizer of Gemma 3 has a token for images, for which its language models have no embedding."""
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), data(PLAIN), processing_class=larger)
    trainer.train()
    assert len(trainer.model.get_input_embeddings().weight) == 260


def test_adapters_that_were_trained_without_a_token_refuse_it(language_model, settings, larger, tmp_path):
    peft_config = LoraConfig(r=2, target_modules=["q_proj"])
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), data(PLAIN), processing_class=larger, peft_config=peft_config
    )
    trainer.save_model(str(tmp_path))
    scorer = Scorer.from_pretrained(tmp_path)
    assert len(scorer.tokenizer) == 261
    with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\).*260 embeddings"):
        scorer.score(["<new>"])


def test_token_ids_of_another_tokenizer_are_refused(language_model, settings, tokenizer):
    rows = [{"chosen_ids": [1, 300, 2], "rejected_ids": [1, 5, 2]}]
    with pytest.raises(UnsupportedModelError, match=r"token id 300.*260 embeddings"):
        RewardTrainer(language_model, RewardConfig(**settings()), data(rows), processing_class=tokenizer)


@pytest.mark.parametrize(
    "change",
    [
        lambda tokenizer: tokenizer.add_special_tokens({"pad_token": "<new>"}),
        lambda tokenizer: tokenizer.add_special_tokens({"eos_token": "<new>"}),
        lambda tokenizer: setattr(tokenizer, "chat_template", tokenizer.chat_template + "<new>"),
    ],
    ids=["pad", "eos", "template"],
)
def test_a_token_that_is_in_every_text_is_refused_before_the_model_loads(
    language_model, settings, pairs, larger, change, monkeypatch
):
    change(larger)
    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", None)
    with pytest.raises(UnsupportedModelError, match=r"'<new>' \(id 260\).*tiny-llama.*260 embeddings.*261 tokens"):
        RewardTrainer(language_model, RewardConfig(**settings()), pairs, processing_class=larger)


def test_scoring_refuses_a_text_with_a_token_without_embedding(reward_model, larger):
    scorer = Scorer(reward_model, larger)
    (score,) = scorer.score(["No."])
    assert isinstance(score, float)
    for refused in (lambda: scorer.score(["<new>"]), lambda: scorer(["Say it. "], ["Yes<new>"])):
        with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\)"):
            refused()
    with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\)"):
        evaluate(scorer, data(NEW), bradley_terry)
    with pytest.raises(UnsupportedModelError, match="token id 300"):
        evaluate(scorer, data([{"chosen_ids": [1, 300, 2], "rejected_ids": [1, 5, 2]}]), bradley_terry)
    larger.eos_token = "<new>"
    with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\)"):
        Scorer(reward_model, larger)


def test_ppo_refuses_a_prompt_with_a_token_without_embedding(language_model, settings, larger):
    def trainer(prompts):
        return PPOTrainer(
            language_model,
            lambda completions, **_: [0.0] * len(completions),
            PPOConfig(**settings(max_completion_length=4)),
            prompts,
            processing_class=larger,
        )

    with pytest.raises(
        UnsupportedModelError, match=r"Row 1 of the prompts has the token '<new>' \(id 260\).*260 embeddings"
    ):
        trainer(Dataset.from_dict({"prompt": ["a", "b<new>"]}))
    stream = IterableDataset.from_generator(lambda: iter([{"prompt": "b<new>"}] * 8))
    with pytest.raises(UnsupportedModelError, match=r"token '<new>' \(id 260\).*260 embeddings"):
        trainer(stream).train()


@pytest.mark.parametrize(
    ("model", "peft_config"), each_value(["path", "memory"], [LoraConfig(r=2, target_modules="all-linear"), None])
)
def test_resized_embeddings_are_trained_saved_and_loaded(
    language_model, settings, larger, tmp_path, peft_config, model
):
    """The completions differ in the new token only, so that its embedding must be trained to tell them apart."""
    rows = [{"prompt": f"Say {i}. ", "chosen": "Yes.<new>", "rejected": "Yes."} for i in range(16)]
    path = language_model
    if model == "memory":
        model = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
    trainer = RewardTrainer(
        path if model == "path" else model,
        RewardConfig(**settings(resize_embeddings=True, max_steps=20, learning_rate=1e-2)),
        data(rows),
        processing_class=larger,
        peft_config=peft_config,
    )
    assert len(trainer.model.get_input_embeddings().weight) == 261
    names = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert any("embed_tokens" in name for name in names)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    changed = [n for n, w in trainer.model.named_parameters() if "embed_tokens" in n and not torch.equal(w, before[n])]
    assert changed
    assert trainer.state.log_history[-2]["accuracy"] == 1
    expected = None
    for folder in (trainer.save_merged(tmp_path / "merged"), tmp_path / "saved"):
        if folder.name == "saved":
            trainer.save_model(str(folder))
        scorer = Scorer.from_pretrained(folder)
        assert len(scorer.model.get_input_embeddings().weight) == 261
        chosen, rejected, other = scorer(["Say 1. "] * 3, ["Yes.<new>", "Yes.", "<new>"])
        assert chosen > rejected
        expected = expected or (chosen, rejected, other)
        assert (chosen, rejected, other) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_adapters_train_only_the_new_embeddings(language_model, settings, larger):
    config = LoraConfig(r=2, target_modules="all-linear")
    trainer = RewardTrainer(
        language_model,
        RewardConfig(**settings(resize_embeddings=True)),
        data(NEW),
        processing_class=larger,
        peft_config=config,
    )
    sizes = {n: w.numel() for n, w in trainer.model.named_parameters() if w.requires_grad and "embed_tokens" in n}
    assert list(sizes.values()) == [32]
    assert config.trainable_token_indices is None


def test_embeddings_below_existing_adapters_are_not_resized(language_model, settings, larger):
    base = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(InvalidSettingError, match=r"adapters already.*1 new embeddings.*peft_config"):
        RewardTrainer(model, RewardConfig(**settings(resize_embeddings=True)), data(NEW), processing_class=larger)


def test_embeddings_that_are_large_enough_are_not_resized(language_model, settings, tokenizer):
    args = RewardConfig(**settings(resize_embeddings=True))
    trainer = RewardTrainer(language_model, args, data(PLAIN), processing_class=tokenizer)
    assert len(trainer.model.get_input_embeddings().weight) == 260


@pytest.fixture
def base_without_padding(language_model, tokenizer, tmp_path) -> str:
    """Return the folder of a language model whose configuration has no padding token."""
    folder = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(language_model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    without_padding(folder)
    return str(folder)


def without_padding(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("pad_token_id")
    (folder / "config.json").write_text(json.dumps(config))
    assert AutoConfig.from_pretrained(folder).pad_token_id is None


@pytest.mark.parametrize(("layout", "form"), each_value(["auto", "padded", "packed"], ["saved", "merged"]))
def test_models_without_a_padding_token_are_loaded(base_without_padding, settings, pairs, tmp_path, form, layout):
    peft_config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    trainer = RewardTrainer(base_without_padding, RewardConfig(**settings()), pairs, peft_config=peft_config)
    folder = tmp_path / form
    if form == "saved":
        trainer.save_model(str(folder))
    else:
        trainer.save_merged(folder)
        without_padding(folder)
    texts = ["a", "a longer text", "b"]
    scorer = Scorer.from_pretrained(folder, layout=layout)
    assert scorer.model.config.pad_token_id == scorer.tokenizer.pad_token_id
    assert scorer.score(texts) == pytest.approx([scorer.score([text])[0] for text in texts], abs=1e-5)


def test_a_classifier_and_a_tokenizer_without_a_padding_token_are_loaded(reward_model, other_tokenizer):
    reward_model.config.pad_token_id = other_tokenizer.pad_token = None
    scorer = Scorer(reward_model, other_tokenizer, layout="padded")
    texts = ["a", "a longer text", "b"]
    assert scorer.score(texts) == pytest.approx([scorer.score([text])[0] for text in texts], abs=1e-5)
