"""NaN and infinity stop a run before the optimizer step, and are neither saved nor scored."""

import math

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.errors import NonFiniteError

ROWS = [{"prompt": f"{i} ", "completion": f"answer {i}", "rating": float(i % 3)} for i in range(12)]


@pytest.fixture
def make_run(reward_model, tokenizer, settings):
    """Return a function that makes a trainer on ratings, with changed rows, weights and settings."""

    def make(rows=ROWS, weight=None, loss="squared_error", **changes):
        plain = {"per_device_train_batch_size": 4, "max_steps": 3, "logging_steps": 1, "save_strategy": "steps"}
        args = RewardConfig(**settings(**plain | {"save_steps": 1} | changes))
        data = Dataset.from_list(rows)
        trainer = RewardTrainer(reward_model, args, data, data, processing_class=tokenizer, loss=loss)
        if weight is not None:
            destroy(reward_model, weight)
        return trainer

    return make


def destroy(model, weight):
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = weight


def weights(trainer):
    return {name: one.detach().clone() for name, one in trainer.model.named_parameters()}


def with_rating(rating, row=5):
    return [one | ({"rating": rating} if index == row else {}) for index, one in enumerate(ROWS)]


@pytest.mark.upstream
def test_a_weight_that_is_nan_stops_the_first_step(make_run):
    trainer = make_run(weight=math.nan)
    before = weights(trainer)
    with pytest.raises(NonFiniteError, match=r"Step 1: the score of row \d+ of train data is nan, and 3 more"):
        trainer.train()
    torch.testing.assert_close(weights(trainer), before, equal_nan=True)


def test_a_model_with_nan_is_refused_when_the_run_is_created(make_run, reward_model):
    destroy(reward_model, math.nan)
    with pytest.raises(NonFiniteError, match=r"'.*down_proj.weight' \(1 of \d+ numbers\).*does not start"):
        make_run()


@pytest.mark.upstream
def test_a_loss_that_is_infinite_stops_with_its_row_and_term(make_run):
    trainer = make_run(with_rating(1e30), loss="squared_error + 0.1 * huber")
    with pytest.raises(NonFiniteError, match=r"Step \d: the loss squared_error of row 5 of train data is inf"):
        trainer.train()
    assert all(torch.isfinite(one).all() for one in weights(trainer).values())


def test_a_learning_rate_that_destroys_the_weights_stops_the_next_step(make_run, tmp_path):
    trainer = make_run(learning_rate=1e30, output_dir=str(tmp_path / "run"))
    with pytest.raises(NonFiniteError, match=r"score of the text .* is nan|weights .* are NaN"):
        trainer.train()


@pytest.mark.parametrize("accumulation", [1, 3])
def test_steps_are_skipped_as_often_as_allowed_and_counted(make_run, accumulation):
    changes = {"skip_nonfinite": 1, "gradient_accumulation_steps": accumulation, "max_steps": 3 // accumulation}
    trainer = make_run(with_rating(1e30), **changes)
    trainer.train()
    assert trainer.state.global_step == 3 // accumulation
    last = trainer.state.log_history[-2]
    assert last["skipped_steps"] == 1
    assert all(math.isfinite(entry.get("loss", 0.0)) for entry in trainer.state.log_history)
    with pytest.raises(NonFiniteError, match="after 1 skipped steps"):
        make_run([one | {"rating": 1e30} for one in ROWS], skip_nonfinite=1).train()


def test_evaluation_of_a_model_with_nan_stops(make_run):
    with pytest.raises(NonFiniteError, match=r"Evaluation: the score of row 0 of eval data is nan"):
        make_run(weight=math.nan).evaluate()


@pytest.mark.parametrize("method", ["save_model", "save_merged"])
def test_a_model_with_nan_is_not_saved(make_run, tmp_path, method):
    trainer = make_run(weight=math.inf)
    folder = tmp_path / "saved"
    with pytest.raises(NonFiniteError, match=r"'.*down_proj.weight' \(1 of \d+ numbers\).*is not written"):
        getattr(trainer, method)(str(folder))
    assert not (folder / "model.safetensors").exists()


def test_a_saved_model_with_nan_is_not_loaded(make_run, tmp_path):
    trainer = make_run()
    trainer.save_merged(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        model.score.weight[0, 0] = math.nan
    model.save_pretrained(tmp_path)
    with pytest.raises(NonFiniteError, match=r"'score.weight' \(1 of 16 numbers\) .* gives no scores"):
        Scorer.from_pretrained(tmp_path)


def test_a_score_that_overflows_is_refused(reward_model, tokenizer):
    scorer = Scorer(reward_model, tokenizer)
    with torch.no_grad():
        reward_model.score.weight.fill_(3e38)
    with pytest.raises(NonFiniteError, match=r"gives the score (nan|-?inf) to a text of \d+ tokens.*float32"):
        scorer.score(["A text."])
