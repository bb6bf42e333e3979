"""Plugin files that exit, interrupt or hang, and files that are no plugins."""

import pytest

from rlhf_losses.errors import PluginError
from rlhf_losses.hooks import plugin_code as module
from rlhf_losses.hooks.manager import load_file


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (b"import sys; sys.exit(3)", r"ends the program \(exit code 3\)"),
        (b"raise SystemExit", r"ends the program \(exit code None\)"),
        (b"quit()", "ends the program"),
        (b"def f(): f()\nf()", "fails: RecursionError"),
        (b"x = 1 +", "fails: SyntaxError"),
        (b"x = '\xff'", "fails: SyntaxError"),
        (b"x = '\0'", "fails: (SyntaxError|ValueError)"),
        (b"x = 1\n1 / 0", r"fails: ZeroDivisionError: .* \(focal\.py, line 2\)\. Fix the file"),
        (b"raise ExceptionGroup('several', [ValueError()])", "fails: ExceptionGroup"),
    ],
)
def test_the_message_names_a_plugin_file_that_cannot_be_imported(tmp_path, code, reason):
    file = tmp_path / "focal.py"
    file.write_bytes(code)
    with pytest.raises(PluginError, match=reason) as caught:
        load_file(file)
    assert str(file) in str(caught.value)


def test_the_message_names_a_plugin_file_that_is_interrupted(tmp_path):
    file = tmp_path / "focal.py"
    file.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt, match=r"focal\.py' was interrupted"):
        load_file(file)


def test_a_plugin_file_that_hangs_is_named_while_it_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    file = tmp_path / "slow.py"
    file.write_text("import time; time.sleep(0.5)")
    load_file(file)
    assert "slow.py' has run for 0.05 seconds and is not done. Ctrl-C stops it." in capsys.readouterr().err


def test_a_plugin_file_that_is_fast_is_not_named(tmp_path, capsys):
    file = tmp_path / "fast.py"
    file.write_text("")
    load_file(file)
    assert capsys.readouterr().err == ""


def test_a_folder_and_a_name_that_is_too_long_are_refused(tmp_path):
    with pytest.raises(PluginError, match="is a folder"):
        load_file(tmp_path)
    with pytest.raises(PluginError, match="There is no plugin file"):
        load_file(tmp_path / ("n" * 300))
