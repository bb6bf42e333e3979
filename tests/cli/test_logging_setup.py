"""What is heard while a command runs."""

import logging
import os
import warnings

import pytest

from rlhf_losses.cli.logging_setup import DEBUG, SETTINGS, quiet

ours = logging.getLogger("rlhf_losses.data")


def test_our_messages_are_told_on_stderr_and_only_while_a_command_runs(capsys):
    with quiet():
        ours.info("3 rows are left out.")
    ours.info("This is not heard.")
    told = capsys.readouterr()
    assert told.err == "3 rows are left out.\n"
    assert told.out == ""


def test_of_several_processes_one_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with quiet():
        ours.info("3 rows are left out.")
    assert capsys.readouterr().err == ""


def test_warnings_of_others_are_silent(recwarn):
    with quiet():
        warnings.warn("Something is deprecated.", FutureWarning, stacklevel=1)
    assert not recwarn.list


def test_of_what_others_log_only_errors_are_heard(capsys):
    others = logging.getLogger("a_library")
    others.propagate = False  # pytest listens further up
    with quiet():
        others.warning("A kernel is not there.")
        others.error("It does not work.")
    others.warning("This is heard again.")
    assert capsys.readouterr().err == "It does not work.\nThis is heard again.\n"


def test_debugging_lets_others_warn(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    with quiet(), pytest.warns(FutureWarning, match="deprecated"):
        warnings.warn("Something is deprecated.", FutureWarning, stacklevel=1)


def test_nothing_is_sent_home_unless_the_user_wants_it(monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    with quiet():
        assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_user_stay(monkeypatch, name):
    monkeypatch.setenv(name, "mine")
    with quiet():
        assert os.environ[name] == "mine"
