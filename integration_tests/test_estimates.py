"""Score estimates are fitted to features, scores and feedback of a model, and are saved with it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from plugin_code import ESTIMATE, ESTIMATE_HOOK, HEAD
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from rlhf_losses import (
    FeedbackMismatchError,
    InvalidFeedbackError,
    InvalidSettingError,
    Pairs,
    RewardConfig,
    RewardTrainer,
    ScoreEstimate,
    Scorer,
    UnknownNameError,
    UnsupportedModelError,
    fit_estimate,
    fit_reference,
)
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring import RewardModelMetadata, evaluate

pytestmark = pytest.mark.xdist_group("estimates")

PROMPTS = ["Name a colour. ", "Name a colour. ", "Count. ", "Is it late? "]
COMPLETIONS = ["Red", "Blue, or perhaps a very dark green.", "1 2 3 4 5 6 7 8 9", "No"]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "remote.py"
    file.write_text(HEAD + ESTIMATE + ESTIMATE_HOOK)
    return file


@dataclass(frozen=True)
class RebuiltScore(ScoreEstimate):
    """The score, as a linear function of the features; its fit fails unless features, scores and feedback agree."""

    feedback_type = Pairs

    def fit(self, evidence):
        batches = list(evidence)
        features, scores = torch.cat([one.features for one in batches]), torch.cat([one.scores for one in batches])
        solved = torch.linalg.lstsq(features.double(), scores.double(), driver="gelsd").solution
        differences = torch.cat([one.feedback.score_difference(one.scores) for one in batches])
        return {"head": solved.float(), "differences": differences}

    def predict(self, texts, fitted):
        return texts.features @ fitted["head"]


@dataclass(frozen=True)
class Deviation(ScoreEstimate):
    """Distance of a score from the mean score."""

    unit_is_score = True

    def fit(self, evidence):
        return {"mean": torch.cat([one.scores for one in evidence]).mean()}

    def predict(self, texts, fitted):
        return (texts.scores - fitted["mean"]).abs()


@dataclass(frozen=True)
class PlainNumber(Deviation):
    """The same as a number without a unit."""

    unit_is_score = False


@pytest.fixture
def merged(trained, tmp_path) -> Path:
    return trained.save_merged(tmp_path / "reward")


@pytest.fixture
def scorer(merged) -> Scorer:
    return Scorer.from_pretrained(merged)


@pytest.mark.parametrize("layout", ["padded", "packed", "prefix_shared"])
@pytest.mark.parametrize("size", [1, 3, 32])
def test_the_head_on_the_features_gives_the_score_in_every_layout(merged, layout, size):
    scorer = Scorer.from_pretrained(merged, layout=layout, batch_size=size)
    texts = [scorer.encoder.encode(Answer(p, (c,))) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    head = scorer.model.score.weight[0].detach()
    scores = [(features @ head).item() for features, _ in scorer.features_and_scores(texts)]
    assert scores == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-5)
    assert scores == pytest.approx([parts[0] for _, parts in scorer.features_and_scores(texts)], abs=1e-5)


def test_features_are_the_last_hidden_state_of_the_plain_model(merged, scorer, tokenizer):
    model = AutoModelForSequenceClassification.from_pretrained(merged, dtype=torch.float32)
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        ids = tokenizer(prompt + completion + tokenizer.eos_token, return_tensors="pt", return_token_type_ids=False)
        ((features, _),) = scorer.features_and_scores([scorer.encoder.encode(Answer(prompt, (completion,)))])
        torch.testing.assert_close(features[0], model.model(**ids).last_hidden_state[0, -1].detach(), atol=1e-5, rtol=0)


def test_an_estimate_is_fitted_to_features_scores_and_score_differences(scorer, pairs):
    fit_estimate(scorer, pairs, RebuiltScore())
    chosen, rejected = scorer(pairs["prompt"], pairs["chosen"]), scorer(pairs["prompt"], pairs["rejected"])
    differences = [c - r for c, r in zip(chosen, rejected, strict=True)]
    assert scorer.fitted["rebuilt_score"].tensors["differences"].tolist() == pytest.approx(differences, abs=1e-5)
    rebuilt = scorer.estimator("rebuilt_score")(pairs["prompt"], pairs["chosen"])
    assert rebuilt == pytest.approx(chosen, abs=1e-3)


def test_a_fit_does_not_depend_on_the_batches_of_rows(scorer, pairs, monkeypatch):
    fit_estimate(scorer, pairs, Deviation())
    at_once = scorer.fitted["deviation"].tensors["mean"]
    monkeypatch.setattr("rlhf_losses.scoring.fitting.ROWS_PER_BATCH", 3)
    fit_estimate(scorer, pairs, Deviation())
    torch.testing.assert_close(scorer.fitted["deviation"].tensors["mean"], at_once)


def test_a_fitted_estimate_is_saved_and_loaded_with_the_model(scorer, pairs, merged, plugin):
    before = scorer(PROMPTS, COMPLETIONS)
    fit_estimate(scorer, pairs, "remoteness(power=1.5)", merged, plugin_files=[plugin])
    content = json.loads((merged / "reward_model.json").read_text())
    assert content["estimates"]["remoteness"]["text"] == "remoteness(power=1.5)"
    assert (merged / "estimate_remoteness.safetensors").is_file()
    AutoModelForSequenceClassification.from_pretrained(merged)

    again = Scorer.from_pretrained(merged)
    expected = scorer.estimator("remoteness")(PROMPTS, COMPLETIONS)
    assert again.estimator("remoteness", [plugin])(PROMPTS, COMPLETIONS) == pytest.approx(expected, rel=1e-4)
    assert again(PROMPTS, COMPLETIONS) == pytest.approx(before, abs=1e-6)
    fit_reference(again, PROMPTS, COMPLETIONS, merged)
    assert "remoteness" in RewardModelMetadata.load(merged).estimates


def test_a_model_scores_without_the_plugin_that_its_estimate_needs(scorer, pairs, merged, plugin):
    fit_estimate(scorer, pairs, "remoteness", merged, plugin_files=[plugin])
    again = Scorer.from_pretrained(merged)
    assert again(PROMPTS, COMPLETIONS) == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-6)
    with pytest.raises(UnknownNameError, match=r"'remoteness'.*nstall the plugin"):
        again.estimator("remoteness")


def test_an_adapter_that_is_not_merged_has_the_same_features(trained, scorer, pairs):
    fit_estimate(scorer, pairs, RebuiltScore())
    wrapped = Scorer(trained.model, scorer.tokenizer, replace(scorer.metadata))
    fit_estimate(wrapped, pairs, RebuiltScore())
    assert wrapped.estimator("rebuilt_score")(PROMPTS, COMPLETIONS) == pytest.approx(
        scorer.estimator("rebuilt_score")(PROMPTS, COMPLETIONS), abs=1e-3
    )


def test_an_estimate_that_was_not_fitted_is_refused(scorer, merged, plugin, pairs):
    with pytest.raises(UnsupportedModelError, match=r"'remoteness' was not fitted .*/reward'; fitted: none\."):
        scorer.estimator("remoteness", [plugin])
    fit_estimate(scorer, pairs, Deviation())
    with pytest.raises(UnsupportedModelError, match=r"fitted: deviation\. Fit it .*rlhf-losses fit --estimate"):
        scorer.estimator("remoteness", [plugin])


def test_a_missing_file_is_reported(scorer, pairs, merged, plugin):
    fit_estimate(scorer, pairs, "remoteness", merged, plugin_files=[plugin])
    (merged / "estimate_remoteness.safetensors").unlink()
    with pytest.raises(
        UnsupportedModelError, match=r"estimate_remoteness\.safetensors' .*missing\. Download all files"
    ):
        Scorer.from_pretrained(merged).estimator("remoteness", [plugin])


def test_a_model_that_was_trained_after_the_fit_is_refused(scorer, pairs):
    fit_estimate(scorer, pairs, Deviation())
    scorer.estimator("deviation")
    with torch.no_grad():
        scorer.model.score.weight.mul_(1.5)
    with pytest.raises(UnsupportedModelError, match=r"changed since .*'deviation' was fitted.*Fit it again"):
        scorer.estimator("deviation")


def test_training_again_discards_fitted_estimates(trained, scorer, pairs, merged, plugin):
    fit_estimate(scorer, pairs, "remoteness", merged, plugin_files=[plugin])
    trained.save_merged(merged)
    with pytest.raises(UnsupportedModelError, match="was not fitted to the model"):
        Scorer.from_pretrained(merged).estimator("remoteness", [plugin])


def test_data_without_feedback_of_the_type_are_refused(scorer):
    labels = Dataset.from_list([{"prompt": "Count. ", "completion": "1 2", "label": True}])
    with pytest.raises(
        FeedbackMismatchError,
        match=r"rebuilt_score is fitted to Pairs, .* hold Labels\. Use .* with the columns chosen and rejected",
    ):
        fit_estimate(scorer, labels, RebuiltScore())


def test_data_without_a_pair_are_refused(scorer):
    alone = Dataset.from_list([{"prompt": "Count. ", "completions": ["1"], "ratings": [4]}] * 3)
    with pytest.raises(InvalidFeedbackError, match="rebuilt_score is fitted to Pairs, but none of the 3 rows"):
        fit_estimate(scorer, alone, RebuiltScore())


def test_rated_answers_are_compared_prompt_by_prompt(scorer):
    rows = [{"prompt": "Count. ", "completion": text, "rating": stars} for stars, text in enumerate(["1", "2 2", "3"])]
    fit_estimate(scorer, Dataset.from_list(rows), RebuiltScore())
    low, middle, high = scorer(["Count. "] * 3, ["1", "2 2", "3"])
    differences = sorted([high - middle, high - low, middle - low])
    found = scorer.fitted["rebuilt_score"].tensors["differences"].tolist()
    assert sorted(found) == pytest.approx(differences, abs=1e-5)


def test_an_affine_transform_scales_estimates_with_the_unit_of_scores(scorer, pairs):
    for estimate in (Deviation(), PlainNumber()):
        fit_estimate(scorer, pairs, estimate)
    fit_reference(scorer, PROMPTS, COMPLETIONS)
    std, standardized = scorer.metadata.transforms["standardize"]["std"], scorer.with_transforms("standardize")
    raw = scorer.estimator("deviation")(PROMPTS, COMPLETIONS)
    assert standardized.estimator("deviation")(PROMPTS, COMPLETIONS) == pytest.approx([one / std for one in raw])
    assert standardized.estimator("plain_number")(PROMPTS, COMPLETIONS) == pytest.approx(raw)


def test_estimates_with_the_unit_of_scores_need_affine_transforms(scorer, pairs):
    for estimate in (Deviation(), PlainNumber()):
        fit_estimate(scorer, pairs, estimate)
    clipped = scorer.with_transforms("clip(limit=0.1)")
    with pytest.raises(
        InvalidSettingError, match=r"'deviation'.*'clip\(limit=0.1\)'.*with_transforms\('standardize'\)"
    ):
        clipped.estimator("deviation")
    scores, _ = clipped.estimator("plain_number").with_scores(PROMPTS, COMPLETIONS)
    assert scores == pytest.approx(clipped(PROMPTS, COMPLETIONS), abs=1e-6)


def test_scores_with_estimates_are_those_of_the_scorer(scorer, pairs):
    fit_estimate(scorer, pairs, Deviation())
    fit_reference(scorer, PROMPTS, COMPLETIONS)
    for one in (scorer, scorer.with_transforms("standardize")):
        scores, _ = one.estimator("deviation").with_scores(PROMPTS, COMPLETIONS)
        assert scores == pytest.approx(one(PROMPTS, COMPLETIONS), abs=1e-6)
    assert scorer.estimator("deviation")([], []) == []


def test_conversations_have_estimates(scorer, pairs):
    fit_estimate(scorer, pairs, RebuiltScore())
    question, reply = [{"role": "user", "content": "Name a colour."}], [{"role": "assistant", "content": "Red"}]
    scores, rebuilt = scorer.estimator("rebuilt_score").with_scores([question], [reply])
    assert scores == pytest.approx(scorer([question], [reply]), abs=1e-6)
    assert len(rebuilt) == 1


def test_an_estimate_of_a_model_of_steps_is_fitted_to_steps(language_model, settings, tmp_path):
    rows = [
        {"prompt": f"Tell {i}. ", "completions": ["It is good. ", "It is bad. ", "Bye."], "labels": [True, False, True]}
        for i in range(8)
    ]
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=Dataset.from_list(rows), loss="segment_hinge"
    )
    scorer = Scorer.from_pretrained(trainer.save_merged(tmp_path / "steps"))
    fit_estimate(scorer, Dataset.from_list(rows), Deviation())
    text = "It is good. It is bad. Bye."
    each = [scorer.score_steps(row["prompt"], row["completions"]) for row in rows]
    mean = torch.tensor(each).mean()
    torch.testing.assert_close(scorer.fitted["deviation"].tensors["mean"], mean, atol=1e-5, rtol=0)
    (deviation,) = scorer.estimator("deviation")(["Tell 1. "], [text])
    assert deviation == pytest.approx(abs(sum(each[1]) / 3 - mean.item()), abs=1e-5)


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_features_are_the_pooled_vector_of_an_encoder(tokenizer, pairs):
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=1, **SIZES))
    scorer = Scorer(model, tokenizer)
    texts = [scorer.encoder.encode(Answer(p, (c,))) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    head = scorer.model.classifier
    scores = [head(features)[0, 0].item() for features, _ in scorer.features_and_scores(texts)]
    assert scores == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-5)


def test_a_head_that_is_not_linear_is_refused(tokenizer):
    config = RobertaConfig(vocab_size=len(tokenizer), num_labels=1, max_position_embeddings=300, **SIZES)
    scorer = Scorer(RobertaForSequenceClassification(config), tokenizer)
    with pytest.raises(UnsupportedModelError, match="computes a score from all tokens of a text"):
        scorer.features_and_scores([scorer.encoder.encode(Answer(PROMPTS[0], (COMPLETIONS[0],)))])


def test_the_command_line_fits_an_estimate_and_writes_it_with_scores(done, merged, plugin, pairs, tmp_path):
    data, out = tmp_path / "pairs.jsonl", tmp_path / "scores.jsonl"
    pairs.to_json(data)
    arguments = ["--model", merged, "--dataset", data]
    fitted = done("--plugin", plugin, "fit", *arguments, "--estimate", "remoteness(power=1.0)")
    assert fitted.out.strip() == str(merged / "estimate_remoteness.safetensors")
    done("--plugin", plugin, "score", *arguments, "--output", out, "--estimate", "remoteness")

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    chosen = [line for line in lines if line["column"] == "chosen"]
    scorer = Scorer.from_pretrained(merged)
    scores, estimates = scorer.estimator("remoteness", [plugin]).with_scores(pairs["prompt"], pairs["chosen"])
    assert [line["score"] for line in chosen] == pytest.approx(scores, abs=1e-5)
    assert [line["remoteness"] for line in chosen] == pytest.approx(estimates, rel=1e-4)
    assert evaluate(scorer, pairs)["rows"] == len(pairs)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["fit", "--estimate", "remotenes"], ["'remotenes'", "Did you mean 'remoteness'?"]),
        (["fit", "--estimate", "remoteness(pover=1)"], ["'pover'", "Did you mean 'power'?"]),
        (["fit", "--estimate", "remoteness", "--model", "org/model"], ["'org/model'", "folder"]),
        (["score", "--estimate", "remoteness"], ["'remoteness' was not fitted", "fitted: none"]),
    ],
)
def test_errors_of_the_command_line_name_the_value_and_a_remedy(cli, merged, plugin, pairs, tmp_path, words, parts):
    data = tmp_path / "pairs.jsonl"
    pairs.to_json(data)
    model = [] if "--model" in words else ["--model", merged]
    answered = cli("--plugin", plugin, *words, *model, "--dataset", data)
    assert answered.code == 2
    for part in parts:
        assert part in answered.err
