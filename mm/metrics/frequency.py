"""Which detail moves: the part of a small change that an output shows, by spatial frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mm.errors import InputError
from mm.metrics.displacement import measured_exactly

BANDS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Cycles per px, the bands' edges by default; the last is the finest that a row of pixels can show."""

# Of the power of rounding to 8 bits. A grey wall or a ramp has nothing in most bands but the error of the
# arithmetic, 1e-7 or so; a quotient of two such errors is no gain. A tenth of the rounding nobody can see.
_LEAST_POWER = 0.01 * (1 / 255) ** 2 / 12


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
