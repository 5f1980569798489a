"""The phase-based Eulerian method: where each local wave stands, magnified (Wadhwa et al. 2013)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from mm.errors import InputError
from mm.methods.border import Border, reach
from mm.methods.eulerian import EulerianMagnifier, Parts
from mm.methods.linear import luminance
from mm.methods.phase_shift import Channels, check_phase_shift
from mm.methods.pyramids.steerable import Angular, SteerablePyramid, check_options
from mm.methods.stream import Mode
from mm.registry import methods
from mm.temporal import Band

# A subband whose change has a root mean square below this is not put back: even if all of it were in one
# sample of a large one, it would be a tenth of an 8-bit step.
_INVISIBLE = 1e-6


@methods.register("phase")
class PhaseMagnifier(EulerianMagnifier):
    """Adds ``alpha`` times the (band-passed) phase to each subband of a complex steerable pyramid.

    A shift by δ turns the phase of a wave of length λ by 2πδ/λ, so a turn by ``factor`` times that shows
    ``factor`` times the motion, and unlike the linear method adds no contrast. It holds while the motion
    after magnification stays within the reach of a subband's samples: about λ/4 for rings of one octave and
    λ/2 for half an octave (section 3.3 of the paper).

    The difference of phase to the reference is the angle of the product with its conjugate, in (−π, π]; in
    temporal mode it is unwrapped in time before it is filtered. The pyramid goes down to waves as long as the
    frame; the low-pass that is left below them, whose waves are too long to break, moves by the linear
    method, its mean left alone so that a flickering light is not taken for motion. What is added to a frame
    is the change of its subbands, so what does not move is the input's own pixel, and the finest detail above
    the last ring (shorter than some 3 px) is kept as it is. Beyond its border a frame goes on with the
    border's pixels and fades into its mean. (A mirrored frame moves against the frame: on textures that left
    one and a half times the error in the whole frame of 96×128 px, and twice at the border.)

    Args:
        factor, mode, band, batch, device: see :class:`mm.methods.eulerian.EulerianMagnifier`.
        orientations, bandwidth, scales, angular: see :class:`mm.methods.pyramids.SteerablePyramid`.
        smoothing: standard deviation, in wavelengths of each subband, of the amplitude-weighted Gaussian blur
            of the phase (section 3.4), which lessens noise; 0 for none.
        limit: largest magnified turn, radians: what would turn farther is held there. It keeps large motion
            from breaking, at the price of magnifying it less (π/2 is the reach of one-octave rings). None: no
            limit.
        channels: "luminance" to move the luminance alone, or "rgb" to move all three by the one phase that
            they tell together: three times the memory, nearly three times the work, no colour left behind at
            edges.

    Raises:
        InputError: also for options outside their range.
    """

    name = "phase"
    # The phase of what drifts grows with the clip.
    storage = None

    def __init__(
        self,
        factor: float = 10.0,
        mode: Mode = "static",
        band: Band | None = None,
        *,
        orientations: int = 4,
        bandwidth: float = 1.0,
        scales: int | None = None,
        angular: Angular = "compact",
        smoothing: float = 0.0,
        limit: float | None = None,
        channels: Channels = "luminance",
        batch: int = 1,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(factor, mode, band, batch, device)
        check_options(orientations, bandwidth, scales, angular)
        if not 0 <= smoothing <= 10:
            raise InputError(f"smoothing must be from 0 to 10 wavelengths, got {smoothing:g}")
        check_phase_shift(limit, channels)
        self.orientations, self.bandwidth, self.scales = orientations, float(bandwidth), scales
        self.angular: Angular = angular
        self.smoothing, self.limit = float(smoothing), limit
        self.channels = channels
        self._pyramid: SteerablePyramid | None = None

    def pyramid(self, height: int, width: int) -> SteerablePyramid:
        """The pyramid for frames of this size, which is one of somewhat larger images.

        Raises:
            InputError: for more scales than such frames allow.
        """
        size = [next_fast_len(side + 2 * reach(side), True) for side in (height, width)]
        known = self._pyramid
        if known is None or [known.height, known.width] != size:
            # The number of scales is the frame's; what is added round it holds no longer waves.
            deepest = SteerablePyramid.deepest(height, width, self.bandwidth)
            if self.scales is not None and self.scales > deepest:
                raise InputError(
                    f"frames of {width}×{height} px have at most {deepest} scales of {self.bandwidth:g} "
                    f"octaves, got {self.scales}; lower it, or leave it out"
                )
            known = self._pyramid = SteerablePyramid(
                *size,
                orientations=self.orientations,
                bandwidth=self.bandwidth,
                scales=self.scales or deepest,
                angular=self.angular,
                device=self.device,
            )
        return known

    def _reset(self) -> None:
        super()._reset()
        self._last: Tensor | None = None

    def _prepare(self, height: int, width: int) -> None:
        pyramid = self.pyramid(height, width)
        self._border = Border((height, width), (pyramid.height, pyramid.width), self.device)
        self._blurs = (
            [_blur(self.smoothing * band.wavelength, band.size, pyramid) for band in pyramid.bands]
            if self.smoothing
            else []
        )

    def _analyse(self, frames: Tensor) -> Parts:
        assert self._pyramid is not None
        if self.channels == "luminance":
            frames = luminance(frames)
        # Without its mean, which no subband holds and the low-pass does not move.
        oriented, lowpass = self._pyramid.analyse(self._border.extend(frames))
        return oriented, lowpass

    def _motion(self, parts: Parts, reference: Parts) -> Tensor:
        """Turn of every sample's phase (n, samples), and the change of the low-pass beside it."""
        product = parts[0] * reference[0].conj().resolve_conj()
        # Where channels disagree, the one with more amplitude is believed.
        total = product.sum(1) if product.shape[1] > 1 else product[:, 0]
        turn = total.imag.contiguous()
        samples = turn.shape[1]
        low = (parts[1] - reference[1]).flatten(1)
        motion = turn.new_empty(len(turn), samples + low.shape[1])
        # Contiguous numbers: from a complex tensor's strided halves the angle takes twenty times as long.
        torch.atan2(turn, total.real.contiguous(), out=motion[:, :samples])
        motion[:, samples:] = low
        return motion

    def _course(self, motion: Tensor) -> Tensor:
        """Unwrap in time: whole turns are added that keep every step between frames below half a turn."""
        assert self._pyramid is not None
        turns = motion[:, : self._pyramid.samples]
        last = turns[:1] if self._last is None else self._last
        for turn in turns.split(1):
            turn.add_(((last - turn) / (2 * math.pi)).round_(), alpha=2 * math.pi)
            last = turn
        self._last = last.clone()
        return motion

    def _kept(self, parts: Parts) -> Parts:
        # Half precision of amplitudes of at most 1: it scales the change that is added, not the frame.
        return (torch.view_as_real(parts[0]).half(),)

    def _magnified(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        pyramid = self._pyramid
        assert pyramid is not None
        oriented = parts[0]
        if not oriented.is_complex():
            oriented = torch.view_as_complex(oriented.float())
        turn = motion[:, : pyramid.samples]
        if self.smoothing:
            turn = self._smoothed(turn, oriented)
        turn = turn * self.alpha
        if self.limit is not None:
            turn.clamp_(-self.limit, self.limit)
        # exp(i·turn) − 1, the change alone; in this form it is exact for small turns.
        half = (turn / 2).sin_()
        change = torch.complex(half.square().mul_(-2), turn.sin_()).unsqueeze(1) * oriented
        low = motion[:, pyramid.samples :].unflatten(1, (-1, *pyramid.lowpass_size)) * self.alpha
        low = low - low.mean((-2, -1), keepdim=True)
        added = pyramid.synthesise(change, low, negligible=_INVISIBLE)
        return frames + self._border.crop(added)

    def _smoothed(self, turn: Tensor, oriented: Tensor) -> Tensor:
        """Blur of amplitude × phase over the blur of amplitude, subband by subband."""
        assert self._pyramid is not None
        real = torch.view_as_real(oriented)
        weight = real.square().sum((1, -1)).sqrt_()
        smooth = torch.empty_like(turn)
        for place, band, blur in zip(self._pyramid.slices, self._pyramid.bands, self._blurs, strict=True):
            share = weight[:, place].unflatten(1, band.size)
            both = torch.stack([share * turn[:, place].unflatten(1, band.size), share], dim=1)
            for dim, matrix in zip((-2, -1), blur, strict=True):
                both = torch.movedim(torch.movedim(both, dim, -1) @ matrix, -1, dim)
            smooth[:, place] = (both[:, 0] / both[:, 1].clamp_min(1e-12)).flatten(1)
        return smooth

    def _values(self, height: int, width: int) -> tuple[int, int, int]:
        pyramid = self.pyramid(height, width)
        channels = 3 if self.channels == "rgb" else 1
        low = channels * math.prod(pyramid.lowpass_size)
        once = 8 * channels * pyramid.samples + 4 * low + pyramid.memory + 4 * pyramid.height * pyramid.width
        if self.mode == "temporal":
            once += 4 * pyramid.samples
        if self.smoothing:
            once += sum(4 * (band.size[0] ** 2 + band.size[1] ** 2) for band in pyramid.bands)
        return pyramid.samples + low, once, 4 * channels * pyramid.samples

    def _options(self) -> Iterator[str]:
        octaves = "1 octave" if self.bandwidth == 1 else f"{self.bandwidth:g} octaves"
        yield f"{self.orientations} orientations, {octaves}"
        yield self.channels
        if self.smoothing:
            yield f"smoothing {self.smoothing:g} wavelengths"
        if self.limit is not None:
            yield f"limit {self.limit:.3g} rad"


def _blur(deviation: float, size: tuple[int, int], pyramid: SteerablePyramid) -> tuple[Tensor, Tensor]:
    """Matrices (h, h) and (w, w) that blur a subband's columns and rows by ``deviation`` px of the frame.

    Their normalisation cancels, and with it the border.
    """
    made = []
    for samples, side in zip(size, (pyramid.height, pyramid.width), strict=True):
        sigma = max(deviation * samples / side, 1e-3)
        place = torch.arange(samples, dtype=torch.float64)
        away = (place[:, None] - place) / sigma
        made.append(torch.exp(-away.square() / 2).to(pyramid.device, torch.float32))
    return made[0], made[1]
