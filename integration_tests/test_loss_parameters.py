"""Parameters of a loss train with the model, are saved with it, and resume; the model has no further weights."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from thorough_cases import with_thorough
from transformers import AutoModelForSequenceClassification

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.hooks import loss_registry, parse_loss
from rlhf_losses.losses import score_decay
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer
from rlhf_losses.training.loss_parameters import LossParameters

WITH_PARAMETERS = [name for name, loss in loss_registry().items() if len(LossParameters(loss().as_objective()))]


def rows(name: str) -> Dataset:
    """Return data for a loss: pairs with margins and ties, ratings from 1 to 5, or ratings of attributes."""
    if loss_registry()[name].feedback_type.__name__ == "Attributes":
        rated = [{"helpfulness": float(i % 5), "correctness": float(i % 3)} for i in range(16)]
        return Dataset.from_list(
            [{"prompt": f"{i}? ", "completion": "a" * (i + 1), "attributes": each} for i, each in enumerate(rated)]
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


def parameters_of(text: str) -> LossParameters:
    return LossParameters(parse_loss(text).as_objective())


def trainer(language_model, settings, name: str, **changes) -> RewardTrainer:
    plain = {"max_steps": 4, "loss_parameters_learning_rate": 0.1, **changes}
    return RewardTrainer(language_model, RewardConfig(**settings(**plain)), rows(name), loss=name)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_loss_parameters_change_and_are_saved_next_to_a_plain_classifier(language_model, settings, tmp_path, name):
    run = trainer(language_model, settings, name)
    start = run.loss_parameters.to_dict()
    run.train()
    folder = run.save_merged(tmp_path / "merged")

    saved = json.loads((folder / "reward_model.json").read_text())["loss_parameters"]
    assert saved == run.loss_parameters.to_dict()
    assert saved.keys() == start.keys()
    assert all(saved[key] != start[key] for key in saved)
    _, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert Scorer.from_pretrained(folder).metadata.loss_parameters == saved
    logged = [entry for entry in run.state.log_history if any(key.startswith("loss_parameters/") for key in entry)]
    assert len(logged) >= 4


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["ordinal_preference", "davidson"])
def test_a_resumed_run_ends_with_the_same_parameters(language_model, settings, tmp_path, name):
    def make(folder: Path, **changes) -> RewardTrainer:
        return trainer(
            language_model, settings, name, output_dir=str(folder), save_strategy="steps", save_steps=2, **changes
        )

    whole = make(tmp_path / "whole")
    whole.train()
    resumed = make(tmp_path / "parts")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert resumed.loss_parameters.to_dict() == whole.loss_parameters.to_dict()
    for mine, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.upstream
def test_a_checkpoint_with_metadata_of_schema_1_resumes(language_model, settings, tmp_path):
    arguments = {"output_dir": str(tmp_path / "run"), "save_strategy": "steps", "save_steps": 2}
    whole = trainer(language_model, settings, "davidson", **arguments)
    whole.train()
    file = tmp_path / "run" / "checkpoint-2" / "reward_model.json"
    saved = json.loads(file.read_text())["loss_parameters"]
    file.write_text(json.dumps({"loss": "davidson", "feedback": ["Pairs"], "learned": saved}))
    (file.parent / "manifest.json").unlink()  # earlier versions wrote none
    resumed = trainer(language_model, settings, "davidson", output_dir=str(tmp_path / "resumed"))
    resumed.train(resume_from_checkpoint=str(file.parent))
    assert resumed.loss_parameters.to_dict() == whole.loss_parameters.to_dict()


def test_accumulation_does_not_change_loss_parameters(language_model, settings):
    one = trainer(language_model, settings, "rao_kupper", per_device_train_batch_size=8)
    many = trainer(language_model, settings, "rao_kupper", per_device_train_batch_size=1, gradient_accumulation_steps=8)
    one.train()
    many.train()
    (here,), (there,) = (run.loss_parameters.to_dict().values() for run in (one, many))
    assert there == pytest.approx(here, rel=1e-4)


def test_loss_parameters_have_their_own_learning_rate_and_no_decay(language_model, settings):
    run = trainer(language_model, settings, "rao_kupper", loss_parameters_learning_rate=0.25)
    run.create_optimizer()
    run.create_optimizer()
    *_, group = run.optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.25, 0.0, 1)


def test_a_checkpoint_of_another_loss_is_refused():
    saved = parameters_of("ordinal_preference(levels=2)").to_dict()
    with pytest.raises(UnsupportedModelError, match="Resume with the loss that the checkpoint was trained with"):
        parameters_of("ordinal_preference").load(saved)
    with pytest.raises(UnsupportedModelError, match=r"ordinal_preference.log_gaps.*loss has \(none\)"):
        parameters_of("bradley_terry").load(saved)
    again = parameters_of("ordinal_preference(levels=2)")
    again.load({name: [0.5] * len(value) for name, value in saved.items()})
    assert again.to_dict() == {"ordinal_preference.log_gaps": [0.5, 0.5]}


def test_each_term_of_a_sum_has_its_own_parameters():
    parameters = parameters_of("rao_kupper + 0.5 * rao_kupper(tie_width=2.0) + ordinal_rating")
    assert [sorted(term) for term in parameters.by_term()] == [["log_tie_width"], [], ["first_cut", "log_gaps"]]
    assert list(parameters.to_dict()) == [
        "rao_kupper.log_tie_width",
        "ordinal_rating.first_cut",
        "ordinal_rating.log_gaps",
    ]


@pytest.mark.parametrize("name", with_thorough(WITH_PARAMETERS[:3], WITH_PARAMETERS[3:]))
def test_evaluation_uses_the_saved_loss_parameters(language_model, settings, tmp_path, name, caplog):
    run = trainer(language_model, settings, name)
    run.train()
    scorer = Scorer.from_pretrained(run.save_merged(tmp_path / "merged"))
    loss = parse_loss(name)
    measured = evaluate(scorer, rows(name), loss)
    assert measured["loss"] == pytest.approx(run.evaluate(run.train_dataset)["eval_loss"], rel=1e-4)
    assert "initial values" not in caplog.text

    other = evaluate(scorer, rows(name), 1.0 * loss + 0.0 * score_decay)
    assert other["loss"] != pytest.approx(measured["loss"], rel=1e-4)
    (warning,) = (message for message in caplog.messages if "initial values" in message)
    assert f"trained with {name}. Evaluate that loss" in warning
