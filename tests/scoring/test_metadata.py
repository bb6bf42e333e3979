"""`reward_model.json`: the current schema, files of the earlier one, and invalid files."""

import json

import pytest

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.hooks import transform_registry
from rlhf_losses.messages.setting_names import command_flags
from rlhf_losses.scoring import RewardModelMetadata
from rlhf_losses.scoring.canaries import Canary
from rlhf_losses.scoring.metadata import EstimateMetadata, upgrade

CANARIES = [
    Canary("The canary sang.", "float32", 0.5, [5, 6, 7]),
    Canary([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "bfloat16", -1.5, [8, 9]),
]
COMPLETE = RewardModelMetadata(
    loss="rao_kupper + 0.01 * centering",
    feedback_types=["Pairs"],
    segmentation="lines",
    separator="\n\n",
    aggregate="soft_minimum",
    aggregate_temperature=0.5,
    overlong="truncate_prompt",
    loss_parameters={"rao_kupper.log_tie_width": [0.25]},
    canaries=CANARIES,
    chat_template_sha256="0" * 64,
    transforms={"standardize": {"mean": 0.1, "std": 2.0}},
    estimates={"laplace": EstimateMetadata("laplace(temperature=2.0)", CANARIES)},
)
SCHEMA_1 = {
    "loss": "segment_hinge",
    "feedback": ["Steps"],
    "segmentation": "sentences",
    "separator": " ",
    "aggregate": "minimum",
    "aggregate_temperature": 2.0,
    "learned": {"a.b": [1.0]},
    "canary_score": 0.75,
    "canary_text": "The canary sang.",
    "reference_mean": 1.5,
    "reference_std": 0.5,
    "estimates": {"laplace": {"text": "laplace", "canary_score": 0.75}},
    "versions": {"trl": "1.0"},
    "score_read_at": "ends of steps",
}


@pytest.mark.parametrize("metadata", [COMPLETE, RewardModelMetadata("hinge", ["Pairs"])], ids=["complete", "default"])
def test_saved_metadata_are_loaded_unchanged(metadata, tmp_path):
    metadata.save(tmp_path)
    assert RewardModelMetadata.load(tmp_path) == metadata
    content = json.loads((tmp_path / "reward_model.json").read_text(encoding="utf-8"))
    assert content["schema"] == 5
    assert content["score_position"] == ("end_of_steps" if metadata.segmentation else "end_of_text")


def test_a_folder_without_the_file_has_no_metadata(tmp_path):
    assert RewardModelMetadata.load(tmp_path) is None


def test_a_file_without_a_schema_is_upgraded():
    metadata = RewardModelMetadata.from_dict(SCHEMA_1)
    assert metadata == RewardModelMetadata(
        loss="segment_hinge",
        feedback_types=["Steps"],
        segmentation="sentences",
        separator=" ",
        aggregate="minimum",
        aggregate_temperature=2.0,
        end_of_texts="eos",
        loss_parameters={"a.b": [1.0]},
        canaries=[Canary("The canary sang.", None, 0.75)],
        transforms={"standardize": {"mean": 1.5, "std": 0.5}},
        estimates={"laplace": EstimateMetadata("laplace", [Canary("The canary sang.", None, 0.75)])},
        versions={"trl": "1.0"},
    )


def test_the_dtype_that_schema_2_recorded_is_unknown():
    """Schema 2 recorded the dtype of the weights, and the scores could be computed in mixed precision."""
    canary = {"input": "The canary sang.", "dtype": "float32", "score": 0.75}
    content = {"schema": 2, "loss": "hinge", "feedback_types": ["Pairs"], "canaries": [canary]}
    content["estimates"] = {"laplace": {"text": "laplace", "canary": canary}}
    metadata = RewardModelMetadata.from_dict(content)
    assert metadata.canaries == [Canary("The canary sang.", None, 0.75)]
    assert metadata.estimates == {"laplace": EstimateMetadata("laplace", metadata.canaries)}


def test_missing_values_of_the_earlier_schema_have_defaults():
    metadata = RewardModelMetadata.from_dict({"loss": "hinge", "feedback": ["Pairs"], "canary_score": None})
    assert metadata.canaries == []
    assert metadata.transforms == {}
    assert metadata.segmentation is None


def test_the_current_schema_needs_no_upgrade():
    content = COMPLETE.to_dict()
    assert upgrade(content) == content


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({**SCHEMA_1, "segmentatoin": "lines"}, ["'segmentatoin'", "Did you mean 'segmentation'?", "update"]),
        ({**COMPLETE.to_dict(), "temperature": 1.0}, ["'temperature'", "update"]),
        ({**COMPLETE.to_dict(), "schema": 6}, ["schema 6", "up to 5", "pip install --upgrade"]),
        ({**COMPLETE.to_dict(), "schema": "2"}, ["schema '2'"]),
        ({**COMPLETE.to_dict(), "segmentation": None}, ["end_of_steps", "None", "Restore the segmentation"]),
        ({"schema": 3, "loss": "hinge"}, ["feedback_types", "save_merged()"]),
        ({"feedback": ["Pairs"]}, ["loss", "save_merged()"]),
        ({**COMPLETE.to_dict(), "canaries": [{"input": "a"}]}, ["score", "save_merged()"]),
        ({**COMPLETE.to_dict(), "canaries": [3]}, ["wrong type", "save_merged()"]),
        ({**COMPLETE.to_dict(), "segmentation": "words"}, ["segmentation = 'words'", "save_merged()"]),
        ({**COMPLETE.to_dict(), "aggregate": "median"}, ["another aggregation", "median"]),
        ({**COMPLETE.to_dict(), "overlong": "keep"}, ["overlong = 'keep'", "save_merged()"]),
        ({**COMPLETE.to_dict(), "separator": "|"}, ["separator='|'", "not the values that were saved"]),
        ({**COMPLETE.to_dict(), "estimates": {"laplace": {"text": "laplace"}}}, ["canaries", "save_merged()"]),
        ({**SCHEMA_1, "estimates": {"laplace": {"text": "laplace"}}}, ["canary_score", "save_merged()"]),
        ([1], ["list", "not a JSON object"]),
    ],
    ids=[
        "unknown_key_of_schema_1", "unknown_key", "newer", "text_schema", "lost_segmentation", "missing_key",
        "missing_loss", "incomplete_canary", "canary_type", "segmentation", "aggregate", "overlong",
        "changed_separator", "incomplete_estimate", "incomplete_old_estimate", "list",
    ],
)  # fmt: skip
def test_invalid_files_are_refused(content, parts, tmp_path):
    file = tmp_path / "reward_model.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UnsupportedModelError) as caught:
        RewardModelMetadata.load(tmp_path)
    assert str(file) in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "reward_model.json").write_text("{", encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="not valid JSON"):
        RewardModelMetadata.load(tmp_path)


def test_saved_values_of_transforms_are_used():
    pipeline = transform_registry().parse("standardize | clip(limit=1.0)")
    fitted = COMPLETE.fitted_pipeline(pipeline, "reward")
    assert {name: value.item() for name, value in fitted.fitted[0].items()} == {"mean": 0.1, "std": 2.0}
    assert fitted.fitted[1] == {}


@pytest.mark.parametrize("text", ["standardize", "clip(limit=1.0) | standardize"])
def test_transforms_that_were_not_fitted_are_refused(text):
    pipeline = transform_registry().parse(text)
    metadata = RewardModelMetadata("hinge", ["Pairs"])
    remedies = {(): "fit_reference(scorer, prompts, completions", ("--reference_samples",): "--reference_samples FILE"}
    for flags, remedy in remedies.items():
        with command_flags(flags), pytest.raises(UnsupportedModelError) as caught:
            metadata.fitted_pipeline(pipeline, "reward")
        assert all(part in str(caught.value) for part in ("'reward'", f"'{text}'", remedy))


def test_values_depend_on_the_transforms_before():
    pipeline = transform_registry().parse("clip(limit=1.0) | standardize")
    with pytest.raises(UnsupportedModelError, match=r"transforms='clip\(limit=1.0\) \| standardize'"):
        COMPLETE.fitted_pipeline(pipeline, "reward")
