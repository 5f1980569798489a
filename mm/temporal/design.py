"""Filter design: kernels that a stream can compute, made from a band.

A kernel's response to an impulse is stored in three parts: numbers for the frames ahead, numbers for the
frames near the present, and a sum of (complex) exponentials for the whole past. An exponential needs one
number of state however long it is, and first-order states keep float32 accurate where a direct-form recursion
with poles near 1 (0.04 Hz at 30 frames a second) would not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm.errors import InputError
from mm.temporal.band import MOST_FRAMES, Band

#: how much of the gain the cut-off end of a zero-phase kernel may hold; its length grows with the logarithm
_TAIL = 0.01

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class Kernel:
    """A filter's coefficients on a stream x, with P = len(past).

    y[t] = Σₖ past[k]·x[t−k] + Σₖ ahead[k]·x[t+1+k] + Σₘ Re(weights[m] · Σⱼ poles[m]ʲ · x[t−P−j])
    """

    past: Floats
    ahead: Floats
    poles: Complexes
    weights: Complexes

    def response(self, frequency: float, fps: float) -> complex:
        """The complex gain at ``frequency`` in Hz."""
        back = np.exp(-2j * np.pi * frequency / fps)
        total = np.sum(self.past * back ** np.arange(len(self.past)))
        total += np.sum(self.ahead * back ** -np.arange(1.0, len(self.ahead) + 1))
        # Re(w pʲ) is half of w pʲ and half of its conjugate.
        modes = self.weights / (1 - self.poles * back) + self.weights.conj() / (1 - self.poles.conj() * back)
        return complex(total + back ** len(self.past) * np.sum(modes) / 2)


def butterworth(band: Band, order: int, zero_phase: bool) -> Kernel:
    """Butterworth band-pass; scipy's design, with −3 dB at both edges of the band.

    Args:
        band: the band.
        order: of the low-pass that it is derived from, as in scipy; even (an odd one can have a double pole).
        zero_phase: False is the causal filter. True is the filter run forward and then backward, whose gain
            is the squared magnitude and whose phase is zero; it is designed a little wider, so that the edges
            are at −3 dB, not −6 dB, and its look-ahead is cut where less than 1 % of the gain is left.

    Raises:
        InputError: if the order is not 2, 4, 6 or 8.
    """
    if order not in (2, 4, 6, 8):
        raise InputError(f"the order of a Butterworth filter must be 2, 4, 6 or 8, got {order}")
    # Here, not above: it takes a third as long to load as the rest of `mm magnify`; not every run filters.
    from scipy.signal import butter

    edges = np.array([band.low, band.high])
    if zero_phase:
        # In the analogue band-pass |H|² = 1 / (1 + Ω^(2·order)), Ω = (w² − w₀²)/(B·w): a wider B with the
        # same centre w₀ moves |H|² = 1/√2 onto both edges at once.
        low, high = 2 * band.fps * np.tan(np.pi * edges / band.fps)
        width = (high - low) / (np.sqrt(2) - 1) ** (1 / (2 * order))
        wide_low = -width / 2 + np.sqrt(width**2 / 4 + low * high)
        edges = np.array([wide_low, low * high / wide_low])
        edges = band.fps / np.pi * np.arctan(edges / (2 * band.fps))
    zeros, poles, scale = butter(order, edges, "bandpass", fs=band.fps, output="zpk")
    residues, direct = _partial_fractions(zeros, poles, scale)
    present = direct + residues.sum().real
    upper = poles.imag > 0
    if not zero_phase:
        return _exponential(present, poles, residues, upper)
    # Autocorrelation of h[n] = direct·δ[n] + Σ residues·polesⁿ, which is the response of forward-backward.
    both = residues * (direct + (residues / (1 - np.outer(poles, poles))).sum(axis=1))
    return _two_sided(both.sum().real + direct * present, poles, both, upper)


def first_order_difference(band: Band, zero_phase: bool) -> Kernel:
    """Difference of two first-order low-passes, y ← y + r (x − y), r = 1 − exp(−2π f / fps) (Wu et al. 2012).

    Its skirts are shallow, so the gain is scaled to be 1 at the middle of the band, √(low·high): a factor
    then means what it says there. Zero phase: each low-pass runs forward and backward. Coefficients r that a
    paper gives in the place of Hz are those of the edge f = −fps/2π · ln(1 − r).
    """
    high, low = 1 - np.exp(-2 * np.pi * np.array([band.high, band.low]) / band.fps)
    poles = np.array([1 - high, 1 - low], dtype=np.complex128)
    weights = np.array([high, -low], dtype=np.complex128)
    if zero_phase:
        weights = weights / (2 - np.array([high, low]))
    present = weights.sum().real
    keep = np.array([True, True])
    gain = _exponential(present, poles, weights, keep).response(np.sqrt(band.low * band.high), band.fps)
    # A symmetric kernel's gain is twice the real part of its causal half's, its middle counted once.
    middle = 2 * gain.real - present if zero_phase else abs(gain)
    make = _two_sided if zero_phase else _exponential
    return make(present / middle, poles, weights / middle, keep)


def windowed(band: Band, taps: int | None) -> Kernel:
    """Linear-phase FIR band-pass, Hamming window, its delay compensated.

    The gain is 1 in the middle of the band, 0 at 0 Hz, and −6 dB at the edges if there are taps enough.

    Args:
        band: the band.
        taps: length in frames, at least 3; an even number (the paper's 30) is made odd by one more, so that
            the delay is whole frames. None: long enough that the transition at an edge (3.3/taps of the frame
            rate) is no wider than twice the low edge and than the band.

    Raises:
        InputError: if there are fewer than 3 taps.
    """
    if taps is None:
        taps = int(np.ceil(3.3 * band.fps / min(2 * band.low, band.high - band.low)))
    if taps < 3:
        raise InputError(f"a windowed band-pass needs at least 3 taps, got {taps}")
    if taps > MOST_FRAMES:
        raise InputError(f"a windowed band-pass has {MOST_FRAMES} taps at most, got {taps}; give fewer")
    from scipy.signal import firwin  # see butterworth
    from scipy.signal.windows import hamming

    taps += 1 - taps % 2
    kernel = firwin(taps, [band.low, band.high], window="hamming", pass_zero=False, fs=band.fps)
    # A few taps cannot tell 0 Hz from a low band: without this the scene itself would be magnified.
    window = hamming(taps)
    kernel -= window * kernel.sum() / window.sum()
    reach = taps // 2
    middle = 2 * np.pi * (band.low + band.high) / 2 / band.fps
    kernel /= np.sum(kernel * np.cos(middle * np.arange(-reach, reach + 1)))
    none = np.zeros(0, dtype=np.complex128)
    return Kernel(past=kernel[reach:], ahead=kernel[reach + 1 :], poles=none, weights=none)


def _partial_fractions(zeros: Complexes, poles: Complexes, scale: float) -> tuple[Complexes, float]:
    """H(z) = direct + Σ residues / (1 − pole/z), from roots: polynomials lose narrow low bands in float64."""
    residues = np.empty(len(poles), dtype=np.complex128)
    for m, pole in enumerate(poles):
        others = np.delete(poles, m)
        residues[m] = scale * np.prod(1 - zeros / pole) / np.prod(1 - others / pole)
    return residues, float((scale * np.prod(zeros) / np.prod(poles)).real)


def _exponential(present: float, poles: Complexes, weights: Complexes, keep: NDArray[np.bool_]) -> Kernel:
    """Causal kernel with h[0] = present and h[k] = Σ weights·polesᵏ; ``keep`` marks one pole of each pair."""
    # A pole with an imaginary part stands for its conjugate as well.
    twice = np.where(poles[keep].imag != 0, 2, 1)
    return Kernel(
        past=np.array([present]),
        ahead=np.zeros(0),
        poles=poles[keep],
        weights=twice * weights[keep] * poles[keep],
    )


def _two_sided(present: float, poles: Complexes, weights: Complexes, keep: NDArray[np.bool_]) -> Kernel:
    """Symmetric kernel h[0] = present, h[k] = Σ weights·poles^|k|, cut ahead where little is left."""
    causal = _exponential(present, poles, weights, keep)
    longest = 16 + int(np.ceil(2 * np.log(1e-9) / np.log(np.abs(poles).max())))
    response = np.zeros(longest)
    for pole, weight in zip(causal.poles, causal.weights, strict=True):
        response += (weight * pole ** np.arange(longest)).real
    left = np.abs(response)[::-1].cumsum()[::-1]
    ahead = response[: max(1, int(np.argmax(left < _TAIL)))]
    # The cut leaves some gain at 0 Hz, where a drift is large against the motion. Take it away again with a
    # smooth bump, which is a low-pass and so touches nothing in the band.
    bump = np.sin(np.pi * np.arange(1, len(ahead) + 1) / (len(ahead) + 1)) ** 2
    ahead = ahead - bump / bump.sum() * (ahead.sum() + _causal_sum(causal))
    return Kernel(past=causal.past, ahead=ahead, poles=causal.poles, weights=causal.weights)


def _causal_sum(kernel: Kernel) -> float:
    """The sum of a kernel's response over the present and the past."""
    return float(kernel.past.sum() + (kernel.weights / (1 - kernel.poles)).sum().real)
