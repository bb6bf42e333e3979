"""The configurations in examples/accelerate are those that accelerate reads, and name what they turn on."""

import re
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

FILES = {file.stem: file for file in (Path(__file__).parents[2] / "examples" / "accelerate").glob("*.yaml")}
TURNED_ON = {
    "ddp": ("MULTI_GPU", {"multi_gpu": True}),
    "fsdp2": ("FSDP", {"use_fsdp": True, "fsdp_version": 2, "fsdp_state_dict_type": "FULL_STATE_DICT"}),
    "zero2": ("DEEPSPEED", {"use_deepspeed": True, "zero_stage": 2}),
    "zero3": ("DEEPSPEED", {"use_deepspeed": True, "zero_stage": 3, "zero3_save_16bit_model": True}),
}


@pytest.mark.parametrize("name", TURNED_ON)
def test_accelerate_launch_reads_the_configuration(name):
    kind, expected = TURNED_ON[name]
    assert load_config_from_file(str(FILES[name])).distributed_type == kind
    arguments = launch_command_parser().parse_args(["--config_file", str(FILES[name]), "-m", "rlhf_losses", "train"])
    read, *_ = _validate_launch_command(arguments)
    assert {setting: getattr(read, setting) for setting in expected} == expected
    assert read.num_processes == 2


def test_each_configuration_says_where_it_was_run():
    assert FILES.keys() == TURNED_ON.keys()
    for name, file in FILES.items():
        text = file.read_text(encoding="utf-8")
        assert f"accelerate launch --config_file examples/accelerate/{name}.yaml" in text
        assert re.search(r"^# (Run with two processes|NOT RUN:)", text, flags=re.MULTILINE), name
