"""Log output of commands."""

import logging
import os
import warnings

import pytest

from rlhf_losses.cli.logging_setup import DEBUG, LIBRARY_SETTINGS, quiet

ours = logging.getLogger("rlhf_losses.data")


def test_messages_are_printed_to_stderr_while_a_command_runs(capsys):
    with quiet():
        for _ in range(2):
            ours.info("%s rows are left out.", 3)
    ours.info("This is not printed.")
    text = capsys.readouterr()
    assert text.err == "3 rows are left out.\n"
    assert text.out == ""


def test_only_one_of_several_processes_prints_messages(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with quiet():
        ours.info("3 rows are left out.")
    assert capsys.readouterr().err == ""


def test_warnings_of_other_packages_are_hidden(recwarn):
    with quiet():
        warnings.warn("Something is deprecated.", FutureWarning, stacklevel=1)
    assert not recwarn.list


def test_only_errors_of_other_packages_are_logged(capsys):
    others = logging.getLogger("a_library")
    others.propagate = False  # the handlers of pytest are at the root
    with quiet():
        others.warning("A kernel is not there.")
        others.error("It does not work.")
    others.warning("This is printed again.")
    assert capsys.readouterr().err == "It does not work.\nThis is printed again.\n"


def test_the_debug_variable_shows_warnings_of_other_packages(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    with quiet(), pytest.warns(FutureWarning, match="deprecated"):
        warnings.warn("Something is deprecated.", FutureWarning, stacklevel=1)


def test_telemetry_is_disabled_by_default(monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    with quiet():
        assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("name", LIBRARY_SETTINGS)
def test_settings_of_the_user_are_kept(monkeypatch, name):
    monkeypatch.setenv(name, "mine")
    with quiet():
        assert os.environ[name] == "mine"
