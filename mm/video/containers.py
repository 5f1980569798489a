"""Containers that clips are written to: their encoders, their clocks, and the streams that they hold."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from mm.errors import InputError


@dataclass(frozen=True)
class Container:
    """A kind of video file.

    Attributes:
        muxer: FFmpeg's name.
        codec: the encoder for ordinary output.
        fastest: frames a second that its clock tells apart, or that players show; None for any.
        numbers_frames: True if it keeps the frames' numbers instead of their times.
    """

    muxer: str
    codec: str = "libx264"
    fastest: int | None = None
    numbers_frames: bool = False


# Matroska's ticks are 1 ms. Browsers take a GIF's delay of less than two of its ticks (1/100 s) for ten.
CONTAINERS = {
    ".mp4": Container("mp4"),
    ".m4v": Container("mp4"),
    ".mov": Container("mov"),
    ".mkv": Container("matroska", fastest=1000),
    ".webm": Container("webm", "libvpx-vp9", fastest=1000),
    ".avi": Container("avi", numbers_frames=True),
    ".gif": Container("gif", "gif", fastest=50),
}
X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
)  # fmt: skip


def container_of(path: Path, lossless: bool) -> Container:
    """Return the container that a file's suffix names.

    Raises:
        InputError: for a suffix of no container, or of one that does not hold FFV1 if ``lossless``.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise InputError(
            f"cannot write {path}: the suffix {suffix!r} is none of {', '.join(CONTAINERS)} "
            "(a name without a suffix is a folder of PNG images)"
        )
    if lossless and suffix != ".mkv":
        raise InputError(f"cannot write {path} losslessly: {suffix} does not hold FFV1; name the output .mkv")
    return CONTAINERS[suffix]


def encoder_options(
    container: Container, codec: str, crf: float, preset: str, field_order: str
) -> dict[str, str]:
    """Return FFmpeg's options for an encoder.

    Args:
        container: the file's kind.
        codec: FFmpeg's name of the encoder.
        crf: H.264's constant rate factor; VP9's, of 63 steps in place of 51, follows it.
        preset: x264's speed.
        field_order: "tff" or "bff" of interlaced frames, or "".
    """
    if codec == "ffv1":
        return {"level": "3", "slicecrc": "1"}
    if codec == "libvpx-vp9":
        return {"crf": f"{crf * 63 / 51:.0f}", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
    if codec == "gif":
        return {}
    options = {"crf": f"{crf:g}", "preset": preset}
    if container.numbers_frames:
        options["bf"] = "0"  # Frames are shown in the order in which they are stored.
    if field_order:
        options["x264-params"] = f"{field_order}=1"
    return options


def holds(container: Container, stream: Any) -> bool:
    """True if a container takes a stream as it is: FFmpeg's tables promise more than its muxers keep."""
    try:
        with av.open(io.BytesIO(), "w", format=container.muxer) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


class Palette:
    """A few colours for each frame, as GIF has them: by FFmpeg's own filters, dithered by a fixed pattern.

    Args:
        width: px.
        height: px.
    """

    def __init__(self, width: int, height: int) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("bgr0"), time_base=Fraction(1, 1000)
        )
        split, made, used, sink = (
            graph.add(name, options)
            for name, options in (
                ("split", None),
                ("palettegen", "stats_mode=single"),
                ("paletteuse", "new=1:dither=bayer:bayer_scale=5"),
                ("buffersink", None),
            )
        )
        source.link_to(split)
        split.link_to(used, 0, 0)
        split.link_to(made, 1, 0)
        made.link_to(used, 0, 1)
        used.link_to(sink)
        graph.configure()
        self._graph = graph

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a "bgr0" frame as a "pal8" one, at its time."""
        self._graph.push(frame)
        drawn: Any = self._graph.pull()
        drawn.pts, drawn.time_base = frame.pts, frame.time_base
        made: av.VideoFrame = drawn
        return made
