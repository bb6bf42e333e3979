"""The table of renamed names in the changelog: each new name exists, and no old one does."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

import rlhf_losses

ROOT = Path(__file__).parents[2]
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "rlhf_losses").rglob("*.py")))
TABLE = re.findall(
    r"^\| (name|module|field|flag|hook|metric) \| `(.+?)` \| `(.+?)` \|$",
    (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def rows(*kinds: str) -> list[tuple[str, str]]:
    """Return the old and the new names of some kinds."""
    return [(old, new) for kind, old, new in TABLE if kind in kinds]


def find(name: str) -> object:
    """Return the object with a dotted name, which starts at the package or at a class that it exports."""
    found: object = rlhf_losses
    path = "rlhf_losses"
    for part in name.split("."):
        path += f".{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(path)
    return found


def exists(name: str) -> bool:
    try:
        find(name)
    except (AttributeError, ModuleNotFoundError):
        return False
    return True


def test_the_table_has_all_kinds_of_names():
    assert {kind for kind, _, _ in TABLE} == {"name", "module", "field", "flag", "hook", "metric"}
    assert len(TABLE) > 60


@pytest.mark.parametrize(("old", "new"), rows("name"))
def test_new_names_exist_and_old_ones_do_not(old, new):
    assert exists(new)
    assert not exists(old)


@pytest.mark.parametrize(("old", "new"), rows("module"))
def test_new_modules_exist_and_old_ones_do_not(old, new):
    importlib.import_module(f"rlhf_losses.{new}")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"rlhf_losses.{old}")


@pytest.mark.parametrize(("old", "new"), rows("field"))
def test_new_settings_exist_and_old_flags_name_them(old, new):
    from rlhf_losses.cli.argument_parser import OLD_FLAGS

    (config, old_field), (same_config, new_field) = old.split("."), new.split(".")
    assert config == same_config
    fields = {field.name for field in dataclasses.fields(find(config))}
    assert new_field in fields
    assert old_field not in fields
    assert OLD_FLAGS[f"--{old_field}"] == f"--{new_field}"


@pytest.mark.parametrize(("old", "new"), rows("flag"))
def test_the_command_line_names_the_new_flag_or_value(old, new):
    from rlhf_losses.cli.argument_parser import OLD_FLAGS, OLD_VALUES

    flag, _, value = old.partition(" ")
    assert OLD_VALUES[flag][value] == new.partition(" ")[2] if value else OLD_FLAGS[flag] == new


@pytest.mark.parametrize(("old", "new"), rows("hook"))
def test_new_hooks_exist_and_old_ones_do_not(old, new):
    from rlhf_losses.hooks import specs

    assert hasattr(specs, new)
    assert not hasattr(specs, old)


@pytest.mark.parametrize(("old", "new"), rows("metric"))
def test_new_metrics_are_logged(old, new):
    assert re.search(rf'f?"{re.escape(new.removesuffix("…"))}', SOURCE)
    assert not re.search(rf'f?"{re.escape(old.removesuffix("…"))}["{{]', SOURCE)
