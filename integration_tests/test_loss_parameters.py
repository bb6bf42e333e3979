"""Numbers that a loss learns train beside the model, are saved with it, and resume; the model stays what it was."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import parse, score_decay
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer
from rlhf_losses.training.loss_parameters import LossParameters

LEARNING = [name for name, loss in loss_registry().items() if loss().loss_parameters]


def rows(name: str) -> Dataset:
    """Return data that a loss can read: pairs with strengths and ties, stars, or ratings of attributes."""
    if loss_registry()[name].feedback_type.__name__ == "Attributes":
        rated = [{"helpfulness": float(i % 5), "correctness": float(i % 3)} for i in range(16)]
        return Dataset.from_list(
            [{"prompt": f"{i}? ", "completion": "a" * (i + 1), "attributes": said} for i, said in enumerate(rated)]
        )
    if loss_registry()[name].feedback_type.__name__ == "Ratings":
        return Dataset.from_list(
            [{"prompt": f"{i}? ", "completion": "a" * i, "rating": 1 + i % 5} for i in range(1, 17)]
        )
    return Dataset.from_list(
        [
            {"prompt": f"{i}? ", "chosen": "yes" * (1 + i % 3), "rejected": "no", "margin": i % 4, "tie": i % 4 == 0}
            for i in range(16)
        ]
    )


def trainer(language_model, settings, name: str, **changes) -> RewardTrainer:
    plain = {"max_steps": 4, "loss_parameters_learning_rate": 0.1, **changes}
    return RewardTrainer(language_model, RewardConfig(**settings(**plain)), rows(name), loss=name)


@pytest.mark.parametrize("name", LEARNING)
def test_learned_numbers_move_and_are_saved_beside_a_model_that_is_still_a_plain_classifier(
    language_model, settings, tmp_path, name
):
    run = trainer(language_model, settings, name)
    start = run.numbers.told()
    run.train()
    folder = run.save_merged(tmp_path / "saved_merged")

    told = json.loads((folder / "reward_model.json").read_text())["learned"]
    assert told == run.numbers.told()
    assert told.keys() == start.keys()
    assert all(told[key] != start[key] for key in told)
    _, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert Scorer.from_pretrained(folder).metadata.loss_parameters == told
    logged = [entry for entry in run.state.log_history if any(key.startswith("learned/") for key in entry)]
    assert len(logged) >= 4


@pytest.mark.parametrize("name", ["ordinal_preference", "davidson"])
def test_a_resumed_run_ends_at_the_same_numbers(language_model, settings, tmp_path, name):
    def go(folder: Path, **changes) -> RewardTrainer:
        return trainer(
            language_model, settings, name, output_dir=str(folder), save_strategy="steps", save_steps=2, **changes
        )

    whole = go(tmp_path / "whole")
    whole.train()
    resumed = go(tmp_path / "parts")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert resumed.numbers.told() == whole.numbers.told()
    for mine, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_accumulation_changes_no_number(language_model, settings):
    one = trainer(language_model, settings, "rao_kupper", per_device_train_batch_size=8)
    many = trainer(language_model, settings, "rao_kupper", per_device_train_batch_size=1, gradient_accumulation_steps=8)
    one.train()
    many.train()
    (here,), (there,) = one.numbers.told().values(), many.numbers.told().values()
    assert there == pytest.approx(here, rel=1e-4)


def test_numbers_have_a_rate_of_their_own_and_no_decay(language_model, settings):
    run = trainer(language_model, settings, "rao_kupper", loss_parameters_learning_rate=0.25)
    run.create_optimizer()
    run.create_optimizer()
    *_, group = run.optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.25, 0.0, 1)


def test_a_checkpoint_of_another_loss_is_refused():
    def numbers(text: str) -> LossParameters:
        return LossParameters(parse(text, loss_registry()))

    saved = numbers("ordinal_preference(levels=2)").told()
    with pytest.raises(UnsupportedModelError, match="Resume with the loss that the checkpoint was trained with"):
        numbers("ordinal_preference").load(saved)
    with pytest.raises(UnsupportedModelError, match=r"but the loss learns \(none\)"):
        numbers("bradley_terry").load(saved)
    again = numbers("ordinal_preference(levels=2)")
    again.load({name: [0.5] * len(value) for name, value in saved.items()})
    assert again.told() == {"ordinal_preference.log_gaps": [0.5, 0.5]}


def test_a_sum_hands_each_term_its_own_numbers():
    numbers = LossParameters(parse("rao_kupper + 0.5 * rao_kupper(tie_width=2.0) + ordinal_rating", loss_registry()))
    assert [sorted(term) for term in numbers.by_term()] == [["log_tie_width"], [], ["first_cut", "log_gaps"]]
    assert list(numbers.told()) == ["rao_kupper.log_tie_width", "ordinal_rating.first_cut", "ordinal_rating.log_gaps"]


@pytest.mark.parametrize("name", LEARNING)
def test_evaluation_prices_with_the_numbers_that_were_learned(language_model, settings, tmp_path, name, caplog):
    run = trainer(language_model, settings, name)
    run.train()
    scorer = Scorer.from_pretrained(run.save_merged(tmp_path / "saved_merged"))
    loss = parse(name, loss_registry())
    measured = evaluate(scorer, rows(name), loss)
    assert measured["loss"] == pytest.approx(run.evaluate(run.train_dataset)["eval_loss"], rel=1e-4)
    assert not caplog.records

    other = evaluate(scorer, rows(name), 1.0 * loss + 0.0 * score_decay)
    assert other["loss"] != pytest.approx(measured["loss"], rel=1e-4)
    (told,) = caplog.messages
    assert f"because the model was trained with {name}. For what it learned, evaluate that loss." in told
