"""Arguments of training commands, on the command line and in the --config file."""

import dataclasses

import peft
import pytest
import trl
from transformers import LlamaConfig, LlamaForSequenceClassification

from rlhf_losses.cli.argument_parser import OLD_FLAGS, OLD_VALUES, CommandLineError
from rlhf_losses.cli.arguments import (
    RewardDataArguments,
    RewardModelArguments,
    TrainingParser,
    prompt_flags,
    require_attention,
)
from rlhf_losses.training import RewardConfig


@pytest.fixture
def read():
    def parse(*argv):
        classes = (RewardConfig, RewardDataArguments, RewardModelArguments, trl.DatasetMixtureConfig)
        return TrainingParser(classes, "rlhf-losses train").read(argv)

    return parse


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        file = tmp_path / "run.yaml"
        file.write_text(text)
        return file

    return write


def test_all_arguments_of_trl_reward_exist_with_their_defaults():
    classes = (RewardConfig, RewardDataArguments, RewardModelArguments)
    ours = {f.name: f for cls in classes for f in dataclasses.fields(cls)}
    theirs = [f for cls in (trl.RewardConfig, trl.ScriptArguments, trl.ModelConfig) for f in dataclasses.fields(cls)]
    changed = {f.name for f in theirs if ours[f.name].default != f.default}
    assert changed == {"use_peft", "lora_task_type", "learning_rate"}


def test_short_flags_are_aliases_of_the_flags_of_trl(read):
    _, data, model, _ = read("--model", "m", "--dataset", "d")
    assert (model.model_name_or_path, data.dataset_name) == ("m", "d")


def test_lora_is_the_default_and_can_be_disabled(read):
    assert read()[2].use_peft is True
    assert read("--no_use_peft")[2].use_peft is False
    assert read("--use_peft", "false")[2].use_peft is False


@pytest.mark.parametrize(
    ("modules", "adapted"),
    [
        (["q_proj"], {"q_proj"}),
        (["q_proj", "v_proj"], {"q_proj", "v_proj"}),
        (["self_attn.q_proj"], {"q_proj"}),
        ([r".*\.(q|v)_proj"], {"q_proj", "v_proj"}),
        (["all-linear"], {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_one_module_of_lora_is_a_name_unless_it_is_a_pattern(read, modules, adapted):
    config = trl.get_peft_config(read("--lora_target_modules", *modules)[2])
    sizes = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "vocab_size": 8,
    }
    model = peft.get_peft_model(LlamaForSequenceClassification(LlamaConfig(**sizes, num_labels=1)), config)
    found = {name.split(".")[-2] for name, _ in model.named_modules() if name.endswith(".lora_A")}
    assert found == adapted


@pytest.mark.parametrize("write", ["--config {}", "--config={}"])
def test_the_config_file_accepts_short_and_long_names(read, config_file, write):
    file = config_file("model: m\ndataset_name: d\nlearning_rate: 1e-3\nuse_peft: false\nlora_target_modules: [q, k]\n")
    config, data, model, _ = read(*write.format(file).split())
    assert (model.model_name_or_path, data.dataset_name) == ("m", "d")
    assert config.learning_rate == 1e-3
    assert model.use_peft is False
    assert model.lora_target_modules == ["q", "k"]


def test_an_unquoted_no_in_yaml_is_the_choice_no(read, config_file):
    assert read("--config", str(config_file("eval_strategy: no\n")))[0].eval_strategy == "no"


def test_the_config_file_can_define_a_mixture_of_datasets(read, config_file):
    file = config_file("datasets:\n  - path: json\n    data_files: rows.jsonl\n")
    assert read("--config", str(file))[3].datasets[0].path == "json"


def test_the_command_line_takes_precedence_over_the_config_file(read, config_file):
    file = config_file("loss: hinge\nlora_r: 4\n")
    config, _, model, _ = read("--config", str(file), "--loss", "centering")
    assert (config.loss, model.lora_r) == ("centering", 4)


def test_resume_from_checkpoint_works_with_and_without_a_value(read):
    assert read("--resume_from_checkpoint")[0].resume_from_checkpoint == "true"
    assert read("--resume_from_checkpoint", "run/checkpoint-5")[0].resume_from_checkpoint == "run/checkpoint-5"


@pytest.mark.parametrize(("flag", "value"), [("bf16", True), ("report_to", ["tensorboard", "trackio"])])
def test_arguments_of_trl_can_be_a_switch_or_a_list(read, flag, value):
    config = read(f"--{flag}", *(value if isinstance(value, list) else []), "--use_cpu")[0]
    assert getattr(config, flag) == value


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--learning_rat", "1"], r"Unknown argument '--learning_rat'\. Did you mean '--learning_rate'\?"),
        (["--loss", "hinge", "twice"], "Unexpected argument 'twice'. Put quotes"),
        (["--learning_rate", "fast"], "invalid float value: 'fast'"),
        (["--dtype", "float8"], "invalid choice: 'float8'"),
        (["--overlong", "cut"], "invalid choice: 'cut'"),
        (["--load_best_model_at_end"], "requires the save and eval strategy to match"),
        (["--config"], "--config has no file. Give a YAML file"),
        (["--config", "nowhere.yaml"], "There is no file 'nowhere.yaml'"),
        (["--load_in_4bit", "--load_in_8bit"], "4 bit precision at the same time"),
    ],
)
def test_invalid_arguments_are_refused(read, argv, message):
    with pytest.raises(CommandLineError, match=message):
        read(*argv)


@pytest.mark.parametrize(("old", "new"), OLD_FLAGS.items())
@pytest.mark.parametrize("form", ["{}=1", "{}", "--no_{}"])
def test_a_renamed_flag_is_refused_with_its_new_name(read, old, new, form):
    flag = form.format(old.removeprefix("--") if form.startswith("--no_") else old)
    with pytest.raises(CommandLineError, match=rf"has been renamed. Use '--(no_)?{new.removeprefix('--')}'"):
        read(flag)


@pytest.mark.parametrize("command", ["score", "evaluate", "inspect"])
def test_the_old_flag_of_converters_is_refused_by_all_commands(cli, command):
    result = cli(command, "--model", "m", "--dataset", "d", "--adapter", "hh_rlhf")
    assert result.code == 2
    assert "--converter" in result.err


@pytest.mark.parametrize(
    ("flag", "old", "new"), [(flag, *names) for flag, values in OLD_VALUES.items() for names in values.items()]
)
def test_a_renamed_value_is_refused_with_its_new_name(cli, config_file, flag, old, new):
    file = config_file(f"{flag.removeprefix('--')}: {old}\n")
    for argv in ([flag, old], [f"{flag}={old}"], ["--config", file]):
        result = cli("ppo", *argv)
        assert result.code == 2
        assert f"has been renamed. Use {flag} {new}." in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "learning_rat: 1",
            r"Unknown argument '--learning_rat' in the --config file\. Did you mean '--learning_rate'\?",
        ),
        ("tokens_per_pass: 100", r"in the --config file has been renamed. Use '--max_tokens_per_forward'"),
        ("overlong: cut", "has overlong: 'cut'. Choose one of: drop, truncate_prompt, error"),
        ("learning_rate: fast", "invalid float value: 'fast'"),
        ("- model", "must contain a YAML mapping"),
        ("model: [", "is not valid YAML"),
    ],
)
def test_an_invalid_config_file_is_refused(read, config_file, text, message):
    with pytest.raises(CommandLineError, match=message):
        read("--config", str(config_file(text)))


def test_all_problems_of_file_and_command_line_are_reported_at_once(read, config_file):
    file = config_file("learning_rat: 1\noverlong: cut\nlearning_rate: fast\n")
    with pytest.raises(CommandLineError) as raised:
        read("--config", str(file), "--epochs", "3")
    assert str(raised.value).splitlines()[:-1] == [
        "Unknown argument '--learning_rat' in the --config file. Did you mean '--learning_rate'?",
        "The --config file has overlong: 'cut'. Choose one of: drop, truncate_prompt, error.",
        "Unknown argument '--epochs'. Use '--num_train_epochs'.",
        "Argument --learning_rate: invalid float value: 'fast'.",
    ]
    with pytest.raises(CommandLineError, match=r"gradient_accumulation_steps is 0(.|\n)*seed is -1"):
        read("--loss", "hinge", "--gradient_accumulation_steps", "0", "--seed", "-1")


def test_an_unknown_attention_implementation_is_refused_with_the_nearest_name():
    with pytest.raises(CommandLineError, match=r"'rlhf_losses_tree_flx'.*Did you mean 'rlhf_losses_tree_flex'"):
        require_attention("rlhf_losses_tree_flx")


@pytest.mark.parametrize("name", [None, "eager", "sdpa", "rlhf_losses_tree", "kernels-community/flash-attn2"])
def test_registered_attention_implementations_are_accepted(name):
    require_attention(name)


def test_columns_are_a_text_or_a_mapping_in_the_config_file(read, config_file):
    assert read("--columns", "chosen=a,rejected=b")[1].columns == "chosen=a,rejected=b"
    assert read("--config", str(config_file("columns: chosen=a\n")))[1].columns == "chosen=a"
    assert read("--config", str(config_file("columns:\n  chosen: a.b\n")))[1].columns == {"chosen": "a.b"}


SHEET = {"prompt": "ticket", "response_a": "reply_1", "response_b": "reply_2", "winner": "best", "system": "role"}


@pytest.mark.parametrize(
    ("values", "found", "flags"),
    [
        ({"columns": SHEET}, (), ["--columns", "prompt=ticket,system=role"]),  # also for a file of prompts
        ({"columns": {"chosen": "good"}}, ("prompt", "chosen", "bad"), []),
        ({"columns": {"chosen": "good"}}, ("chosen", "bad"), ["--columns", "chosen=good"]),  # prompts in conversations
        (
            {"columns": {"question": "q"}, "converter": "stack_exchange_paired"},
            (),
            ["--columns", "question=q", "--converter", "stack_exchange_paired"],
        ),
    ],
)
def test_a_command_for_prompts_has_the_columns_that_it_reads(values, found, flags):
    assert prompt_flags(values, found) == flags
