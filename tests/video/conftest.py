"""Tiny clips, written with PyAV itself rather than with the code under test."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

WriteClip = Callable[..., Path]


def _fill(frame: av.VideoFrame, planes: Sequence[np.ndarray]) -> None:
    for index, values in enumerate(planes):
        plane: Any = frame.planes[index]
        rows = np.frombuffer(plane, values.dtype).reshape(-1, plane.line_size // values.dtype.itemsize)
        rows[: values.shape[0], : values.shape[1]] = values


@pytest.fixture
def write_raw(tmp_path: Path) -> WriteClip:
    """A function that writes frames given as lists of planes of codes."""

    def write(
        frames: Sequence[Sequence[np.ndarray]],
        name: str = "clip.mp4",
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        options: dict[str, str] | None = None,
        pts: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 30),
        rate: Fraction = Fraction(30),
        colorspace: int = 2,
        color_range: int = 0,
        container_options: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> Path:
        height, width = frames[0][0].shape if frames else (32, 32)
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}, **kwargs) as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            stream.codec_context.time_base = time_base
            stream.codec_context.colorspace = colorspace
            stream.codec_context.color_range = color_range
            container.start_encoding()
            for number, planes in enumerate(frames):
                frame = av.VideoFrame(width, height, pixel_format)
                _fill(frame, planes)
                frame.colorspace, frame.color_range = colorspace, color_range
                frame.pts = number if pts is None else pts[number]
                frame.time_base = time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def grey_steps() -> Callable[..., list[list[np.ndarray]]]:
    """A function that gives 4:2:0 frames of even brightness, frame ``i`` of luma code 20 + 5·i."""

    def make(count: int, height: int = 32, width: int = 48) -> list[list[np.ndarray]]:
        half = ((height + 1) // 2, (width + 1) // 2)
        neutral = np.full(half, 128, np.uint8)
        return [
            [np.full((height, width), 20 + 5 * (i % 43), np.uint8), neutral, neutral] for i in range(count)
        ]

    return make


@pytest.fixture
def set_display_matrix() -> Callable[[Path, tuple[int, int, int, int]], None]:
    """A function that writes (a, b, c, d) into an .mp4's track header, as a phone's camera does."""

    def patch(path: Path, matrix: tuple[int, int, int, int]) -> None:
        data = bytearray(path.read_bytes())
        at = (
            data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
        )  # version and flags; times, track, length; reserved; layers
        a, b, c, d = (value << 16 for value in matrix)
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)

    return patch


@pytest.fixture
def sound_clip(tmp_path: Path, grey_steps: Callable[..., list[list[np.ndarray]]]) -> Path:
    """A 2 s clip at 25 frames per second with AAC audio that is silent but for a click from 1.0 to 1.1 s."""
    path = tmp_path / "sound.mp4"
    sample_rate = 48000
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        audio = container.add_stream("aac", rate=sample_rate)
        audio.layout = "mono"
        neutral = np.full((16, 24), 128, np.uint8)
        for number in range(50):
            frame = av.VideoFrame(48, 32, "yuv420p")
            # Bright from 1 s on: picture and sound change together.
            _fill(frame, [np.full((32, 48), 200 if number >= 25 else 40, np.uint8), neutral, neutral])
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        times = np.arange(2 * sample_rate) / sample_rate
        wave = np.where((times >= 1) & (times < 1.1), 0.8 * np.sin(2 * np.pi * 1000 * times), 0)
        for begin in range(0, len(wave), 1024):
            samples = av.AudioFrame.from_ndarray(
                wave[None, begin : begin + 1024].astype(np.float32), format="fltp", layout="mono"
            )
            samples.sample_rate, samples.pts = sample_rate, begin
            container.mux(audio.encode(samples))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path
