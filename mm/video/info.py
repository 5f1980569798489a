"""What is known of a clip before its frames are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

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
        audio: names of the audio streams' codecs.
        is_folder: True for a folder of images.
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
    audio: tuple[str, ...] = ()
    is_folder: bool = False
