"""What a page shows of clips that run side by side: slices through a line, and crops of one moment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mm.video.slices import Slice

# Frames of a slice at most; of a longer clip it shows those around the moment, so that time is not thinned.
LONGEST = 1200
# px: a crop is this part of the frame's shorter side, and not below so many px where there are as many.
_CROP_PART, _CROP_LEAST = 0.3, 72


@dataclass(frozen=True)
class Place:
    """What is looked at, in px and frames of the clips.

    Attributes:
        row: of the x–t slice.
        column: of the y–t slice.
        point: (x, y), the middle of the crop.
        frame: the moment of the crop.
        focus: the x on the row and the y on the column where these move most.
    """

    row: int
    column: int
    point: tuple[int, int]
    frame: int
    focus: tuple[int, int]

    def crop(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the crop in a frame of ``size`` (height, width) px."""
        shorter = min(size)
        side = min(shorter, max(_CROP_LEAST, round(_CROP_PART * shorter)))
        left, top = (
            max(0, min(limit - side, middle - side // 2))
            for middle, limit in zip(self.point, (size[1], size[0]), strict=True)
        )
        return left, top, side, side


class Views:
    """Takes slices and crops of several clips as their frames go by; holds a line of each frame at most.

    Args:
        place: what to look at.
        count: how many clips.
        frames: of each, as far as is known; so that of a long one that moves most at its end the slices show
            as much as of others.
    """

    def __init__(self, place: Place, count: int, frames: int | None = None) -> None:
        self.place = place
        begin = place.frame - LONGEST // 2
        self._begin = max(0, begin if frames is None else min(begin, frames - LONGEST))
        self._rows: list[list[Tensor]] = [[] for _ in range(count)]
        self._columns: list[list[Tensor]] = [[] for _ in range(count)]
        self._times: list[float] = []
        self._seen = 0
        #: (3, H, W) uint8, the first clip at the moment
        self.still: Tensor | None = None
        #: (3, h, w) uint8, each clip's crop at the moment
        self.crops: list[Tensor] = []
        #: seconds from the first frame to the moment
        self.seconds = 0.0

    def __call__(self, first: int, clips: list[Tensor], times: tuple[float, ...]) -> None:
        """Take the frames (n, 3, H, W) of every clip, the first of which has the number ``first``."""
        self._seen = first + len(times)
        moment = self.place.frame - first
        if 0 <= moment < len(times):
            self.seconds = times[moment]
            self.still = _bytes(clips[0][moment])
            x, y, width, height = self.place.crop((clips[0].shape[-2], clips[0].shape[-1]))
            self.crops = [_bytes(frames[moment, :, y : y + height, x : x + width]) for frames in clips]
        kept = slice(max(0, self._begin - first), max(0, self._begin + LONGEST - first))
        if not len(times[kept]):
            return
        self._times.extend(times[kept])
        for frames, rows, columns in zip(clips, self._rows, self._columns, strict=True):
            rows.append(_bytes(frames[kept, :, self.place.row]))
            columns.append(_bytes(frames[kept, :, :, self.place.column]))

    @property
    def frames(self) -> int:
        """How many frames went by."""
        return self._seen

    @property
    def span(self) -> tuple[int, int] | None:
        """The numbers of the first and the last frame that the slices show; None if they show all."""
        shown = len(self._times)
        return None if shown == self._seen else (self._begin, self._begin + shown - 1)

    def slices(self, along: str) -> list[Slice]:
        """Return each clip's slice along "x" (the row) or "y" (the column)."""
        lines, position = (self._rows, self.place.row) if along == "x" else (self._columns, self.place.column)
        times = torch.tensor(self._times, dtype=torch.float64)
        return [Slice(torch.cat(each).float().div_(255), times, along, position) for each in lines]


def _bytes(pixels: Tensor) -> Tensor:
    return pixels.mul(255).round_().clamp_(0, 255).to(torch.uint8)
