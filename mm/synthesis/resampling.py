"""Sub-pixel resampling whose motion is what was asked for.

A kernel's *gain* at a tiny shift is the ratio of its slope to the true derivative. For a wave of ω rad/px it
is ``sin ω / ω`` times ``−2a`` for the cubic convolution of Keys (1981) with parameter a, so torch's
``bicubic`` (a = −0.75) moves a wide pattern by half again too much, and a = −0.5 is short by 10 % at a period
of 8 px. For the interpolating cubic spline (Unser, "Splines: a perfect fit for signal and image processing",
1999) it is ``3 sin ω / ((2 + cos ω) ω)``: short by 0.2 % at a period of 8 px, 0.01 % at 16. It is the
default.

There are two ways to the same numbers. A translation is separable: one small matrix for each axis, applied by
matrix products, which is many times faster than gathering. Any other motion gathers along a field of
coordinates.

Conventions: images are (…, C, H, W); a coordinate is in source pixels, 0 the centre of the first one; a *map*
says for each output pixel where in the source it comes from (backward map).
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


def _taps(fraction: Tensor, kernel: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the weights of the samples at −1, 0, 1 and 2 for a point at ``fraction`` in [0, 1)."""
    t = fraction
    a = KERNELS[kernel]
    if a is None:
        first = (1.0 - t).pow_(3).div_(6.0)
        second = (0.5 * t - 1.0) * t * t + 2.0 / 3.0
        fourth = t**3 / 6.0
    else:
        first = ((a * t - 2.0 * a) * t + a) * t
        second = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
        fourth = a * (1.0 - t) * t * t
    return first, second, 1.0 - first - second - fourth, fourth


@lru_cache(maxsize=64)
def _prefilter(size: int, device: torch.device) -> Tensor:
    # The spline's samples at the knots are (1 4 1)/6 of its coefficients; mirrored ends double the inner
    # neighbour.
    knots = torch.zeros(size, size, dtype=torch.float64)
    knots.diagonal().fill_(4 / 6)
    knots.diagonal(1).fill_(1 / 6)
    knots.diagonal(-1).fill_(1 / 6)
    knots[0, 1] = knots[-1, -2] = 2 / 6
    return torch.linalg.inv(knots).to(device=device, dtype=torch.float32)


def prefilter_matrix(size: int, kernel: str, device: torch.device) -> Tensor | None:
    """Return the (size, size) matrix from samples to coefficients, or None for kernels that need none.

    The image is taken as mirrored about its first and last pixel.
    """
    return _prefilter(size, device) if KERNELS[kernel] is None else None


def resampling_matrix(positions: Tensor, size: int, kernel: str, mirror: bool) -> Tensor:
    """Return the matrix that samples a line of ``size`` coefficients at ``positions``.

    Args:
        positions: (…, n) coordinates in source px.
        size: samples of the source line, at least 2.
        kernel: one of :data:`KERNELS`.
        mirror: what lies outside: the line mirrored about its first and last sample, or else zero.

    Returns:
        (…, n, size) float32.
    """
    left = positions.floor()
    weight = torch.stack(_taps(positions - left, kernel), dim=-1)
    index = left.to(torch.int64)[..., None] + torch.arange(-1, 3, device=positions.device)
    if mirror:
        last = size - 1
        index = last - (index.remainder(2 * last) - last).abs()
    else:
        weight = weight * ((index >= 0) & (index < size))
        index = index.clamp(0, size - 1)
    matrix = torch.zeros(*positions.shape, size, device=positions.device)
    # Added, not set: at a mirror two taps fall on one sample.
    return matrix.scatter_add_(-1, index, weight)


def resample_separable(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply a row and a column operator to images.

    Args:
        image: (N, C, H, W).
        rows: (N, h, H).
        columns: (N, w, W).

    Returns:
        (N, C, h, w) = rows · image · columnsᵀ.
    """
    n, c, height, width = image.shape
    h, w = rows.shape[1], columns.shape[1]
    # In this order both products write where the next one reads: the only copy is of the source image.
    lines = image.transpose(1, 2).reshape(n, height, c * width)
    down = torch.bmm(rows, lines).view(n, h * c, width)
    return torch.bmm(down, columns.transpose(1, 2)).view(n, h, c, w).transpose(1, 2)


def resample_field(coefficients: Tensor, x: Tensor, y: Tensor, kernel: str, mirror: bool) -> Tensor:
    """Sample images along a backward map.

    Args:
        coefficients: (N, C, H, W) float32, prefiltered where the kernel asks for it
            (:func:`prefilter_matrix`).
        x: (N, h, w) source column of each output pixel.
        y: (N, h, w) source row.
        kernel: one of :data:`KERNELS`.
        mirror: outside lies the image mirrored about its outermost pixels, or else zero.

    Returns:
        (N, C, h, w) float32.
    """
    height, width = coefficients.shape[-2:]
    padding = "reflection" if mirror else "zeros"

    def fetch(column: Tensor, row: Tensor, mode: str) -> Tensor:
        # Normalised here, with Python numbers: remap would copy the image's size to the device, and wait for
        # it.
        to_edge_x, to_edge_y = column * (2.0 / (width - 1)) - 1.0, row * (2.0 / (height - 1)) - 1.0
        return remap(
            coefficients, to_edge_x, to_edge_y, mode, padding, align_corners=True, normalized_coordinates=True
        )

    left, top = x.floor(), y.floor()
    if KERNELS[kernel] is None:
        near_x, far_x, share_x = _pairs(left, x - left)
        near_y, far_y, share_y = _pairs(top, y - top)
        upper = fetch(near_x, near_y, "bilinear").lerp_(fetch(far_x, near_y, "bilinear"), share_x)
        lower = fetch(near_x, far_y, "bilinear").lerp_(fetch(far_x, far_y, "bilinear"), share_x)
        return upper.lerp_(lower, share_y)
    across, down = _taps(x - left, kernel), _taps(y - top, kernel)
    total = torch.zeros(*coefficients.shape[:2], *x.shape[1:], device=x.device)
    for i, wx in enumerate(across, start=-1):
        for j, wy in enumerate(down, start=-1):
            total += (wx * wy)[:, None] * fetch(left + i, top + j, "nearest")
    return total


def _pairs(sample: Tensor, fraction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two places whose linear interpolations stand for a B-spline's four taps.

    The spline's weights are positive and sum to 1, so two neighbouring taps are a linear interpolation
    between them, and all four a mean of two (C. Sigg and M. Hadwiger, "Fast third-order texture filtering",
    2005): in the plane 4 fetches instead of 16.

    Args:
        sample: (N, h, w) coordinate of the second tap.
        fraction: (N, h, w) how far beyond it the point lies, in [0, 1).

    Returns:
        the two places (N, h, w), and the share of the second one (N, 1, h, w).
    """
    _, second, third, fourth = _taps(fraction, "bspline")
    share = third + fourth
    near = (second / (1.0 - share)).add_(sample).sub_(1.0)
    far = (fourth / share).add_(sample).add_(1.0)
    return near, far, share[:, None]
