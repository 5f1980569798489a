"""Every test starts without plug-ins and leaves none behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mm import plugins

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # First set, so that what a test adds to it is undone even where it was not set before.
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(plugins, "_tried", {})
    monkeypatch.setattr(plugins, "__path__", [])
    before = {each.kind: {name: each.get(name) for name in each} for each in plugins.REGISTRIES}
    yield
    for registry in plugins.REGISTRIES:
        registry.entries = before[registry.kind]
    for name in [name for name in sys.modules if name.startswith(f"{plugins.__name__}.")]:
        del sys.modules[name]


@pytest.fixture
def shipped() -> Path:
    """The repository's own folder of plug-ins."""
    return REPOSITORY / "plugins"
