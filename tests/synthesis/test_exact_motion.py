"""What the renderer moves is what it says it moved, measured by fitting a sinusoid to what it rendered."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mm.synthesis import Geometry, Translation
from mm.synthesis.rendering import Layers, Renderer

MOTIONS = (0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
# The pattern is sampled at the photograph's own density, 1 px a pixel.
TOLERANCE = {8: 0.03, 16: 0.01, 32: 0.01, 64: 0.01}
# (axis, turn, sign): right, left, down, up.
DIRECTIONS = [(0, 0.0, 1), (0, 0.5, -1), (1, 0.25, 1), (1, 0.75, -1)]
PATHS = pytest.mark.parametrize("fast", [True, False], ids=["separable", "field"])


def sinusoid(height: int, width: int, period: float, axis: int, phase: float) -> Tensor:
    """A grating along x (axis 0) or y (axis 1), 3×H×W."""
    position = torch.arange(width if axis == 0 else height, dtype=torch.float64)
    wave = 0.5 + 0.4 * torch.sin(2 * math.pi * position / period + phase)
    wave = wave[None, :].expand(height, width) if axis == 0 else wave[:, None].expand(height, width)
    return wave.expand(3, -1, -1).to(torch.float32)


def fitted_phase(frame: Tensor, period: float, axis: int) -> float:
    """Phase of a grating by least squares on [1, sin, cos], in float64, all pixels."""
    line = frame.double().mean(0).mean(0 if axis == 0 else 1)
    position = torch.arange(line.numel(), dtype=torch.float64)
    omega = 2 * math.pi / period
    basis = torch.stack((torch.ones_like(line), (omega * position).sin(), (omega * position).cos()), dim=1)
    _, s, c = torch.linalg.lstsq(basis, line[:, None]).solution[:, 0].tolist()
    return math.atan2(c, s)


def measured_shift(reference: Tensor, moved: Tensor, period: float, axis: int, near: float) -> float:
    """Shift of the grating, px; the whole periods that a grating cannot tell are taken from ``near``."""
    shift = (
        (fitted_phase(reference, period, axis) - fitted_phase(moved, period, axis)) * period / (2 * math.pi)
    )
    return shift + period * round((near - shift) / period)


def render_grating(
    period: float,
    axis: int,
    motions: Tensor,
    turn: float,
    kernel: str = "bspline",
    fast: bool = True,
    factors: Tensor | None = None,
    supersampling: int = 2,
) -> Tensor:
    """Render a background moved by each of ``motions`` (px), each with a sub-pixel phase of its own.

    Returns:
        (N, 2, 3, H, W): the reference, and the frame at gain 1 or ``factors``.
    """
    geometry = Geometry(height=64, width=64, margin=36, object_size=12, max_objects=0)
    n = len(motions)
    phases = torch.linspace(0, 2 * math.pi, n)
    background = torch.stack(
        [sinusoid(*geometry.background_size, period, axis, float(phase)) for phase in phases]
    )
    layers = Layers(
        background=background,
        objects=torch.zeros(n, 0, 4, 12, 12),
        centres=torch.zeros(n, 0, 2),
        phase=torch.stack((torch.linspace(-0.5, 0.5, n), torch.linspace(0.4, -0.4, n)), dim=1),
        background_motion=(torch.full((n, 1), turn), motions),
        object_motion=(torch.zeros(n, 0, 1), torch.zeros(n, 0)),
    )
    renderer = Renderer(geometry, Translation(), kernel, supersampling, fast_translation=fast)
    gains = torch.stack((torch.zeros(n), torch.ones(n) if factors is None else factors), dim=1)
    return renderer.render(layers, gains, torch.full((n,), 1.0))


@pytest.mark.parametrize("period", sorted(TOLERANCE))
@pytest.mark.parametrize(("axis", "turn", "sign"), DIRECTIONS)
@PATHS
def test_gain_of_translation(period: int, axis: int, turn: float, sign: int, fast: bool) -> None:
    frames = render_grating(period, axis, torch.tensor(MOTIONS), turn, fast=fast)
    for intended, (reference, moved) in zip(MOTIONS, frames, strict=True):
        measured = measured_shift(reference, moved, period, axis, sign * intended)
        assert measured == pytest.approx(sign * intended, rel=TOLERANCE[period], abs=2e-5)


@pytest.mark.parametrize("period", sorted(TOLERANCE))
@pytest.mark.parametrize(("axis", "turn", "sign"), DIRECTIONS)
def test_magnified_motion_is_factor_times_the_motion(period: int, axis: int, turn: float, sign: int) -> None:
    motions, factors = (0.01, 0.05, 0.23, 1.0, 10.0), (100.0, 1.7, 40.0, 17.3, 3.0)
    frames = render_grating(period, axis, torch.tensor(motions), turn, factors=torch.tensor(factors))
    for motion, factor, (reference, magnified) in zip(motions, factors, frames, strict=True):
        intended = sign * motion * factor
        measured = measured_shift(reference, magnified, period, axis, intended)
        assert measured == pytest.approx(intended, rel=TOLERANCE[period], abs=2e-5)


@pytest.mark.parametrize("supersampling", [1, 3])
def test_gain_at_other_densities(supersampling: int) -> None:
    frames = render_grating(16, 0, torch.tensor(MOTIONS), 0.0, supersampling=supersampling)
    for intended, (reference, moved) in zip(MOTIONS, frames, strict=True):
        assert measured_shift(reference, moved, 16, 0, intended) == pytest.approx(
            intended, rel=0.01, abs=2e-5
        )


def test_torch_bicubic_fails_where_the_default_holds() -> None:
    """The ablation's kernel has a gain that depends on the sub-pixel phase; the test above would catch it."""
    worst = {}
    for kernel in ("bspline", "torch-bicubic"):
        frames = render_grating(32, 0, torch.full((9,), 0.01), 0.0, kernel=kernel)
        gains = [measured_shift(reference, moved, 32, 0, 0.01) / 0.01 for reference, moved in frames]
        worst[kernel] = max(abs(gain - 1) for gain in gains)
    assert worst["bspline"] < 0.01
    assert worst["torch-bicubic"] > 0.1


def render_object(period: float, axis: int, motions: Tensor, turn: float, fast: bool) -> Tensor:
    """Render a grating on a soft disc before a flat grey, at gains 0, 1 and 3; (N, 3, 3, H, W)."""
    geometry = Geometry(height=72, width=80, margin=3, object_size=75, max_objects=1)
    n, patch = len(motions), geometry.object_size
    steps = torch.arange(patch) - (patch - 1) / 2
    alpha = ((34 - torch.hypot(steps[None, :], steps[:, None])) / 3).clamp(0, 1)
    gratings = [sinusoid(patch, patch, period, axis, float(p)) for p in torch.linspace(0, 2 * math.pi, n)]
    objects = torch.cat((torch.stack(gratings) * alpha, alpha.expand(n, 1, -1, -1)), dim=1)
    sub_pixel = torch.stack((torch.linspace(0, 1, n), torch.linspace(0.6, -0.3, n)), dim=1)
    layers = Layers(
        background=torch.full((n, 3, *geometry.background_size), 0.3),
        objects=objects[:, None],
        centres=(torch.tensor([39.5, 35.5]) + sub_pixel)[:, None],
        phase=torch.zeros(n, 2),
        background_motion=(torch.zeros(n, 1), torch.zeros(n)),
        object_motion=(torch.full((n, 1, 1), turn), motions[:, None]),
    )
    gains = torch.tensor([[0.0, 1.0, 3.0]]).expand(n, 3)
    renderer = Renderer(geometry, Translation(), fast_translation=fast)
    return renderer.render(layers, gains, torch.full((n,), 1.0))


@pytest.mark.parametrize("period", [8, 16, 32])
@pytest.mark.parametrize(("axis", "turn", "sign"), DIRECTIONS)
@PATHS
def test_gain_of_an_object(period: int, axis: int, turn: float, sign: int, fast: bool) -> None:
    motions = (0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0)
    frames = render_object(period, axis, torch.tensor(motions), turn, fast)
    # The disc's interior: opaque wherever the disc is.
    interior = frames[..., 24:48, 28:52]
    for intended, (reference, moved, magnified) in zip(motions, interior, strict=True):
        for frame, gain in ((moved, 1), (magnified, 3)):
            near = sign * gain * intended
            measured = measured_shift(reference, frame, period, axis, near)
            assert measured == pytest.approx(near, rel=TOLERANCE[period], abs=3e-5)
    # The rest of the frame stands still.
    corner = frames[..., :6, :6]
    assert (corner - 0.3).abs().max() < 1e-5
