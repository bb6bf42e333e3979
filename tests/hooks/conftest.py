"""Plugins made on the spot: a module with an entry point in a folder on the path, or a file."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plugin_code import HEAD, HOOK, LOSS


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a plugin on the path, with the metadata that an installed distribution has."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def make(name: str, code: str = LOSS + HOOK, version: str = "1.2.3") -> None:
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
    """Write a plugin that is one file."""
    before = set(sys.modules)

    def write(name: str, code: str = LOSS + HOOK) -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(HEAD + code)
        return file

    yield write
    for module in set(sys.modules) - before:
        if module.startswith("rlhf_losses_plugin_"):
            del sys.modules[module]
