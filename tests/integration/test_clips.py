"""The main job on real clips, a second of each: it runs, and the motion that is known to be there grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mm.cli import main
from mm.video import open_clip

pytestmark = [pytest.mark.material, pytest.mark.slow]

RUNS = {
    "baby-static": ("baby.mp4", 30, ["--factor", "10", "--scale", "0.2", "--end", "1"]),
    "guitar-temporal": (
        "guitar.mp4",
        30,
        ["--factor", "25", "--mode", "temporal", "--low", "72", "--high", "92", "--fps", "600", "--end", "1"],
    ),
    "gun-dynamic": ("gun.mp4", 86, ["--factor", "8", "--mode", "dynamic", "--scale", "0.2"]),
}


def frames_of(path: Path) -> torch.Tensor:
    with open_clip(path) as clip:
        return torch.cat([frames for frames, _ in clip.chunks(16)])


@pytest.mark.parametrize("name", RUNS)
def test_clip_is_magnified(name: str, material: Path, tmp_path: Path) -> None:
    clip, count, options = RUNS[name]
    target = tmp_path / "out.mp4"
    assert main(["magnify", str(material / "clips" / clip), str(target), "--quiet", *options]) == 0
    assert len(frames_of(target)) == count


def test_the_string_swings_in_its_band(material: Path, tmp_path: Path) -> None:
    """The low E string of the guitar: hardly any change at its frequency before, far more after."""
    _, _, options = RUNS["guitar-temporal"]
    source, target = material / "clips" / "guitar.mp4", tmp_path / "out.mp4"
    options = ["3" if value == "1" else value for value in options]
    assert main(["magnify", str(source), str(target), "--quiet", *options]) == 0

    def swing(path: Path) -> float:
        # Where the string is in column 200: the darkness-weighted mean row around it, over time.
        line = 1 - frames_of(path)[:90, :, 44:58, 200].mean(1).double().numpy()
        line = (line - line.min(axis=1, keepdims=True)) ** 4
        place = (line * np.arange(line.shape[1])).sum(1) / line.sum(1)
        spectrum = np.abs(np.fft.rfft(place - place.mean()))
        band = np.fft.rfftfreq(len(place), 1 / 600)
        return float(spectrum[(band >= 72) & (band <= 92)].max())

    assert swing(target) > 4 * swing(source)
