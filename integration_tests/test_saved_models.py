"""Models and checkpoints of an earlier version load, and give the numbers that this version computed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer, UnsupportedModelError
from rlhf_losses.ppo.checkpoints import PPOState
from rlhf_losses.ppo.checkpoints import upgrade as upgrade_state
from rlhf_losses.scoring import RewardModelMetadata
from rlhf_losses.scoring.metadata import upgrade

SAVED = Path(__file__).parent / "saved_models"
MANIFEST = json.loads((SAVED / "manifest.json").read_text(encoding="utf-8"))
INPUTS, FOLDERS = MANIFEST["asked"], MANIFEST["folders"]
LAPLACE = Path(__file__).parents[1] / "plugins" / "rlhf-losses-laplace" / "rlhf_losses_laplace.py"
MODELS = {
    "published_steps": "published_steps",
    "published_pairs_with_estimate": "published_pairs_with_estimate",
    "lora_checkpoint": "lora_checkpoint/checkpoint-3",
    "ppo_checkpoint": "ppo_checkpoint/checkpoint-3/critic/adapter",
}

RENAMED_SETTINGS = {"numbers_learning_rate": "loss_parameters_learning_rate", "self_check": "sanity_check"}
RENAMED_METRICS = {
    "learned/rao_kupper.log_tie_width": "loss_parameters/rao_kupper.log_tie_width",
    "objective": "objective/rlhf_reward",
}


def close(expected: Any) -> Any:
    """Return what approximately equals `expected`."""
    return pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the folders in which adapters name their base by its absolute path."""
    folder = tmp_path_factory.mktemp("saved") / "models"
    shutil.copytree(SAVED, folder)
    for file in folder.rglob("adapter_config.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = str(folder / config["base_model_name_or_path"])
        file.write_text(json.dumps(config), encoding="utf-8")
    return folder


def scores_of(folder: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Return the scores and estimates of the model in a folder, under the names of the manifest."""
    raw = Scorer.from_pretrained(folder)
    scorers = {"": raw}
    if "standardized_scores" in expected:
        scorers["standardized_"] = raw.with_transforms("standardize")
    texts = INPUTS["prompts"], INPUTS["completions"]
    found = {"chat_scores": raw(INPUTS["chat_prompts"], INPUTS["chat_completions"])}
    for prefix, scorer in scorers.items():
        found[f"{prefix}scores"] = scorer(*texts)
        found[f"{prefix}score_steps"] = scorer.score_steps(INPUTS["steps_prompt"], INPUTS["steps"])
        if f"{prefix}estimator_laplace" in expected:
            found[f"{prefix}estimator_laplace"] = scorer.estimator("laplace", [LAPLACE])(*texts)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_scores_and_estimates_are_those_of_the_earlier_version(saved, name):
    expected = FOLDERS[name]["expected"]
    found = scores_of(saved / MODELS[name], expected)
    assert found.keys() == expected.keys()
    for key in expected:
        assert found[key] == close(expected[key]), key


@pytest.mark.parametrize("name", ["published_steps", "published_pairs_with_estimate"])
def test_another_head_is_refused_as_with_files_of_the_current_schema(saved, name, tmp_path):
    shutil.copytree(saved / name, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    torch.manual_seed(0)  # with one recorded score, some heads give nearly the same
    weights["score.weight"] = torch.nn.init.normal_(torch.empty_like(weights["score.weight"]), std=0.02)
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModelError, match="score of its canary"):
        Scorer.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize("name", MODELS)
def test_all_metadata_are_kept(saved, name):
    old, metadata = FOLDERS[name]["description"], RewardModelMetadata.load(saved / MODELS[name])
    kept = ("loss", "segmentation", "separator", "aggregate", "aggregate_temperature", "versions")
    assert {key: getattr(metadata, key) for key in kept} == {key: old[key] for key in kept}
    assert metadata.feedback_types == old["feedback"]
    assert metadata.loss_parameters == old["learned"]
    assert (
        metadata.score_position == {"end of text": "end_of_text", "ends of steps": "end_of_steps"}[old["score_read_at"]]
    )
    assert [(canary.input, canary.score) for canary in metadata.canaries] == (
        [] if old["canary_score"] is None else [(old["canary_text"], old["canary_score"])]
    )
    reference = {"mean": old["reference_mean"], "std": old["reference_std"]}
    assert metadata.transforms == ({} if old["reference_std"] is None else {"standardize": reference})
    assert {key: one.text for key, one in metadata.estimates.items()} == {
        key: one["text"] for key, one in old["estimates"].items()
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_model_saved_again_has_the_current_schema_and_the_same_metadata(saved, name, tmp_path):
    metadata = RewardModelMetadata.load(saved / MODELS[name])
    metadata.save(tmp_path)
    content = json.loads((tmp_path / "reward_model.json").read_text(encoding="utf-8"))
    assert content["schema"] == 5
    assert upgrade(content) == content
    assert RewardModelMetadata.load(tmp_path) == metadata


def test_a_lora_checkpoint_resumes_to_the_recorded_numbers(saved, tmp_path):
    folder, arguments = saved / "lora_checkpoint", settings(saved / "lora_checkpoint")
    trainer = RewardTrainer(
        str(saved / arguments["model"]),
        RewardConfig(str(tmp_path), **renamed(arguments["reward_config"], RENAMED_SETTINGS)),
        read_rows(folder / "pairs.jsonl"),
        peft_config=LoraConfig(**arguments["lora_config"]),
        loss=arguments["loss"],
    )
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-3"))

    end, last = FOLDERS["lora_checkpoint"]["expected_end"], tmp_path / "checkpoint-6"
    assert_logs_agree(trainer.state.log_history, end["log_history"])
    assert RewardModelMetadata.load(last).loss_parameters == close_mapping(end["learned"])
    assert_weights_agree(last / "adapter_model.safetensors", SAVED / end["weights"])
    found = scores_of(last, {})
    for key in found:
        assert found[key] == close(end[key]), key


EARLIER_DEFAULTS = {
    "critic_learning_rate": 0.033,
    "missing_eos_score": None,
    "multi_objective_aggregation": "normalize_then_sum",
    "temperature": 1.0,
}
"""Defaults of the version that wrote the checkpoint, where they differ from the published settings."""


def test_a_ppo_checkpoint_resumes_to_the_recorded_numbers(saved, tmp_path):
    folder, arguments = saved / "ppo_checkpoint", settings(saved / "ppo_checkpoint")
    scorer = Scorer.from_pretrained(saved / "published_steps").with_transforms("standardize")

    def share_of_vowels(completions, **_):
        return [sum(letter in "aeiou" for letter in text) / (1 + len(text)) for text in completions]

    trainer = PPOTrainer(
        str(saved / arguments["model"]),
        [scorer, share_of_vowels],
        PPOConfig.published(str(tmp_path), **EARLIER_DEFAULTS | renamed(arguments["ppo_config"], RENAMED_SETTINGS)),
        read_rows(folder / "prompts.jsonl"),
        peft_config=LoraConfig(**arguments["lora_config"]),
    )
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-3"))

    end, last = FOLDERS["ppo_checkpoint"]["expected_end"], tmp_path / "checkpoint-8"
    # That version clipped the gradients of policy and critic together, so only the first step is the same.
    assert_logs_agree(trainer.state.log_history, end["log_history"], steps=1)
    assert_weights_agree(last / "adapter_model.safetensors", SAVED / end["policy_weights"], atol=0.02)
    critic = last / "critic" / "adapter" / "adapter_model.safetensors"
    assert_weights_agree(critic, SAVED / end["critic_weights"], atol=0.02)
    state, expected = PPOState.load(last, 0, torch.device("cpu")), upgrade_state({**end["state"], "rollout": None})
    assert state.step == expected["step"]
    assert state.beta == pytest.approx(expected["beta"], rel=1e-2)
    for ours, theirs in zip(state.reward_stats, expected["reward_stats"], strict=True):
        assert ours == pytest.approx(theirs, rel=0.1)


def settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "arguments.json").read_text(encoding="utf-8"))


def renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def read_rows(file: Path) -> Dataset:
    return Dataset.from_list([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])


def close_mapping(expected: dict[str, list[float]]) -> dict[str, Any]:
    return {name: close(values) for name, values in expected.items()}


UNCOMPARED = ("num_tokens", "margin")


def assert_logs_agree(found: list[dict[str, Any]], expected: list[dict[str, Any]], steps: int | None = None) -> None:
    """Compare the log of the steps after the checkpoint, without times and the number of tokens since the start.

    The margin is left out: the recorded one counts ties, which have no preferred answer.

    Args:
        found: log of the resumed run.
        expected: recorded log.
        steps: number of compared steps; by default all.
    """

    def after_checkpoint(history):
        logged = [one for one in history if "loss" in one and one["step"] > 3]
        return [{k: v for k, v in one.items() if "time" not in k and k not in UNCOMPARED} for one in logged]

    found, expected = after_checkpoint(found), after_checkpoint(expected)
    assert len(found) == len(expected) > 0
    for mine, theirs in list(zip(found, expected, strict=True))[:steps]:
        theirs = renamed(theirs, RENAMED_METRICS)
        assert theirs.keys() <= mine.keys()
        assert {name: mine[name] for name in theirs} == close(theirs)


def assert_weights_agree(found: Path, expected: Path, atol: float = 1e-5) -> None:
    weights, expected_weights = load_file(found), load_file(expected)
    assert weights.keys() == expected_weights.keys()
    for name, value in expected_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=atol)
