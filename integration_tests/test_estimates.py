"""What is fitted beside the score reads the vectors behind the scores, is saved with the model, and belongs to it."""

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
    Pairs,
    RewardConfig,
    RewardTrainer,
    ScoreEstimate,
    Scorer,
    StandardizedScorer,
    UnknownNameError,
    UnsupportedModelError,
    fit_estimate,
    fit_reference,
)
from rlhf_losses.feedback.base import Answer
from rlhf_losses.losses import Aggregated
from rlhf_losses.scoring import RewardModelMetadata, evaluate
from rlhf_losses.scoring.estimator import whole_texts

PROMPTS = ["Name a colour. ", "Name a colour. ", "Count. ", "Is it late? "]
COMPLETIONS = ["Red", "Blue, or perhaps a very dark green.", "1 2 3 4 5 6 7 8 9", "No"]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "remote.py"
    file.write_text(HEAD + ESTIMATE + ESTIMATE_HOOK)
    return file


@dataclass(frozen=True)
class Rebuilt(ScoreEstimate):
    """The score, from what the head reads: what `fit` saw proves that features, scores and feedback belong together."""

    feedback_type = Pairs

    def fit(self, evidence):
        batches = list(evidence)
        features, scores = torch.cat([one.features for one in batches]), torch.cat([one.scores for one in batches])
        solved = torch.linalg.lstsq(features.double(), scores.double(), driver="gelsd").solution
        leads = torch.cat([one.feedback.score_difference(one.scores) for one in batches])
        return {"head": solved.float(), "leads": leads}

    def read(self, features, scores, head, leads):
        return features @ head


@dataclass(frozen=True)
class Centre(ScoreEstimate):
    """AttentionOptions far a score is from the mean score."""

    in_units_of_score = True

    def fit(self, evidence):
        return {"mean": torch.cat([one.scores for one in evidence]).mean()}

    def read(self, features, scores, mean):
        return (scores - mean).abs()


@dataclass(frozen=True)
class Strange(Centre):
    """The same as a plain number."""

    in_units_of_score = False


@pytest.fixture
def saved_merged(trained, tmp_path) -> Path:
    return trained.save_merged(tmp_path / "reward")


@pytest.fixture
def scorer(saved_merged) -> Scorer:
    return Scorer.from_pretrained(saved_merged)


@pytest.mark.parametrize("layout", ["padded", "packed", "prefix_shared"])
@pytest.mark.parametrize("size", [1, 3, 32])
def test_the_head_on_what_it_reads_gives_the_score_in_every_layout(saved_merged, layout, size):
    scorer = Scorer.from_pretrained(saved_merged, layout=layout, batch_size=size)
    texts = [scorer.encode(Answer(p, (c,))) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    head = scorer.model.score.weight[0].detach()
    scores = [(features @ head).item() for features, _ in scorer.read_encoded(texts)]
    assert scores == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-5)
    assert scores == pytest.approx([parts[0] for _, parts in scorer.read_encoded(texts)], abs=1e-5)


def test_features_are_the_last_hidden_state_of_the_plain_model(saved_merged, scorer, tokenizer):
    model = AutoModelForSequenceClassification.from_pretrained(saved_merged, dtype=torch.float32)
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        ids = tokenizer(prompt + completion + tokenizer.eos_token, return_tensors="pt", return_token_type_ids=False)
        ((features, _),) = scorer.read_encoded([scorer.encode(Answer(prompt, (completion,)))])
        torch.testing.assert_close(features[0], model.model(**ids).last_hidden_state[0, -1].detach(), atol=1e-5, rtol=0)


def test_an_estimate_is_fitted_to_the_features_scores_and_leads_of_the_data(scorer, pairs):
    fit_estimate(scorer, pairs, Rebuilt())
    chosen, rejected = scorer(pairs["prompt"], pairs["chosen"]), scorer(pairs["prompt"], pairs["rejected"])
    leads = [c - r for c, r in zip(chosen, rejected, strict=True)]
    assert scorer.fitted["rebuilt"].tensors["leads"].tolist() == pytest.approx(leads, abs=1e-5)
    rebuilt = scorer.estimator("rebuilt")(pairs["prompt"], pairs["chosen"])
    assert rebuilt == pytest.approx(chosen, abs=1e-3)


def test_batches_of_rows_make_no_difference(scorer, pairs, monkeypatch):
    fit_estimate(scorer, pairs, Centre())
    at_once = scorer.fitted["centre"].tensors["mean"]
    monkeypatch.setattr("rlhf_losses.scoring.estimation.ROWS_AT_ONCE", 3)
    fit_estimate(scorer, pairs, Centre())
    torch.testing.assert_close(scorer.fitted["centre"].tensors["mean"], at_once)


def test_what_was_fitted_is_saved_and_comes_back_with_the_model(scorer, pairs, saved_merged, plugin):
    before = scorer(PROMPTS, COMPLETIONS)
    fit_estimate(scorer, pairs, "remoteness(power=1.5)", saved_merged, plugin_files=[plugin])
    told = json.loads((saved_merged / "reward_model.json").read_text())
    assert told["estimates"]["remoteness"]["text"] == "remoteness(power=1.5)"
    assert (saved_merged / "estimate_remoteness.safetensors").is_file()
    AutoModelForSequenceClassification.from_pretrained(saved_merged)

    again = Scorer.from_pretrained(saved_merged)
    expected = scorer.estimator("remoteness")(PROMPTS, COMPLETIONS)
    assert again.estimator("remoteness", [plugin])(PROMPTS, COMPLETIONS) == pytest.approx(expected, rel=1e-4)
    assert again(PROMPTS, COMPLETIONS) == pytest.approx(before, abs=1e-6)
    fit_reference(again, PROMPTS, COMPLETIONS, saved_merged)
    assert "remoteness" in RewardModelMetadata.load(saved_merged).estimates


def test_a_model_scores_without_the_plugin_that_its_estimate_needs(scorer, pairs, saved_merged, plugin):
    fit_estimate(scorer, pairs, "remoteness", saved_merged, plugin_files=[plugin])
    again = Scorer.from_pretrained(saved_merged)
    assert again(PROMPTS, COMPLETIONS) == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-6)
    with pytest.raises(UnknownNameError, match=r"No estimate is called 'remoteness'\..*Install the plugin"):
        again.estimator("remoteness")


def test_an_adapter_that_is_not_merged_reads_the_same(trained, scorer, pairs, tokenizer):
    fit_estimate(scorer, pairs, Rebuilt())
    wrapped = Scorer(trained.model, tokenizer, replace(scorer.metadata))
    fit_estimate(wrapped, pairs, Rebuilt())
    assert wrapped.estimator("rebuilt")(PROMPTS, COMPLETIONS) == pytest.approx(
        scorer.estimator("rebuilt")(PROMPTS, COMPLETIONS), abs=1e-3
    )


def test_what_was_not_fitted_is_refused(scorer, saved_merged, plugin, pairs):
    with pytest.raises(
        UnsupportedModelError, match=r"remoteness was not fitted to 'reward'; estimates that were: none\."
    ):
        scorer.estimator("remoteness", [plugin])
    fit_estimate(scorer, pairs, Centre())
    with pytest.raises(
        UnsupportedModelError, match=r"estimates that were: centre\. Fit it .*rlhf-losses fit --estimate"
    ):
        scorer.estimator("remoteness", [plugin])


def test_a_file_that_is_missing_is_told(scorer, pairs, saved_merged, plugin):
    fit_estimate(scorer, pairs, "remoteness", saved_merged, plugin_files=[plugin])
    (saved_merged / "estimate_remoteness.safetensors").unlink()
    with pytest.raises(
        UnsupportedModelError, match=r"estimate_remoteness\.safetensors is not there\. Fetch every file"
    ):
        Scorer.from_pretrained(saved_merged).estimator("remoteness", [plugin])


def test_a_model_that_was_trained_on_since_is_refused(scorer, pairs):
    fit_estimate(scorer, pairs, Centre())
    scorer.estimator("centre")
    with torch.no_grad():
        scorer.model.score.weight.mul_(1.5)
    with pytest.raises(
        UnsupportedModelError, match=r"when centre was fitted, so it has been trained since .*Fit it again"
    ):
        scorer.estimator("centre")


def test_training_again_forgets_what_was_fitted(trained, scorer, pairs, saved_merged, plugin):
    fit_estimate(scorer, pairs, "remoteness", saved_merged, plugin_files=[plugin])
    trained.save_merged(saved_merged)
    with pytest.raises(UnsupportedModelError, match="was not fitted to 'reward'"):
        Scorer.from_pretrained(saved_merged).estimator("remoteness", [plugin])


def test_data_without_the_feedback_that_is_read_are_refused(scorer):
    labels = Dataset.from_list([{"prompt": "Count. ", "completion": "1 2", "label": True}])
    with pytest.raises(
        FeedbackMismatchError,
        match=r"rebuilt is fitted to Pairs, .* so they hold Labels\. Give .* with the columns chosen and rejected",
    ):
        fit_estimate(scorer, labels, Rebuilt())


def test_data_of_which_nothing_is_a_pair_are_refused(scorer):
    alone = Dataset.from_list([{"prompt": "Count. ", "completions": ["1"], "ratings": [4]}] * 3)
    with pytest.raises(InvalidFeedbackError, match="rebuilt is fitted to Pairs, but the data have 3 rows and none of"):
        fit_estimate(scorer, alone, Rebuilt())


def test_rated_answers_are_compared_prompt_by_prompt(scorer):
    rows = [{"prompt": "Count. ", "completion": text, "rating": stars} for stars, text in enumerate(["1", "2 2", "3"])]
    fit_estimate(scorer, Dataset.from_list(rows), Rebuilt())
    low, middle, high = scorer(["Count. "] * 3, ["1", "2 2", "3"])
    leads = sorted([high - middle, high - low, middle - low])
    assert sorted(scorer.fitted["rebuilt"].tensors["leads"].tolist()) == pytest.approx(leads, abs=1e-5)


def test_standardised_scorers_divide_distances_and_leave_other_numbers(scorer, pairs):
    for estimate in (Centre(), Strange()):
        fit_estimate(scorer, pairs, estimate)
    fit_reference(scorer, PROMPTS, COMPLETIONS)
    std, standardised = scorer.metadata.reference_std, StandardizedScorer(scorer)
    plain = scorer.estimator("centre")(PROMPTS, COMPLETIONS)
    assert standardised.estimator("centre")(PROMPTS, COMPLETIONS) == pytest.approx([one / std for one in plain])
    assert standardised.estimator("strange")(PROMPTS, COMPLETIONS) == pytest.approx(plain)


def test_scores_come_with_the_estimates_as_the_scorer_gives_them(scorer, pairs):
    fit_estimate(scorer, pairs, Centre())
    fit_reference(scorer, PROMPTS, COMPLETIONS)
    for one in (scorer, StandardizedScorer(scorer)):
        scores, _ = one.estimator("centre").with_scores(PROMPTS, COMPLETIONS)
        assert scores == pytest.approx(one(PROMPTS, COMPLETIONS), abs=1e-6)
    assert scorer.estimator("centre")([], []) == []


def test_conversations_are_read_too(scorer, pairs):
    fit_estimate(scorer, pairs, Rebuilt())
    question, reply = [{"role": "user", "content": "Name a colour."}], [{"role": "assistant", "content": "Red"}]
    scores, rebuilt = scorer.estimator("rebuilt").with_scores([question], [reply])
    assert scores == pytest.approx(scorer([question], [reply]), abs=1e-6)
    assert len(rebuilt) == 1


@pytest.mark.parametrize("by", ["mean", "sum", "minimum", "soft_minimum"])
def test_the_vector_of_a_text_in_steps_is_weighed_as_its_score_is(scorer, by):
    """Adding a little to the head moves the score of the text by as much times its vector."""
    scorer.metadata = replace(scorer.metadata, aggregate=by, aggregate_temperature=0.5)
    vectors, head = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 8)

    def score(head):
        return Aggregated(by=by, temperature=0.5).of_steps((vectors @ head).double())

    ((feature,), (whole,)) = whole_texts(scorer, [(vectors, (vectors @ head).tolist())])
    slope = torch.autograd.functional.jacobian(score, head)
    torch.testing.assert_close(feature, slope, atol=1e-5, rtol=1e-5)
    assert whole.item() == pytest.approx(score(head).item(), abs=1e-5)


def test_a_model_of_steps_is_fitted_to_steps_and_reads_whole_texts(language_model, settings, tmp_path):
    rows = [
        {"prompt": f"Tell {i}. ", "completions": ["It is good. ", "It is bad. ", "Bye."], "labels": [True, False, True]}
        for i in range(8)
    ]
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=Dataset.from_list(rows), loss="segment_hinge"
    )
    scorer = Scorer.from_pretrained(trainer.save_merged(tmp_path / "steps"))
    fit_estimate(scorer, Dataset.from_list(rows), Centre())
    text = "It is good. It is bad. Bye."
    each = [scorer.score_steps(row["prompt"], row["completions"]) for row in rows]
    mean = torch.tensor(each).mean()
    torch.testing.assert_close(scorer.fitted["centre"].tensors["mean"], mean, atol=1e-5, rtol=0)
    (far,) = scorer.estimator("centre")(["Tell 1. "], [text])
    assert far == pytest.approx(abs(sum(each[1]) / 3 - mean.item()), abs=1e-5)


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_head_that_reads_a_pooled_vector_is_read_there(tokenizer, pairs):
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=1, **SIZES))
    scorer = Scorer(model, tokenizer)
    texts = [scorer.encode(Answer(p, (c,))) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    head = scorer.model.classifier
    scores = [head(features)[0, 0].item() for features, _ in scorer.read_encoded(texts)]
    assert scores == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-5)


def test_a_head_that_is_a_network_of_its_own_is_refused(tokenizer):
    config = RobertaConfig(vocab_size=len(tokenizer), num_labels=1, max_position_embeddings=300, **SIZES)
    scorer = Scorer(RobertaForSequenceClassification(config), tokenizer)
    with pytest.raises(UnsupportedModelError, match="reads all tokens of a text for one score"):
        scorer.read_encoded([scorer.encode(Answer(PROMPTS[0], (COMPLETIONS[0],)))])


def test_the_command_line_fits_and_tells_it(done, saved_merged, plugin, pairs, tmp_path):
    data, out = tmp_path / "pairs.jsonl", tmp_path / "scores.jsonl"
    pairs.to_json(data)
    given = ["--model", saved_merged, "--dataset", data]
    fitted = done("--plugin", plugin, "fit", *given, "--estimate", "remoteness(power=1.0)")
    assert fitted.out.strip() == str(saved_merged / "estimate_remoteness.safetensors")
    done("--plugin", plugin, "score", *given, "--output", out, "--estimate", "remoteness")

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    chosen = [line for line in lines if line["column"] == "chosen"]
    scorer = Scorer.from_pretrained(saved_merged)
    scores, far = scorer.estimator("remoteness", [plugin]).with_scores(pairs["prompt"], pairs["chosen"])
    assert [line["score"] for line in chosen] == pytest.approx(scores, abs=1e-5)
    assert [line["remoteness"] for line in chosen] == pytest.approx(far, rel=1e-4)
    assert evaluate(scorer, pairs)["rows"] == len(pairs)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit", "--estimate", "remotenes"], "No estimate is called 'remotenes'. Did you mean 'remoteness'?"),
        (["fit", "--estimate", "remoteness(pover=1)"], "remoteness has no option 'pover'. Did you mean 'power'?"),
        (["fit", "--estimate", "remoteness", "--model", "org/model"], "'org/model' is no folder, so nothing can be"),
        (["score", "--estimate", "remoteness"], "remoteness was not fitted to 'reward'; estimates that were: none."),
    ],
)
def test_what_the_command_line_cannot_do_is_told(cli, saved_merged, plugin, pairs, tmp_path, words, told):
    data = tmp_path / "pairs.jsonl"
    pairs.to_json(data)
    model = [] if "--model" in words else ["--model", saved_merged]
    answered = cli("--plugin", plugin, *words, *model, "--dataset", data)
    assert answered.code == 2
    assert told in answered.err
