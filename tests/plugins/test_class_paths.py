"""Motion generators of a user's own that are named by class path: with and without type hints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm.cli.fit import build, prepare
from mm.errors import InputError

Configure = Callable[..., list[str]]
SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
SOURCE = """
from torch import Tensor

class Hinted:
    parameters = 1
    is_translation = False
    def __init__(self, radius: float = 40.0) -> None:
        self.radius = radius
    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        return gain * points / self.radius

class Plain(Hinted):
    def __init__(self, radius=40.0, unit=None):
        self.radius = radius

class Required(Hinted):
    def __init__(self, radius):
        self.radius = radius

class HintedRequired(Hinted):
    def __init__(self, radius: float):
        self.radius = radius

class Bare(Hinted):
    def displacement(self, points, parameters, gain):
        return gain * points

class HalfBare(Hinted):
    def displacement(self, points: Tensor, parameters: Tensor, gain) -> Tensor:
        return gain * points

class OtherNames(Hinted):
    def displacement(self, x: Tensor, u: Tensor) -> Tensor:
        return x

class OtherHints(Hinted):
    def displacement(self, points: float, parameters: Tensor, gain: Tensor) -> Tensor:
        return gain * points

class Still:
    parameters = 1
    is_translation = True
"""


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """A function that writes a configuration whose motion is the named class, and returns the options."""
    plugin = tmp_path / "own_motion.py"
    plugin.write_text(SOURCE)

    def write(name: str, **arguments: object) -> list[str]:
        config = yaml.safe_load(SMOKE.read_text())
        motion = {"class_path": f"mm.plugins.own_motion.{name}"}
        config["data"]["synthesizer"]["motion"] = motion
        if arguments:
            motion["init_args"] = arguments
        config["trainer"]["default_root_dir"] = str(tmp_path / "run")
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(config))
        return ["--plugins", str(plugin), "--config", str(path)]

    return write


@pytest.mark.parametrize(
    ("name", "arguments", "radius"),
    [
        ("Hinted", {"radius": 7.0}, 7.0),
        ("Plain", {}, 40.0),
        ("Plain", {"radius": 7}, 7),
        ("Required", {"radius": 7.5}, 7.5),
    ],
)
def test_a_constructor_needs_no_type_hints(
    configure: Configure, name: str, arguments: dict[str, Any], radius: float
) -> None:
    made = build(prepare("fit", configure(name, **arguments)), run=False)
    motion = made.datamodule.synthesizer.motion
    assert type(motion).__name__ == name
    assert motion.radius == radius


def test_with_a_hint_the_parser_names_it(configure: Configure) -> None:
    with pytest.raises(InputError, match="radius"):
        build(prepare("fit", configure("HintedRequired")), run=False)


@pytest.mark.parametrize("name", ["Bare", "HalfBare", "OtherNames", "OtherHints", "Still"])
def test_a_class_that_is_no_motion_generator(configure: Configure, name: str) -> None:
    with pytest.raises(InputError, match=r"motion.*MotionGenerator"):
        build(prepare("fit", configure(name)), run=False)
