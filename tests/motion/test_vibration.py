"""Sinusoids with known parameters, in noise of known size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from mm.motion.vibration import Sinusoid, complex_amplitudes, find_sinusoids, least_amplitude, mark, orbit

RATE, FRAMES, NOISE = 100.0, 300, 0.004


def record(generator: np.random.Generator, *waves: tuple[float, float, float, float]) -> np.ndarray:
    """(T, 2): sinusoids of (Hz, px, degrees of phase, degrees of direction) on a slow trend, in noise."""
    time = np.arange(FRAMES) / RATE
    total = generator.normal(0, NOISE, (FRAMES, 2)) + 0.05 * time[:, None]
    for hertz, amplitude, phase, angle in waves:
        direction = [math.cos(math.radians(angle)), math.sin(math.radians(angle))]
        total += amplitude * np.cos(2 * np.pi * hertz * time + math.radians(phase))[:, None] * direction
    return total


def test_uncertainties_are_the_scatter_of_the_estimates() -> None:
    generator = np.random.default_rng(0)
    apart = []
    for _ in range(40):
        hertz, amplitude = generator.uniform(5, 40), 10 ** generator.uniform(-1.9, 0)
        phase, angle = generator.uniform(-90, 90), generator.uniform(-60, 60)
        signal = record(generator, (hertz, amplitude, phase, angle), (hertz + 3.1, 0.02, 10, 0))
        found = find_sinusoids(signal, RATE, np.array([NOISE, NOISE]))
        each = min(found, key=lambda one: abs(one.frequency_hz - hertz))
        apart.append(
            [
                (each.frequency_hz - hertz) / each.frequency_hz_u,
                (each.amplitude_px - amplitude) / each.amplitude_px_u,
                ((each.phase_deg - phase + 180) % 360 - 180) / each.phase_deg_u,
            ]
        )
    scatter = np.std(apart, axis=0)
    assert (scatter > 0.75).all()
    assert (scatter < 1.3).all()


@pytest.mark.parametrize("noise", [1e-4, 1e-2])
def test_noise_alone_has_hardly_a_vibration(noise: float) -> None:
    generator = np.random.default_rng(4)
    records = generator.normal(0, noise, (60, FRAMES, 2))
    assert sum(bool(find_sinusoids(one, RATE, np.array([noise, noise]))) for one in records) <= 2


def test_a_line_is_found_from_the_least_amplitude_on() -> None:
    generator, least = np.random.default_rng(5), least_amplitude(NOISE, FRAMES)
    found = []
    for part in (0.5, 1.5):
        lines = [record(generator, (17.3, part * least, 0, 0)) for _ in range(20)]
        found.append(sum(bool(find_sinusoids(one, RATE, np.array([NOISE, NOISE]))) for one in lines))
    assert found[0] <= 5
    assert found[1] >= 16


def test_a_free_decay_shows_its_damping() -> None:
    time, ratio, hertz = np.arange(400) / 200, 0.01, 12.0
    wave = 0.5 * np.exp(-ratio * 2 * np.pi * hertz * time) * np.cos(2 * np.pi * hertz * time)
    noise = np.random.default_rng(1).normal(0, NOISE, (400, 2))
    each = find_sinusoids(np.stack([wave, 0 * wave], 1) + noise, 200.0, np.array([NOISE, NOISE]))[0]
    assert each.damping_from == "decay"
    assert each.damping_ratio == pytest.approx(ratio, rel=0.03)
    assert each.frequency_hz == pytest.approx(hertz, rel=0.001)


def test_a_resonance_excited_at_random_shows_its_damping_by_its_width() -> None:
    ratio, hertz, rate = 0.03, 20.0, 200.0
    radius, turn = math.exp(-ratio * 2 * np.pi * hertz / rate), 2 * np.pi * hertz / rate
    generator = np.random.default_rng(0)
    wave = lfilter([1], [1, -2 * radius * math.cos(turn), radius**2], generator.normal(0, 1, 6000))
    signal = np.stack([0.1 * wave / wave.std(), 0 * wave], 1) + generator.normal(0, NOISE, (6000, 2))
    each = find_sinusoids(signal, rate, np.array([NOISE, NOISE]))[0]
    assert each.damping_from == "resonance"
    assert each.damping_ratio == pytest.approx(ratio, rel=0.25)
    assert abs(each.damping_ratio - ratio) < 3 * each.damping_ratio_u
    assert each.frequency_hz == pytest.approx(hertz, rel=0.05)


def test_a_steady_line_has_no_damping() -> None:
    found = find_sinusoids(record(np.random.default_rng(2), (9.0, 0.3, 0, 0)), RATE, np.array([NOISE, NOISE]))
    assert [each.damping_ratio for each in found] == [None]


@pytest.mark.parametrize(("minor", "spin"), [(0.3, 1), (-0.3, -1), (0.0, 0)])
def test_an_orbit_has_axes_and_a_sense(minor: float, spin: int) -> None:
    """On the screen y points down: x = cos, y = sin runs from right to bottom, which is clockwise."""
    angle = math.radians(25)
    x = math.cos(angle) - math.sin(angle) * minor * -1j
    y = math.sin(angle) + math.cos(angle) * minor * -1j
    longer, shorter, direction = orbit(x, y)
    assert longer == pytest.approx(1)
    assert shorter == pytest.approx(0.3 * spin, abs=1e-6)
    assert direction == pytest.approx(25)


def test_amplitudes_at_known_frequencies_do_not_leak_into_each_other() -> None:
    signal = record(np.random.default_rng(3), (10.0, 0.5, 30, 0), (10.7, 0.1, -60, 0))
    found = complex_amplitudes(signal, RATE, np.array([10.0, 10.7]))
    assert np.abs(found[:, 0]) == pytest.approx([0.5, 0.1], abs=0.005)
    assert np.degrees(np.angle(found[:, 0])) == pytest.approx([30, -60], abs=2)


def line(hertz: float, amplitude: float, duration: float = 10.0) -> Sinusoid:
    return Sinusoid(hertz, 0.001, hertz * duration, amplitude, 0.001, 0, 0, 0, 1, amplitude + 0j, 0j, 100)


@pytest.mark.parametrize(
    ("hertz", "rate", "wanted"),
    [
        (64.0, 250.0, "2 × 32 Hz"),
        (25.0, 125.0, "mains light"),  # |100 − 125|
        (29.0, 125.0, "alias of 3 × 32 Hz"),  # |96 − 125|
        (62.5, 250.0, "1/4 of the frame rate"),
        (20.0, 1000.0, "groups of pictures"),
        (47.0, 250.0, ""),
    ],
)
def test_lines_that_may_be_something_else_are_marked(hertz: float, rate: float, wanted: str) -> None:
    strong, weak = mark([line(32.0, 0.5), line(hertz, 0.05)], rate, 10.0, group_s=0.05)
    assert strong.marks == ()
    assert wanted in " ".join(weak.marks) if wanted else weak.marks == ()
