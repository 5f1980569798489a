"""A clip's properties, its frames in chunks, and the part of it that is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mm.errors import InputError
from mm.video.colour import Colour


@dataclass(frozen=True)
class ClipInfo:
    """A clip's properties.

    Attributes:
        path: the file or folder.
        width: columns of the frames that are handed out, so after rotation.
        height: rows of the same.
        rate: frames per second of *playback*, as the container has it (its average where it varies). A
            high-speed clip was captured faster; the container does not know.
        time_base: seconds of one tick of the frames' timestamps.
        frames: how many frames the whole clip has, if the container says or lets guess; None otherwise.
        duration: playback seconds of the whole clip, if known.
        pixel_format: the pixel format's name, as FFmpeg has it.
        bit_depth: bits of a sample.
        colour: matrix, range, primaries and transfer.
        grey: True if the clip has no colour.
        rotation: degrees by which the stored frames are turned clockwise to stand upright; already done in
            what is handed out.
        sample_aspect: width of a pixel over its height.
        codec: the video codec's name.
        companions: names of the audio and subtitle streams' codecs.
        is_folder: True for images, which have no times.
        field_order: of interlaced frames "tff" or "bff" (top or bottom field first); "" of progressive ones.
        tags: title, artist and the like.
        left_out: what the clip holds that no output keeps, in words.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    frames: int | None
    duration: float | None
    pixel_format: str
    bit_depth: int
    colour: Colour
    grey: bool = False
    rotation: int = 0
    sample_aspect: Fraction = Fraction(1)
    codec: str = ""
    companions: tuple[str, ...] = ()
    is_folder: bool = False
    field_order: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


class Chunk(NamedTuple):
    """Consecutive frames and when they are shown.

    Attributes:
        frames: (n, 3, H, W) float32 R'G'B' in [0, 1].
        pts: ``n`` strictly increasing timestamps, in ticks of the clip's ``time_base``.
    """

    frames: Tensor
    pts: tuple[int, ...]


def checked_span(start: float | None, end: float | None) -> tuple[float, float | None]:
    """Return where a part of a clip begins and ends, in seconds; it ends with the clip if None.

    Raises:
        InputError: for times that are no numbers of at least 0, or an end that does not come after the start.
    """
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a time of at least 0 s, got {value:g} s")
    begin = 0.0 if start is None else start
    if end is not None and begin >= end:
        raise InputError(f"start must come before end, got start {begin:g} s and end {end:g} s")
    return begin, end
