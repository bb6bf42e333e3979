"""Fixtures that write plugins: installed modules with an entry point, and plugin files."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plugin_code import HEAD, LOSS, LOSS_HOOK


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a plugin: write a module and the metadata of a distribution to a folder on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def make(name: str, code: str = LOSS + LOSS_HOOK, version: str = "1.2.3") -> None:
        (site / f"acme_{name}.py").write_text(HEAD + code)
        about = site / f"acme_{name}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: {version}\n")
        (about / "entry_points.txt").write_text(f"[rlhf_losses]\n{name} = acme_{name}\n")
        importlib.invalidate_caches()

    yield make
    for module in set(sys.modules) - before:
        if module.startswith("acme_"):
            del sys.modules[module]


@pytest.fixture
def plugin_file(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Write a plugin that consists of one file."""
    before = set(sys.modules)

    def write(name: str, code: str = LOSS + LOSS_HOOK) -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(HEAD + code)
        return file

    yield write
    for module in set(sys.modules) - before:
        if module.startswith("rlhf_losses_plugin_"):
            del sys.modules[module]
