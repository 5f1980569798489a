"""Clips of one length and size, read in step and shown side by side in one video, each under its label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.video.grid import resize, scaled_size
from mm.video.reader import open_clip
from mm.video.writer import VideoWriter

INPUT = "input"
Watch = Callable[[int, list[Tensor], tuple[float, ...]], None]
# px: a narrower panel is enlarged by a whole number; a picture beyond these sides, which decoders in hardware
# refuse, is reduced.
_NARROWEST, _WIDEST, _TALLEST = 320, 3840, 2160
_GAP, _BARS = 4, (20, 40)
_CRF, _CHUNK = 18, 4
_GROUND, _INK = (24, 26, 29), (245, 245, 245)


@dataclass(frozen=True)
class Grid:
    """Places of panels in a picture of about 16:9.

    Attributes:
        rows, columns: of panels.
        panel: (height, width) px of a clip as it is shown.
        bar: px of the label above it.
    """

    rows: int
    columns: int
    panel: tuple[int, int]
    bar: int

    @classmethod
    def of(cls, count: int, size: tuple[int, int]) -> Grid:
        """Return the grid for ``count`` panels of ``size`` (height, width) px, with few empty places."""
        height, width = size

        def cost(columns: int) -> float:
            rows = math.ceil(count / columns)
            shape = columns * width / (rows * height)
            return abs(math.log(shape * 9 / 16)) + 0.7 * (rows * columns - count)

        columns = min(range(1, count + 1), key=cost)
        rows = math.ceil(count / columns)
        largest = min((_WIDEST / columns - _GAP) / width, (_TALLEST / rows - _GAP - _BARS[1]) / height)
        zoom = min(math.ceil(_NARROWEST / width), largest)
        zoom = math.floor(zoom) if zoom > 1 else zoom
        panel = max(2, round(height * zoom)), max(2, round(width * zoom))
        return cls(rows, columns, panel, min(_BARS[1], max(_BARS[0], panel[1] // 12)))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px of the whole picture, even."""
        height = self.rows * (self.bar + self.panel[0] + _GAP) - _GAP
        width = self.columns * (self.panel[1] + _GAP) - _GAP
        return height + height % 2, width + width % 2

    def place(self, number: int) -> tuple[int, int]:
        """Return (y, x) of the upper left corner of a panel's clip; its label lies above."""
        row, column = divmod(number, self.columns)
        return row * (self.bar + self.panel[0] + _GAP) + self.bar, column * (self.panel[1] + _GAP)


def compose(
    source: Path,
    others: Mapping[str, Path],
    target: Path,
    *,
    scale: float = 1.0,
    start: float | None = None,
    end: float | None = None,
    folder_rate: float | None = None,
    watch: Watch | None = None,
) -> Grid:
    """Write a video in which a clip and what was made of it run side by side, a few frames at a time.

    Args:
        source: the clip, which gives the times and, with ``scale``, the size of all.
        others: clips by label. Rows and columns that H.264 has repeated to make a size even are cut off.
        target: the video, 8 bit.
        scale, start, end, folder_rate: as the others were made from ``source``.
        watch: called with the number of the first frame, the frames (n, 3, H, W) of every clip, float32 in
            [0, 1], and their times in seconds from the first.

    Raises:
        InputError: if a clip cannot be read or has another number of frames than ``source``, or ``target``
            cannot be written.
    """
    with open_clip(source, start=start, end=end, folder_rate=folder_rate) as clip, ExitStack() as stack:
        info, (height, width) = clip.info, scaled_size(clip.info, scale)
        readers = [stack.enter_context(closing(open_clip(path))).chunks(_CHUNK) for path in others.values()]
        grid = Grid.of(1 + len(others), (height, width))
        like: dict[str, Any] = {
            name: getattr(info, name) for name in ("rate", "time_base", "colour", "sample_aspect")
        }
        writer = stack.enter_context(VideoWriter(target, grid.size, crf=_CRF, **like))
        ground, first, begun = _labels(grid, [INPUT, *others]), 0, None
        for frames, pts in clip.chunks(_CHUNK):
            begun = pts[0] if begun is None else begun
            shown = [resize(frames, (height, width))]
            for path, reader in zip(others.values(), readers, strict=True):
                chunk = next(reader, None)
                if chunk is None or len(chunk.frames) != len(frames):
                    raise InputError(f"{path} must have as many frames as {source}; magnify it again")
                shown.append(chunk.frames[:, :, :height, :width])
            if watch is not None:
                watch(first, shown, tuple(float((tick - begun) * info.time_base) for tick in pts))
            first += len(pts)
            picture = ground.repeat(len(pts), 1, 1, 1)
            for number, part in enumerate(shown):
                y, x = grid.place(number)
                picture[:, :, y : y + grid.panel[0], x : x + grid.panel[1]] = _fitted(part, grid.panel)
            writer.write(picture, pts)
    return grid


def _fitted(frames: Tensor, size: tuple[int, int]) -> Tensor:
    # Enlarged by a whole number, pixels stay sharp.
    return F.interpolate(frames, size) if frames.shape[-2] < size[0] else resize(frames, size)


def _labels(grid: Grid, texts: Sequence[str]) -> Tensor:
    """Return the picture (1, 3, H, W) without the clips."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", grid.size[::-1], _GROUND)
    # Of matplotlib, so that labels look alike on every system.
    path, room = findfont("DejaVu Sans"), grid.panel[1] - grid.bar // 2
    for number, text in enumerate(texts):
        font = ImageFont.truetype(path, round(0.6 * grid.bar))
        while font.getlength(text) > room and font.size > 9:
            font = ImageFont.truetype(path, font.size - 1)
        while font.getlength(text) > room and len(text) > 1:
            text = text[:-2] + "…"
        y, x = grid.place(number)
        middle = x + grid.bar // 4, y - grid.bar // 2
        ImageDraw.Draw(picture).text(middle, text, fill=_INK, font=font, anchor="lm")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)[None]
