"""Where and when a clip moves most, found from the clip itself: the line to slice and the moment to look at.

Each shot is measured by itself (:mod:`mm.motion.local_shift`): what changes at a cut is no motion. The
mean squares of all shots are then put together, and the moment at a place is that of the shot which moves
most there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.cuts import CutDetector, at_cuts
from mm.methods.stream import Mode
from mm.motion.local_shift import ShotShift, measure_shot
from mm.temporal import Band
from mm.video.grid import Region

# px of the small frames at the rim, where the windows of the measurement are cut.
_RIM = 3


class TooShortError(InputError):
    """No part of a clip is long enough for its motion to be measured.

    Attributes:
        blank: the clip's map with no motion in it, for who can go on without; its moment is the middle.
    """

    def __init__(self, message: str, blank: MotionMap) -> None:
        super().__init__(message)
        self.blank = blank


@dataclass(frozen=True)
class MotionMap:
    """How much of a clip's motion is seen at each place, and when.

    Attributes:
        shift: (2, h, w) px of the clip's frames: RMS over time of the shift that a row (0) and a column (1)
            through this place shows; 0 where it cannot be told from noise.
        moment: (h, w) long: the number of the frame in which a place is shifted most.
        size: (height, width) of the clip's frames, px; the map may be smaller.
        frames: of the clip.
        cuts: the numbers of the frames, from 0, that begin a new shot.
    """

    shift: Tensor
    moment: Tensor
    size: tuple[int, int]
    frames: int
    cuts: tuple[int, ...] = ()

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
    cuts: bool = True,
) -> MotionMap:
    """Find where and when a clip moves most. A constant number of frames is held.

    Args:
        chunks: the clip's frames in order, (n, 3, H, W) float32 in [0, 1] each.
        mode: what motion is measured against: "static" (the beginning), "dynamic" (the frame before) or
            "temporal" (what lies in ``band``).
        band: the frequencies that count; of "temporal" only.
        region: (x, y, width, height) in px outside which motion does not count.
        cuts: look for cuts, and measure each shot by itself; False takes the whole clip for one shot.

    Raises:
        TooShortError: if no shot has 2 frames, or as many as the band needs.
        InputError: if temporal mode has no band.
    """
    if mode == "temporal" and band is None:
        raise InputError("temporal mode needs a band of frequencies; give --low and --high in Hz")
    total = _Total()
    for _, group in groupby(_numbered(chunks, cuts), key=lambda part: part[0]):
        total.add(measure_shot((frames for _, frames in group), mode, band))
    return total.result(band if mode == "temporal" else None, region)


def _numbered(chunks: Iterable[Tensor], cuts: bool) -> Iterator[tuple[int, Tensor]]:
    """The frames with the number of their shot."""
    if not cuts:
        for chunk in chunks:
            yield 0, chunk
        return
    shot = 0
    for frames, _, begins in at_cuts(((chunk, (0,) * len(chunk)) for chunk in chunks), CutDetector()):
        shot += begins
        yield shot, frames


class _Total:
    """Puts the shots of a clip together."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._frames = self._measured = 0
        self._longest = 0
        self._needed = 2
        self._sum: Tensor | None = None
        self._most, self._moment = torch.zeros(0), torch.zeros(0)
        self._size = (0, 0)

    def add(self, shot: ShotShift) -> None:
        """Take the next shot."""
        self._needed, self._longest = shot.needed, max(self._longest, shot.frames)
        self._size = shot.size
        if shot.square is not None:
            square, moment = shot.square, shot.moment + self._frames
            if self._sum is None:
                self._sum = torch.zeros_like(square)
                self._most, self._moment = square.sum(0), moment
            self._sum += square * shot.frames
            more = square.sum(0) > self._most
            self._most = torch.where(more, square.sum(0), self._most)
            self._moment = torch.where(more, moment, self._moment)
            self._measured += shot.frames
        self._starts.append(self._frames)
        self._frames += shot.frames

    def result(self, band: Band | None, region: Region | None) -> MotionMap:
        """End the clip."""
        cuts = tuple(self._starts[1:])
        if self._sum is None:
            moment = torch.full((1, 1), self._frames // 2)
            blank = MotionMap(torch.zeros(2, 1, 1), moment, self._size, self._frames, cuts)
            raise TooShortError(self._too_short(band, len(cuts)), blank)
        shift = (self._sum / self._measured).sqrt() * _counted(self._moment, self._size, region)
        ratio = max(self._size[0] / shift.shape[1], self._size[1] / shift.shape[2])
        return MotionMap(shift * ratio, self._moment, self._size, self._frames, cuts)

    def _too_short(self, band: Band | None, cuts: int) -> str:
        if cuts:
            return (
                f"the clip has {cuts} cut{'s' * (cuts > 1)}, and the longest part between them has "
                f"{self._longest} frames, but at least {self._needed} are needed; give a longer clip, raise "
                "--low if there is a band, or go on across the cuts with --ignore-cuts"
            )
        if band is not None and self._longest >= 2:
            try:
                band.check_length(self._longest, self._needed)
            except InputError as error:
                return str(error)
        return "the clip has fewer than 2 frames, and motion needs at least 2; give a longer clip"


def _counted(like: Tensor, size: tuple[int, int], region: Region | None) -> Tensor:
    """Return 1 where motion counts, 0 elsewhere: beyond the region, and at the frame's rim."""
    height, width = like.shape
    left, top, right, bottom = 0, 0, width, height
    if region is not None:
        x, y, wide, tall = region
        across, down = width / size[1], height / size[0]
        left, right = int(x * across), math.ceil((x + wide) * across)
        top, bottom = int(y * down), math.ceil((y + tall) * down)
    rim = min(_RIM, (min(height, width) - 1) // 2)
    counted = torch.zeros(height, width)
    counted[max(top, rim) : min(bottom, height - rim), max(left, rim) : min(right, width - rim)] = 1
    return counted
