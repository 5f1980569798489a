"""The lines and the moment of most motion in a clip: what a comparison shows slices and a crop of.

A slice along a row shows the shift of that row's own brightness pattern. So that is measured, at each place
and for each axis alone: the least-squares shift u = −⟨g s⟩ / (⟨g²⟩ + ε) (Lucas and Kanade 1981, in one
dimension), where ⟨·⟩ is a Gaussian window, g the gradient of a reference, and s the part of the brightness
over time that the mode magnifies. Brightness is divided by its local contrast first, so that a place counts
by how far it moves. What flicker leaves is a multiple of the reference, which is fitted beside the shift.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.temporal import Band, from_band
from mm.temporal.uneven import Grid, UnevenFilter, grid_of
from mm.video import ClipInfo, open_clip
from mm.video.grid import Region

# px: the longer side at which frames are looked at, and there the standard deviations against noise, of local
# contrast and of the least-squares window; the rim, where windows are cut.
_SIDE, _SMOOTH, _CONTRAST, _WINDOW, _RIM = 384, 1.0, 8.0, 2.5, 3
_FAINT = 0.04  # contrast, of brightness in [0, 1], below which nothing is seen
_DAMPING = 0.02  # ε: ⟨g²⟩ of a pattern of unit variance and a period of about 45 px
_BELIEVED = 8.0  # standard deviations of the noise's mean square, since there are thousands of places
_REFERENCE = 8  # frames at the beginning, whose mean is the reference


@dataclass(frozen=True)
class Place:
    """The place and the time of a clip's largest motion, px and frames of the clip.

    Attributes:
        row: with the most motion along x.
        column: with the most motion along y.
        point: (x, y) of most motion.
        frame: the number of the frame in which the point is farthest.
        found: whether motion was found along x, and along y.
    """

    row: int
    column: int
    point: tuple[int, int]
    frame: int
    found: tuple[bool, bool] = (False, False)

    def scaled(self, info: ClipInfo, size: tuple[int, int]) -> Place:
        """Return the place in px of the clip resized to ``size`` (height, width)."""
        y, x = (info.height, size[0]), (info.width, size[1])
        point = _moved(self.point[0], *x), _moved(self.point[1], *y)
        return replace(self, row=_moved(self.row, *y), column=_moved(self.column, *x), point=point)


def find_place(
    path: Path,
    *,
    mode: str = "static",
    band: Band | None = None,
    row: int | None = None,
    column: int | None = None,
    region: Region | None = None,
    cuts: Sequence[int] = (),
    folder_rate: float | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Place:
    """Find where and when a clip moves most; a constant number of frames is held.

    Args:
        path: a video file or a folder of images.
        mode: "static" (motion from the beginning), "dynamic" (from the frame before) or "temporal" (within
            ``band``).
        band: the frequencies that count in temporal mode.
        row, column: lines that are given, px; the point is then sought on them.
        region: (x, y, width, height) px outside which motion does not count.
        cuts: the numbers of the frames that begin a new shot; each is measured by itself.
        folder_rate, start, end: see :func:`mm.video.open_clip`.

    Returns:
        The place; the middle of the clip where no motion stands out from noise, or no shot is long enough.
    """
    if band is not None and band.filter == "ideal":
        # The ideal filter holds the clip; Butterworth's finds the place as well.
        band = replace(band, filter="butter")
    shots: list[_Shot] = []
    count = 0
    with warnings.catch_warnings():
        # The methods say what there is to say of the clip.
        warnings.simplefilter("ignore", UserWarning)
        with open_clip(path, start=start, end=end, folder_rate=folder_rate) as clip:
            info, band = clip.info, band if mode == "temporal" else None
            times = clip.times() if band is not None else []
            grid = grid_of(times, float(info.rate), float(info.time_base))
            for frames, pts in clip.chunks(_REFERENCE):
                within = [cut - count for cut in cuts if count < cut < count + len(frames)]
                parts = torch.tensor_split(_contrast(frames), within), np.split(np.array(pts), within)
                for part, stamps in zip(*parts, strict=True):
                    if not shots or count in cuts:
                        shots.append(_Shot(part, count, band, mode, grid))
                    if grid is not None:
                        grid.note(stamps.tolist(), info.time_base, count in cuts)
                    shots[-1].push(part)
                    count += len(part)
    y, x = info.height // 2 if row is None else row, info.width // 2 if column is None else column
    measured = [(shot, square) for shot in shots if (square := shot.finish()) is not None]
    if not measured:
        return Place(y, x, (x, y), count // 2)
    power = torch.stack([square * shot.count for shot, square in measured]).sum(0) / count
    height, width = power.shape[1:]
    power *= _counted(power, info, region)
    found = bool(power[0].any()), bool(power[1].any())
    down, across = _moved(y, info.height, height), _moved(x, info.width, width)
    if row is None and column is None and any(found):
        down, across = divmod(int(power.sum(0).argmax()), width)
    elif column is None and power[0, down].any():
        across = int(power[0, down].argmax())
    elif row is None and power[1, :, across].any():
        down = int(power[1, :, across].argmax())
    x = _moved(across, width, info.width) if column is None else x
    y = _moved(down, height, info.height) if row is None else y
    farthest = max((shot for shot, _ in measured), key=lambda shot: float(shot.farthest[down, across]))
    if row is None:
        row = _moved(int(power[0].sum(1).argmax()), height, info.height) if found[0] else y
    if column is None:
        column = _moved(int(power[1].sum(0).argmax()), width, info.width) if found[1] else x
    return Place(row, column, (x, y), int(farthest.moment[down, across]), found)


class _Shot:
    """Sums over the frames of a shot.

    Args:
        contrast: its first frames (n, h, w).
        first: the number of the first.
        band: the frequencies that count, None for all.
        mode: what motion is measured from otherwise.
        grid: of frames at uneven times.
    """

    def __init__(self, contrast: Tensor, first: int, band: Band | None, mode: str, grid: Grid | None) -> None:
        self.count, self._first = 0, first
        self._filter = None if band is None else from_band(band)
        if self._filter is not None and grid is not None:
            self._filter = UnevenFilter(self._filter, grid)
        self._last = contrast[:1] if mode == "dynamic" else None
        self._reference = reference = contrast.mean(0)
        padded = F.pad(reference[None], (1, 1, 1, 1), mode="replicate")[0]
        slope = torch.stack([padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]]) / 2
        self._parts = torch.stack([*slope, reference])
        x0, y0, zero = _blur(self._parts * reference, _WINDOW)
        xx, yy, xy = _blur(torch.stack([slope[0] ** 2, slope[1] ** 2, slope[0] * slope[1]]), _WINDOW)
        # The gain is fitted by taking its part out of everything else (Frisch and Waugh 1933).
        self._gain = torch.stack([x0, y0]) / (zero + _DAMPING), 1 / (zero + _DAMPING)
        self._energy = torch.stack([xx, yy]) - self._gain[0] * torch.stack([x0, y0])
        self._cross = xy - x0 * self._gain[0][1]
        self._squares, self._unexplained = torch.zeros_like(slope), torch.zeros_like(reference)
        self.farthest, self.moment = torch.zeros_like(reference), torch.full(reference.shape, first)

    def push(self, contrast: Tensor) -> None:
        """Take the next frames (n, h, w)."""
        if self._filter is not None:
            self._add(self._filter.push(contrast))
        elif self._last is not None:
            self._add(torch.cat([self._last, contrast]).diff(dim=0))
            self._last = contrast[-1:]
        else:
            self._add(contrast - self._reference)

    def _add(self, selected: Tensor) -> None:
        for s in selected:
            bx, by, gain = _blur(self._parts * s, _WINDOW)
            power = _blur(s[None] ** 2, _WINDOW)[0] - gain**2 * self._gain[1]
            b = torch.stack([bx, by]) - self._gain[0] * gain
            dx, dy = self._energy + _DAMPING
            square = (b / (self._energy + _DAMPING)) ** 2
            # The best shift in two dimensions leaves the rest: the damped normal equations.
            explained = (dy * b[0] ** 2 - 2 * self._cross * b[0] * b[1] + dx * b[1] ** 2) / (
                dx * dy - self._cross**2
            )
            self._squares += square
            self._unexplained += (power - explained).clamp_min(0)
            farther = square.sum(0) > self.farthest
            self.farthest = torch.where(farther, square.sum(0), self.farthest)
            self.moment[farther] = self._first + self.count
            self.count += 1

    def finish(self) -> Tensor | None:
        """Return the mean square shift (2, h, w) px², less that of noise; 0 where it is not believed.

        None for a shot that is too short.
        """
        if self._filter is not None:
            try:
                self._add(self._filter.flush())
            except InputError:
                return None
        if self.count < 2:
            return None
        # A window averages this share of white noise's variance; the frames' blur has correlated it.
        share = (1 + 4 * math.pi * _SMOOTH**2) / (4 * math.pi * _WINDOW**2)
        noise = self._unexplained / self.count * share * self._energy / (self._energy + _DAMPING) ** 2
        mean = self._squares / self.count
        return (mean - noise).clamp_min(0) * (mean >= noise * (1 + _BELIEVED * math.sqrt(2 / self.count)))


def _contrast(frames: Tensor) -> Tensor:
    """Return brightness (n, h, w) over its local contrast, of small frames."""
    light = frames.mean(1)
    shrink = min(1.0, _SIDE / max(light.shape[1:]))
    size = [max(1, round(side * shrink)) for side in light.shape[1:]]
    light = _blur(F.interpolate(light[:, None], size, mode="area")[:, 0], _SMOOTH)
    light = light - _coarse(light)
    return light / (_coarse(light**2) + _FAINT**2).sqrt()


def _counted(power: Tensor, info: ClipInfo, region: Region | None) -> Tensor:
    """Return 1 where motion counts, 0 elsewhere: beyond the region, and at the rim."""
    height, width = power.shape[1:]
    x, y, wide, tall = region or (0, 0, info.width, info.height)
    counted = torch.zeros(height, width)
    rim = min(_RIM, (min(height, width) - 1) // 2)
    top, bottom = (round(edge * height / info.height) for edge in (y, y + tall))
    left, right = (round(edge * width / info.width) for edge in (x, x + wide))
    counted[max(rim, top) : min(height - rim, bottom), max(rim, left) : min(width - rim, right)] = 1
    return counted


def _moved(position: int, length: int, other: int) -> int:
    """Return the place on a side of ``other`` px that is ``position`` on one of ``length`` px."""
    return min(other - 1, int((position + 0.5) * other / length))


def _coarse(images: Tensor) -> Tensor:
    """Blur by the window of local contrast, on a coarser grid, which is quicker."""
    size = [max(1, side // 4) for side in images.shape[1:]]
    small = _blur(F.interpolate(images[:, None], size, mode="area")[:, 0], _CONTRAST / 4)
    return F.interpolate(small[:, None], images.shape[1:], mode="bilinear", align_corners=False)[:, 0]


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Return the Gaussian-weighted mean of (n, h, w); beyond the rim the images are repeated."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * sigma**2))
    kernel /= kernel.sum()
    wide = F.pad(images[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]
