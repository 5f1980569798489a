"""The camera's motion, made by formula, with a thing in the picture that moves by itself."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mm
from mm.errors import InputError
from mm.magnify.steady import SteadyClip
from mm.motion import measure_displacement
from mm.motion.blocks import block_motion
from mm.motion.camera import Camera, displacement_of
from mm.motion.spectrum import motion_spectrum
from mm.video import open_clip, write_clip

HEIGHT, WIDTH, FRAMES, FPS = 120, 176, 64, 20
THING = (112, 40, 48, 48)  # x, y, width, height
HERTZ, AMPLITUDE = 4.0, 0.15


def texture(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    angle, phase = generator.uniform(0, 2 * np.pi, (2, 30))
    period, size = generator.uniform(7, 30, 30), generator.uniform(0.3, 1, 30)
    waves = zip(angle, phase, period, size, strict=True)
    return 0.06 * sum(c * np.cos(2 * np.pi * (np.cos(a) * x + np.sin(a) * y) / p + f) for a, f, p, c in waves)


def transforms(kind: str, frames: int = FRAMES) -> np.ndarray:
    """(T, 2, 3): a slow sway of some px, with a turn and a zoom about the middle, or a shear, if any."""
    time = np.arange(frames) / FPS
    sway = np.stack([2.5 * np.sin(2 * np.pi * 0.6 * time), 1.5 * np.sin(2 * np.pi * 0.9 * time)], -1)
    part = 0.01 * np.sin(2 * np.pi * 0.4 * time)
    linear = np.zeros((frames, 2, 2))
    if kind == "similarity":
        linear[:] = part[:, None, None] * np.array([[0.5, -1], [1, 0.5]])
    elif kind == "affine":
        linear[:] = part[:, None, None] * np.array([[0.5, 0.8], [0.1, -0.4]])
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    found = np.concatenate([np.eye(2) + linear, (sway - linear @ middle)[..., None]], -1)
    return found


def film(kind: str, thing: bool = True) -> Tensor:
    """(T, 3, H, W): a wall, and before it a thing that swings along x, seen by a camera that moves."""
    frames = []
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    left, top, wide, tall = THING
    for number, move in enumerate(transforms(kind)):
        inverse = np.linalg.inv(move[:, :2])
        u, v = (inverse[i, 0] * (x - move[0, 2]) + inverse[i, 1] * (y - move[1, 2]) for i in (0, 1))
        swing = AMPLITUDE * math.sin(2 * math.pi * HERTZ * number / FPS)
        edge = np.minimum(np.minimum(u - left, left + wide - u), np.minimum(v - top, top + tall - v))
        mask = thing / (1 + np.exp(-2 * edge))
        frames.append((1 - mask) * (0.5 + texture(u, v, 1)) + mask * (0.45 + texture(u - swing, v, 2)))
    grey = torch.from_numpy(np.stack(frames)).float()
    return (grey * 255).round().clamp(0, 255)[:, None].expand(-1, 3, -1, -1) / 255


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    for kind in ("translation", "similarity"):
        write_clip(folder / f"{kind}.mkv", film(kind), rate=FPS, lossless=True)
    return folder


@pytest.mark.parametrize("kind", ["translation", "similarity", "affine"])
def test_the_camera_is_followed_to_hundredths_of_a_px(kind: str) -> None:
    truth = transforms(kind)
    camera = Camera(kind)
    found = np.concatenate([camera.push(part) for part in film(kind, thing=False).split(8)])
    for place in ((30.0, 30.0), (88.0, 100.0), (150.0, 20.0)):
        apart = displacement_of(found, *place) - displacement_of(truth, *place)
        assert np.abs(apart).max() < 0.03
    # The first frame is where it is.
    np.testing.assert_array_equal(found[0], np.eye(2, 3))


def test_a_region_that_should_stand_still_is_what_counts() -> None:
    """The thing fills the region: its own motion is taken for the camera's."""
    camera = Camera("translation", still=(118, 46, 36, 36))
    found = np.concatenate([camera.push(part) for part in film("translation").split(8)])
    time = np.arange(FRAMES) / FPS
    wanted = transforms("translation")[:, 0, 2] + AMPLITUDE * np.sin(2 * np.pi * HERTZ * time)
    np.testing.assert_allclose(found[:, 0, 2], wanted, atol=0.03)


def test_measure_takes_the_camera_out(clips: Path) -> None:
    left, top, wide, tall = THING
    for kind, within in (("translation", 0.01), ("similarity", 0.3)):
        clip, points = clips / f"{kind}.mkv", [(left + wide / 2, top + tall / 2)]
        found = mm.measure(clip, points=points, stabilize=kind)
        first = found.places[0].sinusoids[0]
        assert first.frequency_hz == pytest.approx(HERTZ, rel=0.01)
        # The thing is a ninth of the picture: a turn or zoom takes a part of its motion up.
        assert first.amplitude_px == pytest.approx(AMPLITUDE, rel=within)


def test_the_spectrum_takes_the_camera_out(clips: Path) -> None:
    motion = block_motion(clips / "translation.mkv", stabilize="translation")
    peak = motion_spectrum(motion).peaks[0]
    assert peak.frequency == pytest.approx(HERTZ, abs=0.2)
    assert peak.amplitude == pytest.approx(AMPLITUDE, rel=0.15)


def test_magnify_is_given_steady_frames(clips: Path) -> None:
    with open_clip(clips / "similarity.mkv") as clip:
        steady = torch.cat([chunk.frames for chunk in SteadyClip(clip, "similarity").chunks()])
    assert steady.shape == (FRAMES, 3, HEIGHT, WIDTH)
    wall = torch.zeros(HEIGHT, WIDTH)
    wall[20:100, 20:90] = 1
    moved = measure_displacement(steady[0], steady[1:], weight=wall, limit=2)
    assert float(moved.abs().max()) < 0.02


def test_after_a_cut_it_goes_on() -> None:
    first = film("translation")[:6]
    camera = Camera("translation", name="a clip")
    before = camera.push(first)
    with pytest.warns(UserWarning, match="a clip: the first frame's corners are lost"):
        after = camera.push(1 - first.flip(-1, -2))
    np.testing.assert_allclose(after[0], before[-1])


@pytest.mark.parametrize(
    ("kind", "still", "message"),
    [
        ("rotation", None, "stabilize must be one of translation, similarity, affine, got 'rotation'"),
        ("translation", (100, 0, 100, 50), "does not lie within the frame of 176×120 px"),
    ],
)
def test_what_cannot_be_stabilised(kind: str, still: tuple | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Camera(kind, still).push(film("translation")[:1])
    with pytest.raises(InputError, match="has 0 corners to follow"):
        Camera().push(torch.full((1, 3, 64, 64), 0.5))
