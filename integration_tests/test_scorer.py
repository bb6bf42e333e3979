"""A saved reward model is an ordinary classifier, and its scores depend on the text alone."""

import json
import pickle
from itertools import chain
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from one_by_one import OneByOne, TokensComputed
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, UnsupportedModelError, bradley_terry
from rlhf_losses.layouts.splitting import CPU_SPLITTER
from rlhf_losses.scoring import best_of, evaluate

PROMPTS = ["Name a colour. ", "Name a colour. ", "Count. ", "Is it late? "]
COMPLETIONS = ["Red", "Blue, or perhaps a very dark green.", "1 2 3 4 5 6 7 8 9", ""]


@pytest.fixture(scope="module")
def saved_merged(trained, tmp_path_factory) -> Path:
    return trained.save_merged(tmp_path_factory.mktemp("saved_merged"))


@pytest.fixture(scope="module")
def scorer(saved_merged) -> Scorer:
    return Scorer.from_pretrained(saved_merged)


def test_the_published_model_loads_as_a_plain_classifier_and_scores_the_same(saved_merged, scorer, tokenizer):
    model = AutoModelForSequenceClassification.from_pretrained(saved_merged, dtype=torch.float32)
    assert model.config.num_labels == 1
    assert (saved_merged / "model.safetensors").is_file()
    texts = [p + c + tokenizer.eos_token for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")

    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]

    assert scorer(PROMPTS, COMPLETIONS) == pytest.approx(logits.tolist(), abs=1e-5)


def test_lora_is_merged_and_the_head_is_the_trained_one(trained, saved_merged, language_model):
    weights = load_file(saved_merged / "model.safetensors")
    assert not [name for name in weights if "lora" in name]
    trained_head = trained.model.base_model.model.score.modules_to_save["default"].weight
    torch.testing.assert_close(weights["score.weight"], trained_head.detach())
    base = load_file(Path(language_model) / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(weights[name], base[name])


@pytest.mark.parametrize("size", [1, 2, 64])
def test_scores_do_not_depend_on_the_batch_size(saved_merged, scorer, size):
    other = Scorer.from_pretrained(saved_merged, batch_size=size)
    assert other(PROMPTS, COMPLETIONS) == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-5)


def test_on_a_cpu_a_pass_holds_few_tokens_but_all_that_share_a_prompt(saved_merged):
    passes = []
    scorer = Scorer.from_pretrained(saved_merged, batch_size=64)
    scorer.model.register_forward_pre_hook(
        lambda _module, _args, options: passes.append(options["input_ids"].numel()), with_kwargs=True
    )
    prompts = [f"{number} colours of the sea, of the wind and of the moon. " * 3 for number in range(32)]
    apart = scorer(prompts, ["Blue."] * 32)
    assert len(passes) > 1
    assert max(passes) <= CPU_SPLITTER.tokens
    assert apart == pytest.approx(Scorer.from_pretrained(saved_merged, batch_size=1)(prompts, ["Blue."] * 32), abs=1e-5)
    passes.clear()
    scorer([prompts[0]] * 64, [f"Blue, and {number} others, or none of them at all." for number in range(64)])
    assert len(passes) == 1
    assert passes[0] > CPU_SPLITTER.tokens


def test_scores_do_not_depend_on_the_padding_side_of_the_tokenizer(saved_merged, scorer):
    expected = scorer(PROMPTS, COMPLETIONS)
    other = Scorer.from_pretrained(saved_merged)
    other.tokenizer.padding_side = "left"
    assert other(PROMPTS, COMPLETIONS) == pytest.approx(expected, abs=1e-6)


def test_a_whole_text_scores_as_its_prompt_and_completion(scorer):
    assert scorer.score([p + c for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]) == pytest.approx(
        scorer(PROMPTS, COMPLETIONS), abs=1e-6
    )


def test_conversations_are_scored_in_the_words_of_the_chat_template(scorer, tokenizer):
    question = [{"role": "user", "content": "Name a colour."}]
    reply = [{"role": "assistant", "content": "Red"}]
    rendered = tokenizer.apply_chat_template(question + reply, tokenize=False)
    batch = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")
    expected = scorer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.item()

    assert scorer([question], [reply]) == pytest.approx([expected], abs=1e-5)
    assert scorer.score([question + reply]) == pytest.approx([expected], abs=1e-5)


def test_a_scorer_survives_pickling(scorer):
    assert pickle.loads(pickle.dumps(scorer))(PROMPTS, COMPLETIONS) == scorer(PROMPTS, COMPLETIONS)


def test_an_adapter_folder_scores_as_the_published_model(trained, scorer, tmp_path):
    trained.save_model(str(tmp_path))
    assert (tmp_path / "adapter_config.json").is_file()
    assert Scorer.from_pretrained(tmp_path)(PROMPTS, COMPLETIONS) == pytest.approx(
        scorer(PROMPTS, COMPLETIONS), abs=1e-5
    )


def test_the_description_says_what_was_trained(saved_merged):
    told = json.loads((saved_merged / "reward_model.json").read_text())
    assert told["loss"] == "bradley_terry"
    assert told["feedback"] == ["Pairs"]
    assert told["score_read_at"] == "end of text"
    assert set(told["versions"]) == {"rlhf-losses", "trl", "transformers", "peft", "torch"}


def test_a_head_that_is_not_the_trained_one_is_refused(saved_merged, tmp_path):
    for file in saved_merged.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["score.weight"] = torch.randn_like(weights["score.weight"])
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(UnsupportedModelError, match="canary"):
        Scorer.from_pretrained(tmp_path)


def test_a_base_model_is_refused_as_a_reward_model(language_model):
    with pytest.raises(UnsupportedModelError, match=r"no weights for score\.weight"):
        Scorer.from_pretrained(language_model)


def test_the_adapter_of_a_language_model_is_refused_as_a_reward_model(language_model, tokenizer, tmp_path):
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(language_model), LoraConfig(task_type="CAUSAL_LM"))
    adapted.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"holds no score head.*rlhf-losses train"):
        Scorer.from_pretrained(tmp_path)


def test_a_language_model_is_no_scorer(language_model, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(language_model)
    with pytest.raises(UnsupportedModelError, match="num_labels=2"):
        Scorer(model, tokenizer)


def test_a_prompt_longer_than_the_context_is_cut_from_the_left(scorer):
    context = scorer.model.config.max_position_embeddings
    fitting = context - len(["<bos>", "R", "e", "d", "<eos>"])
    expected = scorer(["x" * fitting], ["Red"])
    assert scorer(["x" * (2 * context)], ["Red"]) == pytest.approx(expected, abs=1e-6)
    assert scorer(["x" * (fitting - 40)], ["Red"]) != pytest.approx(expected, abs=1e-6)


def steps_data() -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": f"Tell {i}. ",
                "completions": ["It is good. ", "It is bad. ", "Bye."],
                "labels": [True, False, True],
            }
            for i in range(8)
        ]
    )


def test_a_model_of_steps_scores_a_text_by_the_mean_over_its_steps(language_model, settings, tmp_path):
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=steps_data(), loss="segment_hinge"
    )
    trainer.train()
    scorer = Scorer.from_pretrained(trainer.save_merged(tmp_path / "steps"))
    assert scorer.metadata.segmentation == "sentences"

    each = scorer.score_steps("Tell 1. ", ["It is good. ", "It is bad. ", "Bye."])

    assert len(each) == 3
    assert scorer(["Tell 1. "], ["It is good. It is bad. Bye."]) == pytest.approx([sum(each) / 3], abs=1e-6)


def test_steps_are_scored_as_if_each_were_the_last(language_model, settings, tokenizer):
    """One forward pass gives every step the score that its own prefix gets."""
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=steps_data(), loss="segment_hinge"
    )
    scorer = Scorer(trainer.model, tokenizer)
    steps = ["It is good. ", "It is bad. ", "Bye."]
    together = scorer.score_steps("Tell 1. ", steps)

    for i, score in enumerate(together[:-1]):
        ids = tokenizer("Tell 1. " + "".join(steps[: i + 1]), return_tensors="pt")
        alone = scorer.model(**{k: ids[k] for k in ("input_ids", "attention_mask")}).logits.item()
        assert score == pytest.approx(alone, abs=1e-5)


def test_scoring_counts_forward_passes_by_text_and_not_by_step(language_model, settings, tokenizer):
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=steps_data(), loss="segment_hinge"
    )
    scorer = Scorer(trainer.model, tokenizer, batch_size=1)
    calls = []
    scorer.model.register_forward_hook(lambda *_: calls.append(1))

    scorer.score_steps("Tell 1. ", ["It is good. ", "It is bad. ", "Bye."])
    assert len(calls) == 1
    scorer(["Same. "] * 5, ["Text"] * 5)
    assert len(calls) == 2


@pytest.mark.parametrize("layout", ["auto", "packed", "padded"])
def test_the_best_of_n_is_that_of_the_plain_model_and_prompts_are_computed_once(saved_merged, tokenizer, layout):
    """One text at a time, by transformers alone; only the layout that shares beginnings saves the prompts."""
    prompts = [f"{i} birds sing of the sea and of the wind. " for i in range(3)]
    candidates = [[f"{'aeiouxyz'[(i + 3 * n) % 8]} is song {n}" for n in range(8)] for i in range(3)]
    asked, answers = [prompt for prompt in prompts for _ in range(8)], list(chain(*candidates))
    alone = OneByOne(None, tokenizer, saved_merged)
    scores = [alone([prompt] * 8, texts) for prompt, texts in zip(prompts, candidates, strict=True)]
    assert min(max(each) - min(each) for each in scores) > 1e-3
    expected = [texts[int(torch.tensor(each).argmax())] for texts, each in zip(candidates, scores, strict=True)]
    scorer = Scorer.from_pretrained(saved_merged, layout=layout)
    computed = TokensComputed(scorer.model)

    assert best_of(scorer, prompts, candidates) == expected
    computed_tokens, all_tokens = computed.take(), alone.tokens(asked, answers)
    if layout == "auto":
        assert computed_tokens == alone.distinct_tokens(asked, answers)
        assert computed_tokens < all_tokens / 3
    else:
        assert computed_tokens >= all_tokens
    assert scorer(asked, answers) == pytest.approx(list(chain(*scores)), abs=1e-5)


def test_evaluation_agrees_with_scores_and_scipy(scorer, pairs):
    from scipy.stats import spearmanr

    measured = evaluate(scorer, pairs, bradley_terry)
    chosen = scorer(pairs["prompt"], pairs["chosen"])
    rejected = scorer(pairs["prompt"], pairs["rejected"])
    right = [1.0 if c > r else 0.5 if c == r else 0.0 for c, r in zip(chosen, rejected, strict=True)]
    assert measured["accuracy"] == pytest.approx(sum(right) / len(right))

    rated = Dataset.from_dict({"prompt": pairs["prompt"], "completion": pairs["chosen"], "rating": list(range(16))})
    assert evaluate(scorer, rated)["spearman"] == pytest.approx(float(spearmanr(chosen, range(16)).statistic))
