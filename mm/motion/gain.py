"""Gain of the motion, the part of it that an output shows: over windows, and by spatial frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mm.errors import InputError
from mm.motion.registration import local_displacement, measured_exactly

WEAK = 0.02  # of the structure tensor's trace: a direction with less than this is taken as not determined

BANDS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Cycles per px, the bands' edges by default; the last is the finest that a row of pixels can show."""

# Of the power of rounding to 8 bits. A grey wall or a ramp has nothing in most bands but the error of the
# arithmetic, 1e-7 or so; a quotient of two such errors is no gain. A tenth of the rounding nobody can see.
_LEAST_POWER = 0.01 * (1 / 255) ** 2 / 12


@measured_exactly
def motion_gain(
    reference: Tensor,
    output: Tensor,
    truth: Tensor,
    *,
    window: int = 32,
    stride: int | None = None,
    limit: int = 32,
    minimum: float = 0.1,
    agreement: float = 0.8,
    contrast: float = 1 / 255,
) -> Tensor:
    """Measure the displacement of ``output`` over that of ``truth``, both from ``reference``.

    Both displacements are measured, in the same windows and by the same estimator, so what a window cannot
    know (the direction along an edge, two motions in one window) is alike in both. Which windows count is
    decided by ``reference`` and ``truth`` alone: an output too poor to be registered does not drop out.

    A window's gain is ``(mᵀ P t) / (tᵀ P t)``, m and t the two displacements. P is close to the identity
    where the window's texture determines both directions, and close to the projection across the edge where
    there is only an edge: ``P = S (S + ε I)⁻¹`` with S the structure tensor. The sample's gain is the median
    over windows, weighted by √(tᵀ S t): the change of luminance that the true motion makes there.

    Args:
        reference: (B, C, H, W) or (C, H, W) in [0, 1], C = 1 or 3: the frame that
            motion is measured from (``xa``).
        output: the same size: what a method made.
        truth: the same size: what it should have made (``y``).
        window, stride, limit: px, as in :func:`mm.motion.local_displacement`; by default windows do
            not overlap.
        minimum: px, the least true displacement for a window to count.
        agreement: the least correlation of reference and truth, once aligned, for a window to count; windows
            astride an occlusion fall below it.
        contrast: the least root-mean-square change of luminance by the true motion for a window to count; the
            default is one step of an 8-bit frame.

    Returns:
        (B,): the gain of each sample; NaN where no window counts (a static sample, or one without texture).
        To average over samples use ``nanmean`` and say how many were NaN.

    Raises:
        InputError: frames of different sizes, or smaller than a window.
    """
    if not output.shape[-3:] == truth.shape[-3:] == reference.shape[-3:]:
        raise InputError(
            "reference, output and truth must be of one size, "
            f"got {tuple(reference.shape)}, {tuple(output.shape)} and {tuple(truth.shape)}"
        )
    step = stride or window
    wanted = local_displacement(reference, truth, window=window, stride=step, limit=limit)
    shown = local_displacement(reference, output, window=window, stride=step, limit=limit)
    tensor, true, found = wanted.tensor, wanted.displacement, shown.displacement
    energy = torch.einsum("...i,...ij,...j->...", true, tensor, true)
    trace = tensor.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    weak = WEAK * trace + 1e-12
    known = torch.linalg.solve(tensor + weak * torch.eye(2).to(tensor), tensor)
    along = torch.einsum("...ij,...j->...i", known, true)
    gain = (along * found).sum(-1) / (along * true).sum(-1).clamp_min(1e-20)
    counts = (true.norm(dim=-1) >= minimum) & (wanted.agreement >= agreement) & (energy >= contrast**2)
    return _weighted_median(gain.flatten(1), (energy.clamp_min(0).sqrt() * counts).flatten(1))


@measured_exactly
def gain_by_frequency(
    reference: Tensor, output: Tensor, truth: Tensor, edges: Sequence[float] = BANDS
) -> Tensor:
    """Project the change that ``output`` shows on the change that ``truth`` shows, band by band.

    With O and T the windowed spectra of ``output - reference`` and ``truth - reference``, a band's gain is
    ``Σ Re(O T*) / Σ |T|²`` over its frequencies and over the samples. Of a motion of less than about a
    quarter of a band's period, change is in proportion to motion and this is the gain of the motion; beyond
    that it says how much of the right change is there, and no more.

    Args:
        reference: (B, C, H, W) in [0, 1], the frame that motion is measured from (``xa``).
        output: the same size: what a method made.
        truth: the same size: what it should have made (``y``).
        edges: rising, cycles per px from 0 to √½ (along a diagonal); K + 1 of them.

    Returns:
        (K,): the gain of each band, each including its lower edge; NaN where the change of the truth is less
        than a tenth, root mean square, of what rounding the frames to 8 bits would put there.

    Raises:
        InputError: frames of different sizes, or edges that do not rise or are fewer than two.
    """
    if not output.shape == truth.shape == reference.shape or reference.ndim != 4:
        raise InputError(
            "reference, output and truth must be of one size (B, C, H, W), "
            f"got {tuple(reference.shape)}, {tuple(output.shape)} and {tuple(truth.shape)}"
        )
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)) or edges[0] < 0:
        raise InputError(f"edges must be two or more frequencies that rise from 0 on, got {list(edges)}")
    height, width = reference.shape[-2:]
    # Frames do not go on beyond their border: without it, the jump there is change at every frequency.
    rows, columns = (torch.hann_window(n, periodic=False).to(reference) for n in (height, width))
    window = rows[:, None] * columns
    shown, true = (torch.fft.fft2((frames - reference).mean(1) * window) for frames in (output, truth))
    vertical, horizontal = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    frequency = (vertical[:, None].square() + horizontal.square()).sqrt().to(reference.device)
    band = torch.bucketize(frequency, torch.tensor(edges).to(frequency), right=True) - 1
    along, power = (shown * true.conj()).real.sum(0), true.abs().square().sum(0)
    # White noise has the same power at each frequency; the mean of C channels has 1 / C of one's.
    least = _LEAST_POWER / reference.shape[1] * window.square().sum() * len(reference)

    def gain(within: Tensor) -> Tensor:
        whole = power[within].sum()
        return torch.where(whole > least * within.sum(), along[within].sum() / whole, math.nan)

    return torch.stack([gain(band == k) for k in range(len(edges) - 1)])


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Return (B,) medians of ``values`` (B, N) under ``weights``; NaN where all weights are 0."""
    # A value of weight 0 must not lie between the others: it goes to the end.
    ordered, order = torch.where(weights > 0, values, torch.full_like(values, math.inf)).sort(dim=-1)
    reached = weights.gather(-1, order).cumsum(-1)
    half = reached[:, -1:] / 2
    at = (reached < half).sum(-1, keepdim=True).clamp_max(values.shape[-1] - 1)
    median = ordered.gather(-1, at)[:, 0]
    return torch.where(reached[:, -1] > 0, median, torch.full_like(median, math.nan))
