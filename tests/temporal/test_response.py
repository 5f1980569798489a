"""What each filter does to a frequency, against other implementations and against sinusoids."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.optimize
import scipy.signal
import torch

from mm.temporal import FILTERS, make_filter

Band = tuple[float, float, float]
BANDS: list[Band] = [
    (0.4, 3.0, 30.0),
    (0.5, 7.5, 30.0),
    (72.0, 92.0, 600.0),
    (0.1, 1.0, 30.0),
    (2.0, 12.0, 30.0),
]
IN_STEP = [name for name in FILTERS if not name.endswith("causal")]


def sinusoid(frequency: float, fps: float, frames: int, phase: float = 0.0) -> torch.Tensor:
    return torch.sin(2 * torch.pi * frequency * torch.arange(frames, dtype=torch.float64) / fps + phase)


def measured_gains(name: str, band: Band, frequencies: Sequence[float]) -> list[complex]:
    """The complex gain at each frequency in the middle of a sinusoid, by least squares on sine and cosine."""
    low, high, fps = band
    period = fps / min(low, high - low)
    # The ideal filter rings longest: what it makes of a clip's ends falls only as 1 / distance.
    edge, middle = round((12 if name == "ideal" else 2) * period), round(3 * period)
    clip = torch.stack([sinusoid(frequency, fps, 2 * edge + middle) for frequency in frequencies], dim=1)
    out = make_filter(name, *band).filter_all(clip)[edge : edge + middle].numpy()
    gains = []
    for frequency, column in zip(frequencies, out.T, strict=True):
        basis = np.exp(2j * np.pi * frequency * np.arange(edge, edge + middle) / fps)
        (sine, cosine), *_ = np.linalg.lstsq(np.stack([basis.imag, basis.real], axis=1), column, rcond=None)
        gains.append(complex(sine, cosine))
    return gains


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("name", list(FILTERS))
def test_mid_band_gain_is_one(name: str, band: Band) -> None:
    (gain,) = measured_gains(name, band, [np.sqrt(band[0] * band[1])])
    assert 0.95 <= abs(gain) <= 1.05


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize(
    ("name", "expected"), [("butter", np.sqrt(0.5)), ("butter-causal", np.sqrt(0.5)), ("fir", 0.5)]
)
def test_gain_at_the_edges(name: str, expected: float, band: Band) -> None:
    assert np.abs(measured_gains(name, band, band[:2])) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("name", list(FILTERS))
def test_gain_method_tells_what_is_measured(name: str) -> None:
    band = (0.5, 7.5, 30.0)
    frequencies = (0.25, 1.0, 3.0, 12.0)
    expected = [make_filter(name, *band).gain(frequency) for frequency in frequencies]
    np.testing.assert_allclose(measured_gains(name, band, frequencies), expected, atol=0.03)


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("name", IN_STEP)
def test_zero_phase_filters_are_in_step_over_the_band(name: str, band: Band) -> None:
    low, high, _ = band
    for gain in measured_gains(name, band, low * (high / low) ** np.linspace(0.2, 0.8, 4)):
        assert abs(gain.imag) < 0.02 * gain.real


@pytest.mark.parametrize("name", IN_STEP)
def test_three_hertz_at_thirty_frames_is_in_step(name: str) -> None:
    """The paper's band for its 3 Hz measurements; 2 % of the period is 7.2°."""
    (gain,) = measured_gains(name, (0.5, 7.5, 30.0), [3.0])
    assert abs(np.angle(gain)) < 0.02 * 2 * np.pi
    assert 0.95 < abs(gain) < 1.05


def test_causal_filters_do_lag_which_is_why_they_are_not_the_default() -> None:
    for name in ("butter-causal", "iir-causal"):
        (gain,) = measured_gains(name, (0.5, 7.5, 30.0), [6.0])
        assert np.angle(gain) < -0.02 * 2 * np.pi


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("name", list(FILTERS))
def test_a_constant_and_a_slow_drift_do_not_pass(name: str, band: Band) -> None:
    assert abs(make_filter(name, *band).gain(0.0)) < 1e-9
    if name != "iir" and name != "iir-causal":
        assert abs(make_filter(name, *band).gain(band[0] / 8)) < 0.06


@pytest.fixture
def noise() -> np.ndarray:
    """A random walk and noise, far from zero."""
    rng = np.random.default_rng(3)
    return 5 + np.cumsum(0.1 * rng.standard_normal(800)) + rng.standard_normal(800)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("band", BANDS)
def test_causal_butterworth_is_scipys(band: Band, order: int, noise: np.ndarray) -> None:
    low, high, fps = band
    sos = scipy.signal.butter(order, [low, high], "bandpass", fs=fps, output="sos")
    expected = scipy.signal.sosfilt(sos, noise - noise[0])
    out = make_filter("butter-causal", *band, order=order).filter_all(torch.from_numpy(noise))
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("band", BANDS)
def test_butterworth_is_scipys_forward_and_backward(band: Band, order: int, noise: np.ndarray) -> None:
    """With an order found numerically for edges at −3 dB; 1 % of the gain may be missing ahead."""
    low, high, fps = band

    def excess(widening: float) -> tuple[float, np.ndarray]:
        warped = np.tan(np.pi * np.array([low, high]) / fps)
        width, centre = (warped[1] - warped[0]) * widening, warped[0] * warped[1]
        top = width / 2 + np.sqrt(width**2 / 4 + centre)
        edges = fps / np.pi * np.arctan([centre / top, top])
        sos = scipy.signal.butter(order, edges, "bandpass", fs=fps, output="sos")
        return float(abs(scipy.signal.sosfreqz(sos, [low], fs=fps)[1][0]) ** 2 - np.sqrt(0.5)), sos

    widening = scipy.optimize.brentq(lambda w: excess(w)[0], 0.8, 2)
    sos = excess(widening)[1]
    padding = 20_000
    rest = np.pad(noise - noise[0], padding, mode="edge")
    expected = scipy.signal.sosfilt(sos, scipy.signal.sosfilt(sos, rest)[::-1])[::-1][padding:-padding]
    out = make_filter("butter", *band, order=order).filter_all(torch.from_numpy(noise))
    np.testing.assert_allclose(out.numpy(), expected, atol=0.01 * np.ptp(noise))


def test_first_order_difference_is_the_papers_recursion(noise: np.ndarray) -> None:
    low, high, fps = 0.4, 3.0, 30.0
    slow = fast = noise[0]
    expected = []
    for x in noise:
        slow += (1 - np.exp(-2 * np.pi * low / fps)) * (x - slow)
        fast += (1 - np.exp(-2 * np.pi * high / fps)) * (x - fast)
        expected.append(fast - slow)
    out = make_filter("iir-causal", low, high, fps).filter_all(torch.from_numpy(noise)).numpy()
    scale = out[10] / expected[10]
    assert 1 < scale < 1.5
    np.testing.assert_allclose(out, scale * np.array(expected), atol=1e-12)


@pytest.mark.parametrize(("taps", "odd"), [(31, 31), (30, 31), (101, 101), (3, 3)])
def test_windowed_is_a_convolution_with_scipys_kernel_without_its_constant(
    taps: int, odd: int, noise: np.ndarray
) -> None:
    kernel = scipy.signal.firwin(odd, [0.5, 7.5], pass_zero=False, window="hamming", fs=30)
    window = scipy.signal.windows.hamming(odd)
    kernel = kernel - window * kernel.sum() / window.sum()
    expected = np.convolve(np.pad(noise, odd // 2, mode="edge"), kernel, mode="valid")
    out = make_filter("fir", 0.5, 7.5, 30, taps=taps).filter_all(torch.from_numpy(noise)).numpy()
    middle = abs(np.sum(kernel * np.exp(-2j * np.pi * 4 / 30 * np.arange(odd))))
    np.testing.assert_allclose(out, expected / middle, atol=1e-10)


def test_ideal_is_the_fourier_components_of_the_mirrored_clip(noise: np.ndarray) -> None:
    mirrored = np.concatenate([noise, noise[::-1]])
    frequencies = np.abs(np.fft.fftfreq(len(mirrored), 1 / 30))
    spectrum = np.fft.fft(mirrored) * ((frequencies >= 0.4) & (frequencies <= 3))
    out = make_filter("ideal", 0.4, 3, 30).filter_all(torch.from_numpy(noise)).numpy()
    np.testing.assert_allclose(out, np.fft.ifft(spectrum).real[: len(noise)], atol=1e-10)
