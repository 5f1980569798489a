"""Imports go one way, and what should be light is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mm

PACKAGE = Path(mm.__file__).parent
# Modules beside the rooms that every room may import; they import no room.
LEAVES = {
    "errors",
    "files",
    "registry",
    "plugins",
    "runtime",
    "_version",
}
# room -> the rooms that it may import. The command line may import all, and nothing imports it.
MAY_IMPORT: dict[str, set[str]] = {
    "networks": set(),
    "temporal": set(),
    "video": set(),
    "motion": {"video", "temporal"},
    "sweeps": set(),
    "synthesis": set(),
    "data": {"synthesis", "video", "temporal"},
    "training": {"networks", "motion"},
    "methods": {"networks", "temporal", "video"},
    "magnify": {"methods", "motion", "networks", "temporal", "video"},
    "reports": {"magnify", "methods", "motion", "video", "temporal"},
    "studio": {"magnify", "methods", "motion", "video"},
    "evaluation": {"data", "methods", "motion", "video", "synthesis", "networks", "temporal"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)


def imported_modules(path: Path) -> set[str]:
    """Full names of the package's modules that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name == "mm" or name.startswith("mm.")}


def rooms_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if "." in name}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room} | LEAVES | {"InputError", "__version__"}
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files, f"mm/{room} is empty"
    for path in files:
        extra = rooms_of(imported_modules(path)) - allowed
        assert not extra, f"{path.relative_to(PACKAGE)} imports {sorted(extra)}"


def test_every_room_is_listed() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)


def test_leaves_import_no_room() -> None:
    for name in LEAVES:
        assert rooms_of(imported_modules(PACKAGE / f"{name}.py")) <= LEAVES | {"InputError"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules loaded in a fresh process after running ``code``."""
    program = f"{code}\nimport sys\nprint(' '.join(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split("\n")[-2].split())


def test_importing_the_package_is_light() -> None:
    loaded = loaded_after("import mm")
    assert not loaded & {"torch", "pytorch_lightning", "wandb", "albumentations", "kornia", "cv2", "av"}


def test_loading_a_network_needs_no_training_side() -> None:
    loaded = loaded_after("import mm; mm.load; import mm.magnify.clip")
    assert "mm.training" not in loaded
    training_side = {"pytorch_lightning", "wandb", "albumentations", "kornia", "jsonargparse"}
    assert not loaded & (training_side | {"mm.data", "mm.synthesis"})


def test_magnifying_loads_no_slow_part_of_scipy_that_it_does_not_use() -> None:
    """They took 30 % of the time of `mm magnify --help`; each is loaded where it is called."""
    loaded = loaded_after("import mm.methods, mm.magnify.clip, mm.cli.magnify")
    assert "torch" in loaded
    assert not loaded & {"scipy.signal", "scipy.stats", "scipy.optimize", "scipy.cluster", "scipy.ndimage"}


def test_methods_are_known_without_another_import() -> None:
    program = "from mm.registry import methods; print(*sorted(methods), methods.get('phase').__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"learned", "linear", "phase", "PhaseMagnifier"} <= set(done.stdout.split())
