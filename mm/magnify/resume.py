"""Finished parts of a render, kept beside its output until that is complete, so that a stopped one continues.

Kept are the encoder's input codes, without loss. A render that continues gives them to the encoder
again, so its output is that of an uninterrupted one, to the last byte.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av import VideoFrame
from av.video.frame import PictureType
from torch import Tensor

from mm.errors import InputError
from mm.files import locked, replacing, writing
from mm.video.writer import VideoWriter

SEGMENT = 32
"""Frames of a segment: a stopped render loses fewer."""
_STATE = "render.json"


class Kept:
    """A writer that keeps what it writes in segments, and continues from those that are there.

    Args:
        writer: of the output.
        folder: of the segments.
        made: everything that the frames depend on, as JSON-able values.

    Attributes:
        ready: how many frames are there.

    Raises:
        InputError: for a folder that holds another render's segments, or cannot be written.
    """

    def __init__(self, writer: VideoWriter, folder: Path, made: Mapping[str, Any]) -> None:
        self._writer, self._folder = writer, folder
        made = {**made, "pixels": writer.pixel_format, "size": writer.size}
        made = json.loads(json.dumps(made, default=str))
        state = folder / _STATE
        with writing(folder):
            if state.exists():
                try:
                    before = json.loads(state.read_text(encoding="utf-8"))
                except ValueError:
                    before = {}
                changed = sorted(key for key in made if before.get(key) != made[key])
                if changed:
                    raise InputError(
                        f"{folder} holds a stopped render with another {', '.join(changed)}; give what it "
                        "had, remove the folder, or name another output"
                    )
            else:
                with replacing(state) as new:
                    new.write_text(json.dumps(made), encoding="utf-8")
        self._segments: list[Path] = []
        while (path := self._path(len(self._segments))).exists():
            self._segments.append(path)
        self.ready = SEGMENT * len(self._segments)
        self._stored = self._read()
        self._written = 0
        self._open: list[VideoFrame] = []

    def write(self, frames: Tensor, pts: tuple[int, ...]) -> None:
        """Append frames as :meth:`mm.video.VideoWriter.write` does; the first ``ready`` are not looked at."""
        known = max(0, min(len(pts), self.ready - self._written))
        self._written += len(pts)
        codes = [next(self._stored) for _ in range(known)]
        if known < len(pts):
            fresh = self._writer.codes(frames[known:])
            codes += fresh
            self._open += fresh
        while len(self._open) >= SEGMENT:
            self._keep(self._open[:SEGMENT])
            self._open = self._open[SEGMENT:]
        self._writer.encode(codes, pts)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.mkv"

    def _keep(self, codes: list[VideoFrame]) -> None:
        path, rate = self._path(len(self._segments)), Fraction(25)
        with replacing(path) as new, av.open(str(new), "w", format="matroska") as container:
            stream: Any = container.add_stream("ffv1", rate=rate, options={"level": "3"})
            stream.width, stream.height = codes[0].width, codes[0].height
            stream.pix_fmt = self._writer.pixel_format
            for number, frame in enumerate(codes):
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        self._segments.append(path)

    def _read(self) -> Iterator[VideoFrame]:
        for path in tuple(self._segments):
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    # An encoder takes a decoded picture's type for an order.
                    frame.pict_type = PictureType.NONE
                    yield self._writer.marked(frame)


@contextlib.contextmanager
def keeping(writer: Any, target: Path, made: Mapping[str, Any]) -> Iterator[Kept]:
    """Keep a render's segments in a hidden folder beside its output, until the block ends without an error.

    Raises:
        InputError: for an output that is no video file, one that is being rendered, and as :class:`Kept`.
    """
    if not isinstance(writer, VideoWriter):
        raise InputError(f"--resume keeps parts of a video, and {target} is a folder; name a video file")
    folder = target.absolute().parent / f".{target.name}.resume"
    with writing(folder), locked(folder, f"{target} is being rendered by another process; wait for it"):
        kept = Kept(writer, folder, made)
        yield kept
    shutil.rmtree(folder, ignore_errors=True)


def source_state(source: Path) -> list[Any]:
    """Return what tells one state of a clip from another: names, sizes and times of change."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
