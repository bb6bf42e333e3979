"""Runs of other systems become arguments that the commands accept, and every setting is listed."""

import ast
import math
from dataclasses import replace

import pytest
import yaml
from runs_of_other_systems import RUNS, SCRIPTS

from rlhf_losses.cli.migrate import check, problem_of
from rlhf_losses.cli.ppo import build_parser as build_ppo_parser
from rlhf_losses.cli.train import build_parser as build_train_parser
from rlhf_losses.migrate import SYSTEMS, document, migrate, read_run, report_lines, yaml_text

PARSERS = {"train": build_train_parser, "ppo": build_ppo_parser}

REQUIRED = {"dataset_name": "rows.jsonl"}


def migrated(tmp_path, name, text, system=None):
    """Return the migration of a file."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    source = read_run(file, system)
    return migrate(SYSTEMS[source.key], source)


def arguments(migration):
    """Return the values of the arguments."""
    return {name: one.value for name, one in migration.arguments.items()}


def listed(migration):
    """Return the names of all settings in the report."""
    parts = ("written", "unavailable", "unknown", "unread", "unneeded")
    return {one.setting for part in parts for one in getattr(migration, part)}


@pytest.mark.parametrize("key", RUNS)
def test_the_command_accepts_the_yaml(key, tmp_path):
    migration = migrated(tmp_path, *RUNS[key])
    assert migration.system.key == key
    written = yaml.safe_load(yaml_text(migration))
    assert written == yaml.safe_load(document(migration)) == arguments(migration)
    assert problem_of(PARSERS[migration.system.command], {**REQUIRED, **written}) is None


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_command_accepts_the_yaml_of_a_script(name, tmp_path):
    migration = migrated(tmp_path, *SCRIPTS[name])
    assert problem_of(PARSERS[migration.system.command], {**REQUIRED, **arguments(migration)}) is None


@pytest.mark.parametrize("key", [key for key, (name, _) in RUNS.items() if name.endswith(("yaml", "yml"))])
def test_every_setting_of_a_yaml_file_is_listed(key, tmp_path):
    name, text = RUNS[key]
    assert set(yaml.safe_load(text)) <= listed(migrated(tmp_path, name, text))


@pytest.mark.parametrize("key", [key for key, (name, _) in RUNS.items() if name.endswith("sh")])
def test_every_flag_of_a_command_is_listed(key, tmp_path):
    name, text = RUNS[key]
    command = (
        text.split("swift rlhf", 1)[-1].split("train_ppo_ray", 1)[-1].split("train_rm", 1)[-1].split("ppo.py", 1)[-1]
    )
    words = [word for word in command.split("EOF")[0].split() if word.startswith("--")]
    assert words
    assert {word.removeprefix("--") for word in words} <= listed(migrated(tmp_path, name, text))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_argument_of_a_configuration_is_listed(name, tmp_path):
    file, text = SCRIPTS[name]
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    config = next(
        call for call in calls if getattr(call.func, "id", "").endswith("Config") and call.func.id != "LoraConfig"
    )
    assert {word.arg for word in config.keywords} <= listed(migrated(tmp_path, file, text))


def test_batches_of_openrlhf_are_those_of_all_processes(tmp_path):
    values = arguments(migrated(tmp_path, *RUNS["openrlhf-ppo"]))
    processes, micro = 2, 8
    assert values["per_device_train_batch_size"] == micro
    assert values["gradient_accumulation_steps"] * micro * processes == 128
    assert values["steps_per_generation"] * micro * processes == 1024


def test_steps_of_trl_are_counted_in_optimizer_steps(tmp_path):
    values = arguments(migrated(tmp_path, *SCRIPTS["ppo"]))
    rollout = 4 * 4
    per_rollout = 4 * 2  # epochs times mini-batches
    assert values["max_steps"] == math.ceil(1000 / rollout) * per_rollout
    assert values["per_device_train_batch_size"] * values["steps_per_generation"] == rollout
    assert values["gradient_accumulation_steps"] * values["per_device_train_batch_size"] == rollout / 2


def test_coefficients_in_units_of_the_scores_come_with_scores_as_they_are(tmp_path):
    for key in ("trl-ppo", "openrlhf-ppo", "ms-swift-ppo", "llama-factory-ppo"):
        values = arguments(migrated(tmp_path, *RUNS[key]))
        assert values["score_normalization"] == "none", key
        assert values["beta"] > 0, key


def test_defaults_of_the_other_system_are_written_out(tmp_path):
    migration = migrated(tmp_path, "run.yaml", "stage: rm\nmodel_name_or_path: a\ndataset: b\noutput_dir: c\n")
    values = arguments(migration)
    assert values["learning_rate"] == 5e-5
    assert values["max_length"] == 2048
    assert (values["lora_r"], values["lora_alpha"], values["lora_target_modules"]) == (8, 16, "all-linear")
    assert all(migration.arguments[name].is_default for name in ("learning_rate", "max_length", "lora_alpha"))


def test_a_run_without_adapters_has_no_defaults_of_adapters(tmp_path):
    values = arguments(migrated(tmp_path, *RUNS["openrlhf-rm"]))
    assert values["use_peft"] is False
    assert not [name for name in values if name.startswith("lora_")]


def test_an_unknown_setting_is_listed_with_the_one_that_is_near(tmp_path):
    migration = migrated(tmp_path, "run.sh", "python -m openrlhf.cli.train_rm --train.max_epoch 2 --zebra 3\n")
    assert [one.setting for one in migration.unknown] == ["train.max_epoch", "zebra"]
    assert "train.max_epochs" in migration.unknown[0].text


def test_dashes_and_negations_are_read(tmp_path):
    migration = migrated(
        tmp_path, "run.sh", "trl reward --model-name-or-path a --no-gradient-checkpointing --max-length=5\n"
    )
    values = arguments(migration)
    assert (values["model_name_or_path"], values["gradient_checkpointing"], values["max_length"]) == ("a", False, 5)


def test_of_a_repeated_flag_the_last_value_counts(tmp_path):
    migration = migrated(tmp_path, "run.sh", "trl reward --seed 1 \\\n --seed 2\n")
    assert arguments(migration)["seed"] == 2
    assert [(one.setting, one.value) for one in migration.unneeded] == [("seed", "'1'")]


def test_what_the_parser_refuses_is_listed_and_not_written(tmp_path):
    text = "model_name_or_path: a\ndataset_name: b\noutput_dir: c\noptim: mine\nmax_steps: many\nseed: 3\n"
    migration = migrated(tmp_path, "run.yaml", text)
    assert check(migration) == []
    assert arguments(migration).keys().isdisjoint(("optim", "max_steps"))
    assert arguments(migration)["seed"] == 3
    assert any("mine" in one.text for one in migration.unavailable)


def test_what_is_valid_together_only_is_written(tmp_path):
    text = (
        "sft_model_path: a\nreward_model_path: r\ndataset_name: b\noutput_dir: c\noptim: mine\n"
        "per_device_train_batch_size: 1\ngradient_accumulation_steps: 16\n"
    )
    migration = migrated(tmp_path, "run.yaml", text)
    assert check(migration) == []
    assert arguments(migration)["per_device_train_batch_size"] == 1
    assert "optim" not in arguments(migration)


def test_what_the_parser_refuses_together_is_in_the_report(tmp_path):
    text = "model_name_or_path: a\nkl_coef: 0\n"
    migration = migrated(tmp_path, "run.yaml", text)
    migration.arguments["kl_target"] = replace(migration.arguments["beta"], value=6.0)
    migration.arguments["missing_eos_penalty"] = replace(migration.arguments["beta"], value=1.0)
    migration.arguments["missing_eos_score"] = replace(migration.arguments["beta"], value=1.0)
    (problem,) = check(migration)
    assert "together" in problem
    assert any(problem in line for line in report_lines(migration, [problem]))


def test_a_value_of_a_wrong_type_is_listed(tmp_path):
    migration = migrated(tmp_path, "run.sh", "python -m openrlhf.cli.train_rm --adam.betas 0.9\n")
    assert [one.setting for one in migration.unavailable] == ["adam.betas"]


def test_values_cannot_leave_their_comment(tmp_path):
    migration = migrated(tmp_path, "run.sh", "trl reward --zebra $'a\\nloss: hinge' --output_dir $'b\\nseed: 5'\n")
    written = yaml.safe_load(document(migration))
    assert written == arguments(migration)
    assert written["output_dir"] == "b\nseed: 5"


def test_secrets_are_not_written(tmp_path):
    text = "python -m openrlhf.cli.train_rm --logger.wandb.key abcdef --use_hub_token abcdef\n"
    assert "abcdef" not in document(migrated(tmp_path, "run.sh", text))
    assert "abcdef" not in document(migrated(tmp_path, "run.yaml", "model_name_or_path: a\nhub_token: abcdef\n"))


def test_texts_that_look_like_numbers_stay_texts(tmp_path):
    migration = migrated(tmp_path, "run.sh", "trl reward --run_name 1.50 --output_dir 007 --dataset_name 1e3\n")
    values = arguments(migration)
    assert (values["run_name"], values["output_dir"], values["dataset_name"]) == ("1.50", "007", "1e3")


def test_missing_arguments_are_named_with_their_flags(tmp_path):
    migration = migrated(tmp_path, "run.sh", "swift rlhf --rlhf_type ppo --model a\n")
    assert migration.missing() == ["reward_model_name_or_path", "dataset_name", "output_dir"]
    assert "--reward_model REWARD_MODEL" in report_lines(migration)[-1]


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        (
            "run.sh",
            "python -m openrlhf.cli.train_rm --train_batch_size abc --micro_train_batch_size 2\n",
            "train_batch_size",
        ),
        ("run.sh", "python -m openrlhf.cli.train_ppo_ray --eps_clip_low_high 0.2\n", "eps_clip_low_high"),
        ("run.yaml", "stage: rm\nmodel_name_or_path: a\nlora_rank: many\n", "lora_rank"),
        ("run.yaml", "base_model: a\nreward_model: true\nsaves_per_epoch: often\n", "saves_per_epoch"),
        ("run.sh", "trl ppo --total_episodes many --gradient_accumulation_steps 2\n", "total_episodes"),
        ("run.sh", "trl ppo --num_mini_batches 3\n", "num_mini_batches"),
        (
            "run.sh",
            "swift rlhf --rlhf_type rm --model a --gradient_accumulation_steps x\n",
            "gradient_accumulation_steps",
        ),
    ],
)
def test_a_value_that_several_settings_cannot_use_is_listed(tmp_path, name, text, refused):
    migration = migrated(tmp_path, name, text)
    assert [one.setting for one in migration.unavailable] == [refused]
    assert migration.unavailable[0].text.startswith(("a value like", f"{refused}=3 does not divide the 8 completions"))


@pytest.mark.parametrize(
    ("epochs", "per_epoch", "expected"), [(4, 2, 1 / 8), (4, 1, None), (1, 1, None), (2, 4, 1 / 8), (1, 0.5, None)]
)
def test_saves_per_epoch_of_axolotl_are_a_share_of_the_run(tmp_path, epochs, per_epoch, expected):
    text = f"base_model: a\nreward_model: true\nnum_epochs: {epochs}\nsaves_per_epoch: {per_epoch}\n"
    values = arguments(migrated(tmp_path, "run.yaml", text))
    assert values.get("save_steps") == expected
    assert values["save_strategy"] == ("epoch" if expected is None else "steps")


@pytest.mark.parametrize("order", [1, -1])
def test_the_policy_of_a_script_of_trl_is_that_of_sft_model_path(tmp_path, order):
    flags = ["--model_name_or_path tokenizer", "--sft_model_path policy"][::order]
    migration = migrated(tmp_path, "run.sh", f"trl ppo {' '.join(flags)}\n")
    assert arguments(migration)["model_name_or_path"] == "policy"
    assert "model_name_or_path" in [one.setting for one in migration.unneeded]


def test_of_two_settings_of_one_argument_the_other_is_listed(tmp_path):
    text = "base_model: a\nreward_model: true\nlora_target_modules: [q]\nlora_target_linear: true\n"
    migration = migrated(tmp_path, "run.yaml", text)
    assert arguments(migration)["lora_target_modules"] == "all-linear"
    assert "lora_target_linear sets it too" in migration.unavailable[0].text


def test_the_critic_is_that_of_the_translated_trainer(tmp_path):
    for key in ("trl-ppo", "ms-swift-ppo"):
        migration = migrated(tmp_path, *RUNS[key])
        assert arguments(migration).keys().isdisjoint(("critic_learning_rate_ratio", "value_lam"))
        assert any("critic_learning_rate_ratio: 1" in line for line in report_lines(migration))


def test_a_part_of_a_split_is_listed(tmp_path):
    migration = migrated(tmp_path, "run.sh", "trl reward --dataset_train_split 'train[:10%]'\n")
    assert [one.setting for one in migration.unavailable] == ["dataset_train_split"]


def test_no_tracker_is_written_as_its_name(tmp_path):
    assert arguments(migrated(tmp_path, "run.sh", "trl reward --report_to none\n"))["report_to"] == "none"


def test_launchers_of_models_in_parts_are_refused_by_ppo(tmp_path):
    for command, advice in (("ppo", "for larger policies"), ("reward", "zero3.yaml")):
        (one,) = migrated(tmp_path, "run.sh", f"trl {command} --deepspeed zero3.json\n").unavailable
        assert advice in one.text


def test_texts_with_several_lines_are_written_in_one(tmp_path):
    text = 'base_model: a\nprocess_reward_model: true\ndatasets:\n  - {path: b, step_separator: "\\n\\n"}\n'
    assert 'step_separator: "\\n\\n"  #' in yaml_text(migrated(tmp_path, "run.yaml", text))


@pytest.mark.parametrize(("reference", "part"), [("a", "unneeded"), ("b", "unavailable")])
def test_a_reference_that_is_the_policy_is_not_needed(tmp_path, reference, part):
    migration = migrated(tmp_path, "run.sh", f"swift rlhf --rlhf_type ppo --ref_model {reference} --model a\n")
    assert "ref_model" in [one.setting for one in getattr(migration, part)]


def test_names_of_trl_below_0_12_are_read(tmp_path):
    settings = "model_name='a', ppo_epochs=3, init_kl_coef=0.2, target=6, adap_kl_ctrl=True"
    text = f"from trl import PPOConfig\nPPOConfig({settings})\n"
    values = arguments(migrated(tmp_path, "run.py", text))
    assert (values["num_iterations"], values["beta"], values["kl_target"]) == (3, 0.2, 6)
    assert values["model_name_or_path"] == "a"


def test_arguments_of_the_launcher_in_a_file_for_trl_are_known(tmp_path):
    text = "model_name_or_path: a\ndataset_name: b\naccelerate_config: zero3\nnum_processes: 4\n"
    migration = migrated(tmp_path, "run.yaml", text)
    assert not migration.unknown
    assert {one.setting for one in migration.unavailable} == {"accelerate_config", "num_processes"}
