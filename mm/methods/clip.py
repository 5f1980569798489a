"""Magnifying a clip: file → frames → method → file, with a constant number of frames held at any length."""

from __future__ import annotations

import inspect
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor

from mm.device import choose_device
from mm.errors import InputError
from mm.methods.base import Magnifier
from mm.methods.layout import Layout, Region
from mm.methods.reach import TRAINED_REACH, MotionWatch
from mm.networks.magnification import check_factor
from mm.registry import methods
from mm.temporal import Band
from mm.video.info import ClipInfo
from mm.video.reader import Clip, open_clip
from mm.video.writer import DEFAULT_CRF, check_output, create_clip

# Pixels that go through the network at once. On a CPU larger batches gain nothing and cost memory.
_BATCH_PIXELS = {"cpu": 2**20, "cuda": 2**23}
# Frames whose spacing strays from the average by more than this part of it make a varying rate.
_UNEVEN = 0.5


@dataclass(frozen=True)
class ClipReport:
    """What was done to a clip.

    Attributes:
        source: what was read.
        target: what was written.
        frames: how many frames.
        size: (width, height) of the written frames in px.
        padding: (columns, rows) repeated at the right and the bottom, since H.264 4:2:0 needs even sizes.
        method: the method's own line: mode, factor, filter.
        band: the frequencies that were magnified, None for all.
        rate: frames per second of playback.
        seconds: wall time of the work.
        largest_motion: the largest displacement that was multiplied, in px of the frames that the method saw,
            by a rough estimate that is blind below some tenth of a px; None where the method has no limit to
            hold.
        trained_reach: the largest displacement after magnification that the method was made for, px.
    """

    source: Path
    target: Path
    frames: int
    size: tuple[int, int]
    padding: tuple[int, int]
    method: str
    band: Band | None
    rate: float
    seconds: float
    largest_motion: float | None
    trained_reach: float | None

    @property
    def speed(self) -> float:
        """Frames a second of wall time."""
        return self.frames / max(self.seconds, 1e-9)


def magnify(
    source: str | Path,
    target: str | Path,
    *,
    factor: float = 10.0,
    mode: str = "static",
    method: str = "learned",
    low: float | None = None,
    high: float | None = None,
    fps: float | None = None,
    filter: str = "butter",
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "32",
    side_by_side: bool = False,
    start: float | None = None,
    end: float | None = None,
    scale: float = 1.0,
    roi: Region | None = None,
    lossless: bool = False,
    crf: float = DEFAULT_CRF,
    batch: int | None = None,
    progress: bool = False,
) -> ClipReport:
    """Magnify the motion in a clip and write the result.

    The output has the input's frames, times, colours, bit depth and audio. It appears under its name when it
    is complete, or not at all.

    Args:
        source: a video file, or a folder of PNG, TIFF or JPEG images.
        target: a video file (.mp4, .m4v, .mov, .mkv), or a name without a suffix for a new folder of PNG
            images.
        factor: total gain of the displacement, at least 0; 1 changes nothing.
        mode: "static" (motion against the first frame), "dynamic" (against the frame before) or "temporal"
            (motion of a band of frequencies).
        method: a name in :data:`mm.registry.methods`.
        low: lower edge of the band, Hz.
        high: upper edge of the band, Hz; below half the capture rate.
        fps: frames per second of *capture*, which frequencies refer to; the container's rate if None. For a
            folder of images it is the rate of the output too (30 if None).
        filter: a name in :data:`mm.temporal.FILTERS`.
        weights: what :func:`mm.load` takes; the shipped ones if None.
        device: "auto" (CUDA where there is any), "cpu", "cuda" or "cuda:N".
        precision: "32", or "bf16" for speed.
        side_by_side: put the input left of the output.
        start: seconds of playback at which to begin; also the reference of "static".
        end: seconds of playback before which to stop.
        scale: resize the frames by this before magnifying (bicubic, anti-aliased).
        roi: (x, y, width, height) of the one region to magnify, in px of the input; the rest of the frame is
            kept as it is, and the region's border is blended in.
        lossless: write FFV1 (.mkv) instead of H.264.
        crf: quality of H.264, 0 to 51; lower is better.
        batch: frames to work on at once; chosen by their size if None.
        progress: show a progress bar.

    Returns:
        What was done.

    Raises:
        InputError: for anything that cannot be used: see the message. Nothing is left under the target's name
        then.
    """
    source, target = Path(source), Path(target)
    check_factor(factor, 1)
    _check_distinct(source, target)
    place = choose_device(device)
    if batch is not None and batch < 1:
        raise InputError(f"batch must be at least 1 frame, got {batch}")
    if not 0 <= crf <= 51:
        raise InputError(f"crf must be from 0 (best) to 51, got {crf:g}")
    if source.is_dir() and fps is None and (low is not None or high is not None):
        raise InputError(f"{source} is a folder of images, which has no frame rate; give it with --fps")
    with open_clip(source, start=start, end=end, folder_rate=fps) as clip:
        check_output(target, lossless=lossless)
        layout = Layout.of(clip.info, scale, roi, side_by_side)
        band = _band(low, high, float(clip.info.rate) if fps is None else fps, filter)
        size = batch or _batch(layout, place)
        options = {"mode": mode, "precision": precision, "batch": size}
        magnifier = _make(method, factor, band, place, weights, options)
        frames = _frames_within(clip.info, start, end)
        if band is not None:
            _check_memory(magnifier, layout, frames, band, place)
        watch = _watch(source, magnifier, factor, mode, band)
        begun = time.perf_counter()
        like = clip.info
        with (
            create_clip(
                target, layout.output, like, crf=crf, lossless=lossless, audio=clip.audio()
            ) as writer,
            _Counter(frames, source.name, progress) as done,
        ):
            for output, pts in _magnified(clip, magnifier, layout, size, watch, done, band):
                writer.write(output, pts)
                done.written(len(pts))
            if done.frames == 1:
                raise InputError(f"{source} has one frame, and motion needs at least 2; give a longer clip")
    return ClipReport(
        source=source,
        target=target,
        frames=done.frames,
        size=(layout.output[1] + writer.padding[1], layout.output[0] + writer.padding[0]),
        padding=(writer.padding[1], writer.padding[0]),
        method=magnifier.describe(),
        band=band,
        rate=float(clip.info.rate),
        seconds=time.perf_counter() - begun,
        largest_motion=None if watch is None else watch.largest,
        trained_reach=None if watch is None else watch.reach,
    )


def _magnified(
    clip: Clip,
    magnifier: Magnifier,
    layout: Layout,
    batch: int,
    watch: MotionWatch | None,
    done: _Counter,
    band: Band | None,
) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """The finished frames and their times, as they come."""
    waiting = _Waiting(keep_frames=layout.needs_input)
    even = _EvenSpacing(clip.info) if band is not None else None

    def finish(output: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        originals, pts = waiting.take(len(output))
        if clip.info.grey:
            output = output.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return layout.compose(output, originals), pts

    for frames, pts in clip.chunks(batch):
        if even is not None:
            even.check(pts)
        scaled = layout.resize(frames)
        region = layout.cut(scaled)
        waiting.put(scaled, pts)
        if watch is not None:
            watch.push(region)
        output = magnifier.push(region)
        done.pushed(len(pts))
        if len(output):
            yield finish(output)
    in_parts = getattr(magnifier, "flush_parts", None)
    for part in in_parts() if in_parts is not None else magnifier.flush().split(batch):
        if len(part):
            yield finish(part)
    if watch is not None:
        watch.flush()


class _Waiting:
    """What belongs to the frames that a method still holds: their times, and where needed the frames.

    They wait as 16-bit codes, which takes half the memory and changes no frame of up to 14 bits.
    """

    _TOP = 2**15 - 1

    def __init__(self, keep_frames: bool) -> None:
        self._keep = keep_frames
        self._frames: deque[Tensor] = deque()
        self._pts: deque[int] = deque()

    def put(self, frames: Tensor, pts: tuple[int, ...]) -> None:
        self._pts.extend(pts)
        if self._keep:
            self._frames.extend(frames.mul(self._TOP).round_().to(torch.int16))

    def take(self, count: int) -> tuple[Tensor | None, tuple[int, ...]]:
        pts = tuple(self._pts.popleft() for _ in range(count))
        if not self._keep:
            return None, pts
        return torch.stack([self._frames.popleft() for _ in range(count)]).float().div_(self._TOP), pts


def _check_distinct(source: Path, target: Path) -> None:
    if not source.exists():
        raise InputError(f"there is no file or folder {source}; check the path")
    if target.exists() and os.path.samefile(source, target):
        raise InputError(f"the output {target} is the input; name another file")


def _band(low: float | None, high: float | None, fps: float, filter: str) -> Band | None:
    if low is None and high is None:
        return None
    if low is None or high is None:
        given, value, other = ("low", low, "high") if high is None else ("high", high, "low")
        raise InputError(f"a band needs two edges: --{given} {value:g} Hz is given, --{other} is missing")
    return Band(low, high, fps, filter)


def _make(
    name: str,
    factor: float,
    band: Band | None,
    device: torch.device,
    weights: str | Path | None,
    options: dict[str, Any],
) -> Magnifier:
    """Make the method called ``name``, with those of the options that it has."""
    make: Callable[..., Magnifier] = methods.get(name)
    takes = inspect.signature(make).parameters
    own = {key: value for key, value in options.items() if key in takes}
    if "network" in takes:
        own["network"] = weights
    elif weights is not None:
        raise InputError(f"the {name} method has no weights, got --weights {weights}; leave them out")
    return make(factor=factor, band=band, device=device, **own)


def _batch(layout: Layout, device: torch.device) -> int:
    height, width = layout.magnified
    return max(1, min(16, _BATCH_PIXELS["cuda" if device.type == "cuda" else "cpu"] // (height * width)))


def _frames_within(info: ClipInfo, start: float | None, end: float | None) -> int | None:
    """How many frames will come, as far as the container knows."""
    if info.frames is None or info.duration is None:
        return None
    until = info.duration if end is None else min(end, info.duration)
    part = (until - (start or 0.0)) / info.duration if info.duration else 1.0
    return max(1, round(info.frames * part))


def _check_memory(
    magnifier: Magnifier, layout: Layout, frames: int | None, band: Band, device: torch.device
) -> None:
    """Say what a method that holds the whole clip will take; refuse what the machine does not have."""
    whole = band.filter == "ideal"
    if frames is None:
        if whole:
            warnings.warn(
                "the ideal filter holds the whole clip, whose length is not known before", stacklevel=3
            )
        return
    height, width = layout.magnified
    needed = magnifier.memory(height, width, frames)
    if whole:
        # A method that cannot flush in parts gives all frames at once, as float32; what they are put beside
        # waited as 16 bits.
        needed += 0 if hasattr(magnifier, "flush_parts") else 3 * 4 * height * width * frames
        needed += 3 * 2 * layout.size[0] * layout.size[1] * frames if layout.needs_input else 0
    if device.type == "cuda":
        there, where = torch.cuda.mem_get_info(device)[1], "the GPU"
    else:
        # Not every system says; then nothing is refused.
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else sys.maxsize
        there, where = pages * (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1), "this machine"
    text = (
        f"the {band.filter} filter holds {needed / 2**30:.2g} GiB for {frames} frames of {width}×{height} px"
    )
    if needed > there:
        raise InputError(
            f"{text}, and {where} has {there / 2**30:.2g} GiB; use --scale, --roi, --start and --end"
            + (", or a streaming filter such as --filter butter" if whole else ", or raise --low")
        )
    if whole:
        warnings.warn(f"{text}; --filter butter streams", stacklevel=3)


def _watch(
    source: Path, magnifier: Magnifier, factor: float, mode: str, band: Band | None
) -> MotionWatch | None:
    """What tells of motion beyond the training, for a method that was trained."""
    network = getattr(magnifier, "network", None)
    if network is None:
        return None
    reach = float((getattr(network, "card", None) or {}).get("max_magnified_motion", TRAINED_REACH))
    return MotionWatch(str(source), factor, reach, mode, band)


class _EvenSpacing:
    """Tells once that a filter takes unevenly spaced frames for even ones."""

    def __init__(self, info: ClipInfo) -> None:
        self._info = info
        self._step = 1 / (info.rate * info.time_base)
        self._last: int | None = None
        self._told = False

    def check(self, pts: tuple[int, ...]) -> None:
        for tick in pts:
            if self._last is not None and not self._told:
                gap = tick - self._last
                if abs(gap - self._step) > _UNEVEN * self._step:
                    self._told = True
                    warnings.warn(
                        f"{self._info.path} has a varying frame rate: two frames are "
                        f"{float(gap * self._info.time_base):.3g} s apart, the average is "
                        f"{float(1 / self._info.rate):.3g} s; frequencies are approximate",
                        stacklevel=3,
                    )
            self._last = tick


class _Counter:
    """The progress bar: frames, frames a second, time left; counts also where no bar is shown.

    A frame is half done when the method has taken it and done when it is written, so that the bar also moves
    while a filter that looks ahead takes frames in.
    """

    def __init__(self, total: int | None, name: str, show: bool) -> None:
        self.frames = 0
        self._taken = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[frames]} frames, {task.fields[speed]:.2g} a second"),
            TimeRemainingColumn(),
            disable=not show,
        )
        self._total = total
        self._begun = time.perf_counter()
        self._task = self._bar.add_task(name, total=None if total is None else 2 * total, frames=0, speed=0.0)

    def __enter__(self) -> _Counter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def pushed(self, count: int) -> None:
        self._taken += count
        self._show()

    def written(self, count: int) -> None:
        self.frames += count
        self._show()

    def _show(self) -> None:
        completed = self._taken + self.frames
        seconds = max(1e-9, time.perf_counter() - self._begun)
        self._bar.update(self._task, completed=completed, frames=self.frames, speed=completed / 2 / seconds)
