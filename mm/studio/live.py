"""A camera, or a file at its own rate, through a method as it comes: frames are dropped rather than late."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.frames import Stream
from mm.video import VideoWriter, open_clip
from mm.video.grid import Region, resize

# FFmpeg's input of cameras, and the name of one, by operating system.
_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}
_RECENT = 30
"""Frames over which latency and speed are averaged."""


@dataclass(frozen=True)
class Source:
    """Frames as they come: (height, width) px, frames a second, and the frames (3, H, W) in [0, 1]."""

    size: tuple[int, int]
    rate: float
    frames: Iterator[Tensor]


def camera(name: str, rate: float | None = None) -> Source:
    """Open a camera.

    Args:
        name: its number, or on Windows its name.
        rate: frames a second to ask of it; its own if None.

    Raises:
        InputError: if there is none, or another program has it.
    """
    kind, form = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    place = form.format(name)
    try:
        container = av.open(place, format=kind, options={} if rate is None else {"framerate": f"{rate:g}"})
    except (av.FFmpegError, OSError, ValueError) as error:
        busy = getattr(error, "errno", None) == errno.EBUSY
        reason = "another program has it; close that" if busy else "check --camera, or give --input FILE"
        raise InputError(f"camera {place} cannot be opened ({error}): {reason}") from error
    stream = container.streams.video[0]

    def frames() -> Iterator[Tensor]:
        with container:
            for frame in container.decode(stream):
                pixels = torch.from_numpy(frame.to_ndarray(format="rgb24"))
                yield pixels.permute(2, 0, 1).float().div_(255)

    found = float(stream.average_rate or rate or 30)
    return Source((stream.height, stream.width), found, frames())


def played(path: Path) -> Source:
    """Play a clip at its own rate, as a camera would give it.

    Raises:
        InputError: as :func:`mm.video.open_clip`.
    """
    with open_clip(path) as clip:
        info = clip.info

    def frames() -> Iterator[Tensor]:
        with open_clip(path) as clip:
            begun, first = time.monotonic(), clip.first_time
            for chunk in clip.chunks(1):
                due = begun + float(chunk.pts[0] * clip.info.time_base - first)
                time.sleep(max(0.0, due - time.monotonic()))
                yield chunk.frames[0]

    return Source((info.height, info.width), float(info.rate), frames())


class Live:
    """A method at work on a source: the newest frame is taken, and those that came meanwhile are dropped.

    A frame that is late would make all that follow late. What is dropped is counted; a temporal filter takes
    the frames for evenly spaced, so frequencies are right where none are dropped.

    Args:
        source: of the frames.
        stream: the method.
        scale: frames are resized by this first.
        roi: (x, y, width, height) px of the source, to look at alone.
        record: a video file for the result, at the times of the frames; None for none.

    Attributes:
        shown: how many frames came out.
        dropped: how many were not looked at.
        latest: the newest result (3, h, w) in [0, 1], None before the first.
    """

    def __init__(
        self,
        source: Source,
        stream: Stream,
        *,
        scale: float = 1.0,
        roi: Region | None = None,
        record: Path | None = None,
    ) -> None:
        height, width = source.size
        if roi is not None:
            x, y, wide, high = roi
            if not (0 <= x < x + wide <= width and 0 <= y < y + high <= height):
                raise InputError(f"--roi {x},{y},{wide},{high} is not within {width}×{height} px; change it")
            height, width = high, wide
        self._source, self._stream, self._roi = source, stream, roi
        self._size = max(1, round(height * scale)), max(1, round(width * scale))
        self._record = record
        self._ready = threading.Condition()
        self._newest: tuple[Tensor, float] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self.shown = self.dropped = 0
        self.latest: Tensor | None = None

    @property
    def latency(self) -> float:
        """Seconds from a frame's arrival to its result, a mean of recent ones."""
        return sum(late for _, late in self._recent) / len(self._recent) if self._recent else 0.0

    @property
    def rate(self) -> float:
        """Results a second, of recent ones."""
        if len(self._recent) < 2:
            return 0.0
        return (len(self._recent) - 1) / max(1e-9, self._recent[-1][0] - self._recent[0][0])

    def status(self) -> str:
        """Return one line: how many came out, how fast, how late, and how many were dropped."""
        return (
            f"{self.shown} frames, {self.rate:.1f} a second, {1000 * self.latency:.0f} ms late, "
            f"{self.dropped} dropped"
        )

    def stop(self) -> None:
        """End after the frame that is at work."""
        with self._ready:
            self._ended, self._newest = True, None
            self._ready.notify()

    def run(self, look: Callable[[Live], object] = lambda live: None) -> None:
        """Work until the source ends, or :meth:`stop`; ``look`` is called after each result.

        Raises:
            InputError: for a source that breaks off, and as :meth:`mm.Stream.push`.
        """
        threading.Thread(target=self._read, daemon=True).start()
        # Frames come when they come: times are in ms.
        writer = None
        if self._record is not None:
            base = Fraction(1, 1000)
            writer = VideoWriter(self._record, self._size, rate=round(self._source.rate), time_base=base)
        try:
            waiting: deque[float] = deque()
            last, begun = -1, None
            while (taken := self._take()) is not None:
                frame, arrived = taken
                begun = arrived if begun is None else begun
                waiting.append(arrived)
                for done in self._stream.push(frame):
                    came = waiting.popleft()
                    self.latest, self.shown = done, self.shown + 1
                    now = time.monotonic()
                    self._recent.append((now, now - came))
                    if writer is not None:
                        last = max(last + 1, round(1000 * (came - begun)))
                        writer.write(done[None], (last,))
                    look(self)
            if self._error is not None:
                raise InputError(f"the source broke off: {self._error}") from self._error
            if writer is not None and self.shown:
                writer.__exit__(None, None, None)
                writer = None
        finally:
            self.stop()
            if writer is not None:
                writer.discard()

    def _read(self) -> None:
        try:
            for frame in self._source.frames:
                with self._ready:
                    if self._ended:
                        return
                    self.dropped += self._newest is not None
                    self._newest = frame, time.monotonic()
                    self._ready.notify()
        except Exception as error:  # It belongs to whoever takes the frames.
            self._error = error
        with self._ready:
            self._ended = True
            self._ready.notify()

    def _take(self) -> tuple[Tensor, float] | None:
        with self._ready:
            while self._newest is None and not self._ended:
                self._ready.wait()
            taken, self._newest = self._newest, None
        if taken is None:
            return None
        frame, arrived = taken
        if self._roi is not None:
            x, y, width, height = self._roi
            frame = frame[:, y : y + height, x : x + width]
        return resize(frame[None], self._size)[0], arrived


def serve(live: Live, port: int, *, show: bool) -> None:
    """Show a source on a page of the loopback address until it ends; see :mod:`mm.studio.page`."""
    import cv2
    from nicegui import app, ui
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import Response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.get("/frame")
    def frame() -> Any:
        shown = live.latest
        if shown is None:
            return Response(status_code=204)
        pixels = shown.mul(255).round().byte().permute(1, 2, 0).flip(-1).contiguous().numpy()
        return Response(cv2.imencode(".jpg", pixels)[1].tobytes(), media_type="image/jpeg")

    @ui.page("/", title="mm live")
    def page() -> None:
        ui.html('<img class="mm-live" src="/frame">', sanitize=False)
        said = ui.label("").classes("mm-status")
        # The next picture is asked for when one is there, so that a slow browser is not late either.
        ui.run_javascript(
            "const shown = document.querySelector('.mm-live');"
            "const next = () => setTimeout(() => { shown.src = '/frame?' + performance.now(); }, 25);"
            "shown.onload = next; shown.onerror = () => setTimeout(next, 300); next();"
        )
        ui.button("Stop", on_click=lambda: live.stop())
        ui.timer(0.5, lambda: said.set_text(live.status()))

    def work() -> None:
        try:
            live.run()
        except InputError as error:
            print(f"mm: error: {error}", file=sys.stderr)
        app.shutdown()

    app.on_startup(lambda: threading.Thread(target=work, daemon=True).start())
    ui.run(host="127.0.0.1", port=port, show=show, reload=False, show_welcome_message=False)
