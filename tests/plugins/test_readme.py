"""The examples in plugins/README.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from mm import plugins
from mm.data import MagnificationDataModule, UnreadableImage
from mm.errors import InputError
from mm.registry import image_sources, motion_generators
from mm.synthesis import Geometry, Mixture, Synthesizer


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme.read_text(), flags=re.DOTALL)


@pytest.fixture
def examples(shipped: Path, tmp_path: Path) -> None:
    """The two plug-ins of the README, loaded from files."""
    for number, text in enumerate(blocks(shipped / "README.md", "python")):
        file = tmp_path / f"readme_{number}.py"
        file.write_text(text)
        (plugin,) = plugins.load_plugins([file])[number:]
        assert plugin.error is None


@pytest.mark.usefixtures("examples")
def test_the_image_source(tmp_path: Path) -> None:
    source = image_sources.get("arrays")
    with pytest.raises(InputError, match=r"has no \.npy file"):
        source(str(tmp_path))
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", picture)
    (tmp_path / "b.npy").write_bytes(b"broken")
    made = source(str(tmp_path))
    np.testing.assert_array_equal(made.load(0), picture)
    assert made.identity(1) == "b"
    with pytest.raises(UnreadableImage, match=r"b\.npy"):
        made.load(1)


@pytest.mark.usefixtures("examples")
def test_the_motion_generator() -> None:
    generator = motion_generators.get("swirl")()
    points, parameters = torch.randn(3, 50, 2) * 30, torch.rand(3, generator.parameters)
    field = generator.displacement(points, parameters, torch.ones(3, 1, 1))
    assert field.shape == points.shape
    torch.testing.assert_close(
        generator.displacement(points, parameters, torch.full((3, 1, 1), 7.0)), 7 * field
    )
    # Turning: nothing moves away from the centre.
    assert (field * points).sum(-1).abs().max() < 1e-4
    synthesizer = Synthesizer(height=24, width=24, motion=Mixture({"translation": 2.0, "swirl": 1.0}))
    size = synthesizer.geometry
    assert isinstance(size, Geometry)
    background = torch.randint(0, 256, (2, 3, *size.background_size), dtype=torch.uint8)
    objects = torch.zeros(2, size.max_objects, 4, size.object_size, size.object_size, dtype=torch.uint8)
    batch = {"background": background, "objects": objects, "seed": torch.tensor([4, 9])}
    rendered = synthesizer(batch | {"subset": torch.tensor([2, 2]), "index": torch.tensor([0, 1])})
    assert (rendered["y"] - rendered["xa"]).abs().mean() > 1e-3


@pytest.mark.usefixtures("examples")
def test_the_configurations_parse(shipped: Path) -> None:
    plugins.load_plugins([shipped])
    data, moving = (yaml.safe_load(text) for text in blocks(shipped / "README.md", "yaml"))
    data["data"]["init_args"] |= moving["data"]["init_args"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(MagnificationDataModule, "data")
    parsed: Any = parser.parse_object(data).data.init_args
    assert parsed.photographs.class_path == "mm.plugins.coco.CocoPhotographs"
    assert parsed.cutouts.name in image_sources
    # The data sets are not there, and that is what is said first; the rest is why the other types do not fit.
    with pytest.raises(ValueError, match="COCO: 'data/coco/annotations") as caught:
        parser.instantiate(parser.parse_object(data))
    causes = [caught.value.__cause__, caught.value.__cause__.__cause__]
    assert any(isinstance(cause, InputError) for cause in causes)
