"""Acceleration magnification: what departs from linear motion is magnified (Zhang et al. 2017).

Over the time that a small vibration takes, a large motion is close to linear. The second derivative in time
of a local wave's phase is zero for linear motion, however large, and proportional to a vibration; a Gaussian
of a quarter of the vibration's period keeps other frequencies out ("Video Acceleration Magnification", CVPR
2017, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.methods.base import Magnifier
from mm.methods.eulerian import Parts
from mm.methods.phase import Channels, PhaseMagnifier
from mm.methods.pyramids.steerable import Angular
from mm.methods.stream import Mode
from mm.registry import methods
from mm.temporal import Band
from mm.temporal.band import frames_in
from mm.temporal.design import Kernel
from mm.temporal.streaming import StreamingFilter

# The Gaussian is cut at so many standard deviations, where 0.03 % of its peak is left.
_REACH = 4
# The variance, in frames², that a second difference has beyond a second derivative (its Taylor expansion).
_SPREAD = 1 / 6
# What to type, in messages.
_BAND_TYPED = "such as --low 4 --high 6, and the rate of capture with --fps if the file does not know it"


@methods.register("acceleration")
class AccelerationMagnifier(PhaseMagnifier):
    """Adds ``alpha`` times the accelerating part of the phase to each subband of a complex steerable pyramid.

    Space is treated as in :class:`mm.methods.PhaseMagnifier`, time by one kernel in the place of a band-pass:
    :class:`LaplacianOfGaussian`, made for one frequency, whose gain is exactly 1 there and 0 for motion at
    constant velocity. So a vibration at that frequency comes out ``factor`` times as large, in step with the
    input, while the drift that it rides on is what it was. Linear motion is continued beyond both ends of the
    clip: a clip that moves linearly is left alone from its first frame to its last.

    Where it ends: the phase at a fixed place is that of one wave only while one wave passes by. A texture has
    others beside it, and as it drifts its phases take courses of their own, which are not told from
    acceleration; smoothing over space lessens that. Measured on a random texture of waves of 6 to 60 px,
    0.1 px at 3 Hz, ×10: the frames miss the truth by 0.15 of what unmagnified ones miss it by without a
    drift, 0.17, 0.21 and 0.60 with 1, 2.5 and 5 px of drift in a period of the vibration (without smoothing
    0.14, and 0.16, 0.32 and 0.98). A motion that starts, stops or turns *is* acceleration, and is magnified.
    Within a wavelength or two of the border, waves that come and go are too. The low-pass below the last ring
    is left as it is: the linear method, which :class:`PhaseMagnifier` has for it, takes every drift for
    acceleration.

    Args:
        factor: total gain of the displacement at ``frequency``, at least 0; 1 leaves it as it is.
        batch, device: see :class:`mm.methods.eulerian.EulerianMagnifier`.
        mode: "temporal". The other modes measure displacement or velocity, not acceleration; see
            :class:`mm.methods.PhaseMagnifier` with "dynamic" for what the literature compares with.
        band: the frequencies that the motion lies in, and the capture rate. It names the kernel's frequency
            and nothing else: the kernel's own width takes the place of a filter with edges, so ``filter``,
            ``order`` and ``taps`` stay as they are.
        frequency: Hz, within the band. None: its middle, (low + high)/2. The gain is one half at 0.43 and
            1.48 times the frequency, so the middle treats both edges of a band alike.
        smoothing: standard deviation, in wavelengths of each subband, of the Gaussian blur of the phase,
            weighted by amplitude, which lessens noise and what a drift leaves; 0 for none.
        orientations, bandwidth, scales, angular, limit, channels: see :class:`mm.methods.PhaseMagnifier`.

    Raises:
        InputError: also for a mode other than "temporal", no band, a frequency outside it, or a band that
            asks for a filter of its own.
    """

    name = "acceleration"
    #: so that a preset's filter, which is for other methods, is not taken for the user's wish
    own_filter = True
    # Its course over time is made of differences from frame to frame.
    keep_time = Magnifier.keep_time

    def __init__(
        self,
        factor: float = 10.0,
        mode: Mode = "temporal",
        band: Band | None = None,
        *,
        frequency: float | None = None,
        orientations: int = 4,
        bandwidth: float = 1.0,
        scales: int | None = None,
        angular: Angular = "compact",
        smoothing: float = 0.5,
        limit: float | None = None,
        channels: Channels = "luminance",
        batch: int = 1,
        device: str | torch.device | None = None,
    ) -> None:
        if mode != "temporal":
            raise InputError(
                f"acceleration is told from motion over time, and {mode} mode compares two frames; choose "
                f"--mode temporal with the band of the vibration, {_BAND_TYPED}"
            )
        if band is None:
            raise InputError(
                "acceleration magnifies the vibration in a band of frequencies, and none is given: "
                f"give it in Hz, {_BAND_TYPED}; `mm spectrum IN` finds it"
            )
        super().__init__(
            factor,
            mode,
            band,
            orientations=orientations,
            bandwidth=bandwidth,
            scales=scales,
            angular=angular,
            smoothing=smoothing,
            limit=limit,
            channels=channels,
            batch=batch,
            device=device,
        )
        _check_no_filter(band)
        self.frequency = (band.low + band.high) / 2 if frequency is None else float(frequency)
        if not band.low <= self.frequency <= band.high:
            raise InputError(
                f"the frequency to magnify must lie within the band of {band.low:g} Hz to {band.high:g} Hz, "
                f"got {self.frequency:g} Hz; change one of them"
            )
        self.filter: LaplacianOfGaussian = LaplacianOfGaussian(band, self.frequency, torch.float16)

    def _reset(self) -> None:
        super()._reset()
        self._turns: Tensor | None = None

    def _course(self, motion: Tensor) -> Tensor:
        """Second difference in time of every sample's phase, (n, samples), each at the frame before its own.

        Whole turns are taken off that leave half a turn or less. The phase is so unwrapped against the
        velocity that its wave had, not against rest, and nothing grows with the clip's length.
        """
        assert self._pyramid is not None
        turns = motion[:, : self._pyramid.samples]
        known = turns if self._turns is None else torch.cat([self._turns, turns])
        self._turns = known[-2:].clone()
        # The first two are 0: before its second frame a clip is taken to move as it does then.
        changes = torch.zeros_like(turns)
        change = changes[max(0, 2 - len(known) + len(turns)) :]
        torch.add(known[2:], known[:-2], out=change).sub_(known[1:-1], alpha=2)
        change.sub_((change / (2 * math.pi)).round_(), alpha=2 * math.pi)
        return changes

    def _magnified(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        assert self._pyramid is not None
        channels = 3 if self.channels == "rgb" else 1
        low = channels * math.prod(self._pyramid.lowpass_size)
        return super()._magnified(frames, parts, F.pad(motion, (0, low)))

    def _values(self, height: int, width: int) -> tuple[int, int, int]:
        _, once, kept = super()._values(height, width)
        samples = self.pyramid(height, width).samples
        # Phases of two frames, not of one.
        return samples, once + 4 * samples, kept


class LaplacianOfGaussian(StreamingFilter):
    """Acceleration in, smoothed over time and scaled so that at one frequency it is the motion itself.

    The kernel on the motion is h = −c·δ²·g: δ² the second difference (1, −2, 1), g a Gaussian cut at 4σ, and
    c such that the gain at ``frequency`` f is 1. With σ = r/(4f) frames at r frames a second (section 3.2 of
    the paper), 2πfσ is π/2, and the gain at a frequency f′ is, up to the fourth order in f′/r,

        (f′/f)² · exp(−π²/8 · ((f′/f)² − 1)),

    highest (1.024) at 0.90 f. As the kernel has zero sum and zero first moment, whatever is cut off, a line
    gives exactly zero. δ² is wider than a second derivative by a variance of 1/6 frame², which g has less.

    What is pushed with frame t is the motion's second difference at t − 1, the latest that is known then, and
    0 with the first two frames; what comes out for frame t is for t. Beyond the clip's ends the motion is
    taken to go on as it was, at constant velocity.

    Args:
        band: where the capture rate stands; its edges are not used.
        frequency: Hz, above 0 and below half the capture rate.
        storage: see :class:`mm.temporal.TemporalFilter`.
    """

    def __init__(self, band: Band, frequency: float, storage: torch.dtype | None = None) -> None:
        self.frequency = frequency
        #: of the Gaussian, frames
        self.sigma = band.fps / (4 * frequency)
        weights = _weights(frequency, band.fps, self.sigma)
        # The change that is pushed with frame t is that at frame t − 1.
        none = np.zeros(0, dtype=np.complex128)
        kernel = Kernel(past=weights[1:], ahead=weights, poles=none, weights=none)
        super().__init__(band, kernel, "zero phase", storage)

    @property
    def min_frames(self) -> int:
        """One period of the frequency, in whose middle the kernel has 95 % of its Gaussian; at least 3."""
        return max(3, frames_in(1 / self.frequency, self.band.fps))

    def gain(self, frequency: float) -> complex:
        """The gain of the motion at ``frequency`` in Hz, far from the clip's ends; real."""
        back = np.exp(-2j * np.pi * frequency / self.band.fps)
        return complex((self.kernel.response(frequency, self.band.fps) * (1 - back) ** 2).real)

    def describe(self) -> str:
        """One line: kernel, frequency, delay."""
        seconds = self.delay / self.band.fps
        return (
            f"Laplacian of Gaussian for {self.frequency:g} Hz (σ {self.sigma:.3g} frames, in the place of a "
            f"band-pass) at {self.band.fps:g} frames a second, {self.phase}; "
            f"looks ahead {self.delay} frames ({seconds:.2g} s)"
        )

    def _finish(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._rows.append(torch.zeros_like(self._rows[-1]))
        yield from super()._finish()

    def check_length(self, frames: int) -> None:
        """As for every filter; the clip's least length is the kernel's, not the band's.

        Raises:
            InputError: for a clip shorter than :attr:`min_frames`.
        """
        if frames < self.min_frames:
            lowest = self.band.fps / frames
            way_out = f", or magnify {lowest:.3g} Hz or more" if frames >= 3 else ""
            raise InputError(
                f"the clip has {frames} frame{'s' * (frames > 1)} at {self.band.fps:g} a second, but "
                f"acceleration at {self.frequency:g} Hz needs at least {self.min_frames}, one period; "
                f"give a longer clip{way_out}"
            )


def _weights(frequency: float, fps: float, sigma: float) -> np.ndarray:
    """−c·g at 0, 1, … frames from its middle; g is even."""
    reach = math.ceil(_REACH * sigma)
    place = np.arange(reach + 1)
    gaussian = np.exp(-(place**2) / (2 * (sigma**2 - _SPREAD)))
    angle = 2 * np.pi * frequency / fps
    response = 2 * np.sum(gaussian * np.cos(angle * place)) - gaussian[0]
    # The second difference turns e^(iωt) into −4 sin²(ω/2)·e^(iωt).
    return -gaussian / (4 * math.sin(angle / 2) ** 2 * response)


def _check_no_filter(band: Band) -> None:
    """The kernel is the method's own: refuse what would be passed over in silence."""
    if band.filter != "butter":
        raise InputError(
            f"the acceleration method has a temporal kernel of its own, got the {band.filter} filter; leave "
            "it out, or choose --method phase"
        )
    for name, value in (("order", band.order), ("taps", band.taps)):
        if value is not None:
            raise InputError(
                f"the acceleration method's temporal kernel has no {name}, got {value}; leave {name} out"
            )
