"""Displacement between two frames, to a hundredth of a pixel and better.

Two estimators, neither of which shares code or a kernel with anything that renders motion here:

- for a pattern that is a sinusoid of known period, the phase of that sinusoid, by least squares;
- for any image, registration: a full search for the whole pixels by normalised cross-correlation, then
  Gauss–Newton on the fraction, where the moved frame is resampled with Lagrange's polynomial through
  twelve pixels (exact where the smoothed frames have their energy).

Why the second is free of bias: its fixed point is where the resampled frame agrees with the reference, so
only the *resampling* has to be exact, not the gradients. Both frames are smoothed alike first, which leaves
nothing near the Nyquist frequency, where every interpolator errs and where sensor noise would pull the
estimate toward half pixels; smoothing commutes with motion, so it does not move anything itself.

Brightness and contrast are normalised away, so that a frame that a network has slightly dimmed is not read as
motion. Colour is reduced to luminance first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.runtime import exact_arithmetic

SMOOTHING = 1.0  # px, standard deviation of the Gaussian put on both frames before registration
REACH = 6  # px, half of the points of the interpolating polynomial; maximally flat, so exact for slow content
BORDER = 6  # px at the frame's rim that smoothing and resampling have touched, and that is not compared
LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601
DAMPING = (
    1e-3  # of the structure tensor's trace; holds the direction along a straight edge, which has no answer
)
SETTLED = 1e-6  # px, an update below this ends the iteration
WANDER = 3.0  # px, how far the fraction may go from the searched whole pixel
NEARNESS = 0.01  # of correlation, what the far end of the search costs; decides between repeats of a pattern
VISIBLE = 0.5  # of a window's weight; with less of it inside the moved frame a match proves nothing
TILE = 8  # px, within which noise may be correlated
FLAT = 1e-8  # variance below which a window holds nothing to register


P = ParamSpec("P")
R = TypeVar("R")


def measured_exactly(
    measure: Callable[Concatenate[Tensor, P], R],
) -> Callable[Concatenate[Tensor, P], R]:
    """Run a measurement without gradients, in its frames' precision whatever the training's settings."""

    @functools.wraps(measure)
    def run(reference: Tensor, *args: P.args, **kwargs: P.kwargs) -> R:
        # Sums of products would have 3 digits under autocast (bfloat16) or with TensorFloat-32.
        with torch.no_grad(), exact_arithmetic(reference.device):
            return measure(reference, *args, **kwargs)

    return run


class LocalDisplacement(NamedTuple):
    """Displacement in each window of a regular grid; see :func:`local_displacement`.

    Attributes:
        displacement: (B, h, w, 2) px, order (x, y).
        agreement: (B, h, w) normalised correlation of the two windows once aligned, in [-1, 1].
        tensor: (B, h, w, 2, 2) structure tensor of the reference window: the mean outer product of the
            luminance gradient (in 1/px), smoothed as registration sees it. A large smaller eigenvalue means
            that the motion is known in both directions; one large eigenvalue, only across an edge.
        centre: (h, w, 2) px, the windows' centres, order (x, y).
    """

    displacement: Tensor
    agreement: Tensor
    tensor: Tensor
    centre: Tensor

    @property
    def confidence(self) -> Tensor:
        """(B, h, w) in [0, 1]: agreement × texture; a slope of 0.01 per px in every direction counts half."""
        weakest = _smaller_eigenvalue(self.tensor)
        return self.agreement.clamp(0, 1) * weakest / (weakest + 0.01**2)


def luminance(frames: Tensor) -> Tensor:
    """Return the Rec. 601 luminance (…, H, W) of frames (…, 3, H, W), or the one channel of (…, 1, H, W)."""
    if frames.shape[-3] == 1:
        return frames[..., 0, :, :]
    if frames.shape[-3] != 3:
        raise InputError(
            f"frames must have 1 or 3 channels, got {frames.shape[-3]}; select the channels first"
        )
    return torch.einsum("...chw,c->...hw", frames, frames.new_tensor(LUMINANCE))


@measured_exactly
def measure_displacement(
    reference: Tensor,
    moved: Tensor,
    *,
    period: float | tuple[float, float] | None = None,
    near: Tensor | tuple[float, float] | None = None,
    limit: int = 32,
    weight: Tensor | None = None,
    iterations: int = 30,
) -> Tensor:
    """Measure the one displacement that takes ``reference`` to ``moved``.

    Args:
        reference: (C, H, W) or (B, C, H, W), C = 1 or 3, in [0, 1]. A single frame is compared with all of
            ``moved``.
        moved: the same size; content at x in ``reference`` is at x + displacement here.
        period: px. If given, the frames are taken to hold a sinusoid of this period along x, along y or both
            (one number, or one for each axis), and its phase is measured. The pattern repeats, so the answer
            is the one within half a period of ``near``.
        near: px, (2,) or (B, 2): roughly where the answer is; (0, 0) if None.
        limit: px, how far from ``near`` registration searches. Not used with ``period``.
        weight: (H, W) or (B, H, W), non-negative: which pixels *of the reference* count, for the motion of
            one region; pixels at least some 3 px inside an object's rim see that object alone. Default: a
            Hann window over the frame.
        iterations: at most this many Gauss–Newton steps.

    Returns:
        (2,) or (B, 2): px, order (x, y), positive right and down. NaN where there is nothing to measure: no
        contrast, content that has left the frame, or with ``period`` no such pattern along that axis.

    Raises:
        InputError: frames of different sizes, an unusable period, a weight that is nowhere above 0, or a
            frame too small to compare.
    """
    single = moved.ndim == 3 and reference.ndim == 3
    if period is not None:
        a, b = _luminance_pair(reference, moved)
        result = _by_phase(a, b, period, _per_sample(near, len(b), b), _window_for(weight, b))
    else:
        result = register(reference, moved, near, limit, weight, iterations).displacement
    return result[0] if single else result


class Registered(NamedTuple):
    """Displacement of B frames, each with its uncertainty.

    Attributes:
        displacement: (B, 2) px, order (x, y); NaN where there is nothing to measure.
        covariance: (B, 2, 2) px²: what the noise of the moved frame makes of the displacement.
        agreement: (B,) normalised correlation once aligned, in [-1, 1].
        tensor: (B, 2, 2) structure tensor of the region, see :class:`LocalDisplacement`.
    """

    displacement: Tensor
    covariance: Tensor
    agreement: Tensor
    tensor: Tensor


@measured_exactly
def register(
    reference: Tensor,
    moved: Tensor,
    near: Tensor | tuple[float, float] | None = None,
    limit: int = 32,
    weight: Tensor | None = None,
    iterations: int = 30,
    smoothing: float = SMOOTHING,
) -> Registered:
    """Register frames as :func:`measure_displacement` does, and say how well each is known.

    With less ``smoothing`` (px) the noise averages out better, and interpolation errs more.

    The covariance is the least-squares "sandwich" over tiles of 8×8 px (Liang and Zeger 1986): the difference
    of two aligned frames is noise, which may be correlated within a tile and is not beyond. Half of it is the
    reference's own and shifts all frames alike.
    """
    a, b = _luminance_pair(reference, moved)
    count = len(b)
    window = _window_for(weight, b)
    # Only the rectangle that the weight fills is looked at.
    weighted = (window > 0).any(0)
    rows, columns = (weighted.any(i).nonzero()[:, 0] for i in (1, 0))
    window = window[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = torch.stack([columns[0], rows[0]]).expand(count, -1)
    source = torch.arange(count, device=b.device)
    found = _register(a, b, source, corner, window, _per_sample(near, count, b), limit, iterations, smoothing)
    return Registered(found.displacement, found.covariance, found.agreement, found.tensor)


@measured_exactly
def local_displacement(
    reference: Tensor,
    moved: Tensor,
    *,
    window: int = 32,
    stride: int | None = None,
    limit: int = 16,
    iterations: int = 15,
) -> LocalDisplacement:
    """Measure the displacement in each window of a regular grid.

    Args:
        reference: (C, H, W) or (B, C, H, W), C = 1 or 3, in [0, 1].
        moved: the same size.
        window: px, the side of a window, under a Hann taper: the motion is an average over about half of it.
        stride: px between windows; ``window // 2`` if None.
        limit: px, the largest displacement searched for, on each axis.
        iterations: at most this many Gauss–Newton steps.

    Returns:
        The field, always with a batch axis. Where a window has no contrast, or its content has left the
        frame, the displacement is 0 and its agreement 0.

    Raises:
        InputError: frames of different sizes, or smaller than a window.
    """
    a, b = _luminance_pair(reference, moved)
    count, height, width = b.shape
    step = stride or max(1, window // 2)
    if min(height, width) < window:
        raise InputError(
            f"a frame of {width}×{height} px is smaller than the window of {window} px; take a smaller window"
        )
    # The grid is centred, so that what does not fill a stride is left out equally on both sides.
    tops = torch.arange((height - window) % step // 2, height - window + 1, step, device=b.device)
    lefts = torch.arange((width - window) % step // 2, width - window + 1, step, device=b.device)
    grid = torch.stack(torch.meshgrid(lefts, tops, indexing="xy"), -1)  # (h, w, 2)
    corner = grid.reshape(1, -1, 2).expand(count, -1, -1).reshape(-1, 2)
    source = torch.arange(count, device=b.device).repeat_interleave(grid.shape[0] * grid.shape[1])
    taper = _hann(window, window, b).expand(len(corner), -1, -1)
    found = _register(a, b, source, corner, taper, b.new_zeros(len(corner), 2), limit, iterations)
    field = (count, *grid.shape[:2])
    return LocalDisplacement(
        torch.nan_to_num(found.displacement).view(*field, 2),
        found.agreement.view(field),
        found.tensor.view(*field, 2, 2),
        grid.to(b.dtype) + (window - 1) / 2,
    )


# --- the sinusoid's phase ---------------------------------------------------------------------------------


def _by_phase(
    a: Tensor, b: Tensor, period: float | tuple[float, float], near: Tensor, window: Tensor
) -> Tensor:
    periods = period if isinstance(period, tuple) else (period, period)
    height, width = b.shape[-2:]
    for length, side, axis in zip(periods, (width, height), "xy", strict=True):
        if not 2 < length <= side:
            raise InputError(
                f"period along {axis} must be above 2 px and at most the frame's {side} px, got {length}"
            )
    step = b.new_tensor([2 * math.pi / length for length in periods])
    # Centred coordinates keep the normal equations well conditioned.
    across = (torch.arange(width, device=b.device, dtype=b.dtype) - (width - 1) / 2) * step[0]
    down = (torch.arange(height, device=b.device, dtype=b.dtype) - (height - 1) / 2) * step[1]
    one = torch.ones(height, width, dtype=b.dtype, device=b.device)
    basis = torch.stack(
        [one, across.cos() * one, across.sin() * one, down.cos()[:, None] * one, down.sin()[:, None] * one]
    ).reshape(5, -1)
    weight = window.reshape(len(window), 1, -1)
    normal = (basis * weight) @ basis.T

    def coefficients(frames: Tensor) -> Tensor:
        right = torch.einsum("kn,bn->bk", basis, frames.flatten(1) * weight[:, 0])
        return torch.linalg.solve(normal, right)[:, 1:].reshape(-1, 2, 2)

    first, second = coefficients(a), coefficients(b)
    # A·cos(k(x − d)) has coefficients A·(cos kd, sin kd); the angle between the two is the phase moved by.
    cross = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    dot = (first * second).sum(-1)
    raw = torch.atan2(cross, dot) / step
    lengths = b.new_tensor(periods)
    unwrapped = raw + lengths * ((near - raw) / lengths).round()
    present = torch.minimum(first.norm(dim=-1), second.norm(dim=-1)) > 1e-4
    return torch.where(present, unwrapped, torch.full_like(unwrapped, math.nan))


# --- registration ----------------------------------------------------------------------------------------


class _Found(NamedTuple):
    displacement: Tensor  # (N, 2)
    agreement: Tensor  # (N,)
    tensor: Tensor  # (N, 2, 2)
    covariance: Tensor  # (N, 2, 2)


def _register(
    a: Tensor,
    b: Tensor,
    source: Tensor,
    corner: Tensor,
    window: Tensor,
    near: Tensor,
    limit: int,
    iterations: int,
    smoothing: float = SMOOTHING,
) -> _Found:
    """Find N windows of ``a[source]`` at ``corner``, weighted by ``window`` (N, h, w), in ``b[source]``."""
    # A reference that serves all frames is prepared once.
    origin = source if a.stride(0) or len(a) == 1 else torch.zeros_like(source)
    a, b = _smooth(a if a.stride(0) else a[:1], smoothing), _smooth(b, smoothing)
    height, width = window.shape[-2:]
    template, inside = _cut(a, origin, corner, height, width)
    weight = window * inside
    start = near.round()
    if limit > 0:
        start = start + _search(template, weight, b, source, corner + start.long(), limit)
    found = start.clone()
    gradient_t = _gradient(_cut(a, origin, corner - 2, height + 4, width + 4)[0])
    for _ in range(iterations):
        aligned, share = _resample(b, source, corner, found, height, width)
        shared = weight * share
        (t, t_spread), (m, m_spread) = (_normalise(x, shared) for x in (template, aligned[:, 2:-2, 2:-2]))
        # The mean of both gradients: what noise does to one frame's own gradient cancels to first order.
        slope = (gradient_t / t_spread[:, None] + _gradient(aligned) / m_spread[:, None]) / 2
        matrix = torch.einsum("nihw,njhw,nhw->nij", slope, slope, shared)
        vector = torch.einsum("nihw,nhw->ni", slope, (t - m) * shared)
        trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        eye = torch.eye(2, dtype=b.dtype, device=b.device)
        step = torch.linalg.solve(matrix + (DAMPING * trace + 1e-12) * eye, vector).clamp(-1, 1)
        updated = torch.minimum(torch.maximum(found + step, start - WANDER), start + WANDER)
        change, found = (updated - found).abs().amax(), updated
        if change < SETTLED:
            break
    aligned, share = _resample(b, source, corner, found, height, width)
    shared = weight * share
    (t, t_spread), (m, m_spread) = (_normalise(x, shared) for x in (template, aligned[:, 2:-2, 2:-2]))
    total = shared.sum((-2, -1)).clamp_min(1e-12)
    agreement = (t * m * shared).sum((-2, -1)) / total
    slope = (gradient_t / t_spread[:, None] + _gradient(aligned) / m_spread[:, None]) / 2
    covariance = _sandwich(slope, shared, t - m)
    tensor = torch.einsum("nihw,njhw,nhw->nij", gradient_t, gradient_t, weight)
    tensor = tensor / weight.sum((-2, -1)).clamp_min(1e-12)[:, None, None]
    flat = torch.minimum(t_spread, m_spread)[:, 0, 0] ** 2 <= FLAT
    lost = shared.sum((-2, -1)) <= VISIBLE * weight.sum((-2, -1))
    return _Found(
        torch.where((flat | lost)[:, None], torch.full_like(found, math.nan), found),
        torch.where(flat | lost, torch.zeros_like(agreement), agreement),
        tensor,
        covariance,
    )


def _sandwich(slope: Tensor, weight: Tensor, residual: Tensor) -> Tensor:
    """Return the covariance (N, 2, 2) px² of the shift that minimises the weighted ``residual`` squared."""
    matrix = torch.einsum("nihw,njhw,nhw->nij", slope, slope, weight)
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    bread = torch.linalg.inv(matrix + (DAMPING * trace + 1e-12) * torch.eye(2).to(matrix))
    scores = F.avg_pool2d(
        slope * (weight * residual)[:, None], TILE, ceil_mode=True, divisor_override=1
    ).flatten(2)
    tiles = scores.shape[-1]
    # Two parameters are fitted; the factor ½ leaves out the reference's part.
    meat = scores @ scores.mT * (tiles / max(tiles - 2, 1)) / 2
    return bread @ meat @ bread


def _search(
    template: Tensor, weight: Tensor, b: Tensor, source: Tensor, corner: Tensor, limit: int
) -> Tensor:
    """Return the whole-pixel offset (N, 2) of the best weighted normalised correlation within ``limit`` px.

    The six sums that it needs at every offset, with the frame's border masked out of each, are correlations
    themselves, done by FFT.
    """
    height, width = template.shape[-2:]
    tall, wide = height + 2 * limit, width + 2 * limit
    region, inside = _cut(b, source, corner - limit, tall, wide)
    # Means near zero keep the differences below from cancelling in single precision.
    level = (template * weight).sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True).clamp_min(
        1e-12
    )
    t, s = template - level, (region - level) * inside

    def spectrum(x: Tensor) -> Tensor:
        return torch.fft.rfft2(x, s=(tall, wide))

    def correlate(x: Tensor, y: Tensor) -> Tensor:
        return torch.fft.irfft2(x.conj() * y, s=(tall, wide))[:, : 2 * limit + 1, : 2 * limit + 1]

    w, wt, wtt = spectrum(weight), spectrum(weight * t), spectrum(weight * t * t)
    v, vs, vss = spectrum(inside), spectrum(s), spectrum(s * s)
    mass = correlate(w, v).clamp_min(1e-12)
    mean_t, mean_s = correlate(wt, v) / mass, correlate(w, vs) / mass
    cov = correlate(wt, vs) / mass - mean_t * mean_s
    var_t = (correlate(wtt, v) / mass - mean_t**2).clamp_min(0)
    var_s = (correlate(w, vss) / mass - mean_s**2).clamp_min(0)
    enough = mass > VISIBLE * weight.sum((-2, -1), keepdim=True)
    # Where the frame is flat, rounding error over rounding error must not look like a match.
    score = cov / (var_t * (var_s + 1e-3 * var_t + FLAT)).sqrt().clamp_min(1e-12)
    offsets = torch.arange(-limit, limit + 1, device=b.device, dtype=b.dtype)
    distance = torch.hypot(offsets[:, None], offsets[None, :])
    score = torch.where(enough, score - NEARNESS * distance / limit, torch.full_like(score, -2.0))
    best = score.flatten(1).argmax(-1)
    side = 2 * limit + 1
    return torch.stack([best % side, best // side], -1).to(b.dtype) - limit


def _resample(
    b: Tensor, source: Tensor, corner: Tensor, shift: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return the windows of ``b`` moved back by ``shift``, 2 px larger all round, and which px are sound."""
    whole = shift.floor()
    fraction = shift - whole
    first = corner + whole.long() - (REACH - 1) - 2
    patch, _ = _cut(b, source, first, height + 4 + 2 * REACH - 1, width + 4 + 2 * REACH - 1)
    across, down = _lagrange_taps(fraction[:, 0]), _lagrange_taps(fraction[:, 1])
    rows = sum(
        (patch[:, i : i + height + 4] * down[:, i, None, None] for i in range(2 * REACH)),
        start=patch.new_zeros(()),
    )
    both = sum(
        (rows[:, :, i : i + width + 4] * across[:, i, None, None] for i in range(2 * REACH)),
        start=rows.new_zeros(()),
    )
    inside = _inside(b, corner + shift.round().long(), height, width)
    return both, inside


def _lagrange_taps(fraction: Tensor) -> Tensor:
    """Return (N, 2·REACH) weights of the points 1 − REACH … REACH for the value at ``fraction`` in [0, 1)."""
    points = torch.arange(1 - REACH, REACH + 1, device=fraction.device, dtype=fraction.dtype)
    own = torch.eye(2 * REACH, dtype=torch.bool, device=fraction.device)
    apart = (points[:, None] - points).masked_fill(own, 1)
    towards = (fraction[:, None, None] - points).masked_fill(own, 1)
    return (towards / apart).prod(-1)


def _cut(frames: Tensor, source: Tensor, corner: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return windows of ``frames[source]`` at ``corner``, the rim repeated, and which px are sound."""
    rows = (corner[:, 1, None] + torch.arange(height, device=frames.device)).clamp(0, frames.shape[-2] - 1)
    columns = (corner[:, 0, None] + torch.arange(width, device=frames.device)).clamp(0, frames.shape[-1] - 1)
    cut = frames[source[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cut, _inside(frames, corner, height, width)


def _inside(frames: Tensor, corner: Tensor, height: int, width: int) -> Tensor:
    def along(first: Tensor, count: int, side: int) -> Tensor:
        position = first[:, None] + torch.arange(count, device=frames.device)
        return ((position >= BORDER) & (position < side - BORDER)).to(frames.dtype)

    down = along(corner[:, 1], height, frames.shape[-2])
    across = along(corner[:, 0], width, frames.shape[-1])
    return down[:, :, None] * across[:, None, :]


def _normalise(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    total = weight.sum((-2, -1), keepdim=True).clamp_min(1e-12)
    centred = x - (x * weight).sum((-2, -1), keepdim=True) / total
    spread = ((centred**2 * weight).sum((-2, -1), keepdim=True) / total + 1e-12).sqrt()
    return centred / spread, spread


def _gradient(x: Tensor) -> Tensor:
    """Return (N, 2, h − 4, w − 4), the x and y derivatives per px by the five-point rule."""

    def five_point(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> Tensor:
        return (p - 8 * q + 8 * r - s) / 12

    mid = x[:, 2:-2]
    across = five_point(mid[..., :-4], mid[..., 1:-3], mid[..., 3:-1], mid[..., 4:])
    mid = x[..., 2:-2]
    down = five_point(mid[:, :-4], mid[:, 1:-3], mid[:, 3:-1], mid[:, 4:])
    return torch.stack([across, down], 1)


def _smooth(frames: Tensor, smoothing: float) -> Tensor:
    radius = math.ceil(4 * smoothing)
    offset = torch.arange(-radius, radius + 1, device=frames.device, dtype=frames.dtype)
    taps = torch.exp(-0.5 * (offset / smoothing) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(frames[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[None, None, None]), taps[None, None, :, None])[:, 0]


def _hann(height: int, width: int, like: Tensor) -> Tensor:
    # Half-sample offsets: no pixel of the window has weight zero.
    down, across = (
        torch.sin(math.pi * (torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) / n) ** 2
        for n in (height, width)
    )
    return down[:, None] * across


def _smaller_eigenvalue(tensor: Tensor) -> Tensor:
    xx, xy, yy = tensor[..., 0, 0], tensor[..., 0, 1], tensor[..., 1, 1]
    return ((xx + yy) / 2 - (((xx - yy) / 2) ** 2 + xy**2).sqrt()).clamp_min(0)


# --- arguments -------------------------------------------------------------------------------------------


def _luminance_pair(reference: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    if reference.shape[-3:] != moved.shape[-3:]:
        raise InputError(
            f"reference and moved frames must be of one size, "
            f"got {tuple(reference.shape)} and {tuple(moved.shape)}"
        )
    if min(moved.shape[-2:]) < 2 * BORDER + 8:
        raise InputError(
            f"a frame of {moved.shape[-1]}×{moved.shape[-2]} px is too small to measure motion in; "
            f"it must be at least {2 * BORDER + 8} px on each side"
        )
    kind = torch.promote_types(torch.promote_types(reference.dtype, moved.dtype), torch.float32)
    a, b = (luminance(x.to(kind)) for x in (reference, moved))
    a, b = (x if x.ndim == 3 else x[None] for x in (a, b))
    count = max(len(a), len(b))
    if len(a) not in (1, count) or len(b) not in (1, count):
        raise InputError(
            f"{len(a)} reference frames cannot be compared with {len(b)} moved ones; give one or as many"
        )
    return a.expand(count, -1, -1), b.expand(count, -1, -1)


def _per_sample(near: Tensor | tuple[float, float] | None, count: int, like: Tensor) -> Tensor:
    if near is None:
        return like.new_zeros(count, 2)
    return torch.as_tensor(near, dtype=like.dtype, device=like.device).expand(count, 2)


def _window_for(weight: Tensor | None, frames: Tensor) -> Tensor:
    count, height, width = frames.shape
    if weight is None:
        return _hann(height, width, frames).expand(count, -1, -1)
    if weight.shape[-2:] != frames.shape[-2:]:
        raise InputError(f"weight must be of the frames' size {width}×{height} px, got {tuple(weight.shape)}")
    if not (weight > 0).any():
        raise InputError("weight is nowhere above 0; give at least one pixel to measure")
    return weight.to(frames).expand(count, -1, -1)
