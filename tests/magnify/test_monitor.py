"""The estimate of how far a clip moves, against motion that was made."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.magnify.monitor import MotionMonitor
from mm.temporal import Band


def scene(shifts: list[float], size: tuple[int, int] = (120, 160)) -> Tensor:
    """Waves of many directions and lengths, moved to the right by ``shifts`` px, exactly."""
    generator = torch.Generator().manual_seed(3)
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) * 1.0, torch.arange(width) * 1.0, indexing="ij")
    angles = torch.rand(30, generator=generator) * 2 * math.pi
    lengths = 8 + 40 * torch.rand(30, generator=generator)
    phases = torch.rand(30, generator=generator) * 2 * math.pi
    frames = []
    for shift in shifts:
        total = torch.zeros(size)
        for angle, length, phase in zip(angles, lengths, phases, strict=True):
            along = (x - shift) * torch.cos(angle) + y * torch.sin(angle)
            total = total + torch.cos(2 * math.pi * along / length + phase)
        frames.append((0.5 + total / 25).clamp(0, 1))
    return torch.stack(frames).unsqueeze(1).expand(-1, 3, -1, -1)


def largest(frames: Tensor, **options: object) -> float:
    watch = MotionMonitor("clip", 1.0, 1e9, **options)  # type: ignore[arg-type]
    for part in frames.split(4):
        watch.push(part)
    watch.flush()
    return watch.largest


@pytest.mark.parametrize(("shift", "tolerance"), [(0.5, 0.3), (1.0, 0.15), (3.0, 0.15)])
def test_static(shift: float, tolerance: float) -> None:
    assert largest(scene([0, shift / 2, shift, 0])) == pytest.approx(shift, rel=tolerance)


def test_dynamic_is_against_the_frame_before() -> None:
    assert largest(scene([0, 1, 2, 3, 4, 5]), mode="dynamic") == pytest.approx(1, rel=0.15)


def test_large_frames_are_looked_at_smaller() -> None:
    frames = F.interpolate(scene([0, 1]), scale_factor=6, mode="bicubic", antialias=True).clamp(0, 1)
    assert largest(frames) == pytest.approx(6, rel=0.15)


def test_temporal_counts_the_band_alone() -> None:
    # 3 px at 0.5 Hz, and 1 px at 5 Hz, for four seconds at 30 frames a second.
    times = torch.arange(120) / 30
    slow, fast = 3 * torch.sin(math.pi * times), torch.sin(10 * math.pi * times)
    frames = scene((slow + fast).tolist(), (64, 64))
    assert largest(frames, mode="temporal", band=Band(4, 6, 30)) == pytest.approx(1, rel=0.25)


def test_noise_and_flicker_are_no_motion() -> None:
    generator = torch.Generator().manual_seed(0)
    still = scene([0] * 6)
    noisy = (still + 3 / 255 * torch.randn(still.shape, generator=generator)).clamp(0, 1)
    assert largest(noisy) < 0.2
    assert largest(still * torch.linspace(1, 0.6, 6).view(-1, 1, 1, 1)) < 0.6


def test_a_little_more_light_on_a_sky_is_no_motion() -> None:
    """Brighter by a grey level, a slope of a grey level in five px looks as if it had moved by five px."""
    sky = 100.33 / 255 + torch.arange(96).expand(1, 3, 96, 96) / 5 / 255
    assert largest(torch.cat([sky, sky + 1 / 255])) == 0
    assert largest(scene([0, -5], (96, 96))) == pytest.approx(5, rel=0.02)


def test_small_motion_is_what_the_spectrum_says() -> None:
    """One estimator: a fifth of a px in noise, as displacement from the first frame and as an amplitude."""
    swing = 0.2 * torch.cos(2 * math.pi * torch.arange(40) / 10)
    generator = torch.Generator().manual_seed(0)
    frames = scene(swing.tolist())
    frames = (frames + 1 / 255 * torch.randn(frames.shape, generator=generator)).clamp(0, 1)
    watch = MotionMonitor("clip", 1.0, 1e9)
    watch.push(frames)
    assert watch.largest == pytest.approx(0.4, rel=0.15)
    assert watch.amplitude == pytest.approx(0.2, rel=0.15)
    watch = MotionMonitor("clip", 1.0, 1e9, "temporal", Band(1.5, 6, 30))
    watch.push(frames)
    watch.flush()
    assert watch.amplitude == pytest.approx(0.2, rel=0.15)


def test_small_frames() -> None:
    assert largest(torch.rand(3, 3, 8, 9)) < 9


def test_warns_once_with_the_numbers() -> None:
    watch = MotionMonitor("my clip", 20, 30, "static")
    with pytest.warns(
        UserWarning, match=r"my clip moves [12]\.\d px at frame 2, about x \d+, y \d+: factor 20 .* 30 px"
    ) as told:
        watch.push(scene([0, 0.5, 2.0, 3.0]))
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MotionMonitor("my clip", 5, 30, "static").push(scene([0, 0.5, 2.0, 3.0]))
