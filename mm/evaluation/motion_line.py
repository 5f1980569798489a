"""Where and when a clip moves most, found from the clip itself: the line to slice and the moment to look at.

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

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.methods.layout import Region
from mm.methods.stream import Mode
from mm.temporal import Band, from_band

# Frames are looked at with their longer side at most this long, in px.
_SIDE = 384
# Standard deviations in px of those frames: against noise; of local contrast; of the least-squares window.
_SMOOTH, _CONTRAST, _WINDOW = 1.0, 8.0, 2.5
# Contrast (of brightness in [0, 1]) below which there is nothing to see.
_FAINT = 0.04
# ε above: the ⟨I_x²⟩ of a pattern of unit variance and a period of about 45 px.
_DAMPING = 0.02
# px of the small frames at the rim, where the windows above are cut.
_RIM = 3
# A shift is believed if its mean square exceeds that of noise by so many standard deviations of the latter:
# there are thousands of places, and none should be believed in a clip of nothing but noise.
_BELIEVED = 8.0
# The reference is the mean of so many frames at the beginning: its noise is in every frame's difference from
# it, and does not average out over time.
_REFERENCE = 8


@dataclass(frozen=True)
class MotionMap:
    """How much of a clip's motion is seen at each place, and when.

    Attributes:
        shift: (2, h, w) px of the clip's frames: RMS over time of the shift that a row (0) and a column (1)
            through this place shows; 0 where it cannot be told from noise.
        moment: (h, w) long: the number of the frame in which a place is shifted most.
        size: (height, width) of the clip's frames, px; the map may be smaller.
    """

    shift: Tensor
    moment: Tensor
    size: tuple[int, int]

    @property
    def moves(self) -> bool:
        """Whether anything was found to move."""
        return bool((self.shift > 0).any())

    def row(self) -> int:
        """Return the row that shows the most motion along x, px; the one through :meth:`point` if none."""
        return self._best(0)

    def column(self) -> int:
        """Return the column that shows the most motion along y, px; the one through :meth:`point` if none."""
        return self._best(1)

    def point(self, *, row: int | None = None, column: int | None = None) -> tuple[int, int]:
        """Return the place (x, y) in px that moves most, on that row or column if one is given.

        The middle where nothing moves.
        """
        height, width = self.size
        y, x = height // 2 if row is None else row, width // 2 if column is None else column
        if row is not None and column is not None:
            return x, y
        strength = self.shift.square().sum(0)
        if row is not None:
            strength = self.shift[0].square() * self._only(row, 0)
        elif column is not None:
            strength = self.shift[1].square() * self._only(column, 1)
        if strength.max() > 0:
            place = int(strength.argmax())
            found_y, found_x = (
                self._to_frame(index, axis) for axis, index in enumerate(divmod(place, strength.shape[1]))
            )
            return (found_x if column is None else x), (found_y if row is None else y)
        return x, y

    def frame(self, x: int, y: int) -> int:
        """Return the number of the frame in which the place (x, y), px, is shifted most."""
        return int(self.moment[self._to_map(y, 0), self._to_map(x, 1)])

    def _best(self, axis: int) -> int:
        along = self.shift[axis].square().sum(1 - axis)
        if along.max() > 0:
            return self._to_frame(int(along.argmax()), axis)
        return self.point()[1 - axis]

    def _only(self, position: int, axis: int) -> Tensor:
        kept = torch.zeros(self.shift.shape[1 + axis], 1)
        kept[self._to_map(position, axis)] = 1
        return kept if axis == 0 else kept.mT

    def _to_frame(self, index: int, axis: int) -> int:
        """A row (axis 0) or column (axis 1) of the map → the frame's."""
        ratio = self.size[axis] / self.shift.shape[1 + axis]
        return min(self.size[axis] - 1, round((index + 0.5) * ratio - 0.5))

    def _to_map(self, position: int, axis: int) -> int:
        count = self.shift.shape[1 + axis]
        return min(count - 1, int((position + 0.5) * count / self.size[axis]))


def map_motion(
    chunks: Iterable[Tensor],
    *,
    mode: Mode = "static",
    band: Band | None = None,
    region: Region | None = None,
) -> MotionMap:
    """Find where and when a clip moves most. A constant number of frames is held.

    Args:
        chunks: the clip's frames in order, (n, 3, H, W) float32 in [0, 1] each.
        mode: what motion is measured against: "static" (the beginning), "dynamic" (the frame before) or
            "temporal" (what lies in ``band``).
        band: the frequencies that count; of "temporal" only. Instead of the ideal filter, which would hold
            the clip, Butterworth's finds the place.
        region: (x, y, width, height) in px outside which motion does not count.

    Raises:
        InputError: if there are fewer than 2 frames, they are too few for the band, or temporal mode has no
            band.
    """
    if mode == "temporal" and band is None:
        raise InputError("temporal mode needs a band of frequencies; give --low and --high in Hz")
    measured: _Shifts | None = None
    for place, (look, chosen, size) in enumerate(_selected(chunks, mode, band)):
        if measured is None:
            measured = _Shifts(look, size)
        measured.push(chosen, place)
    if measured is None:
        raise InputError("the clip has fewer than 2 frames, and motion needs at least 2; give a longer clip")
    return measured.result(region)


def _selected(
    chunks: Iterable[Tensor], mode: Mode, band: Band | None
) -> Iterator[tuple[Tensor, Tensor, tuple[int, int]]]:
    """For each frame: the reference, the part of the contrast that the mode magnifies, the clip's size."""
    passing = None
    if mode == "temporal" and band is not None:
        kind = "butter" if band.filter == "ideal" else band.filter
        passing = from_band(Band(band.low, band.high, band.fps, kind, None, band.taps))
    begun: list[Tensor] = []
    first, last, look = None, None, None
    size = (0, 0)

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

    for frame, size in _contrasts(chunks):
        if look is None:
            begun.append(frame)
            if len(begun) < _REFERENCE:
                continue
            look = first = torch.stack(begun).mean(0)
            new = begun
        else:
            new = [frame]
        for chosen in ahead(new):
            yield look, chosen, size
    if look is None:
        if len(begun) < 2:
            return
        look = first = torch.stack(begun).mean(0)
        for chosen in ahead(begun):
            yield look, chosen, size
    if passing is not None:
        for chosen in passing.flush():
            yield look, chosen, size


def _contrasts(chunks: Iterable[Tensor]) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """For each frame its brightness (h, w) over its local contrast, on the small grid; the clip's size."""
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
        for frame in (centred / spread)[:, 0]:
            yield frame, (height, width)


class _Shifts:
    """Sums over time, on the small grid."""

    def __init__(self, reference: Tensor, size: tuple[int, int]) -> None:
        self._size = size
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
        self._moment = torch.zeros(reference.shape, dtype=torch.long)
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
        self._moment[larger] = number
        self._count += 1

    def result(self, region: Region | None) -> MotionMap:
        """End the clip."""
        # A Gaussian window averages this share of the variance of white noise.
        share = 1 / (4 * math.pi * _WINDOW**2)
        energy = self._energy[:2]
        # The frames were smoothed, so their noise is correlated: over so many px.
        correlated = 1 + 4 * math.pi * _SMOOTH**2
        noise = self._unexplained / self._count * share * correlated * energy / (energy + _DAMPING).square()
        mean = self._squares / self._count
        shift = (mean - noise).clamp_min(0).sqrt()
        shift[mean < noise * (1 + _BELIEVED * math.sqrt(2 / self._count))] = 0
        shift *= self._counted(region)
        ratio = max(self._size[0] / shift.shape[1], self._size[1] / shift.shape[2])
        return MotionMap(shift * ratio, self._moment, self._size)

    def _counted(self, region: Region | None) -> Tensor:
        """Return 1 where motion counts, 0 elsewhere: beyond the region, and at the frame's rim."""
        height, width = self._moment.shape
        left, top, right, bottom = 0, 0, width, height
        if region is not None:
            x, y, wide, tall = region
            across, down = width / self._size[1], height / self._size[0]
            left, right = int(x * across), math.ceil((x + wide) * across)
            top, bottom = int(y * down), math.ceil((y + tall) * down)
        rim = min(_RIM, (min(height, width) - 1) // 2)
        counted = torch.zeros(height, width)
        counted[max(top, rim) : min(bottom, height - rim), max(left, rim) : min(right, width - rim)] = 1
        return counted


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
