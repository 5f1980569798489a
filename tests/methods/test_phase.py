"""The phase method: where it holds and breaks, and its options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods import LinearMagnifier, PhaseMagnifier
from mm.temporal import Band

MakeGrating = Callable[..., Any]
Run = Callable[..., Tensor]

FPS = 30.0
FREQUENCY = 3.0


def test_holds_where_linear_breaks_and_breaks_in_its_turn(grating: MakeGrating, run: Run) -> None:
    wave = grating(16, contrast=0.1)
    shift = torch.tensor([0.0, 0.2, 0.4, 1.6]).double()
    moved = wave.frames(shift)
    linear, phase = (run(method(10.0), moved) for method in (LinearMagnifier, PhaseMagnifier))
    assert wave.displacement(phase)[1] == pytest.approx(2, rel=0.05)
    assert wave.displacement(linear)[1] < 1.9
    assert wave.contrast_of(phase)[1] == pytest.approx(1, abs=0.05)
    # 0.4 px × 10 is λ/4: still right.
    assert wave.displacement(phase)[2] == pytest.approx(4, rel=0.05)
    # 16 px is a whole wavelength: no wave can be told from the one before it.
    assert abs(float(wave.displacement(phase)[3])) < 1


@pytest.mark.parametrize(
    "options",
    [
        {"bandwidth": 0.5, "orientations": 8},
        {"orientations": 8},
        {"angular": "steerable"},
        {"smoothing": 0.5},
        {"channels": "rgb"},
        {"limit": math.pi},
    ],
)
@pytest.mark.parametrize("period", [12, 48])
def test_every_option_keeps_the_truth(
    options: dict[str, Any], period: float, grating: MakeGrating, run: Run
) -> None:
    wave = grating(period, angle=0.3)
    out = run(PhaseMagnifier(10.0, "static", batch=4, **options), wave.frames(wave.shift(20)))
    assert wave.motion(out, 0, 20).gain == pytest.approx(10, rel=0.1)


def test_a_limit_holds_large_motion(grating: MakeGrating, run: Run) -> None:
    wave = grating(16)
    frames = wave.frames(torch.tensor([0.0, 0.05, 1.0]).double())
    out = wave.displacement(run(PhaseMagnifier(10.0, limit=math.pi / 2), frames))
    # 0.05 px, 0.18 of a radian after magnification, is below the limit; a quarter of 16 px is it.
    assert out[1] == pytest.approx(0.5, rel=0.05)
    assert out[2] == pytest.approx(1.0 + 16 / 4, rel=0.05)


def test_unwrapping_follows_a_wave_over_many_turns(grating: MakeGrating, run: Run) -> None:
    """A slow drift over three wavelengths under the vibration, which only the vibration may come through."""
    wave = grating(12)
    drift = 36 * torch.arange(90).double() / 90
    frames = wave.frames(drift + wave.shift(90))
    out = run(PhaseMagnifier(10.0, "temporal", Band(1.5, 6.0, FPS)), frames)
    # Measured against frames that drift without vibrating: angles near zero again.
    ratio = wave.component(out) / wave.component(wave.frames(drift))
    moved = -torch.angle(ratio) * 12 / (2 * math.pi)
    time = 2 * math.pi * FREQUENCY * torch.arange(30, 60).double() / FPS
    assert float(moved[30:60] @ time.sin() / time.sin().square().sum()) == pytest.approx(1.0, rel=0.1)


def test_smoothing_lessens_noise(grating: MakeGrating, run: Run) -> None:
    wave = grating(24)
    noise = 0.01 * torch.randn(8, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    frames = wave.frames(torch.zeros(8).double()) + noise
    rough, smooth = (
        (run(PhaseMagnifier(3.0, smoothing=smoothing), frames) - frames)[1:].std() for smoothing in (0.0, 1.0)
    )
    assert smooth < 0.75 * rough


def test_rgb_moves_colour_that_has_no_luminance(grating: MakeGrating, run: Run) -> None:
    """A wave of red against green at equal luminance: luminance sees nothing of it, rgb all."""
    wave = grating(16, colour=(1.0, -0.299 / 0.587, 0.0))
    frames = wave.frames(wave.shift(10))
    seen = {
        channels: wave.displacement(run(PhaseMagnifier(10.0, channels=channels), frames))
        for channels in ("luminance", "rgb")
    }
    torch.testing.assert_close(seen["luminance"], wave.shift(10), atol=0.02, rtol=0)
    torch.testing.assert_close(seen["rgb"], 10 * wave.shift(10), atol=0.06, rtol=0)


def test_a_flickering_light_is_not_motion(run: Run) -> None:
    """Brightness of the whole frame by 2 %: linear magnifies it tenfold, phase leaves it as it is."""
    flicker = 0.01 * torch.sin(2 * math.pi * torch.arange(10) / 10).view(-1, 1, 1, 1)
    frames = 0.5 + flicker.expand(10, 3, 32, 48)
    torch.testing.assert_close(run(PhaseMagnifier(10.0), frames), frames, atol=1e-5, rtol=0)
    expected = 0.5 + 10 * (frames - 0.5)
    torch.testing.assert_close(run(LinearMagnifier(10.0), frames), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scales": 6}, "64×40 px .* most 4 scales .* got 6"),
        ({"orientations": 0}, "from 2 to 32, got 0"),
        ({"bandwidth": 9.0}, "octaves, got 9"),
        ({"smoothing": -1.0}, "wavelengths, got -1"),
        ({"limit": 0.0}, "above 0 radians, got 0"),
        ({"limit": math.nan}, "above 0 radians, got nan"),
        ({"channels": "yiq"}, "luminance or rgb, got 'yiq'"),
    ],
)
def test_bad_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        PhaseMagnifier(**options).push(torch.rand(1, 3, 40, 64))
