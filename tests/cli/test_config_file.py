"""A --config file that is not a mapping of arguments is refused with a message."""

import pytest

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.config_file import read_config


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"loss: \xff", "is not text in UTF-8"),
        (b"\0\1\2", "not valid YAML"),
        (b"", "contains None"),
        (b"-", r"contains \[None\]"),
        (b"- loss: hinge", "contains"),
        (b"hinge", "contains 'hinge'"),
        (b"1: 2", "the key 1"),
        (b"? [a]\n: b", "not valid YAML"),
        (b"loss: hinge\nseed: 1\nloss: bradley_terry", "key 'loss' twice"),
        (b"a: {b: 1, b: 2}", "key 'b' twice"),
        (b"loss: !!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"seed: 2024-99-99", "not valid YAML"),
        (b"a: *unknown", "not valid YAML"),
        (b"a: " + b"[" * 5_000, "5,000 opening brackets"),
        (b"a: " + b"{" * 900, "not valid YAML"),
        (b"a: 1\n---\nb: 2", "not valid YAML"),
        (b"#" * 1_000_001, "too large"),
        (b"seed: !!binary aGVsbG8=", "has for seed b'hello', of the type bytes"),
        (b"run_name: 2024-01-02", "has for run_name .* of the type date.* in quotes"),
        (b"report_to: [none, 2024-01-02 03:04:05]", "has for report_to .* of the type datetime"),
        (b"a: {b: !!set {x}}", "has for a {'x'}, of the type set"),
        (b'output_dir: "out\\uDCBB"', "has for output_dir .* not a text in valid Unicode"),
        (b'output_dir: "out\\0"', "has for output_dir .* not a text in valid Unicode"),
        (b'a: {"\\uD800": 1}', "has for a .* not a text in valid Unicode"),
    ],
)
def test_a_file_that_is_no_mapping_of_arguments_is_refused(tmp_path, content, problem):
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(CommandLineError, match=problem):
        read_config(str(file))


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    for path, problem in ((tmp_path, "is a folder"), (tmp_path / "nowhere.yaml", "There is no file")):
        with pytest.raises(CommandLineError, match=problem):
            read_config(str(path))


def test_a_value_that_contains_itself_is_read_once(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("a: &a [1, *a]\n")
    value = read_config(str(file))["a"]
    assert value[1] is value


def test_anchors_and_merges_are_read(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("base: &b {x: 1}\nother: {<<: *b, y: 2}\nseed: 3\n")
    assert read_config(str(file)) == {"base": {"x": 1}, "other": {"x": 1, "y": 2}, "seed": 3}
