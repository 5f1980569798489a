"""Measurement of places against patterns that move by formula, and of what cannot be measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import mm
from mm.errors import InputError
from mm.motion.measure import Measurement
from mm.motion.places import codec_px
from mm.video import VideoWriter, read_clip, write_clip

FPS, FRAMES, WIDTH, HEIGHT = 50, 120, 128, 80
HERTZ, AMPLITUDE, PHASE = 7.3, 0.2, 40.0
ANGLE = 30.0  # degrees from x toward y


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(5)
    angle, phase = generator.uniform(0, 2 * np.pi, (2, 40))
    period, size = generator.uniform(8, 30, 40), generator.uniform(0.3, 1, 40)
    parts = zip(angle, phase, period, size, strict=True)
    return sum(c * np.cos(2 * np.pi * (np.cos(a) * x + np.sin(a) * y) / p + f) for a, f, p, c in parts)


def clip(path: Path, frames: int = FRAMES, noise: float = 1.0, sway: float = 0.0) -> Path:
    """Left and right half swing in antiphase, the right one half as far; both may sway with a long period."""
    generator, time = np.random.default_rng(1), np.arange(frames) / FPS
    moved = AMPLITUDE * np.cos(2 * np.pi * HERTZ * time + math.radians(PHASE))
    large = sway * np.sin(2 * np.pi * time / (frames / FPS))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    part = np.where(x < WIDTH / 2, 1.0, -0.5)
    stills = []
    for number in range(frames):
        shift = part * moved[number]
        along = math.cos(math.radians(ANGLE)) * shift + large[number]
        grey = 120 + 9 * texture(x - along, y - math.sin(math.radians(ANGLE)) * shift)
        stills.append(np.rint(grey + noise * generator.standard_normal(grey.shape)).clip(0, 255) / 255)
    pixels = torch.from_numpy(np.stack(stills)).float()[:, None].expand(-1, 3, -1, -1)
    write_clip(path, pixels, rate=FPS, lossless=True)
    return path


@pytest.fixture(scope="module")
def swinging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("measure") / "swing.mkv")


@pytest.fixture(scope="module")
def found(swinging: Path) -> Measurement:
    return mm.measure(swinging, points=[(30, 40), (100, 40)], mm_per_px=0.5)


def test_amplitude_frequency_phase_and_direction(found: Measurement) -> None:
    first, second = (place.sinusoids[0] for place in found.places)
    for each, amplitude in ((first, AMPLITUDE), (second, AMPLITUDE / 2)):
        assert each.frequency_hz == pytest.approx(HERTZ, rel=0.001)
        assert each.amplitude_px == pytest.approx(amplitude, rel=0.02)
        assert abs(each.amplitude_px - amplitude) < 3 * each.amplitude_px_u < 0.1 * amplitude
        assert each.direction_deg == pytest.approx(ANGLE, abs=3)
        assert abs(each.minor_px) < 0.005
        assert each.marks == ()
    assert first.phase_deg == pytest.approx(PHASE, abs=4)
    against = found.relative(found.places[1], first.frequency_hz)
    assert abs(against["phase_deg"]) == pytest.approx(180, abs=5)
    assert against["amplitude_ratio"] == pytest.approx(0.5, rel=0.05)


def test_the_waveform_is_within_its_uncertainty_of_the_truth(found: Measurement) -> None:
    phase = 2 * np.pi * HERTZ * found.times_s + math.radians(PHASE)
    truth = AMPLITUDE * np.cos(phase)
    truths = {
        "displacement": truth - truth.mean(),
        "velocity": -AMPLITUDE * 2 * np.pi * HERTZ * np.sin(phase),
        "acceleration": -((2 * np.pi * HERTZ) ** 2) * truth,
    }
    for name, wanted in truths.items():
        moved, noise = found.places[0].waveforms[name]
        inside = slice(2, -2)
        apart = np.abs(moved[inside, 2] - wanted[inside])
        # A polynomial through five frames misses (ω Δt)⁴ / 30 of a velocity, three times that of the next.
        missed = {"displacement": 0.0, "velocity": 0.024, "acceleration": 0.008}[name] * np.abs(wanted).max()
        assert (apart < 2 * noise[inside, 2] + missed).mean() > 0.85
        assert noise[:, 2].mean() < np.abs(wanted).max() / 4


def test_a_large_motion_is_followed(tmp_path: Path) -> None:
    found = mm.measure(clip(tmp_path / "large.mkv", 60, sway=10.0), rois=[(20, 24, 32, 32)])
    moved, _ = found.places[0].waveforms["displacement"]
    truth = 10 * np.sin(2 * np.pi * np.arange(60) / 60) + AMPLITUDE * math.cos(math.radians(ANGLE)) * np.cos(
        2 * np.pi * HERTZ * np.arange(60) / FPS + math.radians(PHASE)
    )
    np.testing.assert_allclose(moved[:, 0], truth - truth.mean(), atol=0.05)
    assert found.places[0].lost == 0


def test_without_a_place_those_that_move_most_are_measured(swinging: Path) -> None:
    found = mm.measure(swinging, shapes=[HERTZ])
    assert found.places[0].x_px < WIDTH / 2
    assert found.places[0].sinusoids[0].amplitude_px == pytest.approx(AMPLITUDE, rel=0.03)
    (shape,) = found.shapes
    along = shape.moment[2]
    left, right = np.median(along[:, :3]), np.median(along[:, -3:])
    assert left * right < 0
    assert abs(left / right) == pytest.approx(2, rel=0.1)


def test_a_known_length_has_an_uncertainty(swinging: Path) -> None:
    found = mm.measure(swinging, points=[(30, 40)], known_length=(50, 25), end=0.5)
    assert found.mm_per_px == 0.5
    assert found.mm_per_px_u == pytest.approx(0.5 / 50 * 0.29)


def test_a_codec_holds_back_more_with_a_coarser_step_and_less_texture() -> None:
    fine, coarse = np.diag([0.04**2, 0.01**2]), np.diag([0.01**2, 0.04**2])
    np.testing.assert_array_equal(codec_px(fine, 0.0), np.zeros((2, 2)))
    np.testing.assert_allclose(codec_px(fine, 8.0)[0, 0], codec_px(coarse, 8.0)[1, 1])
    assert codec_px(coarse, 8.0)[0, 0] == pytest.approx(16 * codec_px(fine, 8.0)[0, 0])
    assert codec_px(fine, 16.0)[0, 0] == pytest.approx(4 * codec_px(fine, 8.0)[0, 0])


def test_a_codec_that_has_destroyed_the_motion_is_said_to(tmp_path: Path, swinging: Path) -> None:
    frames, _ = read_clip(swinging)
    coded = tmp_path / "coded.mp4"
    with VideoWriter(coded, (HEIGHT, WIDTH), rate=FPS, crf=40) as writer:
        writer.write(frames)
    found = mm.measure(coded, points=[(30, 40)])
    assert found.compression is not None
    assert found.compression.predicted
    assert found.compression.step > 20
    assert found.places[0].verdict.startswith("cannot be told: the codec")
    for each in found.places[0].sinusoids:
        assert abs(each.amplitude_px - AMPLITUDE) < 3 * each.amplitude_px_u


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": [(200, 40)]}, "point 1 at x 200, y 40 lies outside of the frame of 128×80 px"),
        ({"rois": [(100, 0, 40, 40)]}, "region 100,0,40,40 does not lie within the frame"),
        ({"rois": [(0, 0, 6, 40)]}, "at least 12 px"),
        ({"end": 0.06}, "has 3 frames to look at, and a measurement needs at least 8"),
        ({"mm_per_px": 0.0}, "mm-per-px must be a number above 0, got 0"),
        ({"known_length": (0.0, 5.0)}, "known-length must be two numbers above 0"),
        ({"mm_per_px": 1.0, "known_length": (4.0, 5.0)}, "two ways to give one scale"),
        ({"low": 0.1}, "less than one period in 2.4 s; raise it to 0.42 Hz"),
        ({"low": 5.0, "high": 5.5}, "narrower than 0.83 Hz"),
        ({"high": 30.0}, "above half of the frame rate, 25 Hz"),
        ({"low": 9.0, "high": 3.0}, "low 9 Hz must be below 3 Hz"),
        ({"resolution": 0.1}, "takes 10 s, and the record has 2.4 s"),
        ({"size": 4}, "size must be at least 12 px, got 4"),
        ({"fps": 0.0}, "above 0 frames a second"),
    ],
)
def test_what_cannot_be_measured(swinging: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mm.measure(swinging, **{"points": [(30, 40)], **options})


def test_a_region_without_texture_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "grey.mkv", torch.full((12, 3, 64, 64), 0.5), rate=FPS, lossless=True)
    with pytest.raises(InputError, match="point 1 has no texture to follow"):
        mm.measure(tmp_path / "grey.mkv", points=[(30, 30)])
