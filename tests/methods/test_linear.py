"""The linear method: where it holds and breaks, its factors by level, and colour."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods import LinearMagnifier
from mm.temporal import Band

MakeGrating = Callable[..., Any]
Run = Callable[..., Tensor]

FPS = 30.0
BAND = Band(0.5, 7.5, FPS)
QUICK = Band(1.0, 6.0, FPS, "fir", taps=15)


def test_turns_by_the_arc_tangent_and_breaks_past_its_bound(grating: MakeGrating, run: Run) -> None:
    """With α alike for every wavelength, theory says by how much it falls short and contrast grows."""
    period, shift = 16.0, torch.tensor([0.0, 0.1, 0.2, 0.4, 0.8]).double()
    wave = grating(period, contrast=0.1)
    out = run(LinearMagnifier(10.0, cutoff=0.0), wave.frames(shift))
    turn = 2 * math.pi / period
    # sin(u) + 10·(sin(u − kδ) − sin(u)), exactly.
    sine, cosine = 1 + 10 * (torch.cos(turn * shift) - 1), 10 * torch.sin(turn * shift)
    torch.testing.assert_close(wave.displacement(out), torch.atan2(cosine, sine) / turn, atol=0.02, rtol=0)
    torch.testing.assert_close(wave.contrast_of(out), torch.hypot(sine, cosine), atol=0.02, rtol=0)
    # (1 + α)δ < λ/8 = 2 px holds for 0.1 px and not for 0.8 px, where 8 px are asked for.
    assert wave.displacement(out)[1] == pytest.approx(1, rel=0.1)
    assert wave.displacement(out)[4] < 0.75 * 8
    assert wave.contrast_of(out)[4] > 2


def test_factors_by_level_follow_the_bound() -> None:
    magnifier = LinearMagnifier(50.0, cutoff=32.0)
    weights = magnifier.weights(256, 256)
    for level, weight in enumerate(weights):
        wavelength = math.pi / math.acos(0.5 ** (1 / 8)) if level == 0 else None
        if wavelength is not None:
            # (1 + α)·δ = λ/8 with the δ for which (1 + α_full)·δ = λ_c/8.
            assert (1 + weight) * 32 / (8 * 50) == pytest.approx(wavelength / 8)
    assert list(weights) == sorted(weights)
    assert weights[-1] == 49
    assert 7 < weights[0] < weights[1] < 49
    assert set(LinearMagnifier(50.0, cutoff=32.0, short="zero").weights(256, 256)) == {0.0, 49.0}
    assert set(LinearMagnifier(0.5, cutoff=32.0).weights(256, 256)) == {-0.5}


def test_says_how_far_it_reaches() -> None:
    """(1 + α)·δ = λ_c/8."""
    assert "cutoff 32 px (for motion up to 0.08 px)" in LinearMagnifier(50.0, cutoff=32.0).describe()
    assert "cutoff 8 px (for motion up to 0.1 px)" in LinearMagnifier(10.0).describe()
    # Without a cutoff, and where motion is lessened, there is no such bound.
    for magnifier in (LinearMagnifier(10.0, cutoff=0.0), LinearMagnifier(0.5), LinearMagnifier(0.0)):
        assert "up to" not in magnifier.describe()


def test_a_cutoff_keeps_short_waves_from_growing(grating: MakeGrating, run: Run) -> None:
    for short in ("attenuate", "zero"):
        fine, coarse = grating(5, amplitude=0.2), grating(40, amplitude=0.05)
        clips = [wave.frames(wave.shift(10)) for wave in (fine, coarse)]
        out = [run(LinearMagnifier(20.0, cutoff=32.0, short=short), frames) for frames in clips]  # type: ignore[arg-type]
        free = run(LinearMagnifier(20.0, cutoff=0.0), clips[0])
        assert fine.contrast_of(out[0]).max() < 0.7 * fine.contrast_of(free).max()
        found = coarse.displacement(out[1]).abs().max() / coarse.displacement(clips[1]).abs().max()
        assert found == pytest.approx(20, rel=0.15)


def test_levels_that_are_zero_are_neither_filtered_nor_kept() -> None:
    full, coarse = (LinearMagnifier(10.0, "temporal", BAND, short="zero", cutoff=c) for c in (0.0, 30.0))
    assert coarse.memory(64, 64, 100) < 0.5 * full.memory(64, 64, 100)


def test_chrominance_is_magnified_by_its_own_factor(run: Run) -> None:
    """A change of colour at equal luminance, and a change of luminance alone."""
    still = torch.full((2, 3, 16, 16), 0.5)
    luminance = still.clone()
    luminance[1] += 0.01
    colour = still.clone()
    colour[1] += torch.tensor([0.01, -0.01 * 0.299 / 0.587, 0.0]).view(3, 1, 1)
    for chroma in (0.0, 0.25, 1.0):
        magnifier = LinearMagnifier(5.0, cutoff=0.0, chroma=chroma)
        torch.testing.assert_close(run(magnifier, luminance)[1], still[1] + 0.05, atol=1e-5, rtol=0)
        expected = still[1] + (colour[1] - still[1]) * (1 + 4 * chroma)
        torch.testing.assert_close(run(magnifier, colour)[1], expected, atol=1e-5, rtol=0)


def test_colour_shows_a_pulse_and_blurs_what_is_fine(run: Run) -> None:
    """A 1 Hz change of redness over a face-sized blob comes out ``factor`` times as large."""
    count, size = 120, 96
    beat = torch.sin(2 * math.pi * torch.arange(count) / FPS)
    place = torch.arange(size) - size / 2
    blob = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * 24**2))
    tint = torch.tensor([1.0, -0.4, -0.3]).view(1, 3, 1, 1)
    generator = torch.Generator().manual_seed(0)
    flicker = 0.004 * torch.randn(count, 3, size, size, generator=generator)
    frames = 0.5 + 0.002 * beat.view(-1, 1, 1, 1) * tint * blob + flicker
    out = run(LinearMagnifier.colour(40.0, Band(0.8, 1.3, FPS, "ideal"), level=3), frames)
    middle = slice(size // 2 - 8, size // 2 + 8)

    def amplitude(frames: Tensor) -> Tensor:
        courses = (frames - frames.mean(0))[:, :, middle, middle].mean((2, 3))
        return courses.T @ beat / (beat @ beat)

    expected = 40 * 0.002 * tint.flatten()
    torch.testing.assert_close(amplitude(out), expected, atol=0.012, rtol=0.15)
    # The noise of single pixels is not magnified with it.
    assert (out - frames).diff(dim=-1).std() < 0.5 * flicker.std()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: LinearMagnifier(cutoff=200.0, short="zero").push(torch.rand(1, 3, 40, 64)),
            r"cutoff of 200 px leaves nothing of frames of 64×40 px .* ends at \d+",
        ),
        (
            lambda: LinearMagnifier.colour(50.0, QUICK, level=6).push(torch.rand(1, 3, 40, 64)),
            "leaves nothing of frames of 64×40 px",
        ),
        (lambda: LinearMagnifier.colour(50.0, QUICK, level=-1), "at least 0, got -1"),
        (lambda: LinearMagnifier(cutoff=-1.0), "at least 0 px, got -1"),
        (lambda: LinearMagnifier(cutoff=math.nan), "got nan"),
        (lambda: LinearMagnifier(chroma=2.0), "from 0 to 1, got 2"),
        (lambda: LinearMagnifier(short="none"), "attenuate or zero, got 'none'"),  # type: ignore[arg-type]
    ],
)
def test_bad_options(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()
