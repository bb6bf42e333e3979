"""Standard deviations of `laplace`: formula, repeated experiments, and trained models."""

import json
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from rlhf_losses_laplace import Laplace, LowerBound
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

from rlhf_losses import (
    BradleyTerry,
    Evidence,
    FeedbackMismatchError,
    InvalidLossError,
    Pairs,
    PPOConfig,
    PPOTrainer,
    RewardConfig,
    RewardTrainer,
    ScoredTexts,
    Scorer,
    UnsupportedModelError,
    fit_estimate,
    fit_reference,
    parse_loss,
)
from rlhf_losses.sandbox.tiny_models import build_reward_model, build_tokenizer
from rlhf_losses.testing import check_estimate

# TRL's defaults use names that transformers has renamed, and torch warns that a CPU has no pinned memory.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]

WIDTH = 4
HEAD = torch.tensor([1.0, -2.0, 0.5, 0.0])


def evidence(count, seed=0, **values) -> Evidence:
    """Return pairs of random vectors with the scores of the head."""
    features = torch.randn(2 * count, WIDTH, generator=torch.Generator().manual_seed(seed))
    pairs = Pairs(chosen=torch.arange(0, 2 * count, 2), rejected=torch.arange(1, 2 * count, 2), **values)
    return Evidence(features @ HEAD, features, torch.ones(2 * count), pairs)


def scored(features, scores=None) -> ScoredTexts:
    """Return texts with some vectors, with the scores of the head."""
    return ScoredTexts(features @ HEAD if scores is None else scores, features, torch.ones(len(features)))


def std(estimate, found, features) -> torch.Tensor:
    """Return the standard deviations for some vectors after a fit to the evidence."""
    return estimate.predict(scored(features), estimate.fit(found))


def vectors(count=5, seed=9) -> torch.Tensor:
    return 3 * torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("estimate", [Laplace(), Laplace(prior_precision=0.01, temperature=3.0)], ids=str)
def test_laplace_keeps_the_contract(estimate):
    check_estimate(estimate)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"margin": torch.linspace(-1, 2, 30)},
        {"weight": torch.linspace(0, 3, 30)},
        {"preference": torch.linspace(0, 1, 30)},
    ],
    ids=["plain", "margin", "weight", "preference"],
)
@pytest.mark.parametrize("estimate", [Laplace(), Laplace(prior_precision=0.1, temperature=2.0)], ids=str)
def test_the_estimate_follows_from_the_hessian_of_the_posterior(estimate, values):
    """Autograd differentiates the loss itself twice in the weights of the head."""
    found = evidence(30, **values)
    loss = BradleyTerry(temperature=estimate.temperature)

    def negative_log_posterior(head):
        likelihood = loss.per_item_loss(found.features.double() @ head, found.feedback).sum()
        return likelihood + estimate.prior_precision / 2 * head.square().sum()

    covariance = torch.autograd.functional.hessian(negative_log_posterior, HEAD.double()).inverse()
    centered = (vectors() - found.features.mean(0)).double()
    expected = (centered @ covariance * centered).sum(1).sqrt()
    torch.testing.assert_close(std(estimate, [found], vectors()), expected.float())


def test_the_estimate_is_the_standard_deviation_over_repeated_experiments():
    """Heads fitted to labels that are drawn again and again give scores with the standard deviation of a single fit."""
    generator = torch.Generator().manual_seed(0)
    found = evidence(600)
    difference = (found.features[0::2] - found.features[1::2]).double()
    win_probabilities = torch.sigmoid(difference @ HEAD.double())
    prior = Laplace(prior_precision=1e-3)
    heads = []
    for _ in range(400):
        signs = 2 * torch.bernoulli(win_probabilities, generator=generator) - 1
        head = HEAD.double()
        for _ in range(8):  # Newton's method, from the true head
            wins = torch.sigmoid(signs * (difference @ head))
            hessian = difference.T @ ((wins * (1 - wins)).unsqueeze(1) * difference) + 1e-3 * torch.eye(WIDTH)
            gradient = difference.T @ (signs * (1 - wins)) - 1e-3 * head
            head = head + torch.linalg.solve(hessian, gradient)
        heads.append(head)
    centered = (vectors() - found.features.mean(0)).double()
    observed = (torch.stack(heads) @ centered.T).std(0)
    # The standard error of a standard deviation of 400 draws is 3.5 per cent. The tolerance is four of these, and a few
    # per cent for the normal approximation with 600 pairs.
    torch.testing.assert_close(std(prior, [found], vectors()).double(), observed, rtol=0.17, atol=0)


def test_the_estimate_is_proportional_to_the_distance_from_the_data():
    found = evidence(50)
    mean = found.features.mean(0)
    points = mean + torch.tensor([[0.0], [1.0], [3.0], [10.0]]) * torch.ones(WIDTH)
    estimates = std(Laplace(), [found], points)
    assert estimates[0] == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(estimates / estimates[1], torch.tensor([0.0, 1.0, 3.0, 10.0]), atol=1e-5, rtol=1e-4)


def test_the_prior_determines_directions_without_data():
    found = evidence(50)
    flat = found.features.clone()
    flat[:, 3] = 7.0
    unseen = flat.mean(0) + torch.tensor([0.0, 0.0, 0.0, 2.0])
    estimate = std(Laplace(prior_precision=0.25), [replace(found, features=flat)], unseen[None])
    assert estimate.item() == pytest.approx(2.0 / 0.25**0.5, rel=1e-5)


def test_the_estimate_falls_with_the_root_of_the_amount_of_data():
    found = evidence(50)
    weak = Laplace(prior_precision=1e-6)
    once, often = std(weak, [found], vectors()), std(weak, [found] * 9, vectors())
    torch.testing.assert_close(often, once / 9**0.5, rtol=1e-3, atol=0)
    assert bool((std(Laplace(), [evidence(50), evidence(50, seed=1)], vectors()) > 0).all())


def test_a_vector_added_to_all_features_has_no_effect():
    found, shift = evidence(50), torch.tensor([5.0, -1.0, 2.0, 40.0])
    moved = Laplace().fit([replace(found, features=found.features + shift)])
    estimates = Laplace().predict(scored(vectors() + shift, vectors() @ HEAD), moved)
    torch.testing.assert_close(estimates, std(Laplace(), [found], vectors()), rtol=1e-4, atol=1e-5)


def test_the_estimate_does_not_depend_on_the_batches():
    one, other = evidence(20), evidence(30, seed=1)
    features = torch.cat([one.features, other.features])
    joined = Pairs.concatenate([one.feedback, other.feedback.reindexed(torch.arange(40, 100))])
    together = [Evidence(features @ HEAD, features, torch.ones(len(features)), joined)]
    torch.testing.assert_close(std(Laplace(), [one, other], vectors()), std(Laplace(), together, vectors()))


@pytest.mark.parametrize(
    ("loss", "remedy"),
    [
        ("squared_error", "but this model was trained with squared_error. Train one with bradley_terry"),
        ("bradley_terry(temperature=2.0)", r"Use laplace\(temperature=2.0\)"),
    ],
)
def test_models_of_other_losses_are_refused(loss, remedy):
    with pytest.raises(UnsupportedModelError, match=remedy):
        Laplace().require_loss(parse_loss(loss))


@pytest.mark.parametrize("loss", ["bradley_terry", "centered_bradley_terry", "hinge + 2 * bradley_terry"])
def test_sums_with_bradley_terry_are_accepted(loss):
    Laplace().require_loss(parse_loss(loss))


def test_a_precision_of_zero_is_refused():
    with pytest.raises(InvalidLossError, match="prior_precision=0"):
        Laplace(prior_precision=0.0)


# A trained model, from pairs in which the warm answer is the better one.

WORDS = ["Soup", "is", "warm", "cold", "hot", "icy", "not", "now", "here", "again"]
ROWS = [
    {"prompt": "Soup is", "chosen": f" {good} {end}", "rejected": f" {bad} {end}"}
    for good in ("warm", "hot")
    for bad in ("cold", "icy")
    for end in ("now", "here", "now now", "here now")
]
PROMPTS, COMPLETIONS = ["Soup is"] * 3, [" warm now", " cold here", " again not Soup not again"]
FAST_SETTINGS = {
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "gradient_checkpointing": False,
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> str:
    """Return the folder of a tiny language model."""
    tokenizer = build_tokenizer(WORDS)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("policy")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def fitted(policy, tmp_path_factory) -> str:
    """Return the folder of a trained reward model with a fitted estimate."""
    folder = tmp_path_factory.mktemp("reward")
    trainer = RewardTrainer(
        build_reward_model(LlamaForCausalLM.from_pretrained(policy)),
        RewardConfig(str(folder), max_steps=8, learning_rate=1e-2, save_strategy="no", **FAST_SETTINGS),
        train_dataset=Dataset.from_list(ROWS),
        processing_class=build_tokenizer(WORDS),
        loss="bradley_terry",
    )
    trainer.train()
    scorer = Scorer.from_pretrained(trainer.save_merged())
    fit_estimate(scorer, Dataset.from_list(ROWS), "laplace(prior_precision=0.5)", folder)
    return str(folder)


@pytest.fixture(scope="module")
def scorer(fitted) -> Scorer:
    return Scorer.from_pretrained(fitted)


def test_the_estimate_is_loaded_with_the_model(fitted, scorer):
    saved = json.loads(Path(fitted, "reward_model.json").read_text(encoding="utf-8"))["estimates"]
    assert saved["laplace"]["text"] == "laplace(prior_precision=0.5)"
    estimator = scorer.estimator("laplace")
    assert estimator.estimate == Laplace(prior_precision=0.5)
    assert estimator.tensors["root"].shape == (16, 16)
    assert estimator.__name__ == "laplace"


def test_the_estimate_is_that_of_the_hidden_states_of_the_model(scorer):
    """The expected values are fitted by hand to the hidden states of the model."""
    tokenizer, model = scorer.tokenizer, scorer.model
    head = model.score.weight[0].detach()

    def vector(text):
        ids = tokenizer(text, return_tensors="pt", return_token_type_ids=False)  # the tokenizer adds EOS
        return model.model(**ids).last_hidden_state[0, -1].detach()

    both = [vector(row["prompt"] + row[side]) for row in ROWS for side in ("chosen", "rejected")]
    features = torch.stack(both)
    pairs = Pairs(range(0, len(both), 2), range(1, len(both), 2))
    by_hand = Laplace(prior_precision=0.5)
    tensors = by_hand.fit([Evidence(features @ head, features, torch.ones(len(both)), pairs)])
    new = torch.stack([vector(p + c) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)])
    expected = by_hand.predict(scored(new, new @ head), tensors)
    assert scorer.estimator("laplace")(PROMPTS, COMPLETIONS) == pytest.approx(expected.tolist(), rel=1e-3)


def test_the_estimate_is_largest_for_words_that_no_pair_has(scorer):
    warm, cold, unseen = scorer.estimator("laplace")(PROMPTS, COMPLETIONS)
    assert unseen > 1.5 * max(warm, cold)


def test_scores_and_estimates_need_one_forward_pass(scorer):
    estimator, calls = scorer.estimator("laplace"), []
    hook = scorer.model.register_forward_hook(lambda *_: calls.append(1))
    scores, deviations = estimator.with_scores(PROMPTS, COMPLETIONS)
    hook.remove()
    assert len(calls) == 1
    assert scores == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-6)
    assert deviations == pytest.approx(estimator(PROMPTS, COMPLETIONS), abs=1e-6)


def test_the_lower_bound_is_the_score_minus_the_weighted_deviation(scorer):
    lower_bound = LowerBound(scorer, weight=0.5)
    deviations = scorer.estimator("laplace")(PROMPTS, COMPLETIONS)
    expected = [s - 0.5 * d for s, d in zip(scorer(PROMPTS, COMPLETIONS), deviations, strict=True)]
    assert lower_bound(PROMPTS, COMPLETIONS) == pytest.approx(expected, abs=1e-6)


def test_estimates_of_a_standardized_scorer_have_its_unit(fitted):
    raw = Scorer.from_pretrained(fitted)
    fit_reference(raw, PROMPTS, COMPLETIONS)
    standardized = raw.with_transforms("standardize")
    reference_std = raw.metadata.transforms["standardize"]["std"]
    expected = [deviation / reference_std for deviation in raw.estimator("laplace")(PROMPTS, COMPLETIONS)]
    scores, deviations = standardized.estimator("laplace").with_scores(PROMPTS, COMPLETIONS)
    assert deviations == pytest.approx(expected)
    assert scores == pytest.approx(standardized(PROMPTS, COMPLETIONS), abs=1e-6)


def test_data_without_pairs_are_refused(scorer):
    labels = Dataset.from_list([{"prompt": "Soup is", "completion": " warm", "label": True}])
    with pytest.raises(FeedbackMismatchError, match=r"laplace is fitted to Pairs, .* hold Labels"):
        fit_estimate(scorer, labels, "laplace")


RL = {
    "max_steps": 2,
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 4,
    **FAST_SETTINGS,
}
PROMPT_ROWS = Dataset.from_dict({"prompt": ["Soup is"] * 8})


def test_the_lower_bound_is_a_reward_of_grpo(policy, scorer, tmp_path):
    trainer = GRPOTrainer(
        model=policy,
        reward_funcs=[LowerBound(scorer), scorer.estimator("laplace")],
        args=GRPOConfig(str(tmp_path), reward_weights=[1.0, 0.0], logging_steps=1, **RL),
        train_dataset=PROMPT_ROWS,
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["rewards/laplace/mean"] > 0
    assert logged["reward"] == pytest.approx(logged[f"rewards/{scorer.__name__}_lower_bound/mean"], abs=1e-4)


def test_the_lower_bound_is_a_reward_of_ppo(policy, scorer, tmp_path):
    trainer = PPOTrainer(policy, LowerBound(scorer), PPOConfig(str(tmp_path), logging_steps=1, **RL), PROMPT_ROWS)
    trainer.train()
    assert f"rewards/{scorer.__name__}_lower_bound/mean" in trainer.state.log_history[0]


def test_the_installed_plugin_is_found_by_its_entry_point():
    (point,) = [point for point in entry_points(group="rlhf_losses") if point.name == "laplace"]
    assert point.load().provide_score_estimates() == [Laplace]
