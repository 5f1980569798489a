"""By how much each place of a shot is shifted, as a slice through it would show.

What a slice along a row shows is the shift of that row's own brightness course, whatever the true motion is.
So that is what is measured, at each place and for each axis by itself: the least-squares shift
u = −⟨I_x s⟩ / (⟨I_x²⟩ + ε) (Lucas and Kanade 1981, in one dimension), where ⟨·⟩ is a Gaussian window, I_x the
gradient of a reference and s the part of the brightness over time that the mode magnifies. Brightness is
divided by its own local contrast first, so that a place counts by how far it moves and not by how bright it
is; what flicker (a gain and an offset that vary from frame to frame) leaves after that is a multiple of the
reference itself, and is fitted beside the shift. Noise gives a shift too. Its variance is told from what of s
no shift explains, and taken off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.temporal import Band, TemporalFilter, from_band

Mode = Literal["static", "dynamic", "temporal"]
# Frames are looked at with their longer side at most this long, in px.
_SIDE = 384
# Standard deviations in px of those frames: against noise; of local contrast; of the least-squares window.
_SMOOTH, _CONTRAST, _WINDOW = 1.0, 8.0, 2.5
# Contrast (of brightness in [0, 1]) below which there is nothing to see.
_FAINT = 0.04
# ε above: the ⟨I_x²⟩ of a pattern of unit variance and a period of about 45 px.
_DAMPING = 0.02
# A shift is believed if its mean square exceeds that of noise by so many standard deviations of the latter:
# there are thousands of places, and none should be believed in a clip of nothing but noise.
_BELIEVED = 8.0
# The reference is the mean of so many frames at the beginning: its noise is in every frame's difference from
# it, and does not average out over time.
_REFERENCE = 8


@dataclass(frozen=True)
class ShotShift:
    """What was measured in one shot.

    Attributes:
        frames: of the shot.
        needed: frames that it must have.
        square: (2, h, w) px² of the small frames: mean square over time of the shift that a row (0) and a
            column (1) through each place shows; 0 where it cannot be told from noise. None for a shot of
            fewer than ``needed`` frames.
        moment: (h, w) long: the number of the frame, within the shot, in which a place is shifted most.
        size: (height, width) of the clip's frames, px.
    """

    frames: int
    needed: int
    square: Tensor | None
    moment: Tensor
    size: tuple[int, int]


def measure_shot(chunks: Iterable[Tensor], mode: Mode, band: Band | None) -> ShotShift:
    """Measure one shot. A constant number of frames is held.

    Args:
        chunks: the shot's frames in order, (n, 3, H, W) float32 in [0, 1] each.
        mode: what motion is measured against.
        band: the frequencies that count; of "temporal" only. Instead of the ideal filter, which would hold
            the clip, Butterworth's finds the place.
    """
    passing = None
    if mode == "temporal" and band is not None:
        kind = "butter" if band.filter == "ideal" else band.filter
        order, taps = (None, None) if kind != band.filter else (band.order, band.taps)
        passing = from_band(Band(band.low, band.high, band.fps, kind, order, taps))
    needed = 2 if passing is None else max(2, passing.min_frames)
    frames, size = 0, (0, 0)

    def counted() -> Iterator[Tensor]:
        nonlocal frames, size
        for chunk in chunks:
            frames, size = frames + len(chunk), (chunk.shape[-2], chunk.shape[-1])
            yield chunk

    measured: _Shifts | None = None
    for place, (look, chosen) in enumerate(_selected(counted(), mode, passing)):
        if measured is None:
            measured = _Shifts(look)
        measured.push(chosen, place)
    if measured is None or frames < needed:
        return ShotShift(frames, needed, None, torch.zeros(0, 0), size)
    return ShotShift(frames, needed, measured.square(), measured.moment, size)


def _selected(
    chunks: Iterable[Tensor], mode: Mode, passing: TemporalFilter | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each frame: the reference, and the part of the contrast that the mode magnifies."""
    begun: list[Tensor] = []
    count = 0
    first, last, look = None, None, None

    def selection(frame: Tensor) -> Tensor:
        nonlocal last
        assert first is not None
        against = first if mode == "static" or last is None else last
        last = frame
        return frame - against

    def ahead(frames: Iterable[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            if passing is None:
                yield selection(frame)
            else:
                yield from passing.push(frame[None])

    for frame in _contrasts(chunks):
        count += 1
        if look is None:
            begun.append(frame)
            if len(begun) < _REFERENCE:
                continue
            look = first = torch.stack(begun).mean(0)
            new = begun
        else:
            new = [frame]
        for chosen in ahead(new):
            yield look, chosen
    if look is None:
        if len(begun) < 2:
            return
        look = first = torch.stack(begun).mean(0)
        for chosen in ahead(begun):
            yield look, chosen
    if passing is not None and count >= passing.min_frames:
        for chosen in passing.flush():
            yield look, chosen


def _contrasts(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """For each frame its brightness (h, w) over its local contrast, on the small grid."""
    for frames in chunks:
        height, width = frames.shape[-2:]
        shrink = max(1.0, max(height, width) / _SIDE)
        light = frames.float().mean(1, keepdim=True)
        if shrink > 1:
            small = max(1, round(height / shrink)), max(1, round(width / shrink))
            light = F.interpolate(light, small, mode="area")
        light = _blur(light, _SMOOTH)
        centred = light - _coarsely(light)
        spread = _coarsely(centred.square()).add_(_FAINT**2).sqrt_()
        yield from (centred / spread)[:, 0]


class _Shifts:
    """Sums over time, on the small grid."""

    def __init__(self, reference: Tensor) -> None:
        padded = F.pad(reference[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        self._gradient = torch.stack(
            [(padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2]
        )
        self._reference = reference
        gx, gy = self._gradient
        pairs = torch.stack([gx * gx, gy * gy, gx * gy, gx * reference, gy * reference, reference**2])
        xx, yy, xy, x0, y0, zero = _blur(pairs[:, None], _WINDOW)[:, 0]
        # The gain is fitted by taking its part out of everything else (Frisch and Waugh 1933).
        self._gain = torch.stack([x0, y0, torch.ones_like(zero)]) / (zero + _DAMPING)
        self._energy = torch.stack(
            [xx - x0 * self._gain[0], yy - y0 * self._gain[1], xy - x0 * self._gain[1]]
        )
        self._squares = torch.zeros_like(self._gradient)
        self._unexplained = torch.zeros_like(reference)
        self._largest = torch.zeros_like(reference)
        self.moment = torch.zeros(reference.shape, dtype=torch.long)
        self._count = 0

    def push(self, selected: Tensor, number: int) -> None:
        """Take what the mode magnifies of one frame, (h, w), and that frame's number."""
        products = torch.cat([self._gradient, self._reference[None], selected[None]]) * selected
        bx, by, gain, power = _blur(products[:, None], _WINDOW)[:, 0]
        bx, by, power = bx - self._gain[0] * gain, by - self._gain[1] * gain, power - self._gain[2] * gain**2
        xx, yy, xy = self._energy
        across, down = -bx / (xx + _DAMPING), -by / (yy + _DAMPING)
        self._squares += torch.stack([across.square(), down.square()])
        # What the best shift in two dimensions leaves: the solution of the damped normal equations.
        dx, dy = xx + _DAMPING, yy + _DAMPING
        explained = (dy * bx * bx - 2 * xy * bx * by + dx * by * by) / (dx * dy - xy * xy)
        self._unexplained += (power - explained).clamp_min_(0)
        size = across.square() + down.square()
        larger = size > self._largest
        self._largest = torch.where(larger, size, self._largest)
        self.moment[larger] = number
        self._count += 1

    def square(self) -> Tensor:
        """The mean square (2, h, w) of the shifts, less that of noise; 0 where they are not believed."""
        # A Gaussian window averages this share of the variance of white noise.
        share = 1 / (4 * math.pi * _WINDOW**2)
        energy = self._energy[:2]
        # The frames were smoothed, so their noise is correlated: over so many px.
        correlated = 1 + 4 * math.pi * _SMOOTH**2
        noise = self._unexplained / self._count * share * correlated * energy / (energy + _DAMPING).square()
        mean = self._squares / self._count
        believed = mean >= noise * (1 + _BELIEVED * math.sqrt(2 / self._count))
        return (mean - noise).clamp_min(0) * believed


def _coarsely(images: Tensor) -> Tensor:
    """As :func:`_blur` with the window of local contrast, on a coarser grid, which is quicker."""
    size = images.shape[-2:]
    coarse = F.interpolate(images, [max(1, side // 4) for side in size], mode="area")
    return F.interpolate(_blur(coarse, _CONTRAST / 4), size, mode="bilinear", align_corners=False)


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian-weighted mean of (n, 1, h, w); beyond the rim the images are repeated."""
    reach = math.ceil(3 * sigma)
    place = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-place.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    wide = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
