"""A comparison as one HTML page: slices through a line, crops of one moment, the video, the parameters."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from mm.reports.motion_line import Place
from mm.video.grid import resize
from mm.video.slices import Slice

#: bytes of a video up to which it is put into the page; a larger one is played from the file beside it
EMBEDDED = 16 * 2**20
#: frames of a slice at most; of a longer clip those around the moment, so that time is not thinned
LONGEST = 1200
# px: longest side of the still picture, and the part of a line that a slice on the page shows.
_STILL, _LINE = 720, 128
# px: a crop is this part of the frame's shorter side, and at least so many px where there are as many.
_CROP_PART, _CROP_LEAST = 0.3, 72


class Views:
    """Pictures of several clips, taken as their frames go by; a line of each frame is held at most.

    Args:
        place: where and when, in px and frames of the clips.
        size: (height, width) px of the clips.
        frames: of each clip.

    Attributes:
        crop: (x, y, width, height) px round the place's point.
        still: (3, H, W) uint8, the first clip at the moment.
        crops: (3, h, w) uint8, each clip's at the moment.
        seconds: from the first frame to the moment.
        kept: the numbers of the frames that slices show.
    """

    def __init__(self, place: Place, size: tuple[int, int], frames: int) -> None:
        self.place = place
        side = min(*size, max(_CROP_LEAST, round(_CROP_PART * min(size))))
        left, top = (
            max(0, min(limit - side, middle - side // 2))
            for middle, limit in zip(place.point, size[::-1], strict=True)
        )
        self.crop = left, top, side, side
        self.still, self.crops, self.seconds = torch.zeros(3, *size, dtype=torch.uint8), list[Tensor](), 0.0
        begin = max(0, min(place.frame - LONGEST // 2, frames - LONGEST))
        self.kept = range(begin, min(frames, begin + LONGEST))
        self.span = "" if len(self.kept) == frames else f"frames {begin} to {self.kept[-1]} of {frames}"
        self._rows: list[list[Tensor]] = []
        self._columns: list[list[Tensor]] = []
        self._times: list[float] = []

    def __call__(self, first: int, clips: list[Tensor], times: tuple[float, ...]) -> None:
        """Take the frames (n, 3, H, W) of every clip, the first of which has the number ``first``."""
        for number, seconds in enumerate(times, first):
            frames = [clip[number - first].mul(255).round().byte() for clip in clips]
            if number == self.place.frame:
                x, y, width, height = self.crop
                self.still, self.seconds = frames[0], seconds
                self.crops = [frame[:, y : y + height, x : x + width] for frame in frames]
            if number in self.kept:
                self._times.append(seconds)
                self._rows.append([frame[:, self.place.row].clone() for frame in frames])
                self._columns.append([frame[:, :, self.place.column].clone() for frame in frames])

    def slices(self, along: str, pace: float = 1.0) -> list[Slice]:
        """Return each clip's slice along "x" (the row) or "y" (the column), its seconds times ``pace``."""
        position, lines = (self.place.row, self._rows) if along == "x" else (self.place.column, self._columns)
        times = pace * torch.tensor(self._times, dtype=torch.float64)
        return [
            Slice(torch.stack(each) / 255, times, along, position).evenly()
            for each in zip(*lines, strict=True)
        ]


def render(video: Path, labels: Sequence[str], views: Views, **texts: Any) -> str:
    """Return the page as HTML; every text is plain, and escaped here.

    Args:
        video: the side-by-side clip, in the page's folder.
        labels: of the clips.
        views: of the clips.
        texts: what else ``page.html`` names.
    """
    # Imported here: most commands make no page.
    from jinja2 import Environment, StrictUndefined

    text = files("mm.reports").joinpath("page.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    inside = video.stat().st_size <= EMBEDDED
    height, width = views.still.shape[1:]
    ratio = min(1.0, _STILL / max(height, width))
    still = resize(views.still[None] / 255, (max(1, round(height * ratio)), max(1, round(width * ratio))))[0]
    slices = [(views.slices(axis), focus) for axis, focus in zip("xy", views.place.point, strict=True)]
    return page.from_string(text).render(
        video=_uri(video.read_bytes(), "video/mp4") if inside else video.name,
        inside=inside,
        labels=labels,
        views=views,
        size=(width, height),
        still=_png(still),
        crops=[_png(crop / 255) for crop in views.crops],
        slices=[_slices(each, focus) for each, focus in slices],
        **texts,
    )


def _slices(slices: Sequence[Slice], focus: int) -> dict[str, Any]:
    """Return pictures with time to the right, and the part of the line that they show."""
    first = slices[0]
    length = first.lines.shape[2]
    begin = max(0, min(length - _LINE, focus - _LINE // 2))
    end = min(length, begin + _LINE)
    return {
        "first": first,
        "part": f"{begin} to {end - 1} px" + ("" if end - begin < length else ", all of it"),
        "tall": max(140, min(320, 3 * (end - begin))),
        "pictures": [_png(each.lines[:, :, begin:end].permute(1, 2, 0)) for each in slices],
    }


def _png(pixels: Tensor) -> str:
    """Return (3, H, W) RGB in [0, 1] as a data URI of a PNG."""
    array = pixels.mul(255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    return _uri(cv2.imencode(".png", array)[1].tobytes(), "image/png")


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
