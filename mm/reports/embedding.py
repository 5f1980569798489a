"""A copy of a clip small enough to be put into a page: fewer pixels, coarser, at last fewer frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch.nn.functional as F

from mm.video.reader import open_clip
from mm.video.writer import VideoWriter

# Bytes of a video up to which it is put into a page as it is.
EMBEDDED = 16 * 2**20
# H.264's quality of a reduced copy. Against the comparison's own it takes about a third of the bytes.
_CRF, _SHARE = 28.0, 1 / 3
# px: the shorter side goes no lower; below, frames are left out instead.
_LEAST = 120
# What is aimed at after a copy was too large: below the limit, since bytes fall less than the area does.
_AIM = 0.8


@dataclass(frozen=True)
class Embedded:
    """A video to put into a page.

    Attributes:
        data: the file's bytes.
        size: (height, width), px.
        every: of so many frames one is kept; 1 for all.
        reduced: whether it is less than the file that it was made from.
    """

    data: bytes
    size: tuple[int, int]
    every: int = 1
    reduced: bool = False

    @property
    def says(self) -> str:
        """What was done to it, for a reader; "" if nothing."""
        if not self.reduced:
            return ""
        text = f"reduced to {self.size[1]}×{self.size[0]} px and compressed more"
        return text + (f", with one frame of every {self.every}" if self.every > 1 else "")


def embeddable(path: Path, limit: int = EMBEDDED) -> Embedded:
    """Return a video as it is, or a copy that takes at most ``limit`` bytes.

    The copy is coarser, and made smaller until it fits: first its frames, then their number, down to one. It
    is read and written a few frames at a time.

    Args:
        path: an MP4 file.
        limit: bytes.

    Raises:
        InputError: if the video cannot be read.
        OSError: likewise.
    """
    with open_clip(path) as clip:
        whole = clip.info.height, clip.info.width
    taken = path.stat().st_size
    if taken <= limit:
        return Embedded(path.read_bytes(), whole)
    area, every = min(1.0, limit / (taken * _SHARE)), 1
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        while True:
            size = _even(whole, max(math.sqrt(area), min(1.0, _LEAST / min(whole))))
            frames = _encode(path, copy, size, every)
            taken = copy.stat().st_size
            if taken <= limit or every >= frames:
                return Embedded(copy.read_bytes(), size, every, reduced=True)
            if min(size) > _LEAST:
                area = size[0] * size[1] / (whole[0] * whole[1]) * _AIM * limit / taken
            else:
                every *= 2


def _even(size: tuple[int, int], ratio: float) -> tuple[int, int]:
    """The size as H.264 takes it."""
    height, width = (max(2, 2 * round(side * ratio / 2)) for side in size)
    return height, width


def _encode(source: Path, target: Path, size: tuple[int, int], every: int) -> int:
    """Write the copy and return the number of the source's frames."""
    with (
        open_clip(source) as clip,
        VideoWriter(
            target,
            size,
            rate=clip.info.rate / every,
            time_base=Fraction(clip.info.time_base),
            colour=clip.info.colour,
            crf=_CRF,
            sample_aspect=clip.info.sample_aspect,
        ) as writer,
    ):
        seen = 0
        for frames, pts in clip.chunks():
            kept = slice(-seen % every, None, every)
            seen += len(pts)
            if pts[kept]:
                small = F.interpolate(frames[kept], size, mode="bicubic", antialias=True).clamp_(0, 1)
                writer.write(small, pts[kept])
    return seen
