"""Entry point of the command line: help, plugins and exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

import rlhf_losses
from rlhf_losses.cli import evaluate, list_losses, main
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.logging_setup import DEBUG

HEAVY = ("torch", "trl", "transformers", "datasets", "peft", "numpy", "rlhf_losses.losses", "rlhf_losses.feedback")

FOCAL = '''
"""A plugin in one file."""
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
    """Return the names of all modules that a new interpreter has imported after running `code`."""
    text = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(text.stderr.split())


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "focal_in_a_file.py"
    file.write_text(FOCAL)
    return file


def test_help_imports_no_large_package():
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
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in main.COMMANDS)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as left:
        main.main([name, "--help"])
    assert left.value.code == 0
    assert f"usage: rlhf-losses {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train", "ppo"])
def test_the_help_of_training_has_the_most_used_arguments_first_and_those_of_trl_on_request(name, capsys):
    texts = []
    for flag in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as left:
            main.main([name, flag])
        assert left.value.code == 0
        texts.append(capsys.readouterr().out)
    short, full = texts
    assert len(short.splitlines()) < 210 < len(full.splitlines())
    flags = re.findall(r"^  (--\w+)", short, re.MULTILINE)
    required = {"train": ["--model", "--dataset", "--loss"], "ppo": ["--model", "--reward_model", "--dataset"]}[name]
    assert flags[: len(required)] == required
    assert {"--output_dir", "--learning_rate", "--layout", "--plugin", "--config"} <= set(flags)
    assert "--adam_beta1" not in short
    assert "--adam_beta1" in full
    assert f"rlhf-losses {name} --help-all" in short


@pytest.mark.parametrize("arguments", [["--version"], ["list", "--feedback", "labels"]])
def test_the_package_is_a_command(arguments, cli, capsys):
    done = subprocess.run([sys.executable, "-m", "rlhf_losses", *arguments], capture_output=True, text=True, check=True)
    capsys.readouterr()
    if arguments == ["--version"]:
        assert f"rlhf-losses {rlhf_losses.__version__}, trl " in done.stdout
    else:
        assert done.stdout == cli(*arguments).out


def test_nothing_about_loading_is_printed_where_stderr_is_no_terminal(cli):
    result = cli("list", "--json")
    assert json.loads(result.out)
    assert result.err == ""


def test_a_terminal_shows_that_a_command_is_being_loaded():
    leader, follower = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rlhf_losses", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        assert json.loads(process.communicate()[0])
    shown = os.read(leader, 10_000).decode()
    os.close(leader)
    os.close(follower)
    assert "rlhf-losses list: loading …" in shown


def test_without_a_command_the_help_is_printed_to_stderr(cli):
    result = cli()
    assert result.code == 2
    assert result.out == ""
    assert "commands:" in result.err


def test_version_lists_the_package_and_its_main_dependencies(capsys):
    with pytest.raises(SystemExit):
        main.main(["--version"])
    text = capsys.readouterr().out
    assert text.startswith("rlhf-losses ")
    assert "trl " in text


@pytest.mark.parametrize(
    ("argv", "problems"),
    [
        (
            ["list", "--jason", "--feedbak=1", "--adapter", "x"],
            [
                "Unknown argument '--jason'. Did you mean '--json'?",
                "Unknown argument '--feedbak'. Did you mean '--feedback'?",
                "Argument '--adapter' has been renamed. Use '--converter'.",
            ],
        ),
        (
            ["score", "--modle", "m", "--dataset", "d", "--max_rows", "two", "--batch_size=-1"],
            [
                "Unknown argument '--modle'. Did you mean '--model'?",
                "Argument --max_rows: 'two' is not an integer of at least 1.",
                "Argument --batch_size: '-1' is not an integer of at least 1.",
                "--model is missing, but this command needs it.",
            ],
        ),
        (
            ["train", "stray", "--learning_rat", "-1", "--epochs", "3", "--max_steps", "two", "--learning_rat=2"],
            [
                "Unexpected argument 'stray'. Put quotes around values with spaces.",
                "Unknown argument '--learning_rat'. Did you mean '--learning_rate'?",
                "Unknown argument '--epochs'. Use '--num_train_epochs'.",
                "Argument --max_steps: invalid int value: 'two'.",
            ],
        ),
    ],
)
def test_all_problems_of_a_command_line_are_reported_at_once(cli, argv, problems):
    result = cli(*argv)
    assert result.code == 2
    lines = [*problems, f"Run 'rlhf-losses {argv[0]} --help' to see all arguments."]
    assert result.err.removeprefix("rlhf-losses: ").splitlines() == lines


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "Unknown command 'trian'. Did you mean 'train'?"),
        (["--jason"], "Unknown argument '--jason'."),
        (["list", "--jason"], "Unknown argument '--jason'. Did you mean '--json'? Run 'rlhf-losses list --help'"),
        (["list", "pairs"], "Unexpected argument 'pairs'. Put quotes around values with spaces."),
        (["list", "--plugin"], "--plugin: expected one argument"),
        (["list", "--plugin", "nowhere.py"], "There is no plugin file 'nowhere.py'."),
        (["list", "--feedback", "pear"], "Unknown feedback type 'pear'. Did you mean 'pairs'?"),
        (["describe"], "loss is missing, but this command needs it"),
        (["describe", "bradly_terry"], "Unknown loss 'bradly_terry'. Did you mean 'bradley_terry'?"),
        (["describe", "bradley_terry - centering"], "'bradley_terry - centering' is not a valid loss"),
        (["describe", "bradley_terry(temprature=2.0)"], "Did you mean 'temperature'?"),
        (["score"], "--model and --dataset are missing, but this command needs them"),
        (["score", "--model", "m", "--dataset", "d", "--batch_size", "0"], "'0' is not an integer of at least 1"),
        (["score", "--model", "m", "--dataset", "d", "--max_rows", "two"], "'two' is not an integer of at least 1"),
        (["score", "--model", "m", "--dataset", "d", "--device", "gpu"], "device 'gpu' is not available; use cpu"),
    ],
)
def test_invalid_input_gives_one_line_and_exit_code_2(cli, argv, message):
    result = cli(*argv)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("rlhf-losses: ")
    assert not result.err.startswith("rlhf-losses: rlhf-losses")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_a_flag_that_is_given_twice_is_named(caplog):
    argv = ("--dataset", "pairs.csv", "--model", "reward", "--loss", "hinge", "--loss=eurus", "--by", "a", "--by", "b")
    assert evaluate.build_parser().parse(argv).loss == "eurus"
    assert caplog.messages == [
        "--loss is given 2 times; the last value counts. Losses are added in one value: 'a + b'."
    ]


@pytest.mark.parametrize(
    ("command", "extra", "packages"), [(c, *needed) for c, needed in main.OPTIONAL_PACKAGES.items()]
)
def test_a_missing_optional_package_is_reported_with_the_extra(cli, monkeypatch, command, extra, packages):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in packages else object())
    result = cli(command, "--dataset", "d")
    assert result.code == 2
    assert f"rlhf-losses {command} needs packages that are not installed: {', '.join(packages)}." in result.err
    assert f"pip install 'rlhf-losses[{extra}]'" in result.err


@pytest.mark.slow
def test_the_scorer_and_the_trainers_need_no_optional_package():
    without = "sys.modules['scipy'] = sys.modules['matplotlib'] = None"
    assert "trl" in modules_after(f"{without}\nfrom rlhf_losses import PPOTrainer, RewardTrainer, Scorer")


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_plugin_file_is_accepted_at_any_place(cli, plugin, where):
    argv: list[object] = ["list", "--json"]
    argv[where:where] = ["--plugin", plugin]
    result = cli(*argv)
    assert result.code == 0
    assert '"focal_in_a_file"' in result.out


def test_a_loss_of_a_plugin_file_is_listed_with_its_plugin(cli, plugin):
    assert "[focal_in_a_file] Half of the squared shortfall." in cli("list", "--plugin", plugin).out


def test_the_debug_variable_shows_the_traceback(cli, monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(CommandLineError, match="Unknown command 'trian'"):
        cli("trian")


def test_an_error_has_a_line_of_its_own_after_an_open_progress_bar(cli, monkeypatch):
    bars = []

    def fail(*_):
        bars.append(tqdm(total=2, desc="Converting", file=sys.stderr))
        raise CommandLineError("No row.")

    monkeypatch.setattr(main, "run", fail)
    assert "\nrlhf-losses: No row.\n" in cli("inspect").err
    assert bars[0].disable


def interrupt(*_):
    raise KeyboardInterrupt


def test_ctrl_c_gives_one_line_and_exit_code_130(cli, monkeypatch):
    monkeypatch.setattr(list_losses, "run", interrupt)
    result = cli("list")
    assert result.code == 130
    assert result.err.strip() == "Interrupted. Output that was written is kept."


def test_a_closed_pipe_is_not_an_error():
    listing = [sys.executable, "-m", "rlhf_losses.cli.main", "list", "--json"]
    command = subprocess.Popen(listing, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    command.stdout.close()
    assert command.communicate()[1] == b""
    assert command.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_output_that_cannot_be_written_is_one_message():
    prints = (
        "import sys; from rlhf_losses.cli import main; main.run = lambda _: print('text') or 0; sys.exit(main.main())"
    )
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", prints], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 2
    assert result.stderr.startswith("rlhf-losses: The file system refuses: No space left on device.")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_signal_after_an_interruption_ends_the_process_without_a_traceback():
    interrupted_twice = """
import signal
from rlhf_losses.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may have started without it
main.run = lambda _: signal.raise_signal(signal.SIGINT)
assert main.main() == 130
signal.raise_signal(signal.SIGINT)
"""
    result = subprocess.run([sys.executable, "-c", interrupted_twice], capture_output=True, text=True, check=False)
    assert result.returncode == -signal.SIGINT
    assert result.stderr == "\nInterrupted. Output that was written is kept.\n"
