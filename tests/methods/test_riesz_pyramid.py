"""The Riesz pyramid as mathematics: reconstruction, quadrature, direction, and the exact transform."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.pyramids.monogenic import LOWPASS, RieszPyramid, expand, reduce, riesz


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def wave(period: float, angle: float, phase: float = 0.0, size: tuple[int, int] = (64, 80)) -> Tensor:
    y, x = (torch.arange(side, dtype=torch.float64) for side in size)
    along = x * math.cos(angle) + y[:, None] * math.sin(angle)
    return torch.cos(2 * math.pi * along / period + phase)


def inner(images: Tensor) -> Tensor:
    return images[..., 8:-8, 8:-8]


@pytest.mark.parametrize("size", [(8, 8), (8, 9), (13, 40), (33, 47), (64, 64), (61, 128)])
@pytest.mark.parametrize("scales", [None, 1])
def test_reconstruction_is_exact(size: tuple[int, int], scales: int | None) -> None:
    pyramid = RieszPyramid(*size, scales=scales)
    images = noise(2, 3, *size)
    levels, lowpass = pyramid.analyse(images)
    assert levels.shape == (2, 3, pyramid.samples)
    assert lowpass.shape[-2:] == pyramid.lowpass_size
    assert (pyramid.synthesise(levels, lowpass) - images).abs().max() < 1e-6


def test_the_low_pass_is_the_polynomial_that_it_is_said_to_be() -> None:
    omega = torch.linspace(0, math.pi, 50).double()
    taps = torch.tensor(LOWPASS).double()
    response = taps[0] + 2 * sum(taps[k] * torch.cos(k * omega) for k in range(1, 5))
    s = torch.cos(omega / 2).square()
    torch.testing.assert_close(response, s**3 * (4 - 3 * s))


@pytest.mark.parametrize("size", [(40, 48), (41, 47)])
def test_reduce_and_expand_by_its_response(size: tuple[int, int]) -> None:
    """A wave of 16 px is reduced to one of 8 samples, and expanded to itself, each by the response."""
    s = math.cos(math.pi / 16) ** 2
    gain = s**3 * (4 - 3 * s)
    still = wave(16, 0.0, size=size)
    coarse = reduce(still)
    assert coarse.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    torch.testing.assert_close(inner(coarse), gain * inner(still[::2, ::2]))
    # The image of a wave of 16/15 px, which is what comes of the samples between, is below 3 in 10,000.
    torch.testing.assert_close(inner(expand(coarse, size)), gain**2 * inner(still), atol=3e-4, rtol=0)


def test_constant_images_have_no_levels() -> None:
    for size in ((16, 24), (17, 33)):
        pyramid = RieszPyramid(*size)
        levels, lowpass = pyramid.analyse(torch.full((1, 1, *size), 0.7))
        assert levels.abs().max() < 1e-6
        torch.testing.assert_close(lowpass, torch.full_like(lowpass, 0.7))
        assert pyramid.riesz(levels).abs().max() < 1e-6


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4, 1.2, math.pi / 2, 2.5])
@pytest.mark.parametrize(("period", "magnitude"), [(3.5, 1.16), (4, 1.18), (5, 1.12), (6, 1.02), (8, 0.84)])
def test_a_wave_comes_a_quarter_later_along_its_direction(
    angle: float, period: float, magnitude: float
) -> None:
    across, down = riesz(wave(period, angle)).unbind(-3)
    quarter = wave(period, angle, -math.pi / 2)  # The sine.
    gains = [
        float((inner(part) * inner(quarter)).sum() / inner(quarter).square().sum()) for part in (across, down)
    ]
    assert math.hypot(*gains) == pytest.approx(magnitude, abs=0.025)
    turned = math.degrees(math.atan2(gains[1], gains[0]) - angle)
    assert (turned + 180) % 360 - 180 == pytest.approx(0, abs=1.0)
    # Nothing of the cosine: exact quadrature.
    torch.testing.assert_close(inner(across), gains[0] * inner(quarter), atol=1e-6, rtol=0)
    torch.testing.assert_close(inner(down), gains[1] * inner(quarter), atol=1e-6, rtol=0)


def test_agrees_with_the_transform_in_the_frequency_domain() -> None:
    """Noise in the ring of 3.5 to 6.5 samples, round the middle of a level."""
    size = 96
    fy = torch.fft.fftfreq(size, dtype=torch.float64)[:, None]
    fx = torch.fft.fftfreq(size, dtype=torch.float64)
    radius = torch.hypot(fx, fy).clamp_min(1e-9)
    ring = (radius > 1 / 6.5) & (radius < 1 / 3.5)
    spectrum = torch.fft.fft2(noise(size, size).double()) * ring
    image = torch.fft.ifft2(spectrum).real
    found = riesz(image)
    for part, frequency in zip(found, (fx, fy), strict=True):
        exact = inner(torch.fft.ifft2(-1j * frequency / radius * spectrum).real)
        ours = inner(part)
        gain = float((ours * exact).sum() / exact.square().sum())
        assert gain == pytest.approx(1.1, abs=0.06)
        assert float((ours / gain - exact).norm() / exact.norm()) < 0.08


@pytest.mark.parametrize(("period", "angle"), [(11.3, 0.0), (9, 0.7), (21.7, math.pi / 2), (20, 2.0)])
def test_a_shift_turns_the_quaternion(period: float, angle: float) -> None:
    """By 2πδ/λ on average over a wave, along its direction, in the level that holds most of it."""
    shift = 0.4
    expected = -2 * math.pi * shift / period
    pyramid = RieszPyramid(128, 144)
    clip = torch.stack([wave(period, angle, phase, (128, 144)) for phase in (0.0, expected)])[:, None]
    levels, _ = pyramid.analyse(clip)
    both = zip(pyramid.split(levels), pyramid.split(pyramid.riesz(levels)), strict=True)
    real, other = max(both, key=lambda pair: float(inner(pair[0]).square().mean()))
    phase = torch.atan2(
        other[:, :, 0] * math.cos(angle) + other[:, :, 1] * math.sin(angle), real
    )  # (2, 1, h, w)
    turn = torch.remainder(phase[1] - phase[0] + math.pi, 2 * math.pi) - math.pi
    assert float(inner(turn).mean()) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    ("size", "scales", "says"),
    [
        ((7, 64), None, "at least 8×8 px, got 64×7 px"),
        ((40, 64), 4, "64×40 px have at most 3 scales in a Riesz pyramid, got 4"),
        ((40, 64), 0, "at least 1, got 0"),
    ],
)
def test_bad_options(size: tuple[int, int], scales: int | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        RieszPyramid(*size, scales=scales)
