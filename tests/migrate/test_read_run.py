"""Files that are no run, or several, are refused with a message; what cannot be read has a reason."""

import pytest
from runs_of_other_systems import OPENRLHF_PPO, OPENRLHF_RM, RUNS

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.migrate import SYSTEMS, migrate, read_run


def written(tmp_path, name, content):
    """Write a file and return its path."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def unread(tmp_path, name, content):
    """Return the settings without a value, with their reasons."""
    source = read_run(written(tmp_path, name, content))
    return {one.setting: one.text for one in migrate(SYSTEMS[source.key], source).unread}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.sh", "", "is empty"),
        ("blank.py", " \n\t\n", "is empty"),
        ("binary.sh", b"\x7fELF\x02\x01\x01\xff", "not text in UTF-8"),
        ("zeros.sh", b"a\0b", "is no text"),
        ("list.yaml", "- stage: rm", "must contain a YAML mapping"),
        ("broken.yaml", "stage: [rm", "not valid YAML"),
        ("broken.py", "trainer = RewardTrainer(", "is not Python"),
        ("book.ipynb", "{}", "is a notebook"),
        ("run.bat", "trl reward ^\r\n --model_name_or_path a", "is a script for Windows"),
        ("nothing.py", "print('hello')", "has no training command, trainer or settings"),
        ("nothing.sh", "#!/bin/sh\nls -l | sort", "has no training command, trainer or settings"),
        ("nothing.yaml", "color: blue", "has no training command, trainer or settings"),
        ("notes.txt", "Remember the milk.", "must contain a YAML mapping"),
        ("dpo.py", "from trl import DPOTrainer\nDPOTrainer(model='a')", "DPOTrainer"),
        ("sft.sh", "trl sft --model_name_or_path a", "trl sft"),
        ("sft.sh", "deepspeed --module openrlhf.cli.train_sft --pretrain a", "train_sft"),
        ("dpo.sh", "swift rlhf --rlhf_type dpo --model a", "swift rlhf"),
        ("sft.yaml", "stage: sft\nmodel_name_or_path: a", "stage: sft"),
        ("sft.yaml", "base_model: a\nadapter: lora", "base_model without reward_model"),
        ("two.sh", OPENRLHF_RM + OPENRLHF_PPO, "may describe 2 runs"),
        ("two.py", "from trl import RewardTrainer\nRewardTrainer('a')\nRewardTrainer('b')", "may describe 2 runs"),
        ("both.yaml", "base_model: a\nreward_model: true\nrlhf_type: rm", "axolotl-rm.* or .*ms-swift-rm"),
    ],
)
def test_a_file_that_is_not_one_run_is_refused(tmp_path, name, content, problem):
    with pytest.raises(InvalidSettingError, match=problem) as error:
        read_run(written(tmp_path, name, content))
    assert str(error.value).endswith((".", ").", ". Correct the file.", ". Save the file in UTF-8."))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path, problem in ((tmp_path, "is a folder"), (tmp_path / "nowhere.sh", "There is no file")):
        with pytest.raises(InvalidSettingError, match=problem):
            read_run(path)


def test_from_chooses_among_several_runs(tmp_path):
    file = written(tmp_path, "two.sh", OPENRLHF_RM + OPENRLHF_PPO)
    assert read_run(file, "openrlhf-ppo").key == "openrlhf-ppo"
    with pytest.raises(InvalidSettingError, match="may describe 2 runs"):
        read_run(file, "openrlhf")


def test_from_another_system_is_refused(tmp_path):
    file = written(tmp_path, *RUNS["axolotl-rm"])
    with pytest.raises(InvalidSettingError, match="of another system than system='trl'"):
        read_run(file, "trl")
    with pytest.raises(InvalidSettingError, match="Did you mean 'openrlhf'"):
        read_run(file, "openrlfh")


def test_from_names_the_system_of_settings_that_do_not_tell(tmp_path):
    file = written(tmp_path, "run.yaml", "learning_rate: 1e-5\nmicro_batch_size: 2")
    assert read_run(file, "axolotl-rm").key == "axolotl-rm"


def test_from_names_the_system_of_a_script_with_another_name(tmp_path):
    file = written(tmp_path, "run.sh", "python prepare.py\n")
    with pytest.raises(InvalidSettingError, match=r"name its system and command: system='trl-ppo'"):
        read_run(file)
    file = written(tmp_path, "run.sh", "set -x\naccelerate launch --num_processes 2 my_ppo.py --kl_coef 0.1\n")
    source = read_run(file, "trl-ppo")
    assert (source.key, source.processes, [one.name for one in source.settings]) == ("trl-ppo", 2, ["kl_coef"])


def test_a_command_whose_settings_are_missing_is_refused(tmp_path):
    file = written(tmp_path, "run.sh", "llamafactory-cli train nowhere.yaml\n")
    with pytest.raises(InvalidSettingError, match=r"are in nowhere.yaml: there is no such file.*Give that file"):
        read_run(file)


def test_variables_and_what_a_shell_computes_have_no_value(tmp_path):
    flags = '--ckpt.output_dir $DIR/rm --data.dataset "$DATA" --adam.lr $(rate) "$@"'
    text = f"DIR=out\npython -m openrlhf.cli.train_rm {flags}\n"
    found = unread(tmp_path, "run.sh", text)
    assert found.keys() == {"data.dataset", "adam.lr", ""}
    assert "does not set the variable DATA" in found["data.dataset"]
    assert "--dataset_name" in found["data.dataset"]
    assert "the shell computes it" in found["adam.lr"]


def test_a_variable_of_a_python_script_has_its_value_if_there_is_one(tmp_path):
    text = """
from trl import RewardConfig, RewardTrainer
rate, size = 1e-5, 2
name = "a" if big else "b"
epochs = 1
epochs = 2
config = RewardConfig(
    "out", learning_rate=rate, per_device_train_batch_size=size, num_train_epochs=epochs, run_name=name,
    seed=int(argv[1]), **options
)
RewardTrainer("m", config)
"""
    found = unread(tmp_path, "run.py", text)
    assert found.keys() == {"num_train_epochs", "run_name", "seed", "**options"}
    assert "several values" in found["num_train_epochs"]


def test_settings_from_a_parser_are_pointed_out(tmp_path):
    text = "from trl import *\nconfig, = TrlParser(RewardConfig).parse()\nRewardTrainer(args=config, model=m.name)\n"
    source = read_run(written(tmp_path, "run.py", text))
    assert any("command line" in note for note in source.notes)
    assert unread(tmp_path, "run.py", text).keys() == {"trainer.model"}


def test_a_python_script_is_not_executed(tmp_path):
    target = tmp_path / "ran"
    call = f"open({str(target)!r}, 'w')"
    text = f"{call}\nfrom trl import RewardTrainer\nRewardTrainer(model={call}.name)\n"
    read_run(written(tmp_path, "run.py", text))
    assert not target.exists()


def test_a_comment_between_flags_does_not_hide_the_flags_after_it(tmp_path):
    text = "python -m openrlhf.cli.train_rm \\\n  --data.max_len 5 \\\n  # --train.seed 1 \\\n  --train.max_epochs 3\n"
    source = read_run(written(tmp_path, "run.sh", text))
    assert {one.name: one.value for one in source.settings} == {"data.max_len": "5", "train.max_epochs": "3"}
    assert any("Line 4 begins with a flag" in note for note in source.notes)


@pytest.mark.parametrize(
    ("launcher", "processes"),
    [
        ("python -m", None),
        ("torchrun --nproc_per_node 8 -m", 8),
        ("torchrun --nproc-per-node=2 --nnodes=3 -m", 6),
        ("accelerate launch --num_processes 4 --num_machines 2 -m", 4),
        ("deepspeed --num_gpus 2 --module", 2),
        ("CUDA_VISIBLE_DEVICES=0,3 deepspeed --module", 2),
        ("NPROC_PER_NODE=4 python -m", 4),
        ("mpirun -np 3 python -m", 3),
        ("torchrun --nproc_per_node $N -m", None),
    ],
)
def test_the_number_of_processes_is_that_of_the_launcher(tmp_path, launcher, processes):
    source = read_run(written(tmp_path, "run.sh", f"{launcher} openrlhf.cli.train_rm --data.max_len 5\n"))
    assert source.processes == processes


def test_a_file_of_settings_in_a_command_is_included_and_overridden(tmp_path):
    written(tmp_path, *RUNS["llama-factory-rm"])
    file = written(tmp_path, "run.sh", "llamafactory-cli train rm.yaml learning_rate=3e-4 seed=2\n")
    source = read_run(file)
    arguments = migrate(SYSTEMS[source.key], source).arguments
    assert (arguments["learning_rate"].value, arguments["seed"].value) == (3e-4, 2)
    assert arguments["max_length"].value == 2048


def test_a_missing_file_of_settings_is_listed(tmp_path):
    found = unread(tmp_path, "run.sh", "trl reward --config nowhere.yaml --seed 1\n")
    assert "no such file" in found["config"]


def test_a_command_in_a_text_of_another_shell_is_read(tmp_path):
    text = 'M=a\ndocker run image bash -c "set -e\ntrl reward --model_name_or_path $M"\n'
    source = read_run(written(tmp_path, "run.sh", text))
    assert [(one.name, one.value, one.place) for one in source.settings] == [("model_name_or_path", "a", "line 3")]
