"""Work behind the page: clips of a folder, previews, slices, and renders one after another."""

from __future__ import annotations

import itertools
import shlex
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue as Waiting
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.errors import InputError
from mm.magnify.clip import magnify
from mm.magnify.presets import settle
from mm.methods.parameters import as_text
from mm.motion.blocks import block_motion
from mm.motion.measure import PlaceMotion, measure
from mm.motion.spectrum import MotionSpectrum, motion_spectrum
from mm.video import create_clip, open_clip, slice_clip
from mm.video.containers import CONTAINERS
from mm.video.grid import Region, resize, scaled_size

SUFFIXES = (*CONTAINERS, ".mpg", ".mpeg", ".ts", ".wmv")
"""Endings of files that are listed as clips."""
MOST_CLIPS = 500
PREVIEW_SIDE = 640
"""px, the longest side of a preview."""
PREVIEW_SECONDS = 2.0
LOOK_SECONDS = 20.0
"""Seconds of a clip that its spectrum and a waveform are made of."""
FAST = "phase"
"""The method of a first preview."""


class Folder:
    """Clips under a folder, outside of which nothing is read or written.

    Args:
        root: the folder.
        uploads: another folder, of clips that were uploaded.
    """

    def __init__(self, root: Path, uploads: Path) -> None:
        self.root, self.uploads = root.resolve(), uploads.resolve()
        self._taken: set[Path] = set()
        self._lock = threading.Lock()

    def clips(self) -> list[str]:
        """Return the clips' names relative to the folder, at most :data:`MOST_CLIPS`, hidden ones not."""
        found = (
            path.relative_to(self.root).as_posix()
            for path in self.root.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        shown = (name for name in found if not any(part.startswith(".") for part in name.split("/")))
        return sorted(itertools.islice(shown, MOST_CLIPS))

    def path(self, name: str) -> Path:
        """Return the file of a clip's name.

        Raises:
            InputError: for a name that leads out of the folder, or to no clip.
        """
        path = (self.root / name).resolve()
        if not any(path.is_relative_to(place) for place in (self.root, self.uploads)):
            raise InputError(f"{name} lies outside of {self.root}; start mm studio in its folder")
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise InputError(f"{name} is no clip in {self.root}; choose one of the list")
        return path

    def free(self, source: Path, factor: float) -> Path:
        """Return a name for a clip's magnified version, in the folder ``magnified``, that is given once."""
        made = self.root / "magnified"
        made.mkdir(exist_ok=True)
        marks = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
        with self._lock:
            paths = (made / f"{source.stem}_x{factor:g}{mark}.mp4" for mark in marks)
            path = next(path for path in paths if path not in self._taken and not path.exists())
            self._taken.add(path)
        return path


@dataclass(frozen=True)
class How:
    """Settings of a magnification from the page's controls; None for those that are not given."""

    method: str = "learned"
    factor: float = 10.0
    mode: str | None = None
    low: float | None = None
    high: float | None = None
    fps: float | None = None
    direction: float | None = None
    region: Region | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def all_options(self) -> dict[str, Any]:
        """The method's own options, the direction and a layer's region among them."""
        options = dict(self.options)
        if self.direction is not None:
            options["direction"] = self.direction
        if self.method == "layered" and self.region is not None:
            options["region"] = self.region
        return options

    @property
    def roi(self) -> Region | None:
        """The region to magnify; a layer needs the frame around it."""
        return None if self.method == "layered" else self.region

    def named(self) -> dict[str, Any]:
        """Return the keyword arguments of :func:`mm.magnify.clip.magnify`."""
        names = ("method", "factor", "mode", "low", "high", "fps")
        return {name: getattr(self, name) for name in names} | {"options": self.all_options, "roi": self.roi}

    def command(self, source: Path, target: Path) -> str:
        """Return the command line that does the same."""
        words = ["mm", "magnify", str(source), str(target)]
        for name, value in self.named().items():
            if name == "options":
                for option, set_to in value.items():
                    words += ["-o", f"{option}={as_text(set_to)}"]
            elif value is not None:
                words += [f"--{name}", as_text(value)]
        return shlex.join(words)

    def quick(self) -> How:
        """Return the same with a method that is fast."""
        return How(FAST, self.factor, self.mode, self.low, self.high, self.fps, None, self.region)


def first_frame(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return a clip's first frame (H, W, 3), and its rate, frames and seconds."""
    with open_clip(path) as clip:
        frames = next(iter(clip.chunks(1))).frames
        info = clip.info
    pixels = frames[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    return pixels, {"rate": float(info.rate), "frames": info.frames, "seconds": info.duration}


def spectrum(path: Path, region: Region | None, fps: float | None) -> MotionSpectrum:
    """Return the frequencies at which a clip, or a region of it, moves, in its first seconds."""
    with open_clip(path) as clip:
        scale = min(1.0, PREVIEW_SIDE / max(clip.info.width, clip.info.height))
    return motion_spectrum(block_motion(path, fps=fps, roi=region, end=LOOK_SECONDS, scale=scale))


def waveform(path: Path, point: tuple[float, float], fps: float | None) -> PlaceMotion:
    """Return the motion of a point of a clip, in its first seconds."""
    return measure(path, points=[point], fps=fps, end=LOOK_SECONDS).places[0]


@dataclass(frozen=True)
class Preview:
    """A part of a clip before and after; ``scale`` is that of its frames."""

    before: Path
    after: Path
    scale: float
    method: str
    seconds: float


def preview(path: Path, how: How, start: float, folder: Path) -> Preview:
    """Magnify a few seconds of a clip into ``folder``: two, or as many as the band needs.

    Raises:
        InputError: for anything that cannot be used.
    """
    with open_clip(path, start=start) as clip:
        info = clip.info
    scale = min(1.0, PREVIEW_SIDE / max(info.width, info.height))
    named = how.named()
    settings = settle(**{key: named[key] for key in ("method", "mode", "low", "high", "options")})
    # Seconds of capture; a clip that plays slower takes longer.
    slowed = 1.0 if how.fps is None else how.fps / float(info.rate)
    end = start + max(PREVIEW_SECONDS, 1.1 * slowed * (settings.least_seconds or 0.0))
    place = Path(tempfile.mkdtemp(dir=folder))
    before, after = place / "before.mp4", place / "after.mp4"
    begun = time.perf_counter()
    magnify(path, after, start=start or None, end=end, scale=scale, **named)
    size = scaled_size(info, scale)
    with open_clip(path, start=start or None, end=end) as clip, create_clip(before, size, info) as writer:
        for frames, pts in clip.chunks():
            writer.write(resize(frames, size), pts)
    return Preview(before, after, scale, how.method, time.perf_counter() - begun)


def slices(shown: Preview, line: tuple[str, int]) -> list[NDArray[np.uint8]]:
    """Return a line of a preview over time, before and after, (T, W, 3) of a row and (H, T, 3) of a column.

    Args:
        shown: the preview.
        line: "row" or "column", and its place in px of the clip.
    """
    place = round((line[1] + 0.5) * shown.scale - 0.5)
    taken = (slice_clip(path, **{line[0]: max(0, place)}) for path in (shown.before, shown.after))
    return [each.image.mul(255).round().byte().permute(1, 2, 0).numpy() for each in taken]


class _Cancelled(Exception):
    pass


@dataclass
class Job:
    """A render: what is done, and how far it is.

    ``state`` is "waiting", "running", "done", "cancelled" or "failed"; ``says`` the reason of the last.
    """

    source: Path
    target: Path
    how: How
    state: str = "waiting"
    says: str = ""
    part: float = 0.0
    begun: float = 0.0
    wanted: bool = True

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at the speed so far."""
        if self.state != "running" or self.part < 0.01:
            return None
        return (time.perf_counter() - self.begun) * (1 - self.part) / self.part

    def cancel(self) -> None:
        """End the render, or leave it out if it has not begun; nothing of it is left."""
        self.wanted = False
        if self.state == "waiting":
            self.state = "cancelled"

    def _progressed(self, frames: float, total: int | None) -> None:
        if not self.wanted:
            raise _Cancelled
        self.part = min(0.99, frames / total) if total else 0.0

    def run(self) -> None:
        """Render."""
        if not self.wanted:
            return
        self.state, self.begun = "running", time.perf_counter()
        try:
            magnify(self.source, self.target, progress=self._progressed, **self.how.named())
        except _Cancelled:
            self.state = "cancelled"
        except Exception as error:  # Whatever it is, the next one in the queue is not to suffer.
            self.state, self.says = "failed", str(error) or type(error).__name__
        else:
            self.state, self.part = "done", 1.0


class Queue:
    """Renders one after another in a thread of their own, whether or not a page looks on."""

    def __init__(self) -> None:
        self._jobs: Waiting[Job] = Waiting()
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, job: Job) -> Job:
        """Append a render."""
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        while True:
            self._jobs.get().run()
