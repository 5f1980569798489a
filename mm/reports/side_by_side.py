"""Clips of one length and size side by side in one video, each under its label."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.magnify.framing import Framing
from mm.video.reader import Clip, open_clip
from mm.video.writer import VideoWriter

# The whole picture is made to have about this shape.
_ASPECT = 16 / 9
# px: a panel below this width is enlarged by a whole number; a picture larger than this, which decoders in
# hardware do not take, is reduced.
_NARROWEST, _WIDEST, _TALLEST = 320, 3840, 2304
# Quality of H.264: the picture is looked at, and put into a page; the methods' own clips are finer.
_CRF = 18
_GROUND, _BAR, _NAME, _MORE = (14, 15, 17), (32, 34, 38), (245, 245, 245), (172, 176, 184)
# Height of the label's letters: this part of the panel's width, within these bounds, px.
_LETTERS, _SMALLEST, _LARGEST = 1 / 18, 12, 40
_CHUNK = 4

Watch = Callable[[int, list[Tensor], tuple[float, ...]], None]


@dataclass(frozen=True)
class Panel:
    """One clip of several.

    Attributes:
        name: written in bold above it.
        more: written behind the name, such as the factor.
        path: the clip; None for the input itself.
    """

    name: str
    more: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class Grid:
    """Where panels lie.

    Attributes:
        rows, columns: of panels.
        panel: (height, width) px of a picture as it is shown.
        bar: px of the label above it.
        gap: px between panels.
    """

    rows: int
    columns: int
    panel: tuple[int, int]
    bar: int
    gap: int

    @classmethod
    def of(cls, count: int, size: tuple[int, int]) -> Grid:
        """Plan for ``count`` panels of ``size`` (height, width) px.

        The rows and columns are those with the fewest empty places for a picture that is not far from 16:9.
        """
        height, width = size

        def cost(columns: int) -> float:
            rows = math.ceil(count / columns)
            aspect = columns * width / (rows * height * 1.06)
            return abs(math.log(aspect / _ASPECT)) + 0.7 * (rows * columns - count)

        columns = min(range(1, count + 1), key=cost)
        rows = math.ceil(count / columns)
        # With what gaps and labels take at most.
        most = min(_WIDEST / (1.02 * width * columns), _TALLEST / ((1.02 * height + 0.12 * width) * rows))
        zoom: float = max(1, math.ceil(_NARROWEST / width))
        if zoom > most:
            zoom = math.floor(most) if most > 1 else most
        panel = max(2, round(height * zoom)), max(2, round(width * zoom))
        return cls(rows, columns, panel, round(1.8 * _letters(panel[1])), max(2, panel[1] // 100))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px of the whole picture, even."""
        height = self.rows * (self.bar + self.panel[0]) + (self.rows - 1) * self.gap
        width = self.columns * self.panel[1] + (self.columns - 1) * self.gap
        return height + height % 2, width + width % 2

    def place(self, number: int) -> tuple[int, int]:
        """(y, x) of the upper left corner of a panel's label; its picture begins ``bar`` px lower."""
        row, column = divmod(number, self.columns)
        return row * (self.bar + self.panel[0] + self.gap), column * (self.panel[1] + self.gap)


def compose(
    source: Path,
    panels: Sequence[Panel],
    target: Path,
    *,
    scale: float = 1.0,
    start: float | None = None,
    end: float | None = None,
    folder_rate: float | None = None,
    watch: Watch | None = None,
) -> Grid:
    """Write a video in which clips run side by side, reading them in step, a few frames at a time.

    Args:
        source: the clip that the others are made from; it gives the size and the times.
        panels: what is shown, row by row. Frames with a repeated last row or column, as H.264 needs, are cut
            to the size of ``source``.
        target: the video, 8 bit: what browsers show.
        scale: resize the frames of ``source``, as the other clips have been.
        start: seconds of playback of ``source`` at which the others begin.
        end: seconds of playback of ``source`` before which they stop.
        folder_rate: frames a second, if ``source`` is a folder.
        watch: called for every few frames with the number of the first, the frames (n, 3, H, W) of every
            panel, float32 in [0, 1] at the size of the clips, and their times in seconds from the first.

    Raises:
        InputError: if a clip cannot be read or has fewer frames than ``source``, or ``target`` cannot be
            written.
    """
    with open_clip(source, start=start, end=end, folder_rate=folder_rate) as clip, ExitStack() as stack:
        framing = Framing.of(clip.info, scale, None, False)
        others: dict[Path, Clip] = {}
        for panel in panels:
            if panel.path is not None:
                others[panel.path] = open_clip(panel.path)
                stack.callback(others[panel.path].close)
        grid = Grid.of(len(panels), framing.size)
        writer = stack.enter_context(
            VideoWriter(
                target,
                grid.size,
                rate=clip.info.rate,
                time_base=clip.info.time_base,
                colour=clip.info.colour,
                crf=_CRF,
                sample_aspect=clip.info.sample_aspect,
            )
        )
        ground = _labelled(grid, panels)
        first, begun = 0, None
        for inputs, pts, outputs in _in_step(clip, others, framing):
            shown = [inputs if panel.path is None else outputs[panel.path] for panel in panels]
            if watch is not None:
                begun = pts[0] if begun is None else begun
                watch(first, shown, tuple(float((tick - begun) * clip.info.time_base) for tick in pts))
            first += len(pts)
            picture = ground.expand(len(pts), -1, -1, -1).clone()
            for number, frames in enumerate(shown):
                y, x = grid.place(number)
                y += grid.bar
                picture[:, :, y : y + grid.panel[0], x : x + grid.panel[1]] = _resized(frames, grid.panel)
            writer.write(picture, pts)
    return grid


def _in_step(
    clip: Clip, others: dict[Path, Clip], framing: Framing
) -> Iterator[tuple[Tensor, tuple[int, ...], dict[Path, Tensor]]]:
    height, width = framing.size
    readers = {path: other.chunks(_CHUNK) for path, other in others.items()}
    for frames, pts in clip.chunks(_CHUNK):
        outputs = {}
        for path, reader in readers.items():
            chunk = next(reader, None)
            if chunk is None or len(chunk.frames) != len(frames):
                raise InputError(
                    f"{path} has another number of frames than {clip.info.path}; they cannot run side by side"
                )
            outputs[path] = chunk.frames[:, :, :height, :width]
        yield framing.resize(frames), pts, outputs


def _resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    if frames.shape[-2:] == size:
        return frames
    if frames.shape[-2] <= size[0]:
        # Enlarged by a whole number: pixels are shown as they are.
        return F.interpolate(frames, size, mode="nearest")
    return F.interpolate(frames, size, mode="bicubic", antialias=True).clamp_(0, 1)


# --- labels -----------------------------------------------------------------------------------------------


def _letters(width: int) -> int:
    return round(min(_LARGEST, max(_SMALLEST, _LETTERS * width)))


def _labelled(grid: Grid, panels: Sequence[Panel]) -> Tensor:
    """The picture (1, 3, H, W) without the clips: the labels on their bars."""
    from PIL import Image

    height, width = grid.size
    picture = Image.new("RGB", (width, height), _GROUND)
    for number, panel in enumerate(panels):
        y, x = grid.place(number)
        picture.paste(draw_label(panel.name, panel.more, grid.panel[1], grid.bar), (x, y))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return pixels.float().div(255)[None]


def draw_label(name: str, more: str, width: int, height: int) -> Any:
    """Draw a label as a PIL image of this size in px: the name bold, what is behind it lighter.

    Letters are made smaller where the text is wider than the label, down to a size that can still be read;
    what does not fit then is cut, with an ellipsis, what is behind the name first.
    """
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), _BAR)
    pen = ImageDraw.Draw(image)
    letters = min(_letters(width), round(height / 1.5))
    edge = max(4, letters // 2)
    room = width - 2 * edge

    def lengths(size: int) -> tuple[float, float]:
        before = pen.textlength(name, _font(True, size))
        return before, pen.textlength("  " + more, _font(False, size)) if more else 0.0

    while letters > 9 and sum(lengths(letters)) > room:
        letters -= 1
    bold, light = _font(True, letters), _font(False, letters)
    name = _cut(name, lambda text: pen.textlength(text, bold), room)
    before = pen.textlength(name, bold)
    behind = _cut("  " + more, lambda text: pen.textlength(text, light), room - before) if more else ""
    # The same line for every label, whichever letters have descenders.
    base = height // 2 + round(0.36 * letters)
    pen.text((edge, base), name, fill=_NAME, font=bold, anchor="ls")
    pen.text((edge + before, base), behind, fill=_MORE, font=light, anchor="ls")
    return image


def _cut(text: str, length: Callable[[str], float], room: float) -> str:
    if length(text) <= room:
        return text
    kept = text
    while kept and length(kept.rstrip() + "…") > room:
        kept = kept[:-1]
    return kept.rstrip() + "…" if kept.strip() else ""


@functools.cache
def _font(bold: bool, size: int) -> Any:
    """DejaVu Sans, which matplotlib brings with it, so that labels look alike on every system."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
