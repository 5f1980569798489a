"""The temporal spectrum of the motion in a clip: at which frequencies something moves, how much, and where.

Each block's displacement (:mod:`mm.motion.blocks`) is taken along the two directions of its own
texture, freed of its linear trend, windowed (Hann) and transformed. Powers are averaged over the blocks, not
displacements, so parts that move in opposite ways do not cancel. A block counts by how little noise it has:
the noise is what the median of its own spectrum shows, which a few peaks do not change.

A peak is what stands out of the running median of the averaged spectrum by more than the spectrum's own
scatter allows. Its amplitude is that of the sinusoid where it is strongest, so it does not depend on how much
of the frame moves; see :class:`Peak`.

All of it is reckoned in periods in the clip, not in Hz, so what is found does not depend on the frame rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.signal import detrend, find_peaks, get_window

from mm.motion.blocks import DAMPING, FLAT, BlockMotion

Floats = NDArray[np.floating]

PADDING = 4  # points of the spectrum for each bin of 1 / duration
HALF_CONFIDENCE = 0.02  # px, the noise in a frame at which a block counts half
SURE = 0.02  # confidence below which a block's own amplitude is not shown
NEIGHBOURS, FEW_NEIGHBOURS = 8, 4  # bins to either side whose median is the noise floor; in short records
OUTSTANDING = 5.0  # scatters of the logarithm that a peak must stand above the floor
LEAST_RATIO = 1.25  # of a peak's power over the floor's
SURE_RATIO = 25.0  # likewise, at which it stands out of white noise in one record (1 in a million at a bin)
LEAST_AMPLITUDE = 0.002  # px: below this, compression and rounding move what stands still
SLOWEST = 1.5  # periods in the clip: what has fewer is not told from a trend
LEAST_PERIODS = 3.0  # in the clip, from which on a frequency is told: a drift that bends seems to have fewer
MOST_PEAKS = 8
HARMONICS = 6  # the highest that is named
BAND = 0.15  # of the peak's frequency, to either side, at least BAND_BINS
BAND_BINS = 2.0
_LEAST_POWER = (LEAST_AMPLITUDE / 4) ** 2


@dataclass(frozen=True)
class Peak:
    """A frequency at which something moves.

    Attributes:
        frequency: Hz.
        periods: of it in the clip. Below :data:`LEAST_PERIODS` the clip is too short to tell a frequency.
        amplitude: px, of the sinusoid (half of peak to peak) along its main direction, where it is strongest:
            the mean over the blocks round there that have at least half of its power.
        ratio: power over the noise floor's, of the average over all blocks.
        x: px of the clip, the centre of where it is strongest.
        y: px of the clip.
        angle: degrees from x toward y (clockwise on the screen), in (−90, 90]: the main direction.
        harmonic_of: Hz, the stronger peak that this is a whole multiple of; None if of none.
        band: (low, high) Hz for a temporal filter that is to show it, see :func:`suggested_band`; None if the
            clip is too short to tell.
        blocks: (rows, columns) px, the amplitude in each block, 0 where too little is to be followed.
    """

    frequency: float
    periods: float
    amplitude: float
    ratio: float
    x: float
    y: float
    angle: float
    harmonic_of: float | None
    band: tuple[float, float] | None
    blocks: Floats


@dataclass(frozen=True)
class MotionSpectrum:
    """The result of :func:`motion_spectrum`.

    Attributes:
        frequencies: (F,) Hz, from 0 to half of the frame rate.
        amplitude: (F,) px: root of the mean over all blocks of the squared amplitude of a sinusoid.
        floor: (F,) px: the noise, in the same measure.
        peaks: first the one that stands out most.
        frames: how many went in.
        resolution: Hz, one bin: the frame rate over the frames.
        textured: the part of the blocks that have texture to follow.
    """

    frequencies: Floats
    amplitude: Floats
    floor: Floats
    peaks: tuple[Peak, ...]
    frames: int
    resolution: float
    textured: float


def motion_spectrum(motion: BlockMotion, most: int = MOST_PEAKS) -> MotionSpectrum:
    """Find the frequencies of a clip's motion.

    Args:
        motion: of the clip's blocks.
        most: peaks that are returned at most.
    """
    frames, rows, columns, _ = motion.displacement.shape
    signals, known = _along_texture(motion)
    signals = detrend(signals, axis=0)
    window = get_window("hann", frames)
    signals *= 2 / window.sum() * window[:, None]
    length = PADDING * frames
    bins = bins_of(frames)

    # A part at a time: the transforms of all blocks of a long clip would not fit into memory.
    noise = np.zeros(signals.shape[1])
    total = np.zeros(len(bins))
    for part in np.array_split(np.arange(signals.shape[1]), max(1, signals.size // 2**20)):
        power = np.abs(np.fft.rfft(signals[:, part], length, axis=0)) ** 2
        # White noise of variance s² has the mean power 4 s² Σw² / (Σw)², and a median of ln 2 times that.
        per_variance = math.log(2) * 4 * (window**2).sum() / window.sum() ** 2
        noise[part] = np.median(power[bins >= SLOWEST], axis=0) / per_variance
        total += power @ _confidence(noise[part], known[part])
    confidence = _confidence(noise, known)
    # Both directions of a block add up to its motion, so a block counts once, by the better known one.
    weight = confidence.reshape(-1, 2).max(1)
    mean = total / max(weight.sum(), 1e-12)
    grid = confidence.reshape(rows, columns, 2)
    found = []
    for line in find_lines(mean, bins):
        peak = _locate(motion, signals, grid, line.periods, line.ratio)
        if peak.amplitude >= LEAST_AMPLITUDE:
            found.append(peak)
    found.sort(key=lambda peak: -peak.ratio)
    resolution = motion.fps / frames
    return MotionSpectrum(
        frequencies=bins * resolution,
        amplitude=np.sqrt(mean),
        floor=np.sqrt(noise_floor(mean, bins, [int(np.searchsorted(bins, peak.periods)) for peak in found])),
        peaks=_name_harmonics(found)[:most],
        frames=frames,
        resolution=resolution,
        textured=float((weight > 0).mean()),
    )


def suggested_band(frequency: float, fps: float, frames: int) -> tuple[float, float]:
    """Return (low, high) Hz for a temporal filter round a peak: 15 % or two bins to either side.

    The low edge has at least one period in the clip, the high one stays below the Nyquist frequency.

    Args:
        frequency: of the peak, Hz.
        fps: frames a second.
        frames: of the clip.
    """
    bin_width = fps / frames
    reach = max(BAND * frequency, BAND_BINS * bin_width)
    low, high = max(frequency - reach, bin_width), min(frequency + reach, fps / 2 - bin_width / 4)
    # No more digits than a quarter of a bin needs; rounded inwards, so that the limits hold for them too.
    unit = 10.0 ** math.floor(math.log10(bin_width / 4))
    return (
        float(f"{math.ceil(low / unit - 1e-9) * unit:.6g}"),
        float(f"{math.floor(high / unit + 1e-9) * unit:.6g}"),
    )


def _along_texture(motion: BlockMotion) -> tuple[Floats, Floats]:
    """Return the channels (T, 2 × blocks) and the followed part of each, 0 without texture.

    A block has two channels: its displacement along its worse and its better direction.
    """
    values, vectors = np.linalg.eigh(motion.texture)
    signals = np.einsum("trci,rcij->trcj", motion.displacement, vectors)
    known = motion.followed[..., None] * (values > np.maximum(FLAT**2, DAMPING * values[..., 1:]))
    return signals.reshape(len(signals), -1).astype(np.float64), known.reshape(-1)


def _confidence(noise: Floats, known: Floats) -> Floats:
    # As noise⁻² where there is much: the power of many noisy blocks does not bury that of a few good ones.
    return known / (1 + (noise / HALF_CONFIDENCE**2) ** 2)


def bins_of(frames: int) -> Floats:
    """Return the periods in the record of each value of a spectrum of so many frames."""
    return np.arange(PADDING * frames // 2 + 1) / PADDING


@dataclass(frozen=True)
class Line:
    """A peak of a power spectrum: its periods in the record, and its power over the noise floor's."""

    periods: float
    ratio: float


def find_lines(mean: Floats, bins: Floats, sure: float = SURE_RATIO) -> list[Line]:
    """Find the peaks of a Hann-windowed power spectrum that are neither noise nor a stronger one's leakage.

    Args:
        mean: (F,) px², power as squared amplitude of a sinusoid.
        bins: (F,) periods in the record, :data:`PADDING` values for each bin.
        sure: power over the noise floor's at which a peak stands out however much the spectrum scatters.
    """
    places: list[int] = []
    # Leakage is not noise: a clean line in a short record would else raise its own threshold.
    for _ in range(MOST_PEAKS):
        before, places = places, _outstanding(mean, bins, places, sure)
        if not places and not before:
            strongest = int(mean[bins >= SLOWEST].argmax()) + int(np.searchsorted(bins, SLOWEST))
            places = _outstanding(mean, bins, [strongest], sure)
        if places == before:
            break
    floor = noise_floor(mean, bins, places)
    found = []
    for place, top in _summits(mean, places):
        periods, power = _vertex(mean, top, bins[1])
        found.append(Line(periods, float(power / max(floor[place], 1e-12))))
    return found


def _leakage(mean: Floats, bins: Floats, places: list[int], of: Floats) -> Floats:
    """Return the most that the lines at ``places`` put at the bins ``of``; infinite in their main lobes."""
    apart = np.abs(of[:, None] - bins[places])
    # Hann's transform falls as 1 / (π δ (δ² − 1)), δ in bins; twice that for interference.
    leaked = mean[places] * (2 / (math.pi * apart.clip(1.5) * (apart.clip(1.5) ** 2 - 1))) ** 2
    return np.where(apart < 2, np.inf, leaked).max(1, initial=0)


def noise_floor(mean: Floats, bins: Floats, places: list[int]) -> Floats:
    """Return the running median of what is not the leakage of the lines at ``places``.

    The span has constant width and ends at the spectrum's ends.
    """
    lowest = int(np.searchsorted(bins, 1.0))
    # A short record has few bins, and its slow part stands far above the rest: the floor must follow that.
    near = min(NEIGHBOURS, max(FEW_NEIGHBOURS, round(bins[-1] / 6)))
    span = min(2 * near * PADDING + 1, len(bins) - lowest)
    kept = np.where(_leakage(mean, bins, places, bins) < mean, mean, np.nan)[lowest:]
    windows = np.lib.stride_tricks.sliding_window_view(kept, span)
    # Where all of a span is leakage, nothing else is seen.
    medians = np.full(len(windows), _LEAST_POWER)
    seen = np.isfinite(windows).any(-1)
    medians[seen] = np.nanmedian(windows[seen], axis=-1)
    first = np.arange(len(bins)) - lowest - span // 2
    return medians[first.clip(0, len(medians) - 1)]


def _outstanding(mean: Floats, bins: Floats, lines: list[int], sure: float) -> list[int]:
    """Return the places of the peaks that are neither noise nor a stronger peak's leakage.

    The noise is what is not the leakage of ``lines``, the places that are known so far.
    """
    floor = noise_floor(mean, bins, lines)
    # Without noise there is rounding, whose logarithm scatters widely far below what is ever reported.
    height = np.log(np.maximum(mean, _LEAST_POWER) / np.maximum(floor, _LEAST_POWER))
    noise = height[(bins >= SLOWEST) & (_leakage(mean, bins, lines, bins) < mean)]
    scatter = 1.4826 * float(np.median(np.abs(noise - np.median(noise)))) if len(noise) else 0.0
    least = max(min(OUTSTANDING * scatter, math.log(sure)), math.log(LEAST_RATIO))
    places, _ = find_peaks(height, height=least, prominence=least / 2, distance=2 * PADDING)
    # A drift leaks as a line does; what still rises at its fast end is the foot of a line.
    slow = mean[bins < SLOWEST]
    drift = [int(slow.argmax())] if slow.argmax() < len(slow) - 1 else []
    kept = list(drift)
    for place in sorted(places, key=lambda place: -mean[place]):
        inside = SLOWEST <= bins[place] <= bins[-1] - 1
        if inside and mean[place] >= _leakage(mean, bins, kept, bins[[place]])[0]:
            kept.append(int(place))
    return kept[len(drift) :]


def _summits(mean: Floats, places: list[int]) -> list[tuple[int, int]]:
    """Return the peaks' places, each with its own top; of places with the same top, the strongest."""
    kept: list[tuple[int, int]] = []
    for place in sorted(places, key=lambda place: -mean[place]):
        top = _summit(mean, place)
        # As near as no two places are: on the way up one slope.
        if all(abs(top - other) >= 2 * PADDING for _, other in kept):
            kept.append((place, top))
    return kept


def _summit(mean: Floats, place: int) -> int:
    """Return the place of the power's own top near a peak over the noise.

    Where the noise's floor slopes, what stands out most over it is not where the power is highest. Further
    than the window's main lobe another peak begins.
    """
    for _ in range(2 * PADDING):
        beside = max(place - 1, place + 1, key=lambda each: mean[each])
        if not 1 <= beside <= len(mean) - 2 or mean[beside] <= mean[place]:
            break
        place = beside
    return place


def _vertex(mean: Floats, place: int, step: float) -> tuple[float, float]:
    """Return the frequency and the power at the top of the parabola through a peak's logarithm."""
    below, top, above = np.log(mean[place - 1 : place + 2])
    bend = below - 2 * top + above
    shift = 0.0 if bend >= 0 else float(np.clip((below - above) / (2 * bend), -0.5, 0.5))
    return float((place + shift) * step), math.exp(top - (below - above) * shift / 4)


def _locate(motion: BlockMotion, signals: Floats, confidence: Floats, periods: float, ratio: float) -> Peak:
    """Measure a peak in each block, and where it is strongest."""
    rows, columns = confidence.shape[:2]
    frames = len(signals)
    frequency = periods * motion.fps / frames
    # Beside the peak, as far as the window's main lobe reaches: the noise that stands under it.
    beside = periods + np.array([-6, -5, -4, -3, 3, 4, 5, 6])
    beside = beside[(beside > 1) & (beside < frames / 2)]
    turns = np.outer(np.append(periods, beside), np.arange(frames)) / frames
    found = np.exp(-2j * np.pi * turns) @ signals
    waves = found[0].reshape(rows, columns, 2)
    under = np.median(np.abs(found[1:]) ** 2, axis=0).reshape(rows, columns, 2) if len(beside) else 0.0
    power = np.maximum(np.abs(waves) ** 2 - under, 0)
    # What the spectrum's weights make of it, averaged over 3×3 blocks, so that one outlier does not win.
    score = uniform_filter((confidence * power).sum(-1), 3, mode="constant")
    row, column = np.unravel_index(score.argmax(), score.shape)
    near = np.zeros((rows, columns), bool)
    near[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    sure = confidence.max(-1)
    near &= sure >= sure[near].max() / 2
    whole = power.sum(-1)
    near &= whole >= whole[near].max() / 2
    share = sure[near] / sure[near].sum()
    # The block's own axes → x and y, where motion is an ellipse: its half axis and direction.
    vectors = np.linalg.eigh(motion.texture)[1]
    xy = np.einsum("rcij,rcj->rci", vectors, waves)
    spread = np.einsum("n,ni,nj->ij", share, xy[near], xy[near].conj()).real
    along = np.linalg.eigh(spread)[1][:, 1]
    angle = math.degrees(math.atan2(along[1], along[0]))
    half_axis = _half_axis(xy) * np.sqrt(whole / np.maximum((np.abs(waves) ** 2).sum(-1), 1e-30))
    return Peak(
        frequency=frequency,
        periods=periods,
        amplitude=float(np.sqrt(share @ half_axis[near] ** 2)),
        ratio=ratio,
        x=float(share @ np.broadcast_to(motion.x, (rows, columns))[near]),
        y=float(share @ np.broadcast_to(motion.y[:, None], (rows, columns))[near]),
        angle=angle - 180 * math.ceil((angle - 90) / 180),
        harmonic_of=None,
        band=suggested_band(frequency, motion.fps, frames) if periods >= LEAST_PERIODS else None,
        blocks=np.where(sure >= SURE, half_axis, 0.0),
    )


def _half_axis(xy: NDArray[np.complex128]) -> Floats:
    """Return the longer half axis of the ellipse Re(xy e^{iωt}), xy (…, 2)."""
    x, y = np.abs(xy[..., 0]) ** 2, np.abs(xy[..., 1]) ** 2
    cross = (xy[..., 0] * xy[..., 1].conj()).real
    return np.sqrt((x + y + np.sqrt((x - y) ** 2 + 4 * cross**2)) / 2)


def _larger_there(other: Peak, peak: Peak) -> bool:
    """Tell whether ``other`` moves the more where ``peak`` moves."""
    weight = peak.blocks**2
    return bool((weight * other.blocks).sum() > (weight * peak.blocks).sum())


def _name_harmonics(peaks: list[Peak]) -> tuple[Peak, ...]:
    """Name what a peak is a multiple of: the slowest that is larger and not too slow to tell."""

    def fundamental(peak: Peak) -> float | None:
        for other in sorted(peaks, key=lambda other: other.periods):
            order = round(peak.periods / other.periods)
            near = abs(peak.periods - order * other.periods) <= 1 / 2
            # Of fewer periods every number is near a multiple; and both must move in one place.
            telling = other.periods >= LEAST_PERIODS and _larger_there(other, peak)
            if 2 <= order <= HARMONICS and near and telling:
                return other.frequency
        return None

    return tuple(replace(peak, harmonic_of=fundamental(peak)) for peak in peaks)
