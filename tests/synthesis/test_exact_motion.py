"""What the renderer moves is what it says it moved, measured by fitting a sinusoid to the rendered pattern."""

from __future__ import annotations

import math

import pytest
import torch

from mm.synthesis import Geometry, Translation
from mm.synthesis.rendering import Layers, Renderer

MOTIONS = (0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
# The pattern is sampled at the photograph's own density, 1 px a pixel.
TOLERANCE = {8: 0.03, 16: 0.01, 32: 0.01, 64: 0.01}


class _Towards(Translation):
    """A translation whose parameter is its direction: 0 right, 0.25 down, 0.5 left, 0.75 up (turns)."""


def sinusoid(height: int, width: int, period: float, axis: int, phase: float) -> torch.Tensor:
    """A grating along x (axis 0) or y (axis 1), 3×H×W."""
    position = torch.arange(width if axis == 0 else height, dtype=torch.float64)
    wave = 0.5 + 0.4 * torch.sin(2 * math.pi * position / period + phase)
    wave = wave[None, :].expand(height, width) if axis == 0 else wave[:, None].expand(height, width)
    return wave.expand(3, -1, -1).to(torch.float32)


def fitted_phase(frame: torch.Tensor, period: float, axis: int) -> float:
    """Phase of a grating by least squares on [1, sin, cos], in float64, all pixels."""
    line = frame.double().mean(0).mean(0 if axis == 0 else 1)
    position = torch.arange(line.numel(), dtype=torch.float64)
    omega = 2 * math.pi / period
    basis = torch.stack((torch.ones_like(line), (omega * position).sin(), (omega * position).cos()), dim=1)
    _, s, c = torch.linalg.lstsq(basis, line[:, None]).solution[:, 0].tolist()
    return math.atan2(c, s)


def measured_shift(reference: torch.Tensor, moved: torch.Tensor, period: float, axis: int, near: float) -> float:
    """Shift of the grating, px; the whole periods that a grating cannot tell are taken from ``near``."""
    shift = (fitted_phase(reference, period, axis) - fitted_phase(moved, period, axis)) * period / (2 * math.pi)
    return shift + period * round((near - shift) / period)


def render_grating(
    period: float, axis: int, motions: torch.Tensor, turn: float, kernel: str = "bspline", fast: bool = True
) -> torch.Tensor:
    """Render a grating moved by each of ``motions`` (px), one sub-pixel phase a motion; returns (N, 2, 3, H, W)."""
    geometry = Geometry(height=64, width=64, margin=16, object_size=12, max_objects=0)
    n = len(motions)
    phases = torch.linspace(0, 2 * math.pi, n)
    background = torch.stack(
        [sinusoid(*geometry.background_size, period, axis, float(phase)) for phase in phases]
    )
    layers = Layers(
        background=background,
        background_operator=None,
        objects=torch.zeros(n, 0, 4, 12, 12),
        centres=torch.zeros(n, 0, 2),
        phase=torch.stack((torch.linspace(-0.5, 0.5, n), torch.linspace(0.4, -0.4, n)), dim=1),
        background_motion=(torch.full((n, 1), turn), motions),
        object_motion=(torch.zeros(n, 0, 1), torch.zeros(n, 0)),
    )
    renderer = Renderer(geometry, Translation(), kernel, fast_translation=fast)
    gains = torch.tensor([[0.0, 1.0]]).expand(n, 2)
    return renderer.render(layers, gains, torch.full((n,), 1.0))


@pytest.mark.parametrize("period", sorted(TOLERANCE))
@pytest.mark.parametrize(("axis", "turn", "sign"), [(0, 0.0, 1), (0, 0.5, -1), (1, 0.25, 1), (1, 0.75, -1)])
@pytest.mark.parametrize("fast", [True, False], ids=["separable", "field"])
def test_gain_of_translation(period: int, axis: int, turn: float, sign: int, fast: bool) -> None:
    motions = torch.tensor(MOTIONS)
    frames = render_grating(period, axis, motions, turn, fast=fast)
    for intended, (reference, moved) in zip(MOTIONS, frames, strict=True):
        measured = measured_shift(reference, moved, period, axis, sign * intended)
        assert measured == pytest.approx(sign * intended, rel=TOLERANCE[period], abs=2e-5)


def test_torch_bicubic_fails_where_the_default_holds() -> None:
    """The ablation's kernel overstates tiny motion by about a half; the test above would catch it."""
    small = torch.tensor([0.01])
    reference, moved = render_grating(32, 0, small, 0.0, kernel="torch-bicubic")[0]
    assert measured_shift(reference, moved, 32, 0, 0.01) / 0.01 > 1.2
