"""`Scorer`: a merged reward model is a plain classifier, and the score of a text depends on this text only."""

import hashlib
import json
import pickle
import statistics
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from reference_scorer import ReferenceScorer, TokensComputed
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, UnsupportedModelError, bradley_terry
from rlhf_losses.layouts.splitting import CPU_SPLITTER
from rlhf_losses.scoring import best_of, evaluate, fit_reference
from rlhf_losses.scoring.canaries import record_canaries, rounding_tolerance
from rlhf_losses.transforms import Clip, Requirement, ScoreTransform

PROMPTS = ["Name a colour. ", "Name a colour. ", "Count. ", "Is it late? "]
COMPLETIONS = ["Red", "Blue, or perhaps a very dark green.", "1 2 3 4 5 6 7 8 9", ""]


@pytest.fixture(scope="module")
def merged(trained, tmp_path_factory) -> Path:
    return trained.save_merged(tmp_path_factory.mktemp("merged"))


@pytest.fixture(scope="module")
def scorer(merged) -> Scorer:
    return Scorer.from_pretrained(merged)


@pytest.fixture
def own_scorer(merged) -> Scorer:
    """Return a scorer that a test may change."""
    return Scorer.from_pretrained(merged)


def test_a_merged_model_is_a_plain_classifier_with_the_same_scores(merged, scorer, tokenizer):
    model = AutoModelForSequenceClassification.from_pretrained(merged, dtype=torch.float32)
    assert model.config.num_labels == 1
    assert (merged / "model.safetensors").is_file()
    texts = [p + c + tokenizer.eos_token for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")

    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]

    assert scorer(PROMPTS, COMPLETIONS) == pytest.approx(logits.tolist(), abs=1e-5)


def test_the_adapter_is_merged_and_the_head_is_the_trained_one(trained, merged, language_model):
    weights = load_file(merged / "model.safetensors")
    assert not [name for name in weights if "lora" in name]
    trained_head = trained.model.base_model.model.score.modules_to_save["default"].weight
    torch.testing.assert_close(weights["score.weight"], trained_head.detach())
    base = load_file(Path(language_model) / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(weights[name], base[name])


@pytest.mark.parametrize("size", [1, 2, 64])
def test_scores_do_not_depend_on_the_batch_size(merged, scorer, size):
    other = Scorer.from_pretrained(merged, batch_size=size)
    assert other(PROMPTS, COMPLETIONS) == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-5)


def test_a_pass_on_a_cpu_has_few_tokens_but_all_texts_with_one_prompt(merged):
    passes = []
    scorer = Scorer.from_pretrained(merged, batch_size=64)
    scorer.model.register_forward_pre_hook(
        lambda _module, _args, options: passes.append(options["input_ids"].numel()), with_kwargs=True
    )
    prompts = [f"{number} colours of the sea, of the wind and of the moon. " * 3 for number in range(32)]
    separate = scorer(prompts, ["Blue."] * 32)
    assert len(passes) > 1
    assert max(passes) <= CPU_SPLITTER.max_tokens
    assert separate == pytest.approx(Scorer.from_pretrained(merged, batch_size=1)(prompts, ["Blue."] * 32), abs=1e-5)
    passes.clear()
    scorer([prompts[0]] * 64, [f"Blue, and {number} others, or none of them at all." for number in range(64)])
    assert len(passes) == 1
    assert passes[0] > CPU_SPLITTER.max_tokens


def test_scores_do_not_depend_on_the_padding_side_of_the_tokenizer(merged, scorer):
    expected = scorer(PROMPTS, COMPLETIONS)
    other = Scorer.from_pretrained(merged)
    other.tokenizer.padding_side = "left"
    assert other(PROMPTS, COMPLETIONS) == pytest.approx(expected, abs=1e-6)


def test_a_whole_text_scores_as_its_prompt_and_completion(scorer):
    assert scorer.score([p + c for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]) == pytest.approx(
        scorer(PROMPTS, COMPLETIONS), abs=1e-6
    )


def test_conversations_are_scored_with_the_chat_template(scorer, tokenizer):
    question = [{"role": "user", "content": "Name a colour."}]
    reply = [{"role": "assistant", "content": "Red"}]
    rendered = tokenizer.apply_chat_template(question + reply, tokenize=False)
    batch = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")
    expected = scorer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.item()

    assert scorer([question], [reply]) == pytest.approx([expected], abs=1e-5)
    assert scorer.score([question + reply]) == pytest.approx([expected], abs=1e-5)


def test_a_scorer_can_be_pickled(scorer):
    assert pickle.loads(pickle.dumps(scorer))(PROMPTS, COMPLETIONS) == scorer(PROMPTS, COMPLETIONS)


def test_an_adapter_folder_has_the_scores_of_the_merged_model(trained, scorer, tmp_path):
    trained.save_model(str(tmp_path))
    assert (tmp_path / "adapter_config.json").is_file()
    assert Scorer.from_pretrained(tmp_path)(PROMPTS, COMPLETIONS) == pytest.approx(
        scorer(PROMPTS, COMPLETIONS), abs=1e-5
    )


def test_the_metadata_describe_the_training(merged, scorer, tokenizer):
    content = json.loads((merged / "reward_model.json").read_text())
    assert content["schema"] == 5
    assert content["loss"] == "bradley_terry"
    assert content["feedback_types"] == ["Pairs"]
    assert content["score_position"] == "end_of_text"
    assert content["overlong"] == "drop"
    assert content["chat_template_sha256"] == hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()
    assert set(content["versions"]) == {"rlhf-losses", "trl", "transformers", "peft", "torch"}
    text, *_, conversation = content["canaries"]
    assert text["dtype"] == conversation["dtype"] == "float32"
    assert scorer.score([text["input"]]) == pytest.approx([text["score"]], abs=1e-5)
    assert scorer.score([conversation["input"]]) == pytest.approx([conversation["score"]], abs=1e-5)


def copy_of(folder: Path, target: Path) -> Path:
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_head_that_is_not_the_trained_one_is_refused(merged, tmp_path):
    copy_of(merged, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["score.weight"] = torch.randn_like(weights["score.weight"])
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(
        UnsupportedModelError,
        match=r"canary (text|conversation).*was recorded.*weights have changed.*download all files",
    ):
        Scorer.from_pretrained(tmp_path)


def test_a_changed_chat_template_is_refused(merged, tmp_path):
    template = copy_of(merged, tmp_path) / "chat_template.jinja"
    template.write_text(template.read_text().replace("<", "["))

    with pytest.raises(UnsupportedModelError, match=r"canary conversation.*other tokens.*chat template"):
        Scorer.from_pretrained(tmp_path)


def test_a_newer_schema_is_refused(merged, tmp_path):
    file = copy_of(merged, tmp_path) / "reward_model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": 6}))
    with pytest.raises(UnsupportedModelError, match=r"schema 6.*pip install --upgrade"):
        Scorer.from_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_tolerance_of_recorded_scores_follows_from_the_dtype(merged, dtype, tokenizer, tmp_path):
    """The tolerance is that of the less precise of the recorded dtype and the dtype of the loaded model."""
    half = Scorer.from_pretrained(merged, dtype=dtype)
    canaries = record_canaries(half.model, tokenizer)
    name = str(dtype).removeprefix("torch.")
    assert {canary.dtype for canary in canaries} == {name}
    content = {**json.loads((merged / "reward_model.json").read_text())}
    content["canaries"] = [asdict(canary) for canary in canaries]
    (copy_of(merged, tmp_path) / "reward_model.json").write_text(json.dumps(content))
    Scorer.from_pretrained(tmp_path)
    for canary in content["canaries"]:
        canary |= {"dtype": "float32", "score": canary["score"] * (1 + rounding_tolerance(name) / 2)}
    (tmp_path / "reward_model.json").write_text(json.dumps(content))
    with pytest.raises(UnsupportedModelError, match="canary"):
        Scorer.from_pretrained(tmp_path)
    Scorer.from_pretrained(tmp_path, dtype=dtype)


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}{% endfor %}",
        "{{ messages[7].x.y }}",
    ],
    ids=["none", "date", "failing"],
)
def test_a_conversation_is_recorded_only_if_its_text_does_not_depend_on_the_date(scorer, other_tokenizer, template):
    other_tokenizer.chat_template = template
    canaries = record_canaries(scorer.model, other_tokenizer)
    assert canaries
    assert all(isinstance(canary.input, str) for canary in canaries)


def test_inputs_longer_than_the_context_are_not_recorded(tokenizer):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, max_position_embeddings=4, **sizes)
    assert record_canaries(BertForSequenceClassification(config), tokenizer) == []


def test_a_base_model_is_refused_as_a_reward_model(language_model):
    with pytest.raises(UnsupportedModelError, match=r"no weights for score\.weight"):
        Scorer.from_pretrained(language_model)


def test_the_adapter_of_a_language_model_is_refused_as_a_reward_model(language_model, tokenizer, tmp_path):
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(language_model), LoraConfig(task_type="CAUSAL_LM"))
    adapted.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"has no score head.*rlhf-losses train"):
        Scorer.from_pretrained(tmp_path)


def test_a_language_model_is_refused(language_model, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(language_model)
    with pytest.raises(UnsupportedModelError, match="num_labels=2"):
        Scorer(model, tokenizer)


def test_a_prompt_longer_than_the_context_is_truncated_from_the_left(scorer):
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


def test_a_text_has_the_mean_score_of_its_steps(language_model, settings, tmp_path):
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=steps_data(), loss="segment_hinge"
    )
    trainer.train()
    scorer = Scorer.from_pretrained(trainer.save_merged(tmp_path / "steps"))
    assert scorer.metadata.segmentation == "sentences"

    each = scorer.score_steps("Tell 1. ", ["It is good. ", "It is bad. ", "Bye."])

    assert len(each) == 3
    assert scorer(["Tell 1. "], ["It is good. It is bad. Bye."]) == pytest.approx([sum(each) / 3], abs=1e-6)


def test_each_step_has_the_score_of_the_text_up_to_it(language_model, settings, tokenizer):
    """One forward pass gives the scores that a forward pass per prefix gives."""
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


def test_a_text_with_steps_needs_one_forward_pass(language_model, settings, tokenizer):
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
def test_best_of_n_agrees_with_the_plain_model_and_computes_prompts_once(merged, tokenizer, layout):
    """The expected scores are those of transformers. Only a layout with shared prefixes computes fewer tokens."""
    prompts = [f"{i} birds sing of the sea and of the wind. " for i in range(3)]
    candidates = [[f"{'aeiouxyz'[(i + 3 * n) % 8]} is song {n}" for n in range(8)] for i in range(3)]
    repeated, answers = [prompt for prompt in prompts for _ in range(8)], list(chain(*candidates))
    alone = ReferenceScorer(None, tokenizer, merged)
    scores = [alone([prompt] * 8, texts) for prompt, texts in zip(prompts, candidates, strict=True)]
    assert min(max(each) - min(each) for each in scores) > 1e-3
    expected = [texts[int(torch.tensor(each).argmax())] for texts, each in zip(candidates, scores, strict=True)]
    scorer = Scorer.from_pretrained(merged, layout=layout)
    computed = TokensComputed(scorer.model)

    assert best_of(scorer, prompts, candidates) == expected
    computed_tokens, all_tokens = computed.take(), alone.tokens(repeated, answers)
    if layout == "auto":
        assert computed_tokens == alone.distinct_tokens(repeated, answers)
        assert computed_tokens < all_tokens / 3
    else:
        assert computed_tokens >= all_tokens
    assert scorer(repeated, answers) == pytest.approx(list(chain(*scores)), abs=1e-5)


def test_a_stream_is_evaluated_as_its_rows(scorer, pairs):
    tagged = pairs.add_column("subset", ["a", "b"] * (len(pairs) // 2))
    assert evaluate(scorer, tagged.to_iterable_dataset(), by=["subset"]) == evaluate(scorer, tagged, by=["subset"])


def test_evaluation_agrees_with_scores_and_scipy(scorer, pairs):
    from scipy.stats import spearmanr

    measured = evaluate(scorer, pairs, bradley_terry)
    chosen = scorer(pairs["prompt"], pairs["chosen"])
    rejected = scorer(pairs["prompt"], pairs["rejected"])
    right = [1.0 if c > r else 0.5 if c == r else 0.0 for c, r in zip(chosen, rejected, strict=True)]
    assert measured["accuracy"] == pytest.approx(sum(right) / len(right))

    rated = Dataset.from_dict({"prompt": pairs["prompt"], "completion": pairs["chosen"], "rating": list(range(16))})
    assert evaluate(scorer, rated)["spearman"] == pytest.approx(float(spearmanr(chosen, range(16)).statistic))


def test_transformed_scores_are_those_of_the_formula(own_scorer):
    raw = own_scorer(PROMPTS, COMPLETIONS)
    fit_reference(own_scorer, PROMPTS[:3], COMPLETIONS[:3])
    mean, std = statistics.fmean(raw[:3]), statistics.pstdev(raw[:3])
    expected = [(score - mean) / std for score in raw]
    standardized = own_scorer.with_transforms("standardize")
    assert standardized(PROMPTS, COMPLETIONS) == pytest.approx(expected, abs=1e-5)
    assert own_scorer.with_transforms("standardize | clip(limit=0.5)")(PROMPTS, COMPLETIONS) == pytest.approx(
        [max(-0.5, min(0.5, score)) for score in expected], abs=1e-5
    )
    assert standardized.affine() == pytest.approx((1 / std, -mean / std), rel=1e-4)
    assert own_scorer(PROMPTS, COMPLETIONS) == raw
    assert own_scorer.affine() == (1.0, 0.0)


def test_fitted_values_are_saved_with_the_model(merged, tmp_path):
    copy_of(merged, tmp_path)
    scorer = Scorer.from_pretrained(tmp_path)
    fit_reference(scorer, PROMPTS, COMPLETIONS, tmp_path, "clip(limit=0.5) | standardize")
    again = Scorer.from_pretrained(tmp_path)
    text = "clip(limit=0.5) | standardize"
    assert again.transforms is None
    assert again.with_transforms(text)(PROMPTS, COMPLETIONS) == scorer.with_transforms(text)(PROMPTS, COMPLETIONS)
    with pytest.raises(UnsupportedModelError, match=r"no reference samples.*'standardize'.*fit_reference"):
        again.with_transforms("standardize")


def test_each_step_is_transformed_and_a_text_after_aggregation(language_model, settings, tmp_path):
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=steps_data(), loss="segment_hinge"
    )
    raw = Scorer.from_pretrained(trainer.save_merged(tmp_path / "steps"))
    steps = ["It is good. ", "It is bad. ", "Bye."]
    scores = raw.score_steps("Tell 1. ", steps)
    limit = sorted(abs(score) for score in scores)[1]
    clipped = raw.with_transforms(Clip(limit=limit))
    assert clipped.score_steps("Tell 1. ", steps) == [max(-limit, min(limit, score)) for score in scores]
    mean = sum(scores) / 3
    assert clipped(["Tell 1. "], ["".join(steps)]) == pytest.approx([max(-limit, min(limit, mean))], abs=1e-6)


@dataclass(frozen=True)
class Projection(ScoreTransform):
    """Adds the mean feature and the length to the score."""

    requires = Requirement.FEATURES | Requirement.LENGTHS

    def apply(self, texts, fitted):
        return texts.scores + texts.features.mean(1) + texts.lengths


def test_transforms_receive_the_features_and_lengths_that_they_require(scorer):
    encoded = scorer.encoder.encode_completions(PROMPTS, COMPLETIONS)
    features = [vectors[0].mean().item() for vectors, _ in scorer.features_and_scores(encoded)]
    lengths = [len(completion) + 1 for completion in COMPLETIONS]  # one token per character, and EOS
    expected = [sum(parts) for parts in zip(scorer(PROMPTS, COMPLETIONS), features, lengths, strict=True)]
    assert scorer.with_transforms(Projection())(PROMPTS, COMPLETIONS) == pytest.approx(expected, abs=1e-4)


def test_evaluation_uses_raw_scores_unless_the_scorer_has_transforms(own_scorer, pairs):
    raw = evaluate(own_scorer, pairs)
    fit_reference(own_scorer, pairs["prompt"], pairs["chosen"])
    mean, std = own_scorer.metadata.transforms["standardize"].values()
    assert evaluate(own_scorer, pairs) == raw
    standardized = evaluate(own_scorer.with_transforms("standardize"), pairs)
    assert standardized["mean_score"] == pytest.approx((raw["mean_score"] - mean) / std, abs=1e-4)
    assert standardized["margin"] == pytest.approx(raw["margin"] / std, rel=1e-4)
    assert standardized["accuracy"] == raw["accuracy"]
