"""Weights in half precision: the same scores in every layout, up to rounding, and a head in float32."""

import copy
import pickle

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from thorough_cases import each_value
from transformers import AutoModelForSequenceClassification

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.models.scores import find_head

PROMPTS = ["Name a colour. "] * 3 + ["Is it late? "]
COMPLETIONS = ["Red", "Blue, or a very dark green.", "Blue, or black.", "Yes."]
HALF_PRECISION = [torch.bfloat16, torch.float16]
LAYOUTS = ["padded", "packed", "prefix_shared", "auto"]


@pytest.fixture(scope="module")
def merged_folder(trained, tmp_path_factory):
    return trained.save_merged(tmp_path_factory.mktemp("merged"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", HALF_PRECISION, ids=str)
def test_half_precision_scores_are_full_precision_scores_up_to_rounding(merged_folder, dtype, layout):
    exact = torch.tensor(Scorer.from_pretrained(merged_folder, layout="padded")(PROMPTS, COMPLETIONS))
    scorer = Scorer.from_pretrained(merged_folder, dtype=dtype, layout=layout)
    assert scorer.forward.layout.name == ("prefix_shared" if layout == "auto" else layout)
    assert find_head(scorer.model).weight.dtype == torch.float32
    torch.testing.assert_close(torch.tensor(scorer(PROMPTS, COMPLETIONS)), exact, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize(
    ("layout", "dtype", "autocast"),
    each_value(["packed", "prefix_shared"], ["float16", "bfloat16"], [False, True]),
)
def test_training_in_half_precision_is_the_same_in_every_layout(
    language_model, settings, pairs, tmp_path, layout, dtype, autocast
):
    def trained(layout):
        arguments = settings(
            output_dir=str(tmp_path / layout), max_steps=8, learning_rate=3e-3, layout=layout, bf16=autocast,
            model_init_kwargs={"dtype": dtype},
        )  # fmt: skip
        lora = LoraConfig(r=4, lora_dropout=0.0, target_modules=["q_proj", "up_proj"])
        trainer = RewardTrainer(language_model, RewardConfig(**arguments), pairs, loss="hinge", peft_config=lora)
        trainer.train()
        return trainer

    ours, padded = trained(layout), trained("padded")
    assert ours.data_collator.layout.name == layout
    for mine, other in zip(ours.state.log_history[:-1], padded.state.log_history[:-1], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], abs=3e-2)
        assert mine["mean_reward"] == pytest.approx(other["mean_reward"], abs=6e-2)
    folder = ours.save_merged(tmp_path / "merged")
    assert load_file(folder / "model.safetensors")["score.weight"].dtype == torch.float32
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    assert plain.config.num_labels == 1


@pytest.mark.upstream
@pytest.mark.parametrize("dtype", HALF_PRECISION, ids=str)
@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
def test_a_trained_model_in_half_precision_can_be_called(language_model, settings, pairs, tokenizer, dtype, adapters):
    """Such a model is a reward function of TRL's trainers, which call it without autocast."""
    config = RewardConfig(**settings(max_steps=1, bf16=False, model_init_kwargs={"dtype": str(dtype)[6:]}))
    lora = LoraConfig(r=4, target_modules="all-linear") if adapters else None
    trainer = RewardTrainer(language_model, config, pairs, peft_config=lora)
    trainer.train()
    text = f"{PROMPTS[0]}{COMPLETIONS[0]}{tokenizer.eos_token}"
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    trainer.model.eval()
    for model in (trainer.model, copy.deepcopy(trainer.model), pickle.loads(pickle.dumps(trainer.model))):
        with torch.no_grad():
            logits = model(**inputs).logits
            hidden = model(**inputs, output_hidden_states=True).hidden_states[-1][:, -1]
        assert find_head(model).weight.dtype == torch.float32
        torch.testing.assert_close(logits, hidden.float() @ find_head(model).weight.T)


def test_scorers_of_one_model_add_one_hook_to_its_head(reward_model, tokenizer):
    model = reward_model.bfloat16()
    for _ in range(3):
        scorer = Scorer(model, tokenizer, layout="padded")
    assert len(find_head(model)._forward_pre_hooks) == 1
    inputs = tokenizer(f"{PROMPTS[0]}{COMPLETIONS[0]}{tokenizer.eos_token}", return_tensors="pt")
    with torch.no_grad():
        assert model(**inputs).logits.item() == scorer(PROMPTS[:1], COMPLETIONS[:1])[0]
