"""Installed plugins are listed before they are imported, and restricted by an allow-list and by a lock file."""

import hashlib
import json
import sys

import pytest
from plugin_code import HEAD, LOSS, LOSS_HOOK

from rlhf_losses.cli.main import main
from rlhf_losses.errors import PluginError
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.hooks.installed_plugins import ALLOW, BLOCK, installed_plugins
from rlhf_losses.hooks.manager import build_manager
from rlhf_losses.hooks.plugin_lock import LOCK, write_lock

FAILS = "raise RuntimeError('was imported')"


def losses(*files):
    """Return the names of the losses that plugins provide now."""
    return set(LossRegistry(build_manager(files)))


def error_of(*files):
    with pytest.raises(PluginError) as caught:
        losses(*files)
    return str(caught.value)


def test_the_list_imports_no_plugin_and_shows_package_version_module_state_and_hashes(install, monkeypatch, capsys):
    install("absolute", FAILS)
    install("other", FAILS)
    monkeypatch.setenv(BLOCK, "other")
    assert main(["plugins", "--json"]) == 0
    [absolute, other] = json.loads(capsys.readouterr().out)
    assert absolute | {"sha256": "", "files": {}} == {
        "name": "absolute", "distribution": "acme-absolute", "version": "1.2.3", "module": "acme_absolute",
        "state": "allowed", "sha256": "", "files": {},
    }  # fmt: skip
    assert absolute["files"] == {"acme_absolute.py": hashlib.sha256((HEAD + FAILS).encode()).hexdigest()}
    assert other["state"] == "blocked"
    assert not {"acme_absolute", "acme_other"} & set(sys.modules)


def test_the_list_shows_plugin_files_without_running_them(plugin_file, capsys):
    file = plugin_file("mine.py", FAILS)
    assert main(["plugins", "--plugin", str(file)]) == 0
    assert "mine.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("", False),
        ("absolute", True),
        ("acme-absolute", True),
        (" ACME_absolute , other", True),
        ("absolut,absolute2", False),
        ("built-in", False),
        ("*", False),
    ],
)
def test_a_plugin_that_is_not_allowed_is_not_imported_and_named_in_one_line(
    install, monkeypatch, caplog, value, allowed
):
    install("absolute", LOSS + LOSS_HOOK if allowed else FAILS)
    monkeypatch.setenv(ALLOW, value)
    assert ("absolute" in losses()) is allowed
    assert ("acme_absolute" in sys.modules) is allowed
    line = f"Not imported, because {ALLOW} does not name them: plugins 'absolute' (acme-absolute 1.2.3)."
    assert [record.getMessage().partition(" Add")[0] for record in caplog.records] == ([] if allowed else [line])


@pytest.mark.parametrize("blocked", ["Acme.Absolute", " ABSOLUTE , other"])
def test_a_blocked_plugin_is_not_imported_even_if_it_is_allowed(install, monkeypatch, blocked):
    install("absolute", FAILS)
    monkeypatch.setenv(ALLOW, "absolute")
    monkeypatch.setenv(BLOCK, blocked)
    assert "absolute" not in losses()


def test_a_plugin_is_not_allowed_by_the_name_of_another_distribution(install, monkeypatch):
    install("absolute")
    install("acme-absolute", FAILS)
    monkeypatch.setenv(ALLOW, "acme-absolute")
    assert "absolute" in losses()


def test_two_plugins_of_one_name_are_refused_before_either_is_imported(install, monkeypatch, tmp_path):
    install("absolute", FAILS)
    points = tmp_path / "site" / "acme_other-1.0.dist-info"
    points.mkdir()
    (points / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-other\nVersion: 1.0\n")
    (points / "entry_points.txt").write_text("[rlhf_losses]\nabsolute = acme_other\n")
    assert "named 'absolute': that of acme-absolute and that of acme-other" in error_of()
    assert "acme_absolute" not in sys.modules


def test_a_plugin_file_is_loaded_although_no_installed_plugin_is_allowed(install, plugin_file, monkeypatch):
    install("other", FAILS)
    monkeypatch.setenv(ALLOW, "")
    assert "absolute" in losses(plugin_file("mine.py"))


@pytest.fixture
def package(install, tmp_path):
    """Return the folder of an installed package with two files and a RECORD."""
    install("absolute")
    site = tmp_path / "site"
    (site / "acme_absolute.py").unlink()
    folder = site / "acme_absolute"
    folder.mkdir()
    (folder / "__init__.py").write_text(HEAD + LOSS + LOSS_HOOK)
    (folder / "data.json").write_text("{}")
    files = ["acme_absolute/__init__.py", "acme_absolute/data.json", "acme_absolute-1.2.3.dist-info/METADATA"]
    record = site / "acme_absolute-1.2.3.dist-info" / "RECORD"
    record.write_text("".join(f"{name},,\n" for name in [*files, "acme_absolute/__pycache__/__init__.pyc"]))
    return folder


def test_locked_plugins_are_imported(package, plugin_file, tmp_path, monkeypatch):
    file = plugin_file("mine.py", (LOSS + LOSS_HOOK).replace("Absolute", "Mine"))
    lock = tmp_path / "lock.json"
    assert main(["--plugin", str(file), "plugins", "--lock", str(lock)]) == 0
    assert "acme_absolute" not in sys.modules
    monkeypatch.setenv(LOCK, str(lock))
    assert {"absolute", "mine"} <= losses(file)
    assert "absolute" in losses()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda package: (package / "__init__.py").write_text(FAILS), "__init__.py has another hash than in"),
        (lambda package: (package / "data.json").write_text("[]"), "data.json has another hash than in"),
        (lambda package: (package / "data.json").unlink(), "data.json is missing, but it is in"),
        (lambda package: (package / "added.py").write_text(""), "added.py is not in"),
    ],
)
def test_a_plugin_with_other_files_than_the_locked_ones_is_not_imported(package, tmp_path, monkeypatch, change, reason):
    lock = tmp_path / "lock.json"
    write_lock(installed_plugins(), lock)
    change(package)
    monkeypatch.setenv(LOCK, str(lock))
    message = error_of()
    assert f"'absolute' (acme-absolute 1.2.3) is not imported: its file acme_absolute/{reason}" in message
    assert f"the lock file '{lock}'. Restore the plugin, block it ({BLOCK}=acme-absolute)" in message
    assert "acme_absolute" not in sys.modules


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "is not imported: it is not in the lock file"),
        ([{"version": "1.2.2"}], "is not imported: it is not version 1.2.2 of the lock file"),
        ([{}, {"name": "gone", "distribution": "acme-gone"}], "'gone' (acme-gone 1.2.3) of the lock file"),
        ([{"distribution": None}], "cannot be read as a lock file: names, versions and hashes must be texts"),
        ([{"added": "1"}], "cannot be read as a lock file: a plugin in it does not have the keys name, distribution"),
        ([{"files": []}], "cannot be read as a lock file: a plugin in it does not have the keys"),
        ({}, "cannot be read as a lock file: it is not a JSON object with a list 'plugins'"),
        (None, "cannot be read as a lock file: it is not a JSON object with a list 'plugins'"),
    ],
)
def test_other_differences_to_the_lock_file_are_refused(package, tmp_path, monkeypatch, entries, reason):
    lock = tmp_path / "lock.json"
    write_lock(installed_plugins(), lock)
    [own] = json.loads(lock.read_text())["plugins"]
    plugins = [own | entry for entry in entries] if isinstance(entries, list) else entries
    lock.write_text(json.dumps({"plugins": plugins}))
    monkeypatch.setenv(LOCK, str(lock))
    assert reason in error_of()
    assert "acme_absolute" not in sys.modules


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "it is not a JSON object with a list 'plugins'"),
        ('{"schema": 2, "plugins": []}', "it has schema 2, and this version of rlhf-losses reads schema 1"),
    ],
)
def test_a_lock_file_that_is_damaged_or_of_another_version_is_refused(package, tmp_path, monkeypatch, content, reason):
    lock = tmp_path / "lock.json"
    lock.write_text(content)
    monkeypatch.setenv(LOCK, str(lock))
    assert f"{LOCK}='{lock}' cannot be read as a lock file: {reason}" in error_of()


def test_a_lock_file_without_a_schema_is_read_as_the_first_one(package, tmp_path, monkeypatch):
    lock = tmp_path / "lock.json"
    write_lock(installed_plugins(), lock)
    content = json.loads(lock.read_text())
    assert content.pop("schema") == 1
    lock.write_text(json.dumps(content))
    monkeypatch.setenv(LOCK, str(lock))
    assert "absolute" in losses()


def test_the_list_shows_a_plugin_that_differs_from_the_lock_file(package, tmp_path, monkeypatch, capsys):
    lock = tmp_path / "lock.json"
    write_lock(installed_plugins(), lock)
    monkeypatch.setenv(LOCK, str(lock))
    assert main(["plugins"]) == 0
    assert "  allowed  " in capsys.readouterr().out
    (package / "data.json").write_text("[]")
    assert main(["plugins"]) == 0
    assert "  not as locked  " in capsys.readouterr().out
    assert main(["plugins", "--lock", str(lock)]) == 0
    assert "  allowed  " in capsys.readouterr().out
    assert "absolute" in losses()


def test_without_its_lock_file_no_plugin_is_imported(package, tmp_path, monkeypatch):
    monkeypatch.setenv(LOCK, str(tmp_path / "missing.json"))
    assert "No plugin is imported without it. Write it: rlhf-losses plugins --lock FILE." in error_of()


def test_a_plugin_file_that_is_not_locked_is_refused(plugin_file, tmp_path, monkeypatch):
    lock = tmp_path / "lock.json"
    write_lock([], lock)
    monkeypatch.setenv(LOCK, str(lock))
    assert "'mine' (mine.py file) is not imported: it is not in the lock file" in error_of(plugin_file("mine.py"))


def test_a_namespace_package_is_not_imported_to_find_its_files(install, tmp_path):
    install("absolute")
    points = tmp_path / "site" / "acme_absolute-1.2.3.dist-info" / "entry_points.txt"
    points.write_text("[rlhf_losses]\nabsolute = acme_space.inner.module\n")
    inner = tmp_path / "site" / "acme_space" / "inner"
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text(FAILS)
    (inner / "module.py").write_text(FAILS)
    [plugin] = installed_plugins()
    assert set(plugin.hashes) == {"acme_space/inner/__init__.py", "acme_space/inner/module.py"}
