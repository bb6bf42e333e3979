"""TRL's arguments with our names beside them, from the command line and from YAML."""

import dataclasses

import pytest
import trl

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.arguments import DataArguments, RewardModelArguments, TrainingParser, require_attention
from rlhf_losses.training import RewardConfig


@pytest.fixture
def read():
    def parse(*argv):
        kinds = (RewardConfig, DataArguments, RewardModelArguments, trl.DatasetMixtureConfig)
        return TrainingParser(kinds, "rlhf-losses train").read(argv)

    return parse


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        file = tmp_path / "run.yaml"
        file.write_text(text)
        return file

    return write


def test_every_argument_of_trl_reward_is_there_with_its_default():
    ours = {f.name: f for kind in (RewardConfig, DataArguments, RewardModelArguments) for f in dataclasses.fields(kind)}
    theirs = [f for kind in (trl.RewardConfig, trl.ScriptArguments, trl.ModelConfig) for f in dataclasses.fields(kind)]
    changed = {f.name for f in theirs if ours[f.name].default != f.default}
    assert changed == {"use_peft", "lora_task_type"}


def test_short_names_are_the_long_ones(read):
    _, data, model, _ = read("--model", "m", "--dataset", "d")
    assert (model.model_name_or_path, data.dataset_name) == ("m", "d")


def test_lora_is_used_unless_it_is_declined(read):
    assert read()[2].use_peft is True
    assert read("--no_use_peft")[2].use_peft is False
    assert read("--use_peft", "false")[2].use_peft is False


@pytest.mark.parametrize("write", ["--config {}", "--config={}"])
def test_yaml_sets_arguments_under_their_short_and_long_names(read, config_file, write):
    file = config_file("model: m\ndataset_name: d\nlearning_rate: 1e-3\nuse_peft: false\nlora_target_modules: [q, k]\n")
    config, data, model, _ = read(*write.format(file).split())
    assert (model.model_name_or_path, data.dataset_name) == ("m", "d")
    assert config.learning_rate == 1e-3
    assert model.use_peft is False
    assert model.lora_target_modules == ["q", "k"]


def test_an_unquoted_no_in_yaml_is_the_choice_no(read, config_file):
    assert read("--config", str(config_file("eval_strategy: no\n")))[0].eval_strategy == "no"


def test_yaml_may_name_a_mixture_of_datasets(read, config_file):
    file = config_file("datasets:\n  - path: json\n    data_files: rows.jsonl\n")
    assert read("--config", str(file))[3].datasets[0].path == "json"


def test_the_command_line_wins_over_yaml(read, config_file):
    file = config_file("loss: hinge\nlora_r: 4\n")
    config, _, model, _ = read("--config", str(file), "--loss", "centering")
    assert (config.loss, model.lora_r) == ("centering", 4)


def test_resume_may_stand_alone_or_name_a_checkpoint(read):
    assert read("--resume_from_checkpoint")[0].resume_from_checkpoint == "true"
    assert read("--resume_from_checkpoint", "run/checkpoint-5")[0].resume_from_checkpoint == "run/checkpoint-5"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--learning_rat", "1"], r"no argument '--learning_rat'. Did you mean '--learning_rate'\?"),
        (["--loss", "hinge", "twice"], "It is unclear what 'twice' is for"),
        (["--learning_rate", "fast"], "invalid float value: 'fast'"),
        (["--dtype", "float8"], "invalid choice: 'float8'"),
        (["--overlong", "cut"], "invalid choice: 'cut'"),
        (["--load_best_model_at_end"], "requires the save and eval strategy to match"),
        (["--config"], "--config came without a file"),
        (["--config", "nowhere.yaml"], "There is no file 'nowhere.yaml'"),
        (["--load_in_4bit", "--load_in_8bit"], "4 bit precision at the same time"),
    ],
)
def test_what_cannot_be_read_is_refused(read, argv, message):
    with pytest.raises(CommandLineError, match=message):
        read(*argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "learning_rat: 1",
            r"no argument '--learning_rat' \(in the file of --config\). Did you mean '--learning_rate'\?",
        ),
        ("overlong: cut", "sets overlong to 'cut'. Take one of drop, truncate_prompt, error"),
        ("learning_rate: fast", "invalid float value: 'fast'"),
        ("- model", "must contain a YAML mapping"),
        ("model: [", "is not YAML"),
    ],
)
def test_a_config_file_that_cannot_be_read_is_refused(read, config_file, text, message):
    with pytest.raises(CommandLineError, match=message):
        read("--config", str(config_file(text)))


def test_an_attention_that_nobody_registered_is_named_with_the_nearest_one():
    with pytest.raises(
        CommandLineError, match=r"no attention 'rlhf_losses_tree_call'.*Did you mean 'rlhf_losses_tree_calls'"
    ):
        require_attention("rlhf_losses_tree_call")


@pytest.mark.parametrize("name", [None, "eager", "sdpa", "rlhf_losses_tree", "kernels-community/flash-attn2"])
def test_an_attention_that_can_be_found_is_not_refused(name):
    require_attention(name)
