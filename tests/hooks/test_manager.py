"""The plugin manager loads plugins, blocks them, and names a broken plugin in its errors."""

import json
import sys

import pytest
from plugin_code import LOSS, LOSS_HOOK

from rlhf_losses.errors import PluginError
from rlhf_losses.hooks import LossRegistry, hookimpl
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.hooks.installed_plugins import BLOCK, BUILT_IN
from rlhf_losses.hooks.manager import build_manager, load_file
from rlhf_losses.hooks.specs import RENAMED_HOOKS
from rlhf_losses.losses import Centering


def new_registry(*files):
    """Return a new registry, not a cached one."""
    return LossRegistry(build_manager(files))


def error_of(*files):
    with pytest.raises(PluginError) as caught:
        new_registry(*files)
    return str(caught.value)


def test_built_in_losses_are_provided_by_a_hook():
    entries = new_registry().entries
    assert [entries[loss.name()].cls for loss in provide_losses()] == provide_losses()
    assert {entry.plugin for entry in entries.values() if entry.cls in provide_losses()} == {BUILT_IN}


def test_an_installed_plugin_is_registered_with_its_version(install):
    install("absolute", version="4.5.6")
    entry = new_registry().entries["absolute"]
    assert (entry.name, entry.plugin, entry.version) == ("absolute", "absolute", "4.5.6")
    assert str(new_registry().parse("absolute + 0.5 * centering")) == "absolute + 0.5 * centering"


def test_a_plugin_can_be_one_file(plugin_file):
    entry = new_registry(plugin_file("mine.py")).entries["absolute"]
    assert (entry.plugin, entry.version) == ("mine", "file")


def test_a_plugin_file_does_not_replace_a_module_of_the_same_name(plugin_file):
    assert "absolute" in new_registry(plugin_file("json.py"))
    assert sys.modules["json"] is json


def test_a_hook_can_return_any_iterable(install):
    install("lazy", LOSS + LOSS_HOOK.replace("return [Absolute]", "yield Absolute"))
    assert "absolute" in new_registry()


def test_installed_plugins_are_loaded_after_built_in_ones_by_name(install):
    for name in ("zeta", "alpha"):
        install(name, (LOSS + LOSS_HOOK).replace("Absolute", name.title()))
    names = list(new_registry())
    assert names[: len(provide_losses())] == [loss.name() for loss in provide_losses()]
    assert names.index("alpha") < names.index("zeta")


@pytest.mark.parametrize("value", ["absolute", " absolute ", "other,absolute", "absolute,,"])
def test_a_blocked_plugin_is_not_registered(install, monkeypatch, value):
    install("absolute")
    monkeypatch.setenv(BLOCK, value)
    assert "absolute" not in new_registry()


def test_a_blocked_name_is_blocked_in_pluggy(install, monkeypatch):
    install("absolute")
    monkeypatch.setenv(BLOCK, "absolute")
    assert build_manager().is_blocked("absolute")


def test_a_file_replaces_a_blocked_plugin_of_the_same_name(install, plugin_file, monkeypatch):
    install("absolute")
    monkeypatch.setenv(BLOCK, "absolute")
    assert new_registry(plugin_file("absolute.py"))["absolute"].__module__ == "rlhf_losses_plugin_absolute"


def test_the_built_in_plugin_cannot_be_blocked(monkeypatch):
    monkeypatch.setenv(BLOCK, BUILT_IN)
    assert "bradley_terry" in new_registry()


def test_a_blocked_plugin_is_not_imported(install, monkeypatch):
    install("absolute", "raise RuntimeError('broken')")
    monkeypatch.setenv(BLOCK, "absolute")
    assert "bradley_terry" in new_registry()
    assert "acme_absolute" not in sys.modules


def test_two_plugins_of_one_name_are_refused(install, plugin_file):
    install("absolute")
    file = plugin_file("absolute.py")
    message = error_of(file)
    assert "Two plugins are named 'absolute': " in message
    assert "acme_absolute.py and " in message
    assert str(file) in message
    assert f"{BLOCK}=absolute" in message


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("@hookimpl\ndef provide_loses():\n    return []\n", "not a hook. Did you mean 'provide_losses'?"),
        ("@hookimpl\ndef provide_losses(registry):\n    return []\n", "wrong arguments"),
        ("def provide_losses():\n    return []\n", "implements no hook"),
        ("", "implements no hook"),
        ("raise RuntimeError('no luck')", "(acme_acme) of acme-acme 1.2.3 fails: RuntimeError: no luck"),
        ("import acme_nowhere", "fails: ModuleNotFoundError: No module named 'acme_nowhere'"),
        ("def broken(:", "(acme_acme) of acme-acme 1.2.3 fails: SyntaxError"),
        ("@hookimpl\ndef provide_losses():\n    return 1 / 0\n", "fails in provide_losses: ZeroDivisionError"),
        ("@hookimpl\ndef provide_losses():\n    yield 1 / 0\n", "fails in provide_losses: ZeroDivisionError"),
        ("@hookimpl\ndef provide_losses():\n    pass\n", "returns None instead of a list"),
        ("@hookimpl\ndef provide_losses():\n    return 3\n", "fails in provide_losses: TypeError"),
        (LOSS + "@hookimpl\ndef provide_losses():\n    return Absolute\n", "fails in provide_losses: TypeError"),
    ],
)
def test_the_error_names_a_plugin_that_cannot_be_loaded_and_a_remedy(install, code, reason):
    install("acme", code)
    message = error_of()
    assert "lugin 'acme'" in message
    assert reason in message
    assert any(remedy in message for remedy in (f"{BLOCK}=acme", "@hookimpl", "Implement one of", "Copy the signature"))


@pytest.mark.parametrize(("old", "new"), RENAMED_HOOKS.items())
def test_a_renamed_hook_is_refused_with_its_new_name(install, old, new):
    install("acme", f"@hookimpl\ndef {old}():\n    return []\n")
    message = error_of()
    assert f"'acme' implements {old}" in message
    assert f"Rename it to {new}." in message


def test_a_missing_plugin_file_is_refused_with_its_path(tmp_path):
    message = error_of(tmp_path / "nowhere.py")
    assert str(tmp_path / "nowhere.py") in message
    assert "Give the path of a file that ends in .py." in message


def test_a_plugin_file_that_is_not_python_is_refused(plugin_file):
    assert "is not a Python file. Give a file that ends in .py" in error_of(plugin_file("notes.txt"))


def test_a_plugin_file_that_fails_is_refused_and_leaves_no_module(plugin_file):
    file = plugin_file("broken.py", "raise RuntimeError('no luck')")
    message = error_of(file)
    assert str(file) in message
    assert "RuntimeError: no luck (broken.py, line 6). Fix the file." in message
    assert not [name for name in sys.modules if name.endswith("broken")]


def test_the_same_plugin_file_twice_is_refused(plugin_file):
    file = plugin_file("mine.py")
    assert "Two plugins are named 'mine'" in error_of(file, file)


def test_a_plugin_file_has_its_own_module_name(plugin_file):
    assert load_file(plugin_file("mine.py")).Absolute.__module__ == "rlhf_losses_plugin_mine"


def test_any_object_can_be_registered_as_a_plugin():
    class Plugin:
        """A plugin that is not a module."""

        @staticmethod
        @hookimpl
        def provide_losses():
            return [Centering]

    manager = build_manager()
    manager.unregister(name=BUILT_IN)
    manager.register(Plugin, name="manual")
    assert LossRegistry(manager).entries["centering"].plugin == "manual"
