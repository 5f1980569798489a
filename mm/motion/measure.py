"""Measure the motion of places in a clip: displacement over time, vibrations and their uncertainties.

Each place is a region that is registered with itself in the first frame (:mod:`mm.motion.registration`).
An amplitude is half of peak to peak, in px of the clip. x points right and y down, and an angle is counted
from x toward y, so clockwise on the screen. Displacement is from its own mean over the record.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter, welch

from mm.errors import InputError
from mm.motion.blocks import LEAST_FRAMES, BlockMotion, block_motion, warn_of
from mm.motion.camera import Camera, Kind
from mm.motion.places import Followed, PlaceFollower, codec_px, held_px
from mm.motion.registration import luminance
from mm.motion.spectrum import motion_spectrum
from mm.motion.vibration import Sinusoid, complex_amplitudes, find_sinusoids, least_amplitude, mark
from mm.temporal.uneven import grid_of
from mm.video import ClipInfo, open_clip
from mm.video.compression import Compression, measure_compression
from mm.video.grid import Region
from mm.video.images import check_rate

Floats = NDArray[np.floating]

SIZE = 32  # px, the region's side at a point
LEAST_SIDE = 12  # px of a region
CHUNK = 8  # frames
PLACES = 3  # that are measured if none are named
# Of what does not average out: the variance of an amplitude by rounding, over that of a frame's displacement;
# and turns that a vibration drifts by over the record, by radians that its phase is uncertain by.
STEPS, DRIFT = 0.9, 0.2
INTERPOLATES = 3e-4  # px, standard deviation of an amplitude by what resampling between px errs
LENGTH_U = 0.29  # px, of a length that a user reads off to half a px
DERIVATIVES = {"displacement": (0, "px"), "velocity": (1, "px_s"), "acceleration": (2, "px_s2")}


@dataclass(frozen=True)
class PlaceMotion:
    """The motion of one place; arrays are over time, and ``…_u`` is a standard uncertainty.

    Attributes:
        name: such as "point 1".
        region: (x, y, width, height) px of the clip that was followed.
        displacement_px: (T, 2), order (x, y), from the mean over the record.
        covariance_px2: (T, 2, 2) of the displacement: noise, rounding and codec.
        codec_px2: (2, 2) covariance of what the codec holds back; 0 without.
        rate_hz: frames a second of capture.
        direction_deg: of "along": given, or that in which the place moves most.
        lost: the part of the frames in which the place was not found, and displacement is interpolated.
        repeated: the part of its blocks that the codec repeats.
        sinusoids: its vibrations, the strongest first.
        segment: frames of a segment of Welch's spectrum.
    """

    name: str
    region: Region
    displacement_px: Floats
    covariance_px2: Floats
    codec_px2: Floats
    rate_hz: float
    direction_deg: float
    lost: float
    repeated: float
    sinusoids: tuple[Sinusoid, ...]
    segment: int

    @property
    def x_px(self) -> float:
        """The region's centre, px of the clip."""
        return self.region[0] + (self.region[2] - 1) / 2

    @property
    def y_px(self) -> float:
        """The region's centre, px of the clip."""
        return self.region[1] + (self.region[3] - 1) / 2

    @property
    def _axes(self) -> Floats:
        angle = math.radians(self.direction_deg)
        return np.array([[1.0, 0.0], [0.0, 1.0], [math.cos(angle), math.sin(angle)]])

    @cached_property
    def waveforms(self) -> dict[str, tuple[Floats, Floats]]:
        """Displacement, velocity and acceleration with their uncertainties, each (T, 3): x, y, along.

        px, px/s and px/s². Derivatives are those of the fourth-order polynomial through five frames.
        """
        axes = self._axes
        moved = self.displacement_px @ axes.T
        noise = np.einsum("ai,tij,aj->ta", axes, self.covariance_px2 - self.codec_px2, axes).clip(0)
        codec = np.einsum("ai,ij,aj->a", axes, self.codec_px2, axes)
        main = self.sinusoids[0].frequency_hz if self.sinusoids else None
        found = {}
        for name, (order, _) in DERIVATIVES.items():
            step = dict(window_length=5, polyorder=4, deriv=order, delta=1 / self.rate_hz)
            impulse = savgol_filter(np.eye(9)[4], **step)
            gain = float((impulse**2).sum())
            # The codec's part is as slow as the motion that it holds back, if that is known; noise is not.
            slow = gain if main is None else (2 * math.pi * main) ** (2 * order)
            found[name] = (savgol_filter(moved, axis=0, **step), np.sqrt(noise * gain + codec * slow))
        return found

    @cached_property
    def spectrum(self) -> tuple[Floats, Floats]:
        """Frequencies (F,) Hz, and a sinusoid's amplitude in x, in y and along, (F, 3) px (Welch, Hann)."""
        moved = self.displacement_px @ self._axes.T
        frequencies, power = welch(
            moved, self.rate_hz, "hann", self.segment, detrend="linear", scaling="spectrum", axis=0
        )
        return frequencies, np.sqrt(2 * power)

    @property
    def held_px(self) -> float:
        """Standard deviation of what the codec holds back of an amplitude along the direction, px."""
        return held_px(self.codec_px2, self.direction_deg)

    @property
    def noise_px(self) -> float:
        """Standard deviation of the noise of one frame along the direction, px, without the codec's part."""
        along = self._axes[2]
        noise = float(along @ (self.covariance_px2.mean(0) - self.codec_px2) @ along)
        return math.sqrt(max(noise, 0.0))

    @property
    def smallest_px(self) -> float:
        """The amplitude below which a vibration cannot be told from none."""
        return math.hypot(2 * self.held_px, least_amplitude(self.noise_px, len(self.displacement_px)))

    @property
    def verdict(self) -> str:
        """One line: how far the place moves, or why it cannot be told."""
        if self.lost > 0.5:
            return f"cannot be told: lost in {self.lost:.0%} of the frames"
        strongest = max((each.amplitude_px for each in self.sinusoids), default=0.0)
        if self.held_px > 0 and strongest < 2 * self.held_px:
            return (
                f"cannot be told: the codec repeats {self.repeated:.0%} of the blocks here "
                f"and holds back motion of up to about {2 * self.held_px:.2g} px"
            )
        if not self.sinusoids:
            return f"no vibration above {self.smallest_px:.2g} px"
        first = self.sinusoids[0]
        return (
            f"{first.amplitude_px:.3g} ± {first.amplitude_px_u:.1g} px at "
            f"{first.frequency_hz:.5g} ± {first.frequency_hz_u:.1g} Hz"
        )


@dataclass(frozen=True)
class Shape:
    """The motion of the whole picture at one frequency.

    Attributes:
        frequency_hz: of the motion.
        x_px, y_px: (rows, columns) complex amplitudes of the blocks at the first frame.
        blocks: where the blocks are.
    """

    frequency_hz: float
    x_px: NDArray[np.complex128]
    y_px: NDArray[np.complex128]
    blocks: BlockMotion

    @property
    def moment(self) -> tuple[Floats, Floats, Floats]:
        """Displacement at the instant of most motion: (rows, columns) px in x, in y and along all of it."""
        # The turn that makes the real parts largest.
        turn = np.exp(-0.5j * np.angle((self.x_px**2 + self.y_px**2).sum()))
        x, y = (self.x_px * turn).real, (self.y_px * turn).real
        angle = 0.5 * math.atan2(2 * float((x * y).sum()), float((x**2 - y**2).sum()))
        return x, y, x * math.cos(angle) + y * math.sin(angle)


@dataclass(frozen=True)
class Measurement:
    """Everything that :func:`measure` found.

    Attributes:
        path: of the clip.
        times_s: (T,) seconds of capture from the first frame.
        rate_hz: frames a second of capture.
        playback_hz: the container's frames a second.
        places: the places measured.
        shapes: deflection shapes, one a frequency asked for.
        compression: of the clip; None for a folder of images.
        mm_per_px: the scale, None without.
        mm_per_px_u: its standard uncertainty.
        warnings: one line each.
        picture: (H, W) in [0, 1], the first frame's luminance.
    """

    path: Path
    times_s: Floats
    rate_hz: float
    playback_hz: float
    places: tuple[PlaceMotion, ...]
    shapes: tuple[Shape, ...]
    compression: Compression | None
    mm_per_px: float | None
    mm_per_px_u: float
    warnings: tuple[str, ...]
    picture: Floats = field(repr=False)

    @property
    def duration_s(self) -> float:
        """Seconds of capture."""
        return len(self.times_s) / self.rate_hz

    @property
    def compression_line(self) -> str | None:
        """The compression in one line, and the smallest motion that it lets through; None for a folder."""
        if self.compression is None:
            return None
        least = [2 * place.held_px for place in self.places]
        if not max(least):
            return self.compression.line()
        span = f"{min(least):.2g}" + (f" to {max(least):.2g}" if len(least) > 1 else "")
        return (
            f"{self.compression.line()}: vibrations of less than {span} px cannot be told at the places here"
        )

    def relative(self, place: PlaceMotion, hertz: float) -> dict[str, float]:
        """Return how a place moves beside the first one at a frequency, each along its own direction."""
        waves, parts = [], []
        for each in (self.places[0], place):
            moved, _ = each.waveforms["displacement"]
            waves.append(complex_amplitudes(moved[:, 2:], self.rate_hz, np.array([hertz]))[0, 0])
            scatter = math.hypot(each.held_px, each.noise_px * math.sqrt(2 / len(moved)))
            parts.append(scatter / max(abs(waves[-1]), 1e-12))
        ratio = waves[1] / waves[0] if waves[0] else complex(math.nan)
        return {
            "frequency_hz": hertz,
            "amplitude_ratio": abs(ratio),
            "amplitude_ratio_u": abs(ratio) * math.hypot(*parts),
            "phase_deg": math.degrees(np.angle(ratio)),
            "phase_deg_u": math.degrees(math.hypot(*parts)),
        }


def measure(
    source: str | Path,
    *,
    points: Sequence[tuple[float, float]] = (),
    rois: Sequence[Region] = (),
    lines: Sequence[tuple[float, float, float, float]] = (),
    size: int = SIZE,
    direction: float | None = None,
    mm_per_px: float | None = None,
    known_length: tuple[float, float] | None = None,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    low: float | None = None,
    high: float | None = None,
    resolution: float | None = None,
    shapes: Sequence[float] = (),
    stabilize: Kind | None = None,
    still: Region | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Measurement:
    """Measure displacement, vibrations and their uncertainties at places of a clip.

    Args:
        source: a video file or a folder of images.
        points: (x, y) px of the clip; the region followed has ``size`` px around it.
        rois: (x, y, width, height) px of the clip.
        lines: (x0, y0, x1, y1) px, measured at points ``size`` px apart.
        size: px.
        direction: degrees from x toward y of the displacement "along"; that of most motion if None.
        mm_per_px: scale, millimetres.
        known_length: (px, mm) of a length in the picture, instead of ``mm_per_px``.
        fps: frames a second of *capture*; the container's rate if None. A folder of images needs it.
        start, end: seconds of playback.
        low, high: Hz, between which vibrations are looked for.
        resolution: Hz, of the spectrum; that of the whole record if None.
        shapes: Hz, at which the deflection shape of the whole picture is found.
        stabilize: what the camera does, which is taken out of every displacement; nothing if None.
        still: (x, y, width, height) px of the clip that should stand still; everywhere if None.
        advance: called with the number of frames that were taken.

    Without points, regions and lines, the places that move most are found first.

    Raises:
        InputError: for a clip that cannot be read or is too short, a place outside of the frame or without
            texture, a scale that is no number above 0, or a band that the record cannot resolve.
    """
    given = {name: value for name, value in locals().items() if name != "source"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = _measure(Path(source), **given)
    return replace(found, warnings=(*found.warnings, *dict.fromkeys(str(each.message) for each in caught)))


def _measure(
    path: Path,
    *,
    points: Sequence[tuple[float, float]],
    rois: Sequence[Region],
    lines: Sequence[tuple[float, float, float, float]],
    size: int,
    direction: float | None,
    mm_per_px: float | None,
    known_length: tuple[float, float] | None,
    fps: float | None,
    start: float | None,
    end: float | None,
    low: float | None,
    high: float | None,
    resolution: float | None,
    shapes: Sequence[float],
    stabilize: Kind | None,
    still: Region | None,
    advance: Callable[[int], None],
) -> Measurement:
    scale, scale_u = _scale(mm_per_px, known_length)
    if size < LEAST_SIDE:
        raise InputError(f"size must be at least {LEAST_SIDE} px, got {size}")
    check_rate(path, fps)
    with open_clip(path, start=start, end=end, folder_rate=fps) as clip:
        info = clip.info
    rate = float(info.rate) if fps is None else fps
    frames_there = _frames_in(info, start, end)
    if frames_there is not None and frames_there < LEAST_FRAMES:
        raise _too_short(path, frames_there)
    _check_band(low, high, resolution, rate, frames_there)
    if still is not None and stabilize is None:
        raise InputError("still names what should stand still for stabilize; give that too")
    named = _places(info, points, rois, lines, size)
    compression = measure_compression(info)
    notes = _notes(info, compression, fps)
    blocks: BlockMotion | None = None
    if not named or shapes:
        blocks = block_motion(
            path, fps=fps, start=start, end=end, stabilize=stabilize, still=still, advance=advance
        )
    if not named:
        assert blocks is not None
        named = _places(info, _moving(blocks, size), (), (), size)
    follower = PlaceFollower([region for _, region in named], [name for name, _ in named])
    pts: list[int] = []
    picture: Floats | None = None
    camera = None if stabilize is None else Camera(stabilize, still, str(path))
    moves: list[Floats] = []
    with open_clip(path, start=start, end=end, folder_rate=fps) as clip:
        for frames, ticks in clip.chunks(CHUNK):
            grey = luminance(frames)
            picture = grey[0].numpy().copy() if picture is None else picture
            follower.push(grey)
            if camera is not None:
                moves.append(camera.push(grey))
            pts += ticks
            advance(len(ticks))
    if len(pts) < LEAST_FRAMES:
        raise _too_short(path, len(pts))
    assert picture is not None
    seconds = (np.asarray(pts, np.float64) - pts[0]) * float(info.time_base)
    grid = grid_of(seconds, float(info.rate), float(info.time_base))
    steps = np.arange(float(len(pts)))
    if grid is not None:
        warn_of(grid, path)
        steps, rate = seconds * grid.rate, rate * grid.rate / float(info.rate)
    segment = math.floor(steps[-1] + 1e-6) + 1
    segment = segment if resolution is None else min(segment, round(rate / resolution))
    group = None if compression is None or compression.group is None else compression.group / rate
    places = tuple(
        _place(name, region, followed, steps, rate, compression, direction, (low, high), segment, group)
        for (name, region), followed in zip(named, follower.finish(moves), strict=True)
    )
    for place in places:
        if place.lost > 0.02:
            notes.append(
                f"{place.name} is lost in {place.lost:.0%} of the frames: it leaves the frame, is covered or "
                "changes its look; choose a larger or another region, or stabilise the clip"
            )
    return Measurement(
        path=path,
        times_s=np.arange(len(places[0].displacement_px)) / rate,
        rate_hz=rate,
        playback_hz=float(info.rate),
        places=places,
        shapes=tuple(_shape(blocks, hertz) for hertz in shapes) if blocks is not None else (),
        compression=compression,
        mm_per_px=scale,
        mm_per_px_u=scale_u,
        warnings=tuple(notes),
        picture=picture,
    )


def _place(
    name: str,
    region: Region,
    followed: Followed,
    steps: Floats,
    rate: float,
    compression: Compression | None,
    direction: float | None,
    band: tuple[float | None, float | None],
    segment: int,
    group: float | None,
) -> PlaceMotion:
    moved, noise = followed.evenly(steps)
    predicted = compression is not None and compression.predicted
    repeated = compression.repeated_in(*region) if compression is not None and predicted else 0.0
    step = compression.step_in(*region) if compression is not None else 0.0
    held = codec_px(followed.tensor, step, repeated)
    rounding = followed.rounding(region[2] * region[3])
    covariance = noise + held + rounding / 4
    uncertainty = np.sqrt(np.einsum("tii->ti", noise).mean(0).clip(1e-12))
    limits = (band[0] or 0.0, band[1] or rate / 2)
    found = find_sinusoids(moved, rate, uncertainty, band=limits)
    found = mark(found, rate, len(moved) / rate, group)
    lasting = _Lasting(held, rounding, followed.tensor)
    found = [lasting.added(each, len(moved) / rate) for each in found]
    if direction is None:
        direction = found[0].direction_deg if found else _main_direction(moved)
    return PlaceMotion(
        name=name,
        region=region,
        displacement_px=moved - moved.mean(0),
        covariance_px2=covariance,
        codec_px2=held,
        rate_hz=rate,
        direction_deg=direction,
        lost=1 - float(followed.sound.mean()),
        repeated=repeated,
        sinusoids=tuple(found),
        segment=segment,
    )


@dataclass(frozen=True)
class _Lasting:
    """Errors that do not average out over a record.

    Attributes:
        codec, rounding: (2, 2) px², see :mod:`mm.motion.places`.
        tensor: (2, 2) structure tensor of the place.
    """

    codec: Floats
    rounding: Floats
    tensor: Floats

    def added(self, each: Sinusoid, duration: float) -> Sinusoid:
        """Return a vibration with these in its uncertainties.

        Args:
            each: the vibration.
            duration: seconds of the record.
        """
        angle = math.radians(each.direction_deg)
        along = np.array([math.cos(angle), math.sin(angle)])
        rounding, slope = (float(along @ part @ along) for part in (self.rounding, self.tensor))
        codec = held_px(self.codec, each.direction_deg)
        # A motion that changes pixels by many levels meets as many steps, whose errors differ.
        levels = 255 * each.amplitude_px * math.sqrt(max(slope, 0.0))
        between = INTERPOLATES * min(1.0, 2 * math.pi * each.amplitude_px)
        lasting = math.hypot(codec, between, math.sqrt(STEPS * rounding / (1 + levels)))
        turn = lasting / max(each.amplitude_px, 1e-9)
        held = each.amplitude_px < 2 * codec
        return replace(
            each,
            marks=(*each.marks, "within what the codec holds back") if held else each.marks,
            amplitude_px_u=math.hypot(each.amplitude_px_u, lasting),
            phase_deg_u=math.hypot(each.phase_deg_u, math.degrees(turn)),
            frequency_hz_u=math.hypot(each.frequency_hz_u, DRIFT * turn / duration),
        )


def _main_direction(moved: Floats) -> float:
    vector = np.linalg.eigh(np.cov(moved.T))[1][:, 1]
    angle = math.degrees(math.atan2(vector[1], vector[0]))
    return angle - 180 * math.ceil((angle - 90) / 180)


def _shape(blocks: BlockMotion, hertz: float) -> Shape:
    frames, rows, columns, _ = blocks.displacement.shape
    signal = blocks.displacement.reshape(frames, -1)
    waves = complex_amplitudes(signal, blocks.fps, np.array([hertz]))
    turned = np.exp(2j * np.pi * hertz / blocks.fps * np.arange(frames))
    left = signal - np.outer(turned, waves[0]).real
    # What the noise makes of a block that stands still is left out, and so is a block that was lost.
    noise = 2 * (left - left.mean(0)).std(0) * math.sqrt(2 / frames)
    told = (np.abs(waves[0]) > noise) & (blocks.followed > 0.5).reshape(-1, 1).repeat(2, 1).reshape(-1)
    found = (waves[0] * told).reshape(rows, columns, 2)
    return Shape(hertz, found[..., 0], found[..., 1], blocks)


def _moving(blocks: BlockMotion, size: int) -> list[tuple[float, float]]:
    """Return the places that move most, no two within ``size`` px; the best texture if nothing moves."""
    places: list[tuple[float, float]] = []
    for peak in motion_spectrum(blocks).peaks:
        if all(math.dist((peak.x, peak.y), other) >= size for other in places):
            places.append((peak.x, peak.y))
    if not places:
        weakest = np.linalg.eigvalsh(blocks.texture)[..., 0] * blocks.followed
        row, column = np.unravel_index(weakest.argmax(), weakest.shape)
        places.append((float(blocks.x[column]), float(blocks.y[row])))
    return places[:PLACES]


def _places(
    info: ClipInfo,
    points: Iterable[tuple[float, float]],
    rois: Iterable[Region],
    lines: Iterable[tuple[float, float, float, float]],
    size: int,
) -> list[tuple[str, Region]]:
    """Return the names and regions of places.

    Raises:
        InputError: for one that is not within the frame, or too small.
    """
    frame = f"the frame of {info.width}×{info.height} px"
    side = min(size, info.width, info.height)

    def around(name: str, x: float, y: float) -> tuple[str, Region]:
        if not (0 <= x <= info.width - 1 and 0 <= y <= info.height - 1):
            raise InputError(f"{name} at x {x:g}, y {y:g} lies outside of {frame}; change it")
        left = min(max(round(x - (side - 1) / 2), 0), info.width - side)
        top = min(max(round(y - (side - 1) / 2), 0), info.height - side)
        return name, (left, top, side, side)

    found = [around(f"point {number}", *point) for number, point in enumerate(points, 1)]
    for number, roi in enumerate(rois, 1):
        x, y, width, height = roi
        if not (x >= 0 and y >= 0 and x + width <= info.width and y + height <= info.height):
            raise InputError(f"region {x},{y},{width},{height} does not lie within {frame}; change it")
        if min(width, height) < LEAST_SIDE:
            raise InputError(
                f"region {x},{y},{width},{height} must be at least {LEAST_SIDE} px on each side; enlarge it"
            )
        found.append((f"region {number}", roi))
    for number, (x0, y0, x1, y1) in enumerate(lines, 1):
        count = max(2, 1 + round(math.hypot(x1 - x0, y1 - y0) / size))
        for place in range(count):
            part = place / (count - 1)
            name = f"line {number}, {place + 1} of {count}"
            found.append(around(name, x0 + part * (x1 - x0), y0 + part * (y1 - y0)))
    return found


def _scale(mm_per_px: float | None, known_length: tuple[float, float] | None) -> tuple[float | None, float]:
    """Return mm a px and its standard uncertainty."""
    if mm_per_px is not None and known_length is not None:
        raise InputError("mm-per-px and known-length are two ways to give one scale; give one of them")
    if known_length is not None:
        length_px, length_mm = known_length
        if not (math.isfinite(length_px) and math.isfinite(length_mm) and length_px > 0 and length_mm > 0):
            raise InputError(
                f"known-length must be two numbers above 0, px and mm, got {length_px:g},{length_mm:g}"
            )
        return length_mm / length_px, length_mm / length_px**2 * LENGTH_U
    if mm_per_px is not None and not (math.isfinite(mm_per_px) and mm_per_px > 0):
        raise InputError(f"mm-per-px must be a number above 0, got {mm_per_px:g}")
    return mm_per_px, 0.0


def _too_short(path: Path, frames: int) -> InputError:
    return InputError(
        f"{path} has {frames} frame{'s' * (frames != 1)} to look at, and a measurement needs at least "
        f"{LEAST_FRAMES}; give a longer clip"
    )


def _frames_in(info: ClipInfo, start: float | None, end: float | None) -> int | None:
    if info.frames is None:
        return None
    last = info.frames if end is None else min(info.frames, end * float(info.rate))
    return max(0, math.ceil(last - (start or 0.0) * float(info.rate)))


def _check_band(
    low: float | None, high: float | None, resolution: float | None, rate: float, frames: int | None
) -> None:
    """Refuse a band or a resolution that the record cannot hold, before any frame is read."""
    for name, value in (("low", low), ("high", high), ("resolution", resolution)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a number above 0 Hz, got {value:g}")
    if high is not None and high > rate / 2:
        raise InputError(
            f"high {high:g} Hz is above half of the frame rate, {rate / 2:g} Hz; lower it, or give the rate "
            "of capture with --fps"
        )
    if low is not None and low >= (high or rate / 2):
        raise InputError(f"low {low:g} Hz must be below {high or rate / 2:g} Hz, the band's upper edge")
    if frames is None:
        return
    bin_hz = rate / frames
    if low is not None and low < bin_hz:
        raise InputError(
            f"low {low:g} Hz has less than one period in {frames / rate:.3g} s; raise it to {bin_hz:.2g} Hz "
            "or give a longer clip"
        )
    if low is not None and high is not None and high - low < 2 * bin_hz:
        raise InputError(
            f"a band of {low:g} to {high:g} Hz is narrower than {2 * bin_hz:.2g} Hz, which "
            f"{frames / rate:.3g} s can resolve; widen it or give a longer clip"
        )
    if resolution is not None and resolution < bin_hz:
        raise InputError(
            f"resolution {resolution:g} Hz takes {1 / resolution:.3g} s, and the record has "
            f"{frames / rate:.3g} s; give at least {bin_hz:.2g} Hz"
        )


def _notes(info: ClipInfo, compression: Compression | None, fps: float | None) -> list[str]:
    """Return what a user should know of the file."""
    notes = []
    captured = info.tags.get("com.android.capture.fps")
    if fps is None and captured is not None:
        notes.append(
            f"the file says that it was captured at {float(captured):g} frames a second and plays at "
            f"{float(info.rate):g}; give --fps {float(captured):g} if so"
        )
    if compression is not None and compression.doubled:
        period = compression.doubled_period
        often = f"every {period}th" if period else f"{len(compression.doubled)} of {compression.frames}"
        rate = f"; the true rate is {float(info.rate) * (1 - 1 / period):.4g} a second" if period else ""
        notes.append(f"{often} frame repeats the one before: frames were doubled or dropped{rate}")
    return notes
