"""The spread is that of the posterior's curvature and of repeated surveys, and a trained model offers it."""

import json
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
    Scorer,
    StandardizedScorer,
    UnsupportedModelError,
    fit_estimate,
    fit_reference,
    parse_loss,
)
from rlhf_losses.sandbox.tiny_models import build_reward_model, build_tokenizer
from rlhf_losses.testing import check_estimate

# TRL's own defaults use names that transformers has renamed, and torch tells of memory that a CPU does not have.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]

WIDTH = 4
HEAD = torch.tensor([1.0, -2.0, 0.5, 0.0])


def evidence(count, seed=0, **said) -> Evidence:
    """Return pairs of random vectors, scored by the head."""
    features = torch.randn(2 * count, WIDTH, generator=torch.Generator().manual_seed(seed))
    pairs = Pairs(chosen=torch.arange(0, 2 * count, 2), rejected=torch.arange(1, 2 * count, 2), **said)
    return Evidence(features, features @ HEAD, pairs)


def spread(estimate, found, features) -> torch.Tensor:
    """Return what an estimate says of some vectors after it has seen the evidence."""
    return estimate.read(features, features @ HEAD, **estimate.fit(found))


def vectors(count=5, seed=9) -> torch.Tensor:
    return 3 * torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("estimate", [Laplace(), Laplace(prior_precision=0.01, temperature=3.0)], ids=str)
def test_laplace_keeps_the_contract(estimate):
    check_estimate(estimate)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"margin": torch.linspace(-1, 2, 30)},
        {"weight": torch.linspace(0, 3, 30)},
        {"preference": torch.linspace(0, 1, 30)},
    ],
    ids=["plain", "margin", "weight", "preference"],
)
@pytest.mark.parametrize("estimate", [Laplace(), Laplace(prior_precision=0.1, temperature=2.0)], ids=str)
def test_the_spread_is_that_of_the_hessian_of_the_posterior(estimate, said):
    """The loss itself is differentiated twice, by autograd, in the weights of the head."""
    found = evidence(30, **said)
    loss = BradleyTerry(temperature=estimate.temperature)

    def negative_log_posterior(head):
        likelihood = loss.per_item_loss(found.features.double() @ head, found.feedback).sum()
        return likelihood + estimate.prior_precision / 2 * head.square().sum()

    covariance = torch.autograd.functional.hessian(negative_log_posterior, HEAD.double()).inverse()
    away = (vectors() - found.features.mean(0)).double()
    expected = (away @ covariance * away).sum(1).sqrt()
    torch.testing.assert_close(spread(estimate, [found], vectors()), expected.float())


def test_the_spread_is_how_far_scores_differ_when_the_survey_is_repeated():
    """A head fitted to answers drawn anew, many times over, puts scores as far from each other as one fit tells."""
    generator = torch.Generator().manual_seed(0)
    found = evidence(600)
    difference = (found.features[0::2] - found.features[1::2]).double()
    chances = torch.sigmoid(difference @ HEAD.double())
    prior = Laplace(prior_precision=1e-3)
    heads = []
    for _ in range(400):
        signs = 2 * torch.bernoulli(chances, generator=generator) - 1
        head = HEAD.double()
        for _ in range(8):  # Newton's method, from the truth
            wins = torch.sigmoid(signs * (difference @ head))
            curvature = difference.T @ ((wins * (1 - wins)).unsqueeze(1) * difference) + 1e-3 * torch.eye(WIDTH)
            slope = difference.T @ (signs * (1 - wins)) - 1e-3 * head
            head = head + torch.linalg.solve(curvature, slope)
        heads.append(head)
    away = (vectors() - found.features.mean(0)).double()
    seen = (torch.stack(heads) @ away.T).std(0)
    # A standard deviation of 400 draws is itself known to 3.5 per cent; four of these are allowed, and a few
    # for what the normal approximation leaves out at 600 pairs.
    torch.testing.assert_close(spread(prior, [found], vectors()).double(), seen, rtol=0.17, atol=0)


def test_the_spread_grows_with_the_distance_from_the_data():
    found = evidence(50)
    mean = found.features.mean(0)
    steps = mean + torch.tensor([[0.0], [1.0], [3.0], [10.0]]) * torch.ones(WIDTH)
    told = spread(Laplace(), [found], steps)
    assert told[0] == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(told / told[1], torch.tensor([0.0, 1.0, 3.0, 10.0]), atol=1e-5, rtol=1e-4)


def test_where_no_pair_differs_the_prior_decides():
    found = evidence(50)
    flat = found.features.clone()
    flat[:, 3] = 7.0
    unseen = flat.mean(0) + torch.tensor([0.0, 0.0, 0.0, 2.0])
    told = spread(Laplace(prior_precision=0.25), [found._replace(features=flat)], unseen[None])
    assert told.item() == pytest.approx(2.0 / 0.25**0.5, rel=1e-5)


def test_the_spread_falls_with_more_data_by_the_root_of_its_amount():
    found = evidence(50)
    weak = Laplace(prior_precision=1e-6)
    once, often = spread(weak, [found], vectors()), spread(weak, [found] * 9, vectors())
    torch.testing.assert_close(often, once / 9**0.5, rtol=1e-3, atol=0)
    assert bool((spread(Laplace(), [evidence(50), evidence(50, seed=1)], vectors()) > 0).all())


def test_one_vector_added_to_all_changes_nothing():
    found, shift = evidence(50), torch.tensor([5.0, -1.0, 2.0, 40.0])
    moved = Laplace().fit([found._replace(features=found.features + shift)])
    told = Laplace().read(vectors() + shift, vectors() @ HEAD, **moved)
    torch.testing.assert_close(told, spread(Laplace(), [found], vectors()), rtol=1e-4, atol=1e-5)


def test_batches_make_no_difference():
    one, other = evidence(20), evidence(30, seed=1)
    features = torch.cat([one.features, other.features])
    joined = Pairs.concatenate([one.feedback, other.feedback.reindexed(torch.arange(40, 100))])
    together = [Evidence(features, features @ HEAD, joined)]
    torch.testing.assert_close(spread(Laplace(), [one, other], vectors()), spread(Laplace(), together, vectors()))


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("squared_error", "but this model was trained with squared_error. Train one with bradley_terry"),
        ("bradley_terry(temperature=2.0)", r"Write laplace\(temperature=2.0\)"),
    ],
)
def test_models_of_other_losses_are_refused(loss, told):
    with pytest.raises(UnsupportedModelError, match=told):
        Laplace().require_loss(parse_loss(loss))


@pytest.mark.parametrize("loss", ["bradley_terry", "centered_bradley_terry", "hinge + 2 * bradley_terry"])
def test_sums_with_bradley_terry_are_taken(loss):
    Laplace().require_loss(parse_loss(loss))


def test_a_precision_that_cannot_be_is_refused():
    with pytest.raises(InvalidLossError, match="laplace got prior_precision=0"):
        Laplace(prior_precision=0.0)


# A trained model, from pairs in which the better answer is the one that is warm.

WORDS = ["Soup", "is", "warm", "cold", "hot", "icy", "not", "now", "here", "again"]
ROWS = [
    {"prompt": "Soup is", "chosen": f" {good} {end}", "rejected": f" {bad} {end}"}
    for good in ("warm", "hot")
    for bad in ("cold", "icy")
    for end in ("now", "here", "now now", "here now")
]
PROMPTS, COMPLETIONS = ["Soup is"] * 3, [" warm now", " cold here", " again not Soup not again"]
CHEAP = {"bf16": False, "use_cpu": True, "report_to": "none", "disable_tqdm": True, "gradient_checkpointing": False}


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
    """Return the folder of a reward model, trained and saved_merged, with the estimate fitted."""
    folder = tmp_path_factory.mktemp("reward")
    trainer = RewardTrainer(
        build_reward_model(LlamaForCausalLM.from_pretrained(policy)),
        RewardConfig(str(folder), max_steps=8, learning_rate=1e-2, save_strategy="no", **CHEAP),
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


def test_what_was_fitted_is_loaded_with_the_model(fitted, scorer):
    told = json.loads(Path(fitted, "reward_model.json").read_text(encoding="utf-8"))["estimates"]
    assert told["laplace"]["text"] == "laplace(prior_precision=0.5)"
    spread = scorer.estimator("laplace")
    assert spread.estimate == Laplace(prior_precision=0.5)
    assert spread.tensors["root"].shape == (16, 16)
    assert spread.__name__ == "laplace"


def test_it_is_the_spread_of_the_head_as_the_features_tell(scorer):
    """Fitted by hand, from the vectors that the model's own hidden states give."""
    tokenizer, model = scorer.tokenizer, scorer.model

    def vector(text):
        ids = tokenizer(text + tokenizer.eos_token, return_tensors="pt", return_token_type_ids=False)
        return model.model(**ids).last_hidden_state[0, -1].detach()

    both = [vector(row["prompt"] + row[side]) for row in ROWS for side in ("chosen", "rejected")]
    features = torch.stack(both)
    pairs = Pairs(range(0, len(both), 2), range(1, len(both), 2))
    by_hand = Laplace(prior_precision=0.5)
    numbers = by_hand.fit([Evidence(features, features @ model.score.weight[0].detach(), pairs)])
    asked = torch.stack([vector(p + c) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)])
    expected = by_hand.read(asked, asked @ model.score.weight[0].detach(), **numbers)
    assert scorer.estimator("laplace")(PROMPTS, COMPLETIONS) == pytest.approx(expected.tolist(), rel=1e-3)


def test_it_is_least_sure_of_words_that_no_pair_held(scorer):
    warm, cold, strange = scorer.estimator("laplace")(PROMPTS, COMPLETIONS)
    print(warm, cold, strange)
    assert strange > 1.5 * max(warm, cold)


def test_scores_and_spreads_come_from_one_forward_pass(scorer):
    spread, calls = scorer.estimator("laplace"), []
    hook = scorer.model.register_forward_hook(lambda *_: calls.append(1))
    scores, spreads = spread.with_scores(PROMPTS, COMPLETIONS)
    hook.remove()
    assert len(calls) == 1
    assert scores == pytest.approx(scorer(PROMPTS, COMPLETIONS), abs=1e-6)
    assert spreads == pytest.approx(spread(PROMPTS, COMPLETIONS), abs=1e-6)


def test_the_lower_bound_is_the_score_less_the_spread(scorer):
    cautious = LowerBound(scorer, weight=0.5)
    spreads = scorer.estimator("laplace")(PROMPTS, COMPLETIONS)
    expected = [s - 0.5 * u for s, u in zip(scorer(PROMPTS, COMPLETIONS), spreads, strict=True)]
    assert cautious(PROMPTS, COMPLETIONS) == pytest.approx(expected, abs=1e-6)


def test_a_standardised_scorer_has_spreads_in_its_own_units(fitted):
    plain = Scorer.from_pretrained(fitted)
    fit_reference(plain, PROMPTS, COMPLETIONS)
    standardised = StandardizedScorer(plain)
    expected = [spread / plain.metadata.reference_std for spread in plain.estimator("laplace")(PROMPTS, COMPLETIONS)]
    scores, spreads = standardised.estimator("laplace").with_scores(PROMPTS, COMPLETIONS)
    assert spreads == pytest.approx(expected)
    assert scores == pytest.approx(standardised(PROMPTS, COMPLETIONS), abs=1e-6)


def test_data_without_pairs_are_refused(scorer):
    labels = Dataset.from_list([{"prompt": "Soup is", "completion": " warm", "label": True}])
    with pytest.raises(FeedbackMismatchError, match=r"laplace is fitted to Pairs, .* so they hold Labels"):
        fit_estimate(scorer, labels, "laplace")


RL = {"max_steps": 2, "per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 4, **CHEAP}
ASKED = Dataset.from_dict({"prompt": ["Soup is"] * 8})


def test_the_lower_bound_is_a_reward_of_grpo(policy, scorer, tmp_path):
    trainer = GRPOTrainer(
        model=policy,
        reward_funcs=[LowerBound(scorer), scorer.estimator("laplace")],
        args=GRPOConfig(str(tmp_path), reward_weights=[1.0, 0.0], logging_steps=1, **RL),
        train_dataset=ASKED,
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["rewards/laplace/mean"] > 0
    assert logged["reward"] == pytest.approx(logged[f"rewards/{scorer.__name__}_lower_bound/mean"], abs=1e-4)


def test_the_lower_bound_is_a_reward_of_ppo(policy, scorer, tmp_path):
    trainer = PPOTrainer(policy, LowerBound(scorer), PPOConfig(str(tmp_path), logging_steps=1, **RL), ASKED)
    trainer.train()
    assert f"rewards/{scorer.__name__}_lower_bound/mean" in trainer.state.log_history[0]


def test_the_installed_plugin_is_found_by_its_entry_point():
    (point,) = [point for point in entry_points(group="rlhf_losses") if point.name == "laplace"]
    assert point.load().provide_score_estimates() == [Laplace]
