"""Command lines with odd values: one message and exit code 2, before a model is loaded."""

from types import NoneType
from typing import get_type_hints

import pytest
import trl

from rlhf_losses.cli import ppo
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.arguments import DataArguments
from rlhf_losses.cli.config_values import members
from rlhf_losses.cli.dataset_loading import load_training_rows
from rlhf_losses.cli.train import build_parser
from rlhf_losses.errors import UnreadableDatasetError

TRAIN = ("train", "--model", "acme/nowhere", "--loss", "bradley_terry")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--output_dir", ""), "--output_dir is missing"),
        (("--output_dir", "   "), "is no folder for a run"),
        (("--output_dir", "/"), "is no folder for a run"),
        (("--output_dir", "n" * 300), "File name too long"),
        (("--output_dir", "out", "--learning_rate", "nan"), "learning_rate is nan"),
        (("--output_dir", "out", "--learning_rate", "inf"), "learning_rate is inf"),
        (("--output_dir", "out", "--weight_decay", "nan"), "weight_decay is nan"),
        (("--output_dir", "out", "--seed", "-1"), "seed is -1"),
        (("--output_dir", "out", "--dataloader_num_workers", "-1"), "dataloader_num_workers is -1"),
        (("--output_dir", "out", "--seed", str(2**40)), "seed is 1099511627776"),
        (("--output_dir", "out", "--model_init_kwargs", "x"), "--model_init_kwargs is 'x'"),
        (("--output_dir", "out", "--loss", "hinge(margin=\udcff)"), "not valid UTF-8"),
        (("--output_dir", "out", "--loss", "ordinal_rating(levels=99999999999)"), "at most 1000"),
        (("--output_dir", "out", "--loss", "(" * 900 + "hinge" + ")" * 900), "not a valid loss"),
    ],
)
def test_an_odd_value_is_refused_with_one_message(cli, write_rows, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    file = write_rows({"prompt": "a", "chosen": "b", "rejected": "c"})
    result = cli(*TRAIN, "--dataset", file, *arguments)
    assert result.code == 2
    assert problem in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["weight_decay", "seed", "logging_steps"])
def test_null_for_a_setting_that_needs_a_value_is_refused(cli, tmp_path, name):
    (tmp_path / "run.yaml").write_text(f"loss: bradley_terry\nmax_length: null\n{name}: null\n")
    result = cli("train", "--config", tmp_path / "run.yaml")
    assert result.code == 2
    assert f"{name}: null, but this setting has no value for none" in result.err


def test_a_mixture_that_cannot_be_loaded_is_refused_with_one_message():
    mixture = trl.DatasetMixtureConfig(datasets=[{"path": "acme/nowhere"}])
    with pytest.raises(UnreadableDatasetError, match="The mixture of datasets cannot be loaded"):
        load_training_rows(DataArguments(), mixture, evaluates=False)


@pytest.mark.parametrize(
    "line", ["attn_implementation: true", "run_name: 5", "lora_target_modules: [[q_proj]]", "output_dir: [a]"]
)
def test_a_value_that_is_no_text_is_refused_where_texts_are_needed(cli, tmp_path, line):
    (tmp_path / "run.yaml").write_text(f"loss: bradley_terry\n{line}\n")
    result = cli("train", "--config", tmp_path / "run.yaml")
    assert result.code == 2
    assert f"The --config file has {line.partition(':')[0]}" in result.err
    assert "in quotes" in result.err


@pytest.mark.parametrize("parser", [build_parser(), ppo.build_parser()], ids=["train", "ppo"])
def test_a_list_and_a_mapping_are_refused_for_every_setting_of_numbers_texts_or_truth_values(parser):
    annotations = {name: hint for cls in parser.dataclass_types for name, hint in get_type_hints(cls).items()}
    plain = {
        name for name, hint in annotations.items() if members(hint) - {NoneType} <= {bool, int, float, str, list[str]}
    }
    assert len(plain) > 100
    names = sorted(plain - {"columns"})
    for value in ([[1]], {1: 2}):
        parser.problems.clear()
        parser.set_defaults_with_config(**dict.fromkeys(names, value))
        assert [problem.split(": ")[0] for problem in parser.problems] == [f"The --config file has {n}" for n in names]


def test_numbers_in_lists_are_read_as_numbers(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("reward_weights: [1e-1, 2, 0.5]\nlearning_rate: 1e-3\nseed: 3.0\nuse_peft: no\n")
    words = ["--model", "m", "--dataset", "d", "--reward_model", "r", "--output_dir", str(tmp_path / "run")]
    parsed = {type(one).__name__: one for one in ppo.build_parser().read([*words, "--config", str(file)])}
    config, model = parsed["PPOConfig"], parsed["ModelArguments"]
    assert config.reward_weights == [0.1, 2, 0.5]
    assert config.learning_rate == 1e-3
    assert (config.seed, type(config.seed)) == (3, int)
    assert model.use_peft is False
    file.write_text("reward_weights: [a]\n")
    with pytest.raises(CommandLineError, match="The --config file has 'a' in reward_weights, which is not a number"):
        ppo.build_parser().read([*words, "--config", str(file)])


def test_texts_and_lists_of_texts_in_the_config_file_are_accepted(cli, tmp_path):
    (tmp_path / "run.yaml").write_text("resume_from_checkpoint: true\nrun_name: '5'\nlora_target_modules: [q_proj]\n")
    result = cli("train", "--config", tmp_path / "run.yaml")
    assert "--model, --dataset, --loss and --output_dir are missing" in result.err  # the next check


@pytest.mark.parametrize("name", ["seed", "loss", "dataloader_num_workers"])
def test_two_dashes_are_no_value(name):
    words = ["--model", "m", "--dataset", "d", "--loss", "hinge", "--output_dir", "run"]
    with pytest.raises(CommandLineError, match=rf"--{name} has the value '--', which is none. Write a value"):
        build_parser().read([*words, f"--{name}=--"])
