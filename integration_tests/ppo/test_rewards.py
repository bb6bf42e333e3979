"""Rewards in a rollout of the trainer: step rewards, ensembles, missing EOS, normalization."""

import math

import pytest
import torch
from datasets import Dataset
from ppo_runs import length, share_of_high_tokens, steps, trained

from rlhf_losses.errors import InvalidFeedbackError, NonFiniteError, UnsupportedModelError
from rlhf_losses.ppo import StepRewards
from rlhf_losses.ppo.rollout import Rollout
from rlhf_losses.scoring import Ensemble, RewardModelMetadata, Scorer, fit_reference

pytestmark = pytest.mark.upstream

PROMPTS = [{"prompt": "a"}, {"prompt": "bcd"}]
TEXTS = ["Go on. Stop!", "The end"]


@pytest.fixture
def fixed_completions(make_trainer, tokenizer):
    """Return a trainer whose completions are `TEXTS`: the first ends with EOS, the second is truncated."""

    def make(reward_funcs, **changes):
        plain = {"beta": 0.0, "gamma": 1.0, "lam": 1.0, "whiten_advantages": False, "score_normalization": "none"}
        trainer = make_trainer(reward_funcs, changes=plain | {"max_completion_length": 16} | changes)
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
        ids[0].append(tokenizer.eos_token_id)
        trainer._generate_single_turn = lambda *_: (ids, None)
        return trainer

    return make


def returns(trainer):
    """Return returns, mask and rollout; the advantages are not whitened, so they are returns minus values."""
    rollout = trainer._generate_and_score_completions([dict(row) for row in PROMPTS])
    mask = rollout["completion_mask"].bool()
    expected = torch.where(mask, rollout["returns"] - rollout["values"], 0.0)
    torch.testing.assert_close(rollout["advantages"], expected)
    return rollout["returns"], mask, rollout


def test_step_scores_are_rewards_at_the_ends_of_steps(fixed_completions, reward_model, tokenizer):
    scorer = Scorer(reward_model, tokenizer, RewardModelMetadata("segment_hinge", ["Steps"], segmentation="sentences"))
    found, mask, rollout = returns(fixed_completions(StepRewards(scorer)))
    first, second = scorer.score_steps("a", ["Go on. ", "Stop!"])
    (last,) = scorer.score_steps("bcd", ["The end"])
    expected = torch.zeros_like(found)
    expected[0, :13], expected[0, :6] = second, first + second
    expected[1, :7] = last
    torch.testing.assert_close(found, torch.where(mask, expected, 0.0), rtol=1e-4, atol=1e-5)
    assert rollout["values"].abs().sum() > 0  # the critic is a copy of the scorer inside


def test_score_is_at_eos_if_padding_is_the_same_token(make_trainer, other_tokenizer):
    other_tokenizer.pad_token = other_tokenizer.eos_token
    end = other_tokenizer.eos_token_id
    assert other_tokenizer.pad_token_id == end
    changes = {"beta": 0.0, "gamma": 1.0, "lam": 0.0, "value_lam": 0.0, "whiten_advantages": False}
    changes |= {"score_normalization": "none", "missing_eos_penalty": 100.0}
    trainer = make_trainer(length, changes=changes, processing_class=other_tokenizer)
    trainer._generate_single_turn = lambda *_: ([[72, 105, end], [72, 105, 106, 107, end]], None)
    found, mask, _ = returns(trainer)  # with lambda 0 and values of 0, the return of a token is its reward
    assert mask.sum(1).tolist() == [3, 5]
    assert found.tolist() == [[0.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 5.0]]


def test_truncated_completions_are_bootstrapped_with_the_critic(fixed_completions):
    trainer = fixed_completions(length, bootstrap_truncated=True)
    trainer.critic.head.weight.data.normal_()
    found, _, rollout = returns(trainer)
    view = Rollout.view(rollout)
    state_values = trainer.critic(view.input_ids, view.attention_mask, view.num_tokens)
    assert found[:, 0].tolist() == pytest.approx([13.0, 7.0 + state_values[1, 7].item()], abs=1e-4)
    assert state_values[1, 7].abs() > 1e-3


def test_ensemble_logs_the_standard_deviation_of_its_members(make_trainer):
    ensemble = Ensemble([share_of_high_tokens, length], "minimum")
    trainer = trained(make_trainer(ensemble, changes={"max_steps": 2}))
    for entry in steps(trainer):
        assert 0 <= entry["rewards/minimum_of_2/mean"] <= 1
        assert entry["ensemble/std"] > 1


def test_reference_normalization_applies_to_rewards_and_critic(make_trainer, reward_model, tokenizer, tmp_path):
    scorer = Scorer(reward_model, tokenizer)
    samples = ["a", "bb", "ccc", "dddd"], [TEXTS[0], TEXTS[1], "Yes.", "No"]
    with pytest.raises(UnsupportedModelError, match=r"fitted to no reference samples.*fit_reference\(scorer"):
        make_trainer(scorer, changes={"score_normalization": "reference"})
    fit_reference(scorer, *samples, folder=tmp_path)
    assert RewardModelMetadata.load(tmp_path) == scorer.metadata
    standard = torch.tensor(scorer.with_transforms("standardize")(*samples))
    torch.testing.assert_close(standard.mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(standard.std(correction=0), torch.tensor(1.0), rtol=1e-4, atol=1e-4)

    trainer = make_trainer(scorer, changes={"score_normalization": "reference"})
    (function,) = trainer.reward_funcs
    assert function(*samples) == pytest.approx(standard.tolist())
    ids = torch.tensor([tokenizer(samples[0][0] + samples[1][0])["input_ids"]])
    with torch.no_grad():
        value = trainer.critic(ids, torch.ones_like(ids), 1)[0, -1].item()
        raw = reward_model(ids).logits.item()
    reference = function.metadata.transforms["standardize"]
    assert value == pytest.approx((raw - reference["mean"]) / reference["std"], abs=1e-3)


@pytest.mark.parametrize("by", ["mean", "minimum", "sum", "soft_minimum"])
def test_aggregated_scores_are_standardized(reward_model, tokenizer, by):
    scorer = Scorer(reward_model, tokenizer, RewardModelMetadata("", [], segmentation="sentences", aggregate=by))
    samples = ["a"] * 4, ["One.", "One. Two.", "Yes. No. So.", "A long one. And more."]
    fit_reference(scorer, *samples)
    standard = torch.tensor(scorer.with_transforms("standardize")(*samples), dtype=torch.float64)
    assert standard.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert standard.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)


def test_training_with_whitened_rewards_and_clipped_scores(make_trainer):
    clipped = {"whiten_rewards": True, "score_clip": 2.0, "score_normalization": "none"}
    trainer = trained(make_trainer(length, changes=clipped | {"max_steps": 2}))
    assert all(math.isfinite(entry["loss"]) for entry in steps(trainer))
    assert steps(trainer)[0]["objective/rlhf_reward"] == pytest.approx(2.0, abs=0.01)


TRIMMING = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}{{ eos_token }}{% endfor %}"


@pytest.mark.parametrize("completion", ["Go on. Stop!", "  Go on. Stop!\n", "\n\nGo on. Stop!"])
def test_steps_are_scored_under_a_template_that_trims(reward_model, other_tokenizer, completion):
    other_tokenizer.chat_template = TRIMMING
    metadata = RewardModelMetadata("segment_hinge", ["Steps"], segmentation="sentences")
    scorer = Scorer(reward_model, other_tokenizer, metadata)
    prompt, rewards = [{"role": "user", "content": "Say it."}], StepRewards(scorer)
    (total,) = rewards([prompt], [[{"role": "assistant", "content": completion}]])
    expected = scorer.score_steps(prompt, ["Go on. ", "Stop!"])
    assert total == pytest.approx(sum(expected), abs=1e-5)
    ids = other_tokenizer(completion, add_special_tokens=False)["input_ids"]
    (row,) = rewards.token_rewards([ids], other_tokenizer)
    assert row[completion.index(".")] == pytest.approx(expected[0], abs=1e-5)
    assert row[-1] == pytest.approx(expected[1], abs=1e-5)


def test_scorers_read_the_template_arguments_of_rows_and_of_the_run(make_trainer, reward_model, other_tokenizer):
    """The text in a rollout has the arguments of the row, and those of the run where the row has none."""
    other_tokenizer.chat_template = "{{ mood }}{% for m in messages %}{{ m['role'] }}{{ m['content'] }}{% endfor %}"
    scorer = Scorer(reward_model, other_tokenizer)
    read, original = [], scorer.encoder.encode
    scorer.encoder.encode = lambda answer: read.append(original(answer)) or read[-1]
    prompt = [{"role": "user", "content": "Hi"}]
    rows = [
        {"prompt": prompt, "chat_template_kwargs": {"mood": "kind"}},
        {"prompt": prompt, "chat_template_kwargs": {}},
    ]
    trainer = make_trainer(scorer, changes={"chat_template_kwargs": {"mood": "grim"}})
    trainer._generate_and_score_completions([dict(row) for row in rows])
    assert [other_tokenizer.decode(text.ids)[:8] for text in read[-2:]] == ["kinduser", "grimuser"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_stops_with_function_and_completion(make_trainer, value):
    def broken(completions, **_):
        return [1.0] * (len(completions) - 1) + [value]

    trainer = make_trainer([length, broken], changes={"max_steps": 2})
    expected = f"Step 1: the reward function 'broken' returned {value} for completion 3"
    with pytest.raises(NonFiniteError, match=expected):
        trainer.train()


def test_a_policy_with_nan_stops_before_the_optimizer_step(make_trainer):
    trainer = make_trainer(changes={"max_steps": 2})
    with torch.no_grad():
        next(iter(trainer.critic.parameters())).fill_(math.nan)
    with pytest.raises(NonFiniteError, match=r"Step 1: the gradient of '.*' .* is NaN or infinite"):
        trainer.train()


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"chat_template_kwargs": {"mood": "kind"}}, "kind|user:Hi|assistant:"),
        ({"system": "Be brief."}, "grim|system:Be brief.|user:Hi|assistant:"),
        ({"tools": None}, "grim|user:Hi|assistant:"),
    ],
)
@pytest.mark.parametrize("content", ["Hi", [{"type": "text", "text": "Hi"}]])
def test_policy_and_reward_model_read_the_same_prompt(make_trainer, reward_model, other_tokenizer, row, text, content):
    other_tokenizer.chat_template = (
        "{{ mood }}|{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}"
        "{% if not loop.last %}|{% endif %}{% endfor %}{% if add_generation_prompt %}|assistant:{% endif %}"
    )
    scorer = Scorer(reward_model, other_tokenizer)
    read, original = [], scorer.encoder.encode
    scorer.encoder.encode = lambda answer: read.append(original(answer)) or read[-1]
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": content}], **row}] * 4)
    trainer = make_trainer(
        scorer, changes={"chat_template_kwargs": {"mood": "grim"}}, train_dataset=rows, processing_class=other_tokenizer
    )
    rollout = trainer._generate_and_score_completions(list(rows)[:2])
    prompts = [other_tokenizer.decode(ids[mask.bool()]) for ids, mask in
               zip(rollout["prompt_ids"], rollout["prompt_mask"], strict=True)]  # fmt: skip
    assert prompts == [text, text]
    assert all(other_tokenizer.decode(one.ids).startswith(text) for one in read[-2:])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": None}, "The prompt is null"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "part of the type 'image'"),
        ({"prompt": [{"role": "tool", "content": "4"}]}, "no tools"),
        ({"prompt": [{"role": "user", "content": "Hi"}], "tools": "[oops"}, "Column 'tools'"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_named_before_training(make_trainer, other_tokenizer, row, problem):
    other_tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
        "{{ m['content'] }}{% endfor %}"
    )
    # Arrow stores one type of content in a column.
    content = [{"type": "text", "text": "Hi"}] if problem.startswith("part") else "Hi"
    first = {"prompt": [{"role": "user", "content": content}], "tools": None}
    rows = Dataset.from_list([first, {"tools": None, **row}])
    with pytest.raises(InvalidFeedbackError, match=f"Row 1 of the prompts: .*{problem}"):
        make_trainer(train_dataset=rows, processing_class=other_tokenizer)


def test_special_tokens_of_a_completion_are_scored(make_trainer, other_tokenizer):
    """Only the tokens that end a completion are no part of its text."""
    other_tokenizer.add_special_tokens({"additional_special_tokens": ["<unk>"]})
    seen = []

    def record(completions, **_):
        seen.extend(completions)
        return [0.0] * len(completions)

    trainer = make_trainer(record, changes={"max_steps": 1}, processing_class=other_tokenizer)
    ids = [*other_tokenizer(" a<unk>b", add_special_tokens=False)["input_ids"], other_tokenizer.eos_token_id]
    trainer._generate_single_turn = lambda prompt_ids, *_: ([ids] * len(prompt_ids), None)
    trainer.train()
    assert set(seen) == {" a<unk>b"}
