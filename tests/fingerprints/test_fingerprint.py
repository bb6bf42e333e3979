"""The fingerprint of a run: what is compared, and what the messages say."""

import dataclasses
import importlib.util
import json
import textwrap

import pytest
import torch
from datasets import Dataset, concatenate_datasets
from transformers import EarlyStoppingCallback, TrainingArguments

from rlhf_losses import RewardConfig
from rlhf_losses.errors import InvalidSettingError, UnsupportedModelError
from rlhf_losses.fingerprints.code_content import code_content
from rlhf_losses.fingerprints.content import Content
from rlhf_losses.fingerprints.data_content import WINDOW, data_content
from rlhf_losses.fingerprints.fingerprint import FILE, RunFingerprint
from rlhf_losses.fingerprints.model_content import model_content
from rlhf_losses.fingerprints.run_identity import RunIdentity
from rlhf_losses.fingerprints.run_settings import argument_settings, evaluation_decides
from rlhf_losses.fingerprints.setting_effects import PPO_EFFECTS, REWARD_EFFECTS, Effect
from rlhf_losses.losses import Hinge
from rlhf_losses.ppo import PPOConfig

PLAIN = {"report_to": "none", "bf16": False}


@pytest.mark.upstream
@pytest.mark.parametrize(("config", "effects"), [(RewardConfig, REWARD_EFFECTS), (PPOConfig, PPO_EFFECTS)])
def test_the_effect_of_every_setting_is_stated(config, effects):
    """A new setting of TRL or transformers fails this test: state what a change of it does."""
    assert {one.name for one in dataclasses.fields(config)} <= effects.known


@pytest.mark.parametrize("effects", [REWARD_EFFECTS, PPO_EFFECTS])
def test_a_setting_has_one_effect(effects):
    groups = [effects.result, effects.harmless, effects.length, set(effects.elsewhere)]
    assert sum(map(len, groups)) == len(effects.known)


def test_an_unknown_setting_changes_the_result():
    assert REWARD_EFFECTS.effect("setting_of_next_year") is Effect.RESULT


# Data


ROWS = {
    "prompt": ["a", "bc", "", "d"],
    "chosen": [[{"role": "user", "content": "x"}], [], [{"role": "assistant", "content": "y"}], []],
    "rating": [1, 2, None, 4],
    "label": [True, None, False, True],
    "names": [["p", "q"], None, [], ["r"]],
}


def rows(**changes):
    return Dataset.from_dict(ROWS | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": ["a", "b", "c", "d"]},
        {"prompt": ["ab", "c", "", "d"]},
        {"rating": [1, 2, 0, 4]},
        {"label": [True, False, False, True]},
        {"names": [["p"], ["q"], [], ["r"]]},
        {"names": [["pq"], None, [], ["r"]]},
        {"chosen": [*ROWS["chosen"][:3], [{"role": "user", "content": "x"}]]},
    ],
)
def test_a_changed_value_changes_the_hash(changes):
    assert data_content(rows(**changes)) != data_content(rows())


def test_the_order_of_rows_and_their_number_change_the_hash():
    contents = [data_content(rows()), data_content(rows().select([1, 0, 2, 3])), data_content(rows().select(range(3)))]
    assert len({one.hash for one in contents}) == 3


def test_storage_does_not_change_the_hash(tmp_path):
    expected = data_content(rows())
    halves = concatenate_datasets([rows().select(range(2)), rows().select([2, 3])])
    shuffled = rows().select([3, 1, 0, 2]).select([2, 1, 3, 0])
    rows().to_json(tmp_path / "rows.jsonl")
    rows().to_parquet(tmp_path / "rows.parquet")
    read = [
        Dataset.from_json(str(tmp_path / "rows.jsonl"), cache_dir=str(tmp_path / "json")),
        Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "parquet")),
    ]
    reordered = rows().select_columns(sorted(ROWS))
    empty = rows().add_column("tie", [None] * 4)
    assert [data_content(one) for one in (halves, shuffled, *read, reordered, empty)] == [expected] * 6
    assert data_content(rows(rating=[1.0, 2.0, None, 4.0])) == expected


def test_only_the_columns_that_matter_are_compared():
    more = rows().add_column("id", [1, 2, 3, 4])
    assert data_content(more, list(ROWS)) == data_content(rows())
    assert data_content(more) != data_content(rows())


def test_rows_beyond_the_first_window_are_hashed():
    many = Dataset.from_dict({"rating": range(WINDOW + 2)})
    changed = Dataset.from_dict({"rating": [*range(WINDOW + 1), 0]})
    assert data_content(many) != data_content(changed)
    assert str(data_content(many)).startswith(f"{WINDOW + 2:,} rows (")


def test_the_first_rows_of_a_stream_are_compared():
    stream = rows().to_iterable_dataset()
    assert data_content(stream) == data_content(rows().to_iterable_dataset(num_shards=2))
    assert data_content(stream) != data_content(rows(prompt=["a", "b", "", "d"]).to_iterable_dataset())
    assert "the first 4 rows" in data_content(stream).description


def test_code_that_changes_rows_when_they_are_read_is_compared():
    doubled = rows().with_transform(lambda batch: batch | {"rating": [2 for _ in batch["rating"]]})
    assert data_content(doubled) != data_content(rows())


# Arguments


def test_early_stopping_and_an_optimizer_of_the_user_are_settings():
    weight = torch.nn.Parameter(torch.zeros(1))
    first, second = (torch.optim.SGD([weight], lr=rate) for rate in (0.1, 0.2))
    assert argument_settings({"optimizers": (first, None)}) != argument_settings({"optimizers": (second, None)})
    patience = [{"callbacks": [EarlyStoppingCallback(number)]} for number in (1, 2)]
    assert argument_settings(patience[0]) != argument_settings(patience[1])
    assert argument_settings({}) == argument_settings({"optimizers": (None, None), "callbacks": None})


@pytest.mark.parametrize(
    ("settings", "arguments", "expected"),
    [
        ({}, {}, False),
        ({"eval_strategy": "steps", "eval_steps": 1}, {}, False),
        ({"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}, {}, True),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"}, {}, True),
        ({}, {"callbacks": [EarlyStoppingCallback]}, True),
    ],
)
def test_evaluation_data_count_if_they_decide_something(tmp_path, settings, arguments, expected):
    assert evaluation_decides(RewardConfig(str(tmp_path), **PLAIN | settings), arguments) is expected


# Models and code


def test_one_weight_of_a_base_is_found_and_a_new_head_is_not_the_base():
    def model():
        torch.manual_seed(0)
        return torch.nn.ModuleDict({"body": torch.nn.Linear(3, 3), "score": torch.nn.Linear(3, 1)})

    first, head, body = model(), model(), model()
    with torch.no_grad():
        head["score"].weight[0, 0] += 1
        body["body"].weight[1, 2] += 1e-6
    assert model_content(head) == model_content(first) != model_content(body)
    assert model_content(head, trained=False) != model_content(first, trained=False)
    assert model_content(model().to("meta")) is None


def reward(weight):
    def scaled(completions, power=1):  # a comment
        return [weight * len(one) ** power for one in completions]

    return scaled


def same_reward(weight):
    def scaled(completions, power=1):
        return [weight * len(one) ** power for one in completions]

    return scaled  # fmt: skip


def other_reward(weight):
    def scaled(completions, power=1):
        return [weight + len(one) ** power for one in completions]

    return scaled


def test_code_is_compared_by_its_statements_and_values():
    assert code_content(reward(2)) == code_content(same_reward(2))
    assert code_content(reward(2)) != code_content(reward(3))
    assert code_content(reward(2)) != code_content(other_reward(2))


@pytest.mark.parametrize("change", [("FACTOR = 2", "FACTOR = 3"), ("len(text)", "-len(text)"), ("[1, 2]", "[1, 3]")])
def test_variables_and_functions_of_the_module_that_a_function_uses_are_compared(tmp_path, change):
    source = """
        FACTOR = 2
        TABLE = {"weights": [1, 2]}
        UNUSED = 5

        def length(text):
            return len(text)

        def reward(completions, **_):
            return [sum(FACTOR * weight * length(one) for weight in TABLE["weights"]) for one in completions]
    """

    def content(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return code_content(module.reward)

    assert content("first", source) == content("second", source.replace("UNUSED = 5", "UNUSED = 6"))
    assert content("first", source) != content("third", source.replace(*change))


def test_the_code_of_a_loss_that_is_a_dataclass_is_known():
    @dataclasses.dataclass(frozen=True)
    class Scaled(Hinge):
        scale: float = 2.0

        def per_item_loss(self, scores, feedback, parameters=None):
            return self.scale * super().per_item_loss(scores, feedback, parameters)

    first = code_content(Scaled)
    Scaled.scale = 3.0
    assert first is not None
    assert first != code_content(Scaled)


class Constant:
    """A reward function with an attribute."""

    def __init__(self, value):
        self.value = value

    def __call__(self, completions, **_):
        return [self.value] * len(completions)


def test_attributes_of_a_callable_object_are_compared():
    assert code_content(Constant(1.0)) == code_content(Constant(1.0)) != code_content(Constant(2.0))


# Comparison


def identity(tmp_path, content="one", **settings):
    made = RunIdentity(RewardConfig(str(tmp_path / "run"), **PLAIN | settings), REWARD_EFFECTS, ["loss"])
    made.record({"loss": settings.get("loss", "bradley_terry")}, {"train_dataset": Content(content, "3 rows")})
    return made


@pytest.fixture
def saved(tmp_path):
    """Return a folder with the fingerprint of a run of ten steps."""
    identity(tmp_path, max_steps=10).save(tmp_path)
    return tmp_path


def refusal(saved, *arguments, **settings):
    with pytest.raises(InvalidSettingError) as caught:
        identity(saved, *arguments, **{"max_steps": 10} | settings).require_same(saved)
    return str(caught.value)


def test_an_equal_run_resumes(saved, caplog):
    identity(saved, max_steps=10).require_same(saved)
    assert not caplog.records


def test_a_refusal_shows_both_values_and_how_to_go_on(saved):
    text = refusal(saved, "two", learning_rate=0.5, loss="hinge")
    default = RewardConfig.learning_rate
    assert f"learning_rate: {default!r} in the checkpoint, 0.5 now" in text
    assert "loss: 'bradley_terry' in the checkpoint, 'hinge' now" in text
    assert "train_dataset: 3 rows (one) in the checkpoint, 3 rows (two) now" in text
    assert "allow_changed=['learning_rate', 'loss', 'train_dataset']" in text


def test_the_suggestion_keeps_what_is_allowed_already(saved):
    text = refusal(saved, learning_rate=0.5, loss="hinge", allow_changed=["loss"])
    assert "loss: " not in text
    assert "allow_changed=['loss', 'learning_rate']" in text


def test_allowed_changes_are_logged(saved, caplog):
    run = identity(saved, max_steps=10, learning_rate=0.5, allow_changed=["learning_rate"])
    run.require_same(saved)
    assert "Resuming with allowed changes: learning_rate: " in caplog.text
    assert run.is_changed("learning_rate")
    assert not run.is_changed("seed")


def test_a_checkpoint_of_the_other_trainer_is_refused(tmp_path):
    RunIdentity(RewardConfig(str(tmp_path), **PLAIN), REWARD_EFFECTS, [], "RewardTrainer").save(tmp_path)
    config = PPOConfig(str(tmp_path), **PLAIN, resume_from_checkpoint=str(tmp_path))
    with pytest.raises(
        InvalidSettingError, match=r"'RewardTrainer' in the checkpoint, 'PPOTrainer' now.*other trainer"
    ):
        RunIdentity(config, PPO_EFFECTS, [], "PPOTrainer")


def test_a_change_that_cannot_be_allowed_is_refused_before_those_that_can(tmp_path):
    plain = {"per_device_train_batch_size": 4, **PLAIN}
    names = ["num_processes"]
    config = PPOConfig(str(tmp_path), **plain, gradient_accumulation_steps=2)
    RunIdentity(config, PPO_EFFECTS, names, "PPOTrainer", {"num_processes": 1}).save(tmp_path)
    config = PPOConfig(str(tmp_path), **plain, resume_from_checkpoint=str(tmp_path))
    with pytest.raises(InvalidSettingError, match="num_processes: 1 in the checkpoint, 2 now, and each process"):
        RunIdentity(config, PPO_EFFECTS, names, "PPOTrainer", {"num_processes": 2})


def test_settings_are_refused_before_anything_else_is_known(saved):
    with pytest.raises(InvalidSettingError, match="seed: 42 in the checkpoint, 7 now"):
        identity(saved, max_steps=10, seed=7, resume_from_checkpoint=str(saved))


def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(InvalidSettingError, match=r"'learning_rat'.*Did you mean 'learning_rate'"):
        identity(tmp_path, allow_changed=["learning_rat"])


def test_a_longer_run_resumes_and_the_schedule_is_named(saved, caplog):
    identity(saved, max_steps=20).require_same(saved)
    assert "max_steps: 10 in the checkpoint, 20 now" in caplog.text
    assert "'linear' is that of the longer run" in caplog.text
    assert "max_steps: 10 in the checkpoint, 9 now" in refusal(saved, max_steps=9)
    assert "max_steps: 10 in the checkpoint, 'num_train_epochs=50.0' now" in refusal(
        saved, max_steps=-1, num_train_epochs=50.0
    )


def test_epochs_without_effect_are_not_compared(saved):
    identity(saved, max_steps=10, num_train_epochs=1).require_same(saved)


def test_another_optimizer_cannot_be_allowed(saved):
    assert "the state in the checkpoint is that of the other optimizer" in refusal(
        saved, optim="adafactor", allow_changed=["optim"]
    )


def test_parts_of_a_batch_may_change_under_the_name_of_the_whole(tmp_path):
    assert "global_batch_size" in REWARD_EFFECTS.elsewhere.values()
    run = identity(tmp_path, allow_changed=["per_device_train_batch_size"])
    assert run._is_allowed("global_batch_size")


def test_a_setting_of_a_newer_version_counts_if_it_is_not_the_default(saved):
    file = saved / FILE
    content = json.loads(file.read_text())
    del content["settings"]["max_length"]
    content["settings"]["gone"] = 1
    file.write_text(json.dumps(content))
    identity(saved, max_steps=10).require_same(saved)
    assert "max_length: 1024 in the checkpoint, 512 now" in refusal(saved, max_length=512)


def test_a_checkpoint_of_an_earlier_version_resumes_with_a_line(tmp_path, caplog):
    identity(tmp_path).require_same(tmp_path)
    assert "has no fingerprint.json" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2, "settings": {}, "content": {}, "versions": {}}'])
def test_a_file_that_is_no_fingerprint_is_one_message(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UnsupportedModelError, match=r"fingerprint\.json'.*[Rr]esume"):
        RunFingerprint.load(tmp_path)


def test_other_versions_of_libraries_are_a_note(saved, caplog):
    file = saved / FILE
    content = json.loads(file.read_text())
    content["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(content))
    identity(saved, max_steps=10).require_same(saved)
    assert "written with torch 1.0, now" in caplog.text


def test_a_fingerprint_is_read_as_it_was_saved(saved):
    loaded = RunFingerprint.load(saved)
    assert loaded == identity(saved, max_steps=10).fingerprint


def test_only_names_that_decide_are_recorded():
    inherited = {one.name for one in dataclasses.fields(TrainingArguments)}
    assert {"output_dir", "logging_steps", "save_steps", "report_to"} <= inherited & REWARD_EFFECTS.harmless
