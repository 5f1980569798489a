"""Magnifying a clip: file → frames → method → file, with a constant number of frames held at any length."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mm._version import __version__
from mm.errors import ClipWarning, InputError
from mm.magnify.framing import Framing
from mm.magnify.memory import check_frame, check_memory, fitting_batch, frame_fits
from mm.magnify.monitor import MotionMonitor
from mm.magnify.pipeline import Pipeline
from mm.magnify.presets import settle
from mm.magnify.progress import Counter, Progressed
from mm.magnify.resume import keeping, source_state
from mm.magnify.settings import Settings
from mm.magnify.shots import Shots
from mm.magnify.steady import SteadyClip
from mm.methods.parameters import make
from mm.motion.camera import Kind
from mm.networks.base import check_factor
from mm.runtime import choose_device
from mm.temporal import Band
from mm.temporal.uneven import grid_of
from mm.video.grid import Region
from mm.video.images import has_no_rate
from mm.video.info import ClipInfo
from mm.video.reader import open_clip
from mm.video.threads import behind
from mm.video.writer import DEFAULT_CRF, DEFAULT_PRESET, check_output, create_clip


@dataclass(frozen=True)
class ClipReport:
    """The report of a magnified clip.

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
            as far as it stands out of the noise; None where the method has no limit to hold.
        trained_reach: the largest displacement after magnification that the method was made for, px.
        cuts: the numbers of the frames, from 0, that begin a new shot.
        settings: what the user and the preset settled on.
        largest_amplitude: half of peak to peak of the motion that was multiplied, px, where it is largest.
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
    cuts: tuple[int, ...] = ()
    settings: Settings = field(default_factory=Settings)
    largest_amplitude: float | None = None

    @property
    def speed(self) -> float:
        """Frames a second of wall time."""
        return self.frames / max(self.seconds, 1e-9)


def magnify(
    source: str | Path,
    target: str | Path,
    *,
    factor: float | None = None,
    mode: str | None = None,
    method: str | None = None,
    low: float | None = None,
    high: float | None = None,
    fps: float | None = None,
    filter: str | None = None,
    order: int | None = None,
    taps: int | None = None,
    options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "32",
    side_by_side: bool = False,
    start: float | None = None,
    end: float | None = None,
    scale: float = 1.0,
    roi: Region | None = None,
    stabilize: Kind | None = None,
    still: Region | None = None,
    lossless: bool = False,
    crf: float = DEFAULT_CRF,
    x264_preset: str = DEFAULT_PRESET,
    depth: int | None = None,
    batch: int | None = None,
    cuts: bool = True,
    resume: bool = False,
    progress: bool | Progressed = False,
    on_start: Callable[[Settings], None] | None = None,
) -> ClipReport:
    """Magnify the motion in a clip and write the result.

    The output has the input's frames, times, colours, bit depth and audio. It appears under its name when it
    is complete, or not at all.

    Args:
        source: a video file, a folder of images, or a TIFF stack.
        target: a video file (.mp4, .m4v, .mov, .mkv, .webm, .avi, .gif), or a name without a suffix for a
            new folder of PNG images.
        factor: total gain of the displacement, at least 0; 1 leaves it as it is. None, as for all that a
            preset can hold: what the preset says, or 10 without one.
        mode: "static" (motion against the first frame), "dynamic" (against the frame before) or "temporal"
            (motion of a band of frequencies). None: the preset's; without one "temporal" if a band is given,
            else the method's own default, "static" for most.
        method: a name in :data:`mm.registry.methods`; "learned" by default.
        low: lower edge of the band, Hz.
        high: upper edge of the band, Hz; below half the capture rate.
        fps: frames per second of *capture*, which frequencies refer to; the container's rate if None. For a
            folder of images it is the rate of the output too (30 if None).
        filter: a name in :data:`mm.temporal.FILTERS`; "butter" by default.
        order: of the Butterworth filters, 2 (default), 4, 6 or 8.
        taps: the length of ``fir`` in frames.
        options: the method's own parameters by name, see :func:`mm.methods.parameters.options_of`; values of
            their type, or text as it would be typed.
        preset: a name in :data:`mm.magnify.presets.PRESETS`; what is given beside it replaces its values.
        weights: what :func:`mm.load` takes, for a method that has a network; the shipped ones if None.
        device: "auto" (CUDA where there is any), "cpu", "cuda" or "cuda:N".
        precision: "32", or "bf16" for speed; a method that has no use for "bf16" is warned of.
        side_by_side: put the input left of the output.
        start: seconds of playback at which to begin; also the reference of "static".
        end: seconds of playback before which to stop.
        scale: resize the frames by this before magnifying (bicubic, anti-aliased).
        roi: (x, y, width, height) of the one region to magnify, in px of the input; the rest of the frame is
            kept as it is, and the region's border is blended in.
        stabilize: the camera's motion that is taken out first: "translation", "similarity" or "affine".
        still: (x, y, width, height) px of the clip that should stand still then; everywhere if None.
        lossless: write FFV1 (.mkv) instead of H.264.
        crf: quality of H.264, 0 to 51; lower is better.
        x264_preset: speed of H.264's encoder, one of :data:`mm.video.containers.X264_PRESETS`.
        depth: bits of a sample of images that keep fewer than 16 bits in 16.
        batch: frames to work on at once; chosen by their size if None.
        cuts: look for cuts; False takes the whole clip for one shot.
        resume: keep finished parts in a hidden folder beside the target until it is complete, and go on from
            those of a render that was stopped. It takes several times the space of the target.
        progress: show a progress bar, or lines where the output is no terminal; or a function to call, see
            :data:`mm.magnify.progress.Progressed`. An error that it raises ends the work.
        on_start: called with what was settled on, when all is checked and before the first frame.

    Returns:
        What was done.

    Raises:
        InputError: for anything that cannot be used: see the message. Nothing is left under the target's name
        then.
    """
    source, target = Path(source), Path(target)
    settings = settle(
        preset,
        method=method,
        mode=mode,
        factor=factor,
        low=low,
        high=high,
        filter=filter,
        order=order,
        taps=taps,
        options=options,
    )
    check_factor(settings.factor, 1)
    if still is not None and stabilize is None:
        raise InputError("--still names what should stand still for --stabilize; give that too")
    _check_distinct(source, target)
    place = choose_device(device)
    if batch is not None and batch < 1:
        raise InputError(f"batch must be at least 1 frame, got {batch}")
    if fps is not None and not 0 < fps < math.inf:
        raise InputError(f"--fps must be a number above 0 frames a second, got {fps:g}")
    if not 0 <= crf <= 51:
        raise InputError(f"crf must be from 0 (best) to 51, got {crf:g}")
    needs_rate = (settings.low, settings.high) != (None, None)
    if has_no_rate(source) and fps is None and needs_rate:
        raise InputError(f"{source} holds images, which have no frame rate; give it with --fps")
    with open_clip(source, start=start, end=end, folder_rate=fps, depth=depth) as clip:
        check_output(target, lossless=lossless)
        framing = Framing.of(clip.info, scale, roi, side_by_side)
        pace = 1.0 if fps is None else fps / float(clip.info.rate)
        times = clip.times() if needs_rate else []
        grid = grid_of(times, float(clip.info.rate), float(clip.info.time_base))
        rate = float(clip.info.rate if fps is None else fps) if grid is None else grid.rate * pace
        settings = settings.at(rate, source)
        band = settings.band(rate)
        size = batch or fitting_batch(framing.seen, place)
        shared = {"factor": settings.factor, "mode": settings.mode, "band": band, "batch": size}
        shared |= {"device": place, "network": weights, "precision": precision}
        magnifier = make(settings.method, shared, settings.options)
        if batch is None and size > 1 and not frame_fits(magnifier, framing, place):
            size = 1
            magnifier = make(settings.method, shared | {"batch": 1}, settings.options)
        magnifier.see_through(framing)
        frames = _frames_within(clip.info, start, end)
        check_frame(magnifier, framing, place)
        points = len(times) if grid is None else grid.points
        # A packet may hold no frame, or two: near the limit the filter itself counts.
        if 0 < points < magnifier.min_frames - 1:
            settings.check_length(points, magnifier.min_frames, rate, source)
        if grid is not None:
            grid.check(source)
            magnifier.keep_time(grid)
            unseen = grid.slowest / 2 * pace
            warnings.warn(
                f"{source}: {grid.describe()}: motion is filtered at even times"
                + (
                    f"; where frames are rare, nothing above {unseen:.3g} Hz is seen"
                    if band and unseen < band.high
                    else ""
                ),
                ClipWarning,
                stacklevel=2,
            )
        if band is not None:
            check_memory(magnifier, framing, frames, band, place)
        shots = Shots(clip, magnifier.min_frames, band) if cuts else None
        watch = None
        if magnifier.trained_reach is not None:
            watch = MotionMonitor(
                str(source), settings.factor, magnifier.trained_reach, settings.mode, band, grid
            )
            magnifier.watch(watch.push)
        if on_start is not None:
            on_start(settings)
        begun = time.perf_counter()
        made = create_clip(
            target,
            framing.output,
            clip.info,
            crf=crf,
            lossless=lossless,
            audio=clip.audio(),
            x264_preset=x264_preset,
        )
        kept: contextlib.AbstractContextManager[Any] = contextlib.nullcontext(made)
        if resume:
            state = {"source": source_state(source), "settings": replace(settings, given=frozenset())}
            state |= {"rate": rate, "framing": replace(framing, mask=None), "start": start, "end": end}
            state |= {"steady": [stabilize, still], "depth": depth, "cuts": cuts, "batch": size}
            state |= {"method": magnifier.describe(), "version": [__version__, torch.__version__]}
            if weights is not None and Path(weights).is_file():
                state["weights"] = source_state(Path(weights))
            kept = keeping(made, target, state)
        with (
            made as writer,
            kept as taken,
            behind(taken.write) as write,
            Counter(frames, source.name, progress) as done,
        ):
            evenly = band is not None
            steady = clip if stabilize is None else SteadyClip(clip, stabilize, still)
            pipeline = Pipeline(
                steady,
                magnifier,
                framing,
                size,
                evenly=evenly,
                grid=grid,
                watch=watch,
                shots=shots,
                done=done,
                ready=taken.ready if resume else 0,
            )
            with contextlib.closing(iter(pipeline)) as finished:
                for output, pts in finished:
                    write(output, pts)
                    done.written(len(pts))
            if done.frames == 1:
                raise InputError(f"{source} has one frame, and motion needs at least 2; give a longer clip")
    return ClipReport(
        source=source,
        target=target,
        frames=done.frames,
        size=(framing.output[1] + writer.padding[1], framing.output[0] + writer.padding[0]),
        padding=(writer.padding[1], writer.padding[0]),
        method=magnifier.describe(),
        band=band,
        rate=float(clip.info.rate),
        seconds=time.perf_counter() - begun,
        largest_motion=None if watch is None else watch.largest,
        largest_amplitude=None if watch is None else watch.amplitude,
        trained_reach=None if watch is None else watch.reach,
        cuts=() if shots is None else tuple(shots.cuts),
        settings=settings,
    )


def _check_distinct(source: Path, target: Path) -> None:
    if not source.exists():
        raise InputError(f"there is no file or folder {source}; check the path")
    if target.exists() and os.path.samefile(source, target):
        raise InputError(f"the output {target} is the input; name another file")


def _frames_within(info: ClipInfo, start: float | None, end: float | None) -> int | None:
    """Return the expected number of frames, as far as the container knows."""
    if info.frames is None or info.duration is None:
        return None
    until = info.duration if end is None else min(end, info.duration)
    part = (until - (start or 0.0)) / info.duration if info.duration else 1.0
    return max(1, round(info.frames * part))
