"""The Riesz method: phase along the one direction that each place has (Wadhwa et al. 2014)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.methods.border import Border, reach
from mm.methods.eulerian import EulerianMagnifier, Parts
from mm.methods.linear import luminance
from mm.methods.phase_shift import Channels, check_phase_shift
from mm.methods.pyramids import laplacian
from mm.methods.pyramids.monogenic import RieszPyramid, check_scales, check_size
from mm.methods.stream import Mode
from mm.registry import methods
from mm.temporal import Band

# The square of an amplitude of which nothing can be seen; what is below has no direction to speak of.
_NOTHING = 1e-12
# Of the mean of n·nᵀ: the part of waves in a second direction from which on they tell of motion along it.
_DAMPING = 0.1
# Where the blur's Gaussian is cut, in standard deviations.
_CUT = 2.5
# Samples²; a Gaussian with more variance is applied to half as many samples each way.
_HALVED = 2.5


@methods.register("riesz")
class RieszMagnifier(EulerianMagnifier):
    """Adds ``alpha`` times the (band-passed) quaternionic phase to each level of a Riesz pyramid.

    A level and its Riesz transform are a quaternion, whose logarithm is φ·cos θ and φ·sin θ: the phase of the
    local wave, and the direction θ that it runs in (section 4 of the paper). Between two frames the phase
    turns by 2πδ/λ when the wave moves by δ along θ. The two numbers of the turn, unlike φ and θ by
    themselves, do not depend on which end of the wave is called its front, so they may be filtered in time
    and blurred. In temporal mode turns from frame to frame are added up, which unwraps them in time. The
    level is then turned by ``alpha`` times as much (the quaternion's exponential) and its real part kept.

    A place has one direction at each scale, where the ``phase`` method has four. The mean of turns over waves
    of every direction, as the paper blurs them, is half of what moves: it is solved for the motion by the
    mean of the directions (:func:`_solved`). Of sixty waves of 9 to 40 px in every direction, moved by
    0.1 px, a factor of 10 so shows 0.94 to 0.95 of the motion (0.65 to 0.69 without), of two crossed waves of
    12 px 0.97 (0.56 without). Levels are wide, and their ends reach less far than the subbands of ``phase``:
    a wave of 16 px that is to move by 1, 2, 4 and 8 px (λ/2) moves by 0.93, 0.93, 0.91 and 0.86 of that, and
    one that is to move by 16 px moves by 2 px the other way. With the defaults, waves of 12 to 48 px that
    move by 0.1 px along the axes or aslant show 9.1 to 10.4 times that at factor 10 in a whole frame of
    96×128 px, wherever they begin, and 9.3 to 11.0 times 24 px and more inside of it (least at 16 and 20 px,
    most at 32 px, where the whole frame shows 10.4).

    The turn is blurred before it is filtered in time, where the paper blurs after: both are linear, the
    weights change little between frames, noise where there is no wave is kept from being added up, and the
    filter has half as many samples each way to work on.

    The low-pass that is left, whose waves are as long as the frame, moves by the linear method, its mean left
    alone so that a flickering light is not taken for motion. What is added to a frame is the change of its
    levels alone, so what does not move is the input's own pixel. Beyond its border a frame goes on with the
    border's pixels and fades into its mean (:class:`mm.methods.border.Border`). (A mirrored frame moves
    against the frame: with that, waves of 20 to 48 px showed 7.5 to 9.5 times the motion in the whole frame.)

    Args:
        factor, mode, band, batch, device: see :class:`mm.methods.eulerian.EulerianMagnifier`.
        scales: levels of the pyramid; None for as many as the frames allow, see
            :meth:`mm.methods.pyramids.monogenic.RieszPyramid.deepest`.
        smoothing: standard deviation, in samples of each level (1 px, 2 px, 4 px, …), of the
            amplitude-weighted Gaussian blur of the phase (section 4), which lessens noise; 0 for none.
        limit: largest magnified turn, radians: what would turn farther is held there. None: no limit.
        channels: "luminance" to move the luminance alone, or "rgb" to move all three by the one phase that
            they tell together: no colour left behind at edges, for more work and memory.

    Raises:
        InputError: also for options outside their range.
    """

    name = "riesz"
    # Turns that are added up grow with the clip.
    storage = None

    def __init__(
        self,
        factor: float = 10.0,
        mode: Mode = "static",
        band: Band | None = None,
        *,
        scales: int | None = None,
        smoothing: float = 2.0,
        limit: float | None = None,
        channels: Channels = "luminance",
        batch: int = 1,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(factor, mode, band, batch, device)
        check_scales(scales)
        if not 0 <= smoothing <= 10:
            raise InputError(f"smoothing must be from 0 to 10 samples of a level, got {smoothing:g}")
        check_phase_shift(limit, channels)
        self.scales = scales
        self.smoothing, self.limit = float(smoothing), limit
        self.channels = channels
        self._pyramid: RieszPyramid | None = None

    def pyramid(self, height: int, width: int) -> RieszPyramid:
        """The pyramid for frames of this size, which is one of somewhat larger images.

        Raises:
            InputError: for more scales than such frames allow.
        """
        known = self._pyramid
        size = (height + 2 * reach(height), width + 2 * reach(width))
        if known is None or (known.height, known.width) != size:
            # The number of scales is the frame's; what is added round it holds no longer waves.
            scales = check_size(height, width, self.scales)
            known = self._pyramid = RieszPyramid(*size, scales=scales)
        return known

    def _reset(self) -> None:
        super()._reset()
        self._last: Tensor | None = None

    def _prepare(self, height: int, width: int) -> None:
        pyramid = self.pyramid(height, width)
        self._border = Border((height, width), (pyramid.height, pyramid.width), self.device)
        self._turns = self._turn_sizes(pyramid)
        self._count = sum(2 * math.prod(size) for size in self._turns)

    def _turn_sizes(self, pyramid: RieszPyramid) -> list[tuple[int, int]]:
        """Return the grid of each level's phase shift: a blurred one has half the samples each way."""
        return [
            ((size[0] + 1) // 2, (size[1] + 1) // 2) if _halves(size, self.smoothing) else size
            for size in pyramid.sizes
        ]

    def _analyse(self, frames: Tensor) -> Parts:
        """Quaternions (n, C, 3, samples) and the low-pass."""
        assert self._pyramid is not None
        if self.channels == "luminance":
            frames = luminance(frames)
        # Without its mean, which no level holds and the low-pass does not move.
        levels, lowpass = self._pyramid.analyse(self._border.extend(frames))
        return self._quaternions(levels), lowpass

    def _quaternions(self, levels: Tensor) -> Tensor:
        assert self._pyramid is not None
        return torch.cat([levels.unsqueeze(2), self._pyramid.riesz(levels)], dim=2)

    def _motion(self, parts: Parts, reference: Parts) -> Tensor:
        """Turns along x and along y, level after level, and the change of the low-pass beside them.

        In temporal mode the turn is from the frame before.
        """
        pyramid = self._pyramid
        assert pyramid is not None
        quaternions, lowpass = parts
        others = reference[0]
        if self.mode == "temporal":
            # The first frame's levels have served: those of the frame before take their place.
            self._reference = (quaternions[-1:].clone(), reference[1])
            others = torch.cat([others, quaternions[:-1]])
        low = (lowpass - reference[1]).flatten(1)
        motion = low.new_empty(len(low), self._count + low.shape[1])
        turn, amplitude = _turn(quaternions, others)
        start = 0
        waves = quaternions[:, :, 1:].square().sum(1), quaternions[:, :, 1].mul(quaternions[:, :, 2]).sum(1)
        squares, product = pyramid.split(waves[0]), pyramid.split(waves[1].unsqueeze(1))
        for number, level in enumerate(pyramid.split(turn)):
            if self.smoothing:
                weight = pyramid.split(amplitude)[number]
                level = _blurred(level.mul_(weight), weight, self.smoothing)
                power = squares[number].sum(1, keepdim=True)
                tensor = torch.cat([squares[number][:, :1], product[number]], 1)
                level = _solved(level, _blurred(tensor, power, self.smoothing))
            stop = start + level[0].numel()
            motion[:, start:stop] = level.flatten(1)
            start = stop
        motion[:, start:] = low
        return motion

    def _course(self, motion: Tensor) -> Tensor:
        """Add up the turns between frames, each below half a turn."""
        turns = motion[:, : self._count]
        last = self._last
        for turn in turns.split(1):
            if last is not None:
                turn.add_(last)
            last = turn
        assert last is not None
        self._last = last.clone()
        return motion

    def _kept(self, parts: Parts) -> Parts:
        # The levels alone: their transform is told from them. Half precision, for it
        # scales the change that is added, not the frame.
        return (parts[0][:, :, 0].half(),)

    def _magnified(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        pyramid = self._pyramid
        assert pyramid is not None
        quaternions = parts[0] if parts[0].ndim == 4 else self._quaternions(parts[0].float())
        turn = self._spread(motion)
        quarter = _norm(quaternions[:, :, 1:].transpose(1, 2))
        along = (quaternions[:, :, 1] * turn[:, None, 0]).addcmul_(quaternions[:, :, 2], turn[:, None, 1])
        angle = along.div_(quarter.clamp_min(_NOTHING)).mul_(self.alpha)
        if self.limit is not None:
            angle.clamp_(-self.limit, self.limit)
        # Real part of quaternion × exp(turn), less the quaternion's: cos − 1 in a form exact for small turns.
        change = torch.sin(angle).mul_(quarter).neg_()
        change.addcmul_(quaternions[:, :, 0], angle.mul_(0.5).sin_().square_(), value=-2)
        low = motion[:, self._count :].unflatten(1, (-1, *pyramid.lowpass_size)) * self.alpha
        low = low - low.mean((-2, -1), keepdim=True)
        return frames + self._border.crop(pyramid.synthesise(change, low))

    def _spread(self, motion: Tensor) -> Tensor:
        """The turns at every sample of the levels: (n, 2, samples)."""
        pyramid = self._pyramid
        assert pyramid is not None
        turn = motion.new_empty(len(motion), 2, pyramid.samples)
        start = 0
        for target, size, own in zip(pyramid.split(turn), pyramid.sizes, self._turns, strict=True):
            stop = start + 2 * math.prod(own)
            level = motion[:, start:stop].unflatten(1, (2, *own))
            target.copy_(level if own == size else laplacian.expand(level, size))
            start = stop
        return turn

    def _values(self, height: int, width: int) -> tuple[int, int, int]:
        pyramid = self.pyramid(height, width)
        channels = 3 if self.channels == "rgb" else 1
        low = channels * math.prod(pyramid.lowpass_size)
        turns = sum(2 * math.prod(size) for size in self._turn_sizes(pyramid))
        once = 4 * (3 * channels * pyramid.samples + low + pyramid.height * pyramid.width)
        if self.mode == "temporal":
            once += 4 * turns
        return turns + low, once, 2 * channels * pyramid.samples

    def _options(self) -> Iterator[str]:
        if self.scales is not None:
            yield f"{self.scales} scales"
        yield self.channels
        yield f"smoothing {self.smoothing:g} samples" if self.smoothing else "no smoothing"
        if self.limit is not None:
            yield f"limit {self.limit:.3g} rad"


def _turn(quaternions: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of quaternions × conjugate of others, (n, C, 3, samples) each, and their amplitude.

    The product's last part, which a turn of the direction makes, is left out as in the paper. Where channels
    disagree, the one with more amplitude is believed.

    Returns:
        the turn (n, 2, samples), radians, and the geometric mean of both amplitudes (n, 1, samples).
    """
    real, across, down = quaternions.unbind(2)
    other_real, other_across, other_down = others.unbind(2)
    cosine = (real * other_real).addcmul_(across, other_across).addcmul_(down, other_down).sum(1)
    turn = torch.stack(
        [
            (across * other_real).addcmul_(real, other_across, value=-1).sum(1),
            (down * other_real).addcmul_(real, other_down, value=-1).sum(1),
        ],
        dim=1,
    )
    sine = _norm(turn)
    angle = torch.atan2(sine, cosine).div_(sine.clamp_min(_NOTHING))
    amplitude = sine.square_().addcmul_(cosine, cosine).sqrt_().sqrt_()
    return turn.mul_(angle.unsqueeze(1)), amplitude.unsqueeze(1)


def _solved(turn: Tensor, tensor: Tensor) -> Tensor:
    """Return the turn for each direction, (n, 2, h, w), of blurred turns: their mean over the waves there.

    Waves in the direction n, moved by d, turn by k·n·(n·d), whose mean is k·M·d, M the mean of n·nᵀ. What is
    solved for is k·d, by damped least squares (M² + ε²)⁻¹·M, which leaves one wave alone.

    Args:
        turn: the mean turns.
        tensor: (n, 2, h, w), the first row of M; its trace is 1.
    """
    along, cross = tensor[:, :1], tensor[:, 1:]
    other = (1 - along).clamp_min_(0)
    det = (along * other).addcmul_(cross, cross, value=-1).clamp_min_(0)
    product = torch.cat(
        [along * turn[:, :1] + cross * turn[:, 1:], cross * turn[:, :1] + other * turn[:, 1:]], 1
    )
    # Closed form for two dimensions and a trace of 1 (Cayley and Hamilton: M² = M − det M).
    small = _DAMPING**2
    scale = (1 + small) / (det.square() + small * (1 - 2 * det) + small**2)
    return product.mul_(small - det).addcmul_(turn, det).mul_(scale)


def _norm(parts: Tensor) -> Tensor:
    """Root of the sum of squares over dimension 1: (n, k, samples) → (n, samples)."""
    first, *rest = parts.unbind(1)
    total = first * first
    for part in rest:
        total.addcmul_(part, part)
    return total.sqrt_()


def _halves(size: tuple[int, int], sigma: float) -> bool:
    return sigma**2 > _HALVED and min(size) >= laplacian.MIN_SIDE


def _blurred(images: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Ratio of the Gaussian blurs of (n, k, h, w) and of a weight (n, 1, h, w), or half of its size."""
    if not _halves((images.shape[-2], images.shape[-1]), sigma):
        return _blur(images, sigma).div_(_blur(weight, sigma).clamp_min_(_NOTHING))
    # To halve and to double with the binomial kernel blurs by a variance of 1 each: the rest is done between.
    rest = math.sqrt(sigma**2 - 2) / 2
    images, weight = laplacian.reduce(images), laplacian.reduce(weight)
    size = (images.shape[-2], images.shape[-1])
    blurred = _blurred(images, weight, rest)
    return laplacian.expand(blurred, size) if _halves(size, rest) else blurred


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (n, k, h, w), zero beyond the border; not normalised, which cancels in a ratio."""
    for dim in (-2, -1):
        length = images.shape[dim]
        reach = min(max(1, math.ceil(_CUT * sigma)), length - 1)
        padded = F.pad(images, (0, 0, reach, reach) if dim == -2 else (reach, reach))
        blurred = images.clone()
        for k in range(1, reach + 1):
            weight = math.exp(-0.5 * (k / sigma) ** 2)
            pair = padded.narrow(dim, reach - k, length) + padded.narrow(dim, reach + k, length)
            blurred.add_(pair, alpha=weight)
        images = blurred
    return images
