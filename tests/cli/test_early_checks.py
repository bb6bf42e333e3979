"""Datasets and models are checked before large packages are imported."""

import subprocess
import sys

import pytest

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.early_checks import check_names
from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError

LARGE = {"torch", "transformers", "trl", "datasets", "pandas", "pyarrow", "numpy", "fsspec"}


@pytest.mark.parametrize("command", ["train", "evaluate", "score", "inspect", "fit", "ppo"])
@pytest.mark.parametrize("flag", ["--dataset={}", "--dataset_name {}", "--dataset-name {}"])
def test_a_dataset_of_unknown_format_is_refused_before_large_packages_are_imported(tmp_path, command, flag):
    file = tmp_path / "rows.txt"
    file.write_text("text")
    script = (
        "import sys; from rlhf_losses.cli.main import main; code = main(sys.argv[1:]); "
        "print(code, *{name.partition('.')[0] for name in sys.modules})"
    )
    words = [command, "--model", "user/model", *flag.format(file).split()]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    code, *modules = done.stdout.split()
    assert code == "2"
    assert "has the suffix '.txt', which is not supported" in done.stderr
    assert not LARGE & set(modules)


def test_missing_files_are_found_in_all_arguments_and_in_the_config_file(tmp_path):
    missing = tmp_path / "rows.jsonl"
    (tmp_path / "run.yaml").write_text(f"dataset: {missing}\nlearning_rate: 1e-4\n")
    for words in (
        ["--eval_dataset", str(missing)],
        ["--ptx_dataset", str(missing)],
        ["--reference_samples", str(missing)],
        ["--config", str(tmp_path / "run.yaml")],
    ):
        with pytest.raises(UnreadableDatasetError, match=r"no file 'rows.jsonl'"):
            check_names("train", words)


def test_the_command_line_takes_precedence_over_the_config_file(tmp_path):
    (tmp_path / "run.yaml").write_text("dataset: missing.jsonl\nmodel: [")
    check_names("train", ["--config", str(tmp_path / "run.yaml")])  # the parser reports the invalid file
    (tmp_path / "run.yaml").write_text("dataset: missing.jsonl\n")
    check_names("train", ["--config", str(tmp_path / "run.yaml"), "--dataset", "user/repo"])


def test_models_and_datasets_in_the_wrong_place_are_refused(tmp_path):
    model, rows = tmp_path / "model", tmp_path / "rows.jsonl"
    model.mkdir()
    (model / "config.json").write_text("{}")
    rows.write_text('{"chosen": "a", "rejected": "b"}\n')
    check_names("ppo", ["--model", str(model), "--reward_model", str(model), "user/model", "--dataset", str(rows)])
    with pytest.raises(UnreadableDatasetError, match=r"contains a model \(config.json\), not a dataset"):
        check_names("train", ["--dataset", str(model)])
    for flag in ("--model", "--reward_model", "--critic"):
        with pytest.raises(CommandLineError, match=rf"is a file, but a model is .*Pass a model with {flag}"):
            check_names("ppo", [flag, str(rows)])
    with pytest.raises(CommandLineError, match=r"is a file, but a model is"):
        check_names("ppo", ["--reward_model", str(model), str(rows)])


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "rows.csv").touch()
    with pytest.raises(InvalidFeedbackError, match="is empty"):
        check_names("score", ["--dataset", str(tmp_path / "rows.csv")])
