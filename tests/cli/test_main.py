"""The front of the command line: help, plugins, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_losses.cli import list_losses, main
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.logging_setup import DEBUG

HEAVY = ("torch", "trl", "transformers", "datasets", "peft", "numpy", "rlhf_losses.losses", "rlhf_losses.feedback")

FOCAL = '''
"""Plugins may come as one file."""
from dataclasses import dataclass
from rlhf_losses import PairwiseLoss, hookimpl

@dataclass(frozen=True)
class FocalInAFile(PairwiseLoss):
    """Half of the squared shortfall."""

    def per_pair(self, score_difference):
        return (1 - score_difference).clamp(min=0) ** 2 / 2

@hookimpl
def provide_losses():
    return [FocalInAFile]
'''


def modules_after(code: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has imported after running `code`."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stderr.split())


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "focal_in_a_file.py"
    file.write_text(FOCAL)
    return file


def test_help_imports_nothing_heavy():
    help_only = "from rlhf_losses.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not modules_after(help_only) & set(HEAVY)


def test_list_imports_neither_trl_nor_transformers_nor_datasets():
    imported = modules_after("from rlhf_losses.cli.main import main\nmain(['list'])")
    assert "torch" in imported
    assert not imported & {"trl", "transformers", "datasets", "peft"}


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        main.main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in main.COMMANDS)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as left:
        main.main([name, "--help"])
    assert left.value.code == 0
    assert f"usage: rlhf-losses {name}" in capsys.readouterr().out


def test_without_a_command_the_help_goes_to_stderr(cli):
    answered = cli()
    assert answered.code == 2
    assert answered.out == ""
    assert "commands:" in answered.err


def test_version_names_the_package_and_what_it_stands_on(capsys):
    with pytest.raises(SystemExit):
        main.main(["--version"])
    told = capsys.readouterr().out
    assert told.startswith("rlhf-losses ")
    assert "trl " in told


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "There is no command 'trian'. Did you mean 'train'?"),
        (["--jason"], "There is no argument '--jason'."),
        (["list", "--jason"], "There is no argument '--jason'. Did you mean '--json'? `rlhf-losses list --help`"),
        (["list", "pairs"], "It is unclear what 'pairs' is for. Put texts with spaces in quotes"),
        (["list", "--plugin"], "--plugin: expected one argument"),
        (["list", "--plugin", "nowhere.py"], "There is no plugin file 'nowhere.py'."),
        (["list", "--feedback", "pear"], "No kind of feedback is called 'pear'. Did you mean 'pairs'?"),
        (["describe"], "the following arguments are required: loss"),
        (["describe", "bradly_terry"], "No loss is called 'bradly_terry'. Did you mean 'bradley_terry'?"),
        (["describe", "bradley_terry - centering"], 'Cannot read "bradley_terry - centering" as a loss.'),
        (["describe", "bradley_terry(temprature=2.0)"], "Did you mean 'temperature'?"),
        (["score"], "the following arguments are required: --model"),
        (["score", "--model", "m", "--dataset", "d", "--batch_size", "0"], "0 is too few"),
        (["score", "--model", "m", "--dataset", "d", "--max_rows", "two"], "'two' is no count; give a whole number"),
        (["score", "--model", "m", "--dataset", "d", "--device", "gpu"], "there is no device 'gpu' here; give cpu"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line_and_exit_code_2(cli, argv, message):
    answered = cli(*argv)
    assert answered.code == 2
    assert answered.out == ""
    assert answered.err.startswith("rlhf-losses: ")
    assert not answered.err.startswith("rlhf-losses: rlhf-losses")
    assert message in answered.err
    assert len(answered.err.splitlines()) == 1


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_plugin_file_may_stand_anywhere(cli, plugin, where):
    argv: list[object] = ["list", "--json"]
    argv[where:where] = ["--plugin", plugin]
    answered = cli(*argv)
    assert answered.code == 0
    assert '"focal_in_a_file"' in answered.out


def test_a_loss_of_a_plugin_file_says_where_it_comes_from(cli, plugin):
    assert "focal_in_a_file file" in cli("list", "--plugin", plugin).out


def test_debugging_shows_the_traceback(cli, monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(CommandLineError, match="no command 'trian'"):
        cli("trian")


def interrupt(*_):
    raise KeyboardInterrupt


def test_ctrl_c_ends_with_code_130_and_one_line(cli, monkeypatch):
    monkeypatch.setattr(list_losses, "run", interrupt)
    answered = cli("list")
    assert answered.code == 130
    assert answered.err.strip() == "Stopped; what was written so far stays."


def test_a_reader_that_has_seen_enough_gets_no_complaint():
    listing = [sys.executable, "-m", "rlhf_losses.cli.main", "list", "--json"]
    command = subprocess.Popen(listing, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    command.stdout.close()
    assert command.communicate()[1] == b""
    assert command.returncode == 0
