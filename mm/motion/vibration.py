"""Sinusoids in a record of displacement: frequency, amplitude, phase and damping, each with its uncertainty.

The lines that stand out of the spectrum (:mod:`mm.motion.spectrum`) are fitted together with a linear trend
by least squares, frequencies included. The noise is the fit's residual near each frequency, so uncertainties
are those of the Cramér–Rao bound for that noise (Rife and Boorstyn 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.signal import detrend, get_window, welch
from scipy.stats import chi2

from mm.motion.spectrum import HARMONICS, LEAST_PERIODS, NEIGHBOURS, bins_of, find_lines

Floats = NDArray[np.floating]

ROUNDS = 12  # Gauss–Newton steps at most
DECAYS = 3.0  # standard uncertainties that a decay must differ from 0 by
RESOLVED = 2.0  # resolutions that a resonance must be wide at half power
SEGMENTS = 15  # of a record, for the width of a resonance
MOST_DAMPED = 0.3  # of critical: what is wider is no line
MAINS = (100.0, 120.0)  # Hz, the flicker of lamps on mains of 50 and 60 Hz
# Chance that a record's bins of noise alone stand out. Between bins, and as the floor is uncertain,
# noise does so in about one record of a hundred.
FALSE = 1e-4
NEAR = 0.75  # of 1 / duration, within which two frequencies are taken for one


@dataclass(frozen=True)
class Sinusoid:
    """One vibration of a place; every uncertainty ``…_u`` is a standard uncertainty.

    Attributes:
        frequency_hz: of the sinusoid.
        periods: of it in the record.
        amplitude_px: half of peak to peak along ``direction_deg``, the longer half axis of the orbit.
        minor_px: the shorter half axis; positive if the orbit turns clockwise on the screen.
        direction_deg: of the longer half axis, from x toward y (clockwise on the screen), in (−90, 90].
        phase_deg: of the cosine along that direction at the first frame, in (−180, 180].
        x_px, y_px: complex amplitudes at the first frame: x(t) = Re(x_px · exp(2πi f t)).
        ratio: power over the noise floor's.
        damping_ratio: of critical damping; None where the record does not show it.
        damping_from: "decay" or "resonance".
        marks: what the line may be besides motion of its own, such as a harmonic or an alias.
    """

    frequency_hz: float
    frequency_hz_u: float
    periods: float
    amplitude_px: float
    amplitude_px_u: float
    minor_px: float
    direction_deg: float
    phase_deg: float
    phase_deg_u: float
    x_px: complex
    y_px: complex
    ratio: float
    damping_ratio: float | None = None
    damping_ratio_u: float | None = None
    damping_from: str | None = None
    marks: tuple[str, ...] = ()


def power_spectrum(signal: Floats, weight: Floats) -> Floats:
    """Return the weighted sum of the channels' Hann-windowed powers (F,) px²; see :func:`bins_of`.

    Args:
        signal: (T, C) px.
        weight: (C,) in [0, 1].
    """
    frames = len(signal)
    window = get_window("hann", frames)
    wave = detrend(signal, axis=0) * (2 / window.sum() * window[:, None])
    power = np.abs(np.fft.rfft(wave, 2 * (len(bins_of(frames)) - 1), axis=0)) ** 2
    return power @ weight


def find_sinusoids(
    signal: Floats,
    rate: float,
    uncertainty: Floats,
    *,
    most: int = 8,
    band: tuple[float, float] | None = None,
) -> list[Sinusoid]:
    """Find the vibrations of one place, the strongest first.

    Args:
        signal: (T, 2) px, order (x, y), evenly spaced.
        rate: Hz, samples a second.
        uncertainty: (2,) px, of one sample on each axis; the spectrum counts the better known axis more.
        most: sinusoids that are returned at most.
        band: (low, high) Hz outside which nothing is returned.
    """
    frames = len(signal)
    weight = (uncertainty.min() ** 2 / np.maximum(uncertainty, 1e-9) ** 2).clip(1e-9, 1)
    mean = power_spectrum(signal, weight)
    # Powers of white noise in n channels that count alike follow χ² of 2 n degrees of freedom.
    freedom = 2 * weight.sum() ** 2 / (weight**2).sum()
    least = _outstanding(frames, freedom) / chi2.median(freedom)
    lines = find_lines(mean, bins_of(frames), least)
    lines = [line for line in lines if line.periods < frames / 2 and line.ratio > least]
    if band is not None:
        lines = [line for line in lines if band[0] <= line.periods * rate / frames <= band[1]]
    lines = sorted(lines, key=lambda line: -line.ratio)[:most]
    if not lines:
        return []
    fit = _Fit(signal, np.array([line.periods for line in lines]) / frames, 1 / uncertainty.clip(1e-9))
    found = [fit.sinusoid(number, rate, line.ratio) for number, line in enumerate(lines)]
    found = [each for each in found if each.amplitude_px > 2 * each.amplitude_px_u]
    found = sorted((_damped(each, signal, rate) for each in found), key=lambda each: -each.amplitude_px)
    kept: list[Sinusoid] = []
    for each in found:
        # A resonance that is excited at random has many tops.
        if not any(abs(each.frequency_hz - other.frequency_hz) < _width(other) for other in kept):
            kept.append(each)
    return kept


def _outstanding(frames: int, freedom: float) -> float:
    """Return the χ² that a bin of noise exceeds in one record of 1 / :data:`FALSE`."""
    return float(chi2.isf(FALSE / (frames / 2), freedom))


def least_amplitude(noise: float, frames: int) -> float:
    """Return px, the amplitude of a line that stands out of white noise in x and y.

    Args:
        noise: px, standard deviation of a sample.
        frames: of the record.
    """
    # The mean power in Hann's window is 4 · 1.5 / frames of the variance, and χ² has a mean of 2 a channel.
    return noise * math.sqrt(3 * _outstanding(frames, 4.0) / frames)


def _width(each: Sinusoid) -> float:
    """Return Hz, two half-power widths of a resonance; 0 of a line or a free decay."""
    wide = each.damping_ratio is not None and each.damping_from == "resonance"
    return 4 * each.frequency_hz * each.damping_ratio if wide and each.damping_ratio else 0.0


def complex_amplitudes(signal: Floats, rate: float, frequencies: Floats) -> NDArray[np.complex128]:
    """Return (K, C) px: Re(a · exp(2πi f t)), t from the first sample, fitted at K known frequencies.

    Args:
        signal: (T, C) px, any number of channels.
        rate: Hz.
        frequencies: (K,) Hz.
    """
    basis = _basis(len(signal), np.asarray(frequencies) / rate)
    found = np.linalg.lstsq(basis, signal, rcond=None)[0][2:]
    count = len(frequencies)
    turned = (found[:count] - 1j * found[count:]).T * _to_start(len(signal), np.asarray(frequencies) / rate)
    return turned.T


def orbit(x: complex, y: complex) -> tuple[float, float, float]:
    """Return the longer and the signed shorter half axis, and the direction in degrees, of an orbit."""
    spin = (x * y.conjugate()).imag
    square = abs(x) ** 2 + abs(y) ** 2
    spread = math.hypot(abs(x) ** 2 - abs(y) ** 2, 2 * (x * y.conjugate()).real)
    angle = 0.5 * math.degrees(math.atan2(2 * (x * y.conjugate()).real, abs(x) ** 2 - abs(y) ** 2))
    minor = math.sqrt(max(square - spread, 0) / 2)
    return math.sqrt((square + spread) / 2), math.copysign(minor, spin), angle


def mark(found: list[Sinusoid], rate: float, duration: float, group_s: float | None = None) -> list[Sinusoid]:
    """Say of each vibration of one place what it may be besides motion of its own.

    Args:
        found: of the place.
        rate: Hz, of capture.
        duration: seconds of the record.
        group_s: seconds of capture between the codec's self-contained pictures; None if there are no others.
    """
    near = NEAR / duration

    def fits(frequency: float, other: float) -> bool:
        return abs(frequency - _folded(other, rate)) <= near

    def marks(each: Sinusoid) -> list[str]:
        lines = []
        frequency = each.frequency_hz
        for other, order in product(found, range(2, HARMONICS + 1)):
            larger = other.amplitude_px > each.amplitude_px and other.periods >= LEAST_PERIODS
            if larger and fits(frequency, order * other.frequency_hz):
                kind = "alias of " if order * other.frequency_hz > rate / 2 else ""
                lines.append(f"{kind}{order} × {other.frequency_hz:.4g} Hz")
        for light in MAINS:
            if fits(frequency, light):
                lines.append(("alias of " if light > rate / 2 else "") + f"mains light at {light:g} Hz")
        if group_s is not None:
            for order in range(1, HARMONICS + 1):
                if fits(frequency, order / group_s) and order / group_s < rate / 2:
                    lines.append(f"{order} × the rate of the codec's groups of pictures")
                    break
        for part in range(2, 7):
            if abs(frequency - rate / part) <= near:
                lines.append(f"1/{part} of the frame rate")
        return lines

    return [replace(each, marks=tuple(marks(each))) for each in found]


def _folded(frequency: float, rate: float) -> float:
    """Return where a frequency appears at this sampling rate."""
    return abs(frequency - rate * round(frequency / rate))


def _basis(frames: int, turns: Floats) -> Floats:
    """Return (T, 2 + 2 K): constant, trend, cosines and sines about the record's middle."""
    time = np.arange(frames) - (frames - 1) / 2
    phase = 2 * np.pi * time[:, None] * turns
    return np.column_stack([np.ones(frames), 2 * time / frames, np.cos(phase), np.sin(phase)])


def _to_start(frames: int, turns: Floats) -> NDArray[np.complex128]:
    return np.exp(-2j * np.pi * np.asarray(turns) * (frames - 1) / 2)


class _Fit:
    """Least squares for K sinusoids that C channels share, their frequencies (turns a sample) included."""

    def __init__(self, signal: Floats, turns: Floats, weight: Floats, decays: Floats | None = None) -> None:
        self.signal = signal
        self.frames, self.channels = signal.shape
        self.time = np.arange(self.frames) - (self.frames - 1) / 2
        self.turns, self.weight = turns.astype(np.float64), weight / weight.max()
        self.decays = decays
        first = self.turns.copy()
        for _ in range(ROUNDS):
            basis = self._solve()
            step = self._step(basis)
            # A line stays in its own main lobe.
            moved = np.clip(self.turns + step[0], first - 1 / self.frames, first + 1 / self.frames)
            change = np.abs(moved - self.turns).max()
            self.turns = moved
            if self.decays is not None:
                self.decays = np.clip(self.decays + step[1], -5 / self.frames, 20 / self.frames)
            if change * self.frames < 1e-7:
                break
        self._solve()
        self.noise = self._noise_near()

    def _envelope(self) -> Floats:
        if self.decays is None:
            return np.ones((self.frames, len(self.turns)))
        return np.exp(-self.time[:, None] * self.decays)

    def _solve(self) -> Floats:
        basis = _basis(self.frames, self.turns)
        basis[:, 2:] *= np.tile(self._envelope(), 2)
        found = np.linalg.lstsq(basis, self.signal, rcond=None)[0]
        count = len(self.turns)
        self.waves = found[2 : 2 + count] - 1j * found[2 + count :]  # (K, C) at the record's middle
        self.residual = self.signal - basis @ found
        return basis

    def _slopes(self) -> list[Floats]:
        """Return the derivatives of the model by turns and, if they are free, decays: each (T, K, C)."""
        phase = np.exp(2j * np.pi * self.time[:, None] * self.turns) * self._envelope()
        wave = self.waves * phase[..., None]
        time = self.time[:, None, None]
        slopes = [(2j * np.pi * time * wave).real]
        return slopes if self.decays is None else [*slopes, (-time * wave).real]

    def _step(self, basis: Floats) -> Floats:
        # The linear part is solved at each step, so only what it cannot take up counts (variable projection).
        free = np.concatenate(self._slopes(), axis=1).transpose(0, 2, 1)  # (T, C, n)
        flat = free.reshape(self.frames, -1)
        own = (flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]).reshape(free.shape)
        weighted = (own * self.weight[:, None]).reshape(-1, free.shape[-1])
        target = (self.residual * self.weight).reshape(-1)
        step = np.linalg.lstsq(weighted, target, rcond=None)[0]
        self.curvature = weighted.T @ weighted
        return step.reshape(-1, len(self.turns))

    def _noise_near(self) -> Floats:
        """Return (K, C) px², the variance a sample of white noise that is as strong near each frequency."""
        power = np.abs(np.fft.rfft(self.residual, axis=0)) ** 2 / self.frames
        bins = np.arange(len(power))
        noise = np.empty((len(self.turns), self.channels))
        for number, turns in enumerate(self.turns):
            near = np.abs(bins - turns * self.frames) <= NEIGHBOURS
            near[0] = False
            # A line's frequency, amplitude and phase take the power of a bin and a half.
            lines = (np.abs(self.turns - turns) * self.frames <= NEIGHBOURS).sum()
            noise[number] = power[near].sum(0) / max(near.sum() - 1.5 * lines, near.sum() / 4)
        return noise

    def sinusoid(self, number: int, rate: float, ratio: float) -> Sinusoid:
        """Return one of the sinusoids, with its uncertainties."""
        waves = self.waves[number]
        turned = waves * _to_start(self.frames, self.turns[[number]])
        x, y = complex(turned[0]), complex(turned[1])
        major, minor, angle = orbit(x, y)
        along = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
        noise = float(self.noise[number] @ along**2)
        # Of a known frequency; that it is fitted too does not matter at the record's middle.
        amplitude_u = math.sqrt(2 * noise / self.frames)
        turns_u = self._turns_u(number)
        phase_u = math.hypot(amplitude_u / max(major, 1e-12), math.pi * (self.frames - 1) * turns_u)
        frequency = float(self.turns[number]) * rate
        return Sinusoid(
            frequency_hz=frequency,
            frequency_hz_u=turns_u * rate,
            periods=float(self.turns[number]) * self.frames,
            amplitude_px=major,
            amplitude_px_u=amplitude_u,
            minor_px=minor,
            direction_deg=angle,
            phase_deg=math.degrees(np.angle(along[0] * x + along[1] * y)),
            phase_deg_u=math.degrees(phase_u),
            x_px=x,
            y_px=y,
            ratio=ratio,
        )

    def _turns_u(self, number: int) -> float:
        return float(self._free_u(number)[number])

    def _free_u(self, number: int) -> Floats:
        """Return the standard uncertainties of turns and decays, in the noise near one frequency."""
        noise = float((self.noise[number] * self.weight**4).sum() / (self.weight**4).sum())
        size = max(float(np.trace(self.curvature)), 1e-300)
        inverse = np.linalg.inv(self.curvature + 1e-12 * size * np.eye(len(self.curvature)))
        return np.sqrt(noise * inverse.diagonal())


def _damped(each: Sinusoid, signal: Floats, rate: float) -> Sinusoid:
    """Add the damping that a free decay or the width of a resonance shows, if either does."""
    along = np.array([math.cos(math.radians(each.direction_deg)), math.sin(math.radians(each.direction_deg))])
    record = (signal @ along)[:, None]
    turns = np.array([each.frequency_hz / rate])
    still = _Fit(record, turns, np.ones(1))
    free = _Fit(record, turns, np.ones(1), decays=np.array([1 / len(record)]))
    assert free.decays is not None
    decay, decay_u = float(free.decays[0]), float(free._free_u(0)[1])
    # A beat or an onset is no decay: near the line nearly all of what the sinusoid leaves must be explained.
    if decay > DECAYS * decay_u and free.noise[0, 0] < still.noise[0, 0] / 4:
        omega = 2 * math.pi * float(free.turns[0])
        return replace(
            each, damping_ratio=decay / omega, damping_ratio_u=decay_u / omega, damping_from="decay"
        )
    resonance = _resonance(record[:, 0], rate, each.frequency_hz)
    if resonance is None:
        return each
    (centre, centre_u), (ratio, ratio_u) = resonance
    return replace(
        each,
        frequency_hz=centre,
        frequency_hz_u=centre_u,
        damping_ratio=ratio,
        damping_ratio_u=ratio_u,
        damping_from="resonance",
    )


def _resonance(
    record: Floats, rate: float, frequency: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return frequency and damping ratio of a resonance excited at random, each with its uncertainty.

    The power density of a damped oscillator is fitted to Welch's; None if the record does not resolve it.
    """
    length = 2 * len(record) // (SEGMENTS + 1)
    resolution = 1.44 * rate / max(length, 1)  # of Hann's window at half power
    if length < 32 or frequency < 4 * resolution:
        return None
    bins, density = welch(record, rate, "hann", length, detrend="linear")
    near = (bins > 0.6 * frequency) & (bins < min(1.6 * frequency, 0.48 * rate))
    if near.sum() < 12:
        return None

    def model(hertz: Floats, size: float, centre: float, ratio: float, floor: float) -> Floats:
        # In log: the scatter of a power density is in proportion to it.
        response = 1 / ((hertz**2 / centre**2 - 1) ** 2 + (2 * ratio * hertz / centre) ** 2)
        return np.log(math.exp(size) * response + math.exp(floor))

    level = np.log(density[near].clip(1e-30))
    begin = (level.max() + 2 * math.log(0.04), bins[near][level.argmax()], 0.02, level.min())
    low, high = (
        (begin[0] - 9, bins[near][0], 1e-3, begin[3] - 9),
        (begin[0] + 9, bins[near][-1], 1, begin[0] + 9),
    )
    try:
        found, covariance = curve_fit(model, bins[near], level, begin, bounds=(low, high))
    except (RuntimeError, ValueError):
        return None
    # Neighbouring values of Hann's spectrum share their noise: twice the variance.
    centre, ratio = float(found[1]), float(found[2])
    centre_u, ratio_u = (float(value) for value in np.sqrt(2 * covariance.diagonal()[1:3]))
    width = 2 * ratio * frequency
    clear = width > RESOLVED * resolution and ratio < MOST_DAMPED and ratio_u < ratio / 3
    if not clear or abs(centre - frequency) > 2 * width:
        return None
    return (centre, centre_u), (ratio, ratio_u)
