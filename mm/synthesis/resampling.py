"""Sub-pixel resampling whose motion is what was asked for.

A kernel's *gain* at a tiny shift is the ratio of its slope to the true derivative. For a wave of ω rad/px it is
``sin ω / ω`` times ``−2a`` for the cubic convolution of Keys (1981) with parameter a, so torch's ``bicubic``
(a = −0.75) moves a wide pattern by half again too much, and a = −0.5 is short by 10 % at a period of 8 px. For the
interpolating cubic spline (Unser, "Splines: a perfect fit for signal and image processing", 1999) it is
``3 sin ω / ((2 + cos ω) ω)``: short by 0.2 % at a period of 8 px, 0.01 % at 16. It is the default.

There are two ways to the same numbers. A translation is separable: one small matrix for each axis, applied by
matrix products, which is many times faster than gathering. Any other motion gathers along a field of
coordinates.

Conventions: images are (…, C, H, W); a coordinate is in source pixels, 0 the centre of the first one; a *map* says
for each output pixel where in the source it comes from (backward map).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from kornia.geometry.transform import remap
from torch import Tensor

from mm.errors import InputError

# name -> a of the cubic convolution; None for the cubic B-spline on prefiltered coefficients.
KERNELS: dict[str, float | None] = {
    "bspline": None,
    "keys": -0.5,
    # torch's and kornia's "bicubic": kept for the ablation; its motion gain is wrong (see above).
    "torch-bicubic": -0.75,
}


def check_kernel(name: str) -> str:
    """Return ``name`` if it is a known kernel.

    Raises:
        InputError: if it is not.
    """
    if name not in KERNELS:
        raise InputError(f"no interpolation kernel is called {name!r} (known: {', '.join(KERNELS)})")
    return name


def cubic_weight(distance: Tensor, kernel: str) -> Tensor:
    """Return the kernel's weight at ``distance`` px (any sign) from the sample, 0 from 2 px on."""
    x = distance.abs()
    a = KERNELS[kernel]
    if a is None:
        near = 2.0 / 3.0 + x * x * (0.5 * x - 1.0)
        far = (2.0 - x).clamp(min=0.0) ** 3 / 6.0
    else:
        near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        far = torch.where(x < 2.0, ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a, torch.zeros_like(x))
    return torch.where(x < 1.0, near, far)


@lru_cache(maxsize=64)
def _prefilter(size: int, device: torch.device) -> Tensor:
    # The spline's samples at the knots are (1 4 1)/6 of its coefficients; mirrored ends double the inner neighbour.
    knots = torch.zeros(size, size, dtype=torch.float64)
    knots.diagonal().fill_(4 / 6)
    knots.diagonal(1).fill_(1 / 6)
    knots.diagonal(-1).fill_(1 / 6)
    knots[0, 1] = knots[-1, -2] = 2 / 6
    return torch.linalg.inv(knots).to(device=device, dtype=torch.float32)


def prefilter_matrix(size: int, kernel: str, device: torch.device) -> Tensor | None:
    """Return the (size, size) matrix from samples to coefficients, or None where the kernel interpolates already.

    The image is taken as mirrored about its first and last pixel.
    """
    return _prefilter(size, device) if KERNELS[kernel] is None else None


def resampling_matrix(positions: Tensor, size: int, kernel: str, mirror: bool) -> Tensor:
    """Return the matrix that samples a line of ``size`` coefficients at ``positions``.

    Args:
        positions: (…, n) coordinates in source px.
        size: samples of the source line.
        kernel: one of :data:`KERNELS`.
        mirror: what lies outside: the mirrored line (up to ``size`` px far), or else zero.

    Returns:
        (…, n, size) float32.
    """
    if mirror:
        # Triangle wave: mirrors positions about both ends, which is the same as mirroring the line.
        period = 2.0 * (size - 1)
        positions = (size - 1) - (positions.remainder(period) - (size - 1)).abs()
    knots = torch.arange(size, device=positions.device, dtype=torch.float32)
    distance = positions[..., None] - knots
    weight = cubic_weight(distance, kernel)
    if mirror:
        # The taps that fall beyond an end land on their mirror images.
        weight[..., 1] += cubic_weight(positions + 1.0, kernel)
        weight[..., -2] += cubic_weight(size - positions, kernel)
    return weight


def resample_separable(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply a row and a column operator to images.

    Args:
        image: (N, C, H, W).
        rows: (N, F, h, H), one operator for each of F outputs of an image.
        columns: (N, F, w, W).

    Returns:
        (N, F, C, h, w) = rows · image · columnsᵀ.
    """
    n, c, height, width = image.shape
    f, h, w = rows.shape[1], rows.shape[2], columns.shape[2]
    # In this order both products write where the next one reads: the only copy is of the source image.
    lines = image.transpose(1, 2).reshape(n, height, c * width)
    down = torch.bmm(rows.reshape(n, f * h, height), lines).view(n * f, h * c, width)
    across = torch.bmm(down, columns.reshape(n * f, w, width).transpose(1, 2))
    return across.view(n, f, h, c, w).transpose(2, 3)


def resample_field(coefficients: Tensor, x: Tensor, y: Tensor, kernel: str, mirror: bool) -> Tensor:
    """Sample images along a backward map.

    Args:
        coefficients: (N, C, H, W) float32, prefiltered where the kernel asks for it (:func:`prefilter_matrix`).
        x: (N, h, w) source column of each output pixel.
        y: (N, h, w) source row.
        kernel: one of :data:`KERNELS`.
        mirror: outside lies the mirrored image, or else zero.

    Returns:
        (N, C, h, w) float32.
    """
    left, top = x.floor(), y.floor()
    across = _taps(x - left, kernel)
    down = _taps(y - top, kernel)
    padding = "reflection" if mirror else "zeros"

    def fetch(dx: float | Tensor, dy: float | Tensor, mode: str) -> Tensor:
        return remap(coefficients, left + dx, top + dy, mode, padding, align_corners=True)

    total = torch.zeros(*coefficients.shape[:2], *x.shape[1:], device=x.device)
    if KERNELS[kernel] is None:
        # A B-spline's weights are positive, so two neighbouring taps are one linear interpolation between them
        # (C. Sigg and M. Hadwiger, "Fast third-order texture filtering", 2005): 4 fetches instead of 16.
        for dx, wx in _pairs(across):
            for dy, wy in _pairs(down):
                total += (wx * wy)[:, None] * fetch(dx, dy, "bilinear")
        return total
    for i, wx in enumerate(across):
        for j, wy in enumerate(down):
            total += (wx * wy)[:, None] * fetch(i - 1.0, j - 1.0, "nearest")
    return total


def _taps(fraction: Tensor, kernel: str) -> list[Tensor]:
    return [cubic_weight(fraction - offset, kernel) for offset in (-1.0, 0.0, 1.0, 2.0)]


def _pairs(taps: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return (offset, weight) of the two linear interpolations that stand for four taps at −1, 0, 1, 2."""
    first, second = taps[0] + taps[1], taps[2] + taps[3]
    return [(taps[1] / first - 1.0, first), (taps[3] / second + 1.0, second)]
