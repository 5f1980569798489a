"""The Riesz method: the known motion of rendered waves, where it ends, and its options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods import PhaseMagnifier
from mm.methods.riesz import RieszMagnifier
from mm.temporal import Band

MakeGrating = Callable[..., Any]
Run = Callable[..., Tensor]

NARROW = Band(2.0, 4.0, 30.0)


# --- the truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [12, 24, 48])
@pytest.mark.parametrize("angle", [0.0, math.pi / 4, math.pi / 2])
@pytest.mark.parametrize("mode", ["static", "temporal"])
def test_a_tenth_of_a_pixel_times_ten(
    mode: str, period: float, angle: float, grating: MakeGrating, run: Run
) -> None:
    """Default parameters, 0.1 px at 3 Hz: ten times as large within 10 %, in step within 0.05 frames."""
    wave = grating(period, angle)
    out = run(
        RieszMagnifier(10.0, mode, NARROW if mode == "temporal" else None, batch=8),
        wave.frames(wave.shift(70)),
    )
    found = wave.motion(out, 30, 50)
    assert found.gain == pytest.approx(10, rel=0.1)
    frames_late = math.atan2(found.off, found.gain) / (2 * math.pi) * 10
    assert abs(frames_late) < 0.05


@pytest.mark.parametrize("filter_", ["butter", "iir", "fir", "ideal"])
def test_every_filter_is_in_step(filter_: str, grating: MakeGrating, run: Run) -> None:
    wave = grating(20, size=(48, 64))
    magnifier = RieszMagnifier(10.0, "temporal", Band(1.0, 6.0, 30.0, filter_), batch=8)
    assert magnifier.filter is not None
    expected = 1 + 9 * abs(magnifier.filter.gain(3.0))
    found = wave.motion(run(magnifier, wave.frames(wave.shift(90))), 40, 50)
    assert found.gain == pytest.approx(expected, rel=0.1)
    assert abs(math.atan2(found.off, found.gain)) < 0.01 * 2 * math.pi


def test_a_factor_of_zero_takes_the_motion_away(grating: MakeGrating, run: Run) -> None:
    wave = grating(16, amplitude=0.3)
    out = run(RieszMagnifier(0.0), wave.frames(wave.shift(10)))
    assert wave.displacement(out).abs().max() < 0.1 * 0.3


def test_holds_where_linear_breaks_and_breaks_in_its_turn(grating: MakeGrating, run: Run) -> None:
    wave = grating(16, contrast=0.1)
    out = run(RieszMagnifier(10.0), wave.frames(torch.tensor([0.0, 0.2, 0.4, 1.6]).double()))
    moved = wave.displacement(out)
    assert moved[1] == pytest.approx(2, rel=0.12)
    assert wave.contrast_of(out)[1] == pytest.approx(1, abs=0.1)
    # 0.4 px × 10 is λ/4.
    assert moved[2] == pytest.approx(4, rel=0.15)
    # 16 px is a whole wavelength: no wave can be told from the one before it.
    assert abs(float(moved[3])) < 4


def test_crossed_waves_move_as_far_as_one(grating: MakeGrating, run: Run) -> None:
    """Two waves of 12 px that cross, each moving along itself."""
    right, down = grating(12), grating(12, math.pi / 2)
    shift = right.shift(10)
    frames = (right.frames(shift) + down.frames(shift)) / 2
    rest = (right.frames(shift[:1] * 0) + down.frames(shift[:1] * 0)) / 2
    gains = {}
    for make in (RieszMagnifier, PhaseMagnifier):
        out = run(make(10.0), frames)
        turn = torch.angle(right.component(out) / right.component(rest))
        moved = -turn * 12 / (2 * math.pi)
        gains[make.name] = float(moved @ shift / (shift @ shift)) / 10
    assert gains["phase"] == pytest.approx(1, abs=0.05)
    assert gains["riesz"] == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("periods", [(9, 40), (12, 48)])
def test_a_texture_of_every_direction_moves_as_far_as_it_should(periods: tuple[int, int], run: Run) -> None:
    """Sixty waves, which all move by 0.1 px along x."""
    draw = np.random.default_rng(0)
    number = 2 * np.pi / np.exp(draw.uniform(*np.log(periods), 60))
    angle, phase = draw.uniform(0, np.pi, 60), draw.uniform(0, 2 * np.pi, 60)
    y, x = np.mgrid[:96, :128].astype(float)

    def texture(moved: float) -> np.ndarray:
        along = (x - moved)[..., None] * np.cos(angle) + y[..., None] * np.sin(angle)
        return np.asarray(0.5 + 0.015 * np.cos(number * along + phase).sum(-1))

    frames = torch.from_numpy(np.stack([texture(0), texture(0.1)])).float()
    out = run(RieszMagnifier(10.0), frames[:, None].expand(-1, 3, -1, -1))[1].mean(0).double().numpy()
    moved = 0.8
    for _ in range(4):
        there = texture(moved)
        slope = (texture(moved + 1e-3) - there) / 1e-3
        inner = np.s_[16:-16, 16:-16]
        moved += float(((out - there) * slope)[inner].sum() / (slope**2)[inner].sum())
    assert moved == pytest.approx(1, abs=0.08)


def test_follows_a_wave_over_many_turns(grating: MakeGrating, run: Run) -> None:
    """A slow drift over three wavelengths under the vibration, which only the vibration may come through."""
    wave = grating(12)
    drift = 36 * torch.arange(90).double() / 90
    out = run(RieszMagnifier(10.0, "temporal", Band(1.5, 6.0, 30.0)), wave.frames(drift + wave.shift(90)))
    ratio = wave.component(out) / wave.component(wave.frames(drift))
    moved = -torch.angle(ratio) * 12 / (2 * math.pi)
    time = 2 * math.pi * 3 * torch.arange(30, 60).double() / 30
    assert float(moved[30:60] @ time.sin() / time.sin().square().sum()) == pytest.approx(1.0, rel=0.1)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"smoothing": 0.0}, {"smoothing": 1.0}, {"smoothing": 4.0}, {"channels": "rgb"}, {"limit": math.pi}],
)
@pytest.mark.parametrize("period", [12, 48])
def test_every_option_keeps_the_truth(
    options: dict[str, Any], period: float, grating: MakeGrating, run: Run
) -> None:
    wave = grating(period, angle=0.3)
    out = run(RieszMagnifier(10.0, batch=4, **options), wave.frames(wave.shift(20)))
    assert wave.motion(out, 0, 20).gain == pytest.approx(10, rel=0.1)


def test_fewer_scales_leave_long_waves_to_the_low_pass(grating: MakeGrating, run: Run) -> None:
    """With one scale a wave of 48 px is moved as by the linear method: farther shifts fall short."""
    wave = grating(48)
    frames = wave.frames(torch.tensor([0.0, 0.1, 1.0]).double())
    one, all_ = (wave.displacement(run(RieszMagnifier(10.0, scales=n), frames)) for n in (1, None))
    assert one[1] == pytest.approx(1, rel=0.1)
    assert one[2] == pytest.approx(math.atan(10 * 2 * math.pi / 48) * 48 / (2 * math.pi), rel=0.1)
    # 10 px, more than λ/5, are near the end of what levels reach, and what comes in from beyond the border is
    # missing (9.8 px far from it).
    assert all_[2] == pytest.approx(7.9, rel=0.05)
    assert all_[2] > 1.05 * one[2]


def test_a_limit_holds_large_motion(grating: MakeGrating, run: Run) -> None:
    wave = grating(16)
    frames = wave.frames(torch.tensor([0.0, 0.05, 1.0]).double())
    out = wave.displacement(run(RieszMagnifier(10.0, limit=math.pi / 2), frames))
    assert out[1] == pytest.approx(0.5, rel=0.1)
    # A quarter of 16 px is the limit.
    assert out[2] == pytest.approx(1.0 + 16 / 4, rel=0.1)


def test_smoothing_lessens_noise(grating: MakeGrating, run: Run) -> None:
    noise = 0.01 * torch.randn(8, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    frames = grating(24).frames(torch.zeros(8).double()) + noise
    rough, smooth = ((run(RieszMagnifier(3.0, smoothing=s), frames) - frames)[1:].std() for s in (0.0, 2.0))
    assert smooth < 0.75 * rough


def test_rgb_moves_colour_that_has_no_luminance(grating: MakeGrating, run: Run) -> None:
    wave = grating(16, colour=(1.0, -0.299 / 0.587, 0.0))
    frames = wave.frames(wave.shift(10))
    grey, colour = (
        wave.displacement(run(RieszMagnifier(10.0, channels=c), frames)) for c in ("luminance", "rgb")
    )
    torch.testing.assert_close(grey, wave.shift(10), atol=0.02, rtol=0)
    torch.testing.assert_close(colour, 10 * wave.shift(10), atol=0.1, rtol=0)


def test_a_flickering_light_is_not_motion(run: Run) -> None:
    flicker = 0.01 * torch.sin(2 * math.pi * torch.arange(10) / 10).view(-1, 1, 1, 1)
    frames = 0.5 + flicker.expand(10, 3, 32, 48)
    torch.testing.assert_close(run(RieszMagnifier(10.0), frames), frames, atol=1e-5, rtol=0)


def test_waits_with_less_memory_than_phase() -> None:
    ours, theirs = (
        make(10.0, "temporal", NARROW).memory(480, 640, 300) for make in (RieszMagnifier, PhaseMagnifier)
    )
    assert ours < theirs


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scales": 6}, "64×40 px have at most 3 scales in a Riesz pyramid, got 6"),
        ({"scales": 0}, "at least 1, got 0"),
        ({"smoothing": -1.0}, "from 0 to 10 samples of a level, got -1"),
        ({"smoothing": math.nan}, "from 0 to 10 samples of a level, got nan"),
        ({"limit": 0.0}, "above 0 radians, got 0"),
        ({"channels": "hue"}, "luminance or rgb, got 'hue'"),
    ],
)
def test_bad_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        RieszMagnifier(**options).push(torch.rand(1, 3, 40, 64))


def test_frames_too_small_for_any_level() -> None:
    with pytest.raises(InputError, match="8"):
        RieszMagnifier().push(torch.rand(1, 3, 7, 64))
