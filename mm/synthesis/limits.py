"""Limits of motion: one mechanism for every motion generator.

A generator gives a field of arbitrary amplitude. Here its peak and its steepest gradient at gain 1 are
measured over the layer, and an amplitude is drawn so that

- the input motion's peak is at most ``max_motion`` px,
- the magnified motion's peak is at most ``max_magnified`` px,
- the magnified motion does not fold the layer: the gradient of the displacement stays below ``max_gradient``.

Factor and amplitude are drawn on logarithmic scales by default: at factors of 10 and more, half of the layers
move by less than 0.1 px, which is the range that the method exists for, and output motions cover everything
from the smallest input motion to ``max_magnified``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mm.errors import InputError
from mm.synthesis.motion import MotionGenerator

# Spacing, px, of the points on which a field's peak is measured, and what share of the true peak and gradient
# they show at least: of a plane wave as short as 24 px (TravellingWave's shortest) it is cos(π · 2 / 24) of
# the peak between the points, and sinc(2 / 24) of that in differences.
_LATTICE_SPACING = 2.0
_LEAST_SEEN = 0.95


MOST_MAGNIFIED = 1000.0  # px


@dataclass(frozen=True)
class MotionLimits:
    """Ranges from which factors and amplitudes (output px) are drawn (Oh et al. 2018, section 3.3).

    Attributes:
        min_motion: smallest input motion.
        max_motion: largest input motion.
        max_magnified: largest magnified motion.
        min_factor: smallest factor.
        max_factor: largest factor.
        max_gradient: largest change of the magnified displacement per px; below 1, so that nothing folds.
        distribution: "log-uniform" or "uniform", of the factor and of the amplitude; or "balanced": the
            factor log-uniform, half of the amplitudes log-uniform and half uniform, so that neither small
            output motions nor those near the limits are rare.
    """

    min_motion: float = 0.01
    max_motion: float = 10.0
    max_magnified: float = 30.0
    min_factor: float = 1.0
    max_factor: float = 100.0
    max_gradient: float = 0.25
    distribution: str = "log-uniform"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: if one is empty or not positive.
        """
        if not 0 < self.min_motion <= self.max_motion:
            raise InputError(
                "motions must satisfy 0 < min ≤ max (px), got "
                f"min_motion {self.min_motion} and max_motion {self.max_motion}"
            )
        if not 0 < self.min_factor <= self.max_factor:
            raise InputError(
                "factors must satisfy 0 < min ≤ max, got "
                f"min_factor {self.min_factor} and max_factor {self.max_factor}"
            )
        if not self.max_magnified <= MOST_MAGNIFIED:
            raise InputError(
                f"max_magnified must be at most {MOST_MAGNIFIED:g} px, got {self.max_magnified:g}: scenes "
                "reach as far beyond the frame"
            )
        if self.min_motion * self.max_factor > self.max_magnified:
            raise InputError(
                f"min_motion × max_factor = {self.min_motion * self.max_factor:g} px is more than "
                f"max_magnified = {self.max_magnified:g} px; lower one of them"
            )
        if not 0 < self.max_gradient <= 0.5:
            raise InputError(f"max_gradient must be above 0 and at most 0.5, got {self.max_gradient}")
        if self.distribution not in ("log-uniform", "uniform", "balanced"):
            raise InputError(
                f"distribution must be log-uniform, uniform or balanced, got {self.distribution!r}"
            )

    def draw(self, low: Tensor | float, high: Tensor, u: Tensor) -> Tensor:
        """Return values in [low, high] for ``u`` uniform in [0, 1)."""
        if self.distribution == "uniform":
            return low + (high - low) * u
        return low * (high / low) ** u

    def _draw_amplitude(self, low: Tensor, high: Tensor, u: Tensor) -> Tensor:
        if self.distribution != "balanced":
            return self.draw(low, high, u)
        # The same number decides which half, and where in it.
        logarithmic = low * (high / low) ** (2 * u)
        linear = low + (high - low) * (2 * u - 1)
        return torch.where(u < 0.5, logarithmic, linear)

    def factor(self, u: Tensor) -> Tensor:
        """Return factors for ``u`` uniform in [0, 1), of any shape."""
        return self.draw(self.min_factor, torch.full_like(u, self.max_factor), u)

    def amplitude(self, u: Tensor, factor: Tensor, peak: Tensor, gradient: Tensor) -> Tensor:
        """Return the gain that scales a field so that its motion is within the limits.

        Args:
            u: (…) uniform in [0, 1).
            factor: (…) the sample's factor.
            peak: (…) greatest displacement of the field at gain 1, px.
            gradient: (…) its steepest change, px per px.

        Returns:
            (…) gain g: the input motion's peak is g·peak, the magnified motion's is factor·g·peak.
        """
        # At factors below 1 it is the input motion that could fold or go past a limit.
        largest = factor.clamp(min=1.0)
        peak = peak.clamp(min=1e-6)
        fold = self.max_gradient / (largest * gradient.clamp(min=1e-9))
        high = torch.minimum((self.max_magnified / largest).clamp(max=self.max_motion), fold * peak)
        low = torch.clamp(high, max=self.min_motion)
        return self._draw_amplitude(low, high, u) / peak


def _lattice(height: float, width: float, device: torch.device) -> tuple[Tensor, int, int]:
    """Return points (1, N, 2) that cover a layer, px about its centre, and how many rows and columns.

    There is one row and one column more on each side, for the differences at the layer's edge.
    """
    lines = []
    for length in (height, width):
        steps = math.ceil(length / _LATTICE_SPACING)
        reach = length / 2 * (1 + 2 / steps)
        lines.append(torch.linspace(-reach, reach, steps + 3, device=device))
    y, x = lines
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)
    return grid.reshape(1, -1, 2), len(y), len(x)


def measure_field(
    generator: MotionGenerator, parameters: Tensor, height: float, width: float
) -> tuple[Tensor, Tensor]:
    """Measure a field at gain 1 over a layer.

    Args:
        generator: the motion.
        parameters: (L, P) of each layer.
        height: of the layer, px.
        width: of the layer, px.

    Returns:
        peak (L,) px, and gradient (L,), the greatest Frobenius norm of the field's derivative; both rather
        too large than too small, for fields of no shorter wavelength than 24 px.
    """
    layers = parameters.shape[0]
    one = torch.ones(layers, 1, 1, device=parameters.device)
    if generator.is_translation:
        at_centre = generator.displacement(
            torch.zeros(layers, 1, 2, device=parameters.device), parameters, one
        )
        return at_centre.norm(dim=-1).amax(dim=-1), torch.zeros(layers, device=parameters.device)
    points, rows, columns = _lattice(height, width, parameters.device)
    points = points.expand(layers, -1, -1)
    field = generator.displacement(points, parameters, one).expand(layers, rows * columns, 2)
    field = field.reshape(layers, rows, columns, 2)
    along_x = field.diff(dim=2)[:, :-1] * ((columns - 3) / width)
    along_y = field.diff(dim=1)[:, :, :-1] * ((rows - 3) / height)
    gradient = (along_x.square() + along_y.square()).sum(-1).sqrt()
    inside = field[:, 1:-1, 1:-1].norm(dim=-1)
    return inside.amax(dim=(1, 2)) / _LEAST_SEEN, gradient.amax(dim=(1, 2)) / _LEAST_SEEN
