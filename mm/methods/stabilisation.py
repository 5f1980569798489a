"""The place of the first frame's region in every other frame: an affine transform, found by its pixels.

Robust inverse-compositional Lucas–Kanade registration (Baker and Matthews 2004, "Lucas-Kanade 20 years on: a
unifying framework"), from coarse to fine. Every frame is compared with the first, not with the one before, so
errors do not add up; the search begins where the frame before was found, so that large motions over many
frames are followed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.methods.affine import Spline, apply, compose, grid, identity, inverse, shifted
from mm.runtime import exact_arithmetic

# px, of the Gaussian that every level is blurred by: gradients of what is finer are not reliable.
_BLUR = 1.0
# A region's shorter side on the coarsest level, px; less holds too little to go by. And the most levels.
_COARSEST, _LEVELS = 10, 5
# Pixels of the region that are compared on a level; a larger region is sampled evenly.
_SAMPLES = 20_000
# px of each level by which a frame's part that is looked at is wider than the region.
_REACH = 12
# Weights count from the region's rim to this many px of each level inside, as the rim holds what is behind.
_RIM = 3.0
# Steps on a level, and the largest displacement, px of the level, that ends them; the finest level is exact.
_STEPS, _SETTLED, _SETTLED_FINEST = 30, 0.02, 2e-4
# Residuals beyond this many robust standard deviations count for less than a quarter (Geman and McClure).
_OUTLIER = 3.0
# Half of a 14-bit step: where all pixels agree, rounding must not make outliers.
_LEAST_SPREAD = 3e-5
# Part of the mean curvature added to each: a direction in which nothing can be told is left where it was.
_DAMPING = 1e-4
# Standard deviation of brightness below which there is nothing to go by: half an 8-bit step.
_TEXTURE = 0.5 / 255
# The region is lost where less of it is in the frame.
_IN_FRAME = 0.4
# It is recognised by the correlation of brightness of all of it, or where it is partly covered, by a higher
# one of the pixels that agree if they hold so much of its contrast.
_ALIKE, _ALIKE_IN_PART, _PART = 0.7, 0.9, 0.35
# Nothing is turned, stretched or sheared by more than this from one frame to the next.
_JUMP = 0.35
# Where it is as much alike as this, no other place is looked for.
_SURE = 0.95
# It is also lost where it would be squeezed or stretched by more than this.
_STRETCH = 8.0


class Fit(NamedTuple):
    """The place of the region in a frame.

    Attributes:
        transform: (2, 3) float64 on the CPU, from points of the first frame to points of this one, px.
        found: whether it was found; if not, ``transform`` is the last that was.
        inside: which part of it, from 0 to 1, lies within the frame by that transform.
    """

    transform: Tensor
    found: bool
    inside: float


@dataclass(frozen=True)
class _Level:
    """The region on one level of the pyramid, whose px are 2^level px of the frame."""

    points: Tensor  # (n, 2) px of the level, float64
    values: Tensor  # (n,) brightness
    weights: Tensor  # (n,) from the region's rim inwards
    descent: Tensor  # (n, 6) change of brightness with each of six parameters, px of the level
    centre: Tensor  # (2,) px of the level
    spread: Tensor  # (2,) px of the level


class AffineStabiliser:
    """Follows a region through a clip.

    The brightness of the region is matched up to a gain and an offset, so a changing light is no motion. What
    covers a part of the region, and the background at its rim, are told by their residuals and count little.
    Directions along which the region has no texture stay as they were.

    Args:
        reference: (1, H, W) brightness of the first frame, in [0, 1].
        mask: (H, W) on the same device; the region is where it is at least 0.5.

    Raises:
        InputError: if the region has no texture.
    """

    def __init__(self, reference: Tensor, mask: Tensor) -> None:
        inside = mask >= 0.5
        rows, columns = (inside.any(dim).nonzero()[:, 0] for dim in (1, 0))
        self._box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        values = reference[0][inside]
        if float(values.double().std(correction=0)) < _TEXTURE:
            raise InputError(
                f"the region of {self._box[2] - self._box[0]}×{self._box[3] - self._box[1]} px at "
                f"{self._box[0]},{self._box[1]} has no texture in the first frame by which to follow it (its "
                f"brightness varies by less than {_TEXTURE:.1g} of 1); choose another region, or begin later"
            )
        left, top, right, bottom = self._box
        shorter = min(right - left, bottom - top)
        count = 1 + min(_LEVELS - 1, max(0, math.floor(math.log2(max(1.0, shorter / _COARSEST)))))
        self._margin = _REACH * 2 ** (count - 1)
        # Of the first frame too only the region's surroundings are looked at.
        self._origin = (max(0, left - self._margin), max(0, top - self._margin))
        part = (
            slice(self._origin[1], bottom + self._margin),
            slice(self._origin[0], right + self._margin),
        )
        depth = inner_distance(inside)[part]
        with exact_arithmetic(reference.device):
            pictures = _pyramid(reference[:, *part], count)
            self._levels = [_level(picture, depth, number) for number, picture in enumerate(pictures)]
        self.reset()

    def reset(self) -> None:
        """Take the next frame for the one after the first."""
        self._last = identity()
        self._before = identity()

    def memory(self) -> int:
        """Bytes held."""
        parts = [
            part
            for level in self._levels
            for part in (level.points, level.values, level.weights, level.descent)
        ]
        return sum(part.numel() * part.element_size() for part in parts)

    def follow(self, frame: Tensor) -> Fit:
        """Find the region in the next frame, (1, H, W) brightness in [0, 1]."""
        with exact_arithmetic(frame.device):
            found = self._search(frame)
        if found is None:
            # No guess from a speed that is no longer known.
            self._before = self._last
            return Fit(self._last, False, self._inside(frame, self._last))
        self._before, self._last = self._last, found
        return Fit(found, True, self._inside(frame, found))

    def _search(self, frame: Tensor) -> Tensor | None:
        """The region's transform, or None if it is not found."""
        # As fast as before, or as if it had stopped: whichever looks more alike.
        starts = [self._last, 2 * self._last - self._before]
        corners = torch.cat([self._corners(start) for start in starts])
        low = (corners.amin(0).floor().long() - self._margin).clamp_min(0).tolist()
        high = (corners.amax(0).ceil().long() + self._margin + 1).tolist()
        picture = frame[:, low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
        if min(picture.shape[-2:]) < 2 ** len(self._levels):
            return None
        splines = [Spline(one, _BLUR) for one in _pyramid(picture, len(self._levels))]
        origin = (float(low[0]), float(low[1]))
        guesses = [shifted(start, self._origin, origin) for start in starts]
        # Mostly the region is near where it is expected, and coarser levels would only add to what covers it.
        finest = self._levels[:1], splines[:1]
        near = max(guesses, key=lambda one: _likeness(finest[0][0], splines[0], one, finest[0][0].weights))
        fit = _through_levels(*finest, near)
        own, spline = self._levels[0], splines[0]
        if fit is None or _likeness(own, spline, fit[0], own.weights) < _SURE:
            last, number = self._levels[-1], len(self._levels) - 1
            far = max(
                guesses, key=lambda one: _likeness(last, splines[-1], _scaled(one, number), last.weights)
            )
            other = _through_levels(self._levels, splines, far)
            fits = [one for one in (fit, other) if one is not None]
            fit = max(fits, key=lambda one: _agreement(own, spline, *one), default=None)
        if fit is None or not _recognised(own, spline, *fit):
            return None
        found = shifted(fit[0], (-self._origin[0], -self._origin[1]), (-origin[0], -origin[1]))
        change = compose(inverse(self._last), found)[:, :2] - torch.eye(2, dtype=torch.float64)
        return None if float(change.abs().max()) > _JUMP else found

    def _corners(self, transform: Tensor) -> Tensor:
        left, top, right, bottom = self._box
        corners = [[left, top], [right, top], [left, bottom], [right, bottom]]
        return apply(transform, torch.tensor(corners, dtype=torch.float64))

    def _inside(self, frame: Tensor, transform: Tensor) -> float:
        level = self._levels[0]
        points = apply(shifted(transform, self._origin, (0.0, 0.0)), level.points)
        return float(_within(points, frame.shape[-2], frame.shape[-1]).mean(dtype=torch.float64))


def inner_distance(inside: Tensor) -> Tensor:
    """Distance, px, of pixels of a region (H, W) bool to its rim, 0 outside; the frame's border is no rim."""
    padded = np.pad(inside.cpu().numpy().astype(np.uint8), 1, mode="edge")
    # Without anything outside the distance has no meaning; then it is far everywhere.
    if padded.all():
        return torch.full(inside.shape, math.inf, device=inside.device)
    # Border pixels of the padded mask repeat the frame's, so only true rims count.
    reach = max(inside.shape)
    wide = np.pad(padded, reach, mode="edge")
    distance = cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    cut = distance[reach + 1 : -reach - 1, reach + 1 : -reach - 1]
    return torch.from_numpy(cut.copy()).to(inside.device)


# --- the levels -------------------------------------------------------------------------------------------


def _pyramid(picture: Tensor, count: int) -> list[Tensor]:
    """The picture (1, H, W) and ``count − 1`` halvings of it; pixel i of level l is pixel 2^l · i."""
    taps = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    made = [picture]
    while len(made) < count:
        padded = F.pad(made[-1][None], (2, 2, 2, 2), mode="replicate")
        rows = F.conv2d(padded, taps.view(1, 1, -1, 1), stride=(2, 1))
        made.append(F.conv2d(rows, taps.view(1, 1, 1, -1), stride=(1, 2))[0])
    return made


def _level(picture: Tensor, depth: Tensor, number: int) -> _Level:
    step = 2**number
    rim = (depth[::step, ::step] / (_RIM * step)).clamp_max(1)
    chosen = rim.flatten().nonzero()[:, 0]
    if not len(chosen):
        # A region that falls between the level's pixels: the one nearest to its middle.
        middle = int(depth.flatten().argmax())
        width = rim.shape[1]
        chosen = torch.tensor([middle // depth.shape[1] // step * width + middle % depth.shape[1] // step])
        chosen = chosen.to(depth.device)
    stride = math.ceil(len(chosen) / _SAMPLES)
    chosen = chosen[::stride] if stride > 1 else chosen
    points = grid(rim.shape[0], rim.shape[1], device=depth.device)[chosen]
    spline = Spline(picture, _BLUR)
    # Five points of the spline make the derivative of what it is compared by, to the fourth order.
    values = spline.at(points)[0]
    half = points.new_tensor([[0.5, 0.0], [0.0, 0.5]])
    slopes = [
        (8 * (spline.at(points + one) - spline.at(points - one)) - spline.at(points + 2 * one))
        .add_(spline.at(points - 2 * one))
        .div_(6)[0]
        for one in half
    ]
    weights = rim.flatten()[chosen].clamp_min(1e-3)
    total = weights.sum(dtype=torch.float64)
    centre = (points * weights[:, None]).sum(0) / total
    away = points - centre
    spread = ((away.square() * weights[:, None]).sum(0) / total).sqrt().clamp_min(0.5)
    unit = (away / spread).to(values)
    descent = torch.stack(
        [
            slopes[0],
            slopes[1],
            slopes[0] * unit[:, 0],
            slopes[0] * unit[:, 1],
            slopes[1] * unit[:, 0],
            slopes[1] * unit[:, 1],
        ],
        dim=1,
    )
    return _Level(points, values, weights, descent, centre.cpu(), spread.cpu())


def _scaled(transform: Tensor, levels: int) -> Tensor:
    """A transform in px of a level that is so many coarser."""
    scaled = transform.clone()
    scaled[:, 2] /= 2.0**levels
    return scaled


# --- one level --------------------------------------------------------------------------------------------


def _through_levels(
    levels: list[_Level], splines: list[Spline], guess: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Register from the coarsest level to the finest, in px of the finest; see :func:`_register`."""
    fit, agreeing = guess, levels[0].weights
    for number in range(len(levels) - 1, -1, -1):
        level, spline = levels[number], splines[number]
        there = _scaled(fit, number)
        # An affine transform is too free where there are few pixels, unless it begins nearby.
        for parameters in (2, 6) if number and number == len(levels) - 1 else (6,):
            found = _register(level, spline, there, parameters, _SETTLED if number else _SETTLED_FINEST)
            if found is None:
                return None
            there, agreeing = found
        fit = _scaled(there, -number)
    return fit, agreeing


def _register(
    level: _Level, spline: Spline, start: Tensor, parameters: int, settled: float
) -> tuple[Tensor, Tensor] | None:
    """Improve a transform by Gauss–Newton steps in the first 2 (a shift) or all 6 parameters.

    Returns it and the weights (n,) of the pixels, or None where the region is lost.
    """
    transform = start
    robust = _first_weights(level, spline, start)
    descent = level.descent[:, :parameters]
    for _ in range(_STEPS):
        residual, shown = _residual(level, spline, transform, robust)
        if residual is None:
            return None
        robust = _robust(level, residual, shown)
        weighted = descent * robust[:, None]
        matrix = (weighted.T @ descent).double().cpu()
        vector = (weighted.T @ residual).double().cpu()
        matrix += (_DAMPING * matrix.diagonal().mean() + 1e-12) * torch.eye(parameters, dtype=torch.float64)
        step = F.pad(torch.linalg.solve(matrix, vector), (0, 6 - parameters))
        # A step of many px is a guess at best, and would leave what the gradient is good for.
        step *= min(1.0, 2.0 / max(1e-12, float(step.abs().max())))
        transform = compose(transform, inverse(_increment(level, step)))
        stretch = torch.linalg.svdvals(transform[:, :2])
        if not (float(stretch.max()) < _STRETCH and float(stretch.min()) > 1 / _STRETCH):
            return None
        if float(step.abs().max()) < settled:
            break
    return transform, robust


def _first_weights(level: _Level, spline: Spline, transform: Tensor) -> Tensor:
    """Weights by the change of brightness less its median: what covers a part shall not spoil the gain."""
    points = apply(transform, level.points)
    shown = _within(points, spline.height, spline.width)
    if not bool(shown.any()):
        return level.weights
    change = spline.at(points)[0] - level.values
    return _robust(level, change - change[shown > 0].median(), shown)


def _robust(level: _Level, residual: Tensor, shown: Tensor) -> Tensor:
    """Weights (n,) that are small for pixels that are far off (Geman and McClure), 0 outside the frame."""
    size = residual.abs()
    scale = 1.4826 * float(size[shown > 0].median()) + _LEAST_SPREAD
    return level.weights * shown / (1 + (size / (_OUTLIER * scale)).square()).square()


def _increment(level: _Level, step: Tensor) -> Tensor:
    """The small transform of six parameters: shifts, and what they change by over the region's spread."""
    linear = torch.stack([step[2:4], step[4:6]]) / level.spread
    change = torch.cat([linear, (step[:2] - linear @ level.centre)[:, None]], dim=1)
    return identity() + change


def _residual(
    level: _Level, spline: Spline, transform: Tensor, robust: Tensor
) -> tuple[Tensor | None, Tensor]:
    """The frame's brightness less the region's but for gain and offset, and what is in the frame."""
    points = apply(transform, level.points)
    shown = _within(points, spline.height, spline.width)
    weight = robust * shown
    total = float(weight.sum(dtype=torch.float64))
    least = _IN_FRAME * float(level.weights.sum(dtype=torch.float64))
    if float((level.weights * shown).sum(dtype=torch.float64)) < least or total <= 0:
        return None, shown
    there = spline.at(points)[0]
    (mean, spread), (own, wanted) = _moments(there, weight, total), _moments(level.values, weight, total)
    gain = wanted / max(spread, 1e-6)
    return (there - mean) * gain - (level.values - own), shown


def _recognised(level: _Level, spline: Spline, transform: Tensor, agreeing: Tensor) -> bool:
    """True if the region is there: all of it roughly, or a good part of its texture closely."""
    if _likeness(level, spline, transform, level.weights) >= _ALIKE:
        return True
    alike = _likeness(level, spline, transform, agreeing)
    return _part(level, agreeing) >= _PART and alike >= _ALIKE_IN_PART


def _agreement(level: _Level, spline: Spline, transform: Tensor, agreeing: Tensor) -> float:
    """The quality of a fit: the share of the texture that agrees, and the agreement."""
    return _part(level, agreeing) * _likeness(level, spline, transform, agreeing)


def _part(level: _Level, agreeing: Tensor) -> float:
    """The part of the region's texture, by its variance, that is in the pixels that agree."""
    total = float(agreeing.sum(dtype=torch.float64))
    if total <= 0:
        return 0.0
    mean, _ = _moments(level.values, agreeing, total)
    texture = (level.values - mean).square()
    whole = float((level.weights * texture).sum(dtype=torch.float64))
    return float((agreeing * texture).sum(dtype=torch.float64)) / max(whole, 1e-12)


def _likeness(level: _Level, spline: Spline, transform: Tensor, weights: Tensor) -> float:
    """Correlation of brightness, from −1 to 1; −1 where too little of the region is in the frame."""
    points = apply(transform, level.points)
    weight = weights * _within(points, spline.height, spline.width)
    total = float(weight.sum(dtype=torch.float64))
    if total < _IN_FRAME * float(weights.sum(dtype=torch.float64)) or total <= 0:
        return -1.0
    there = spline.at(points)[0]
    (mean, spread), (own, wanted) = _moments(there, weight, total), _moments(level.values, weight, total)
    product = float((weight * (there - mean) * (level.values - own)).sum(dtype=torch.float64)) / total
    return product / max(spread * wanted, 1e-12)


def _moments(values: Tensor, weight: Tensor, total: float) -> tuple[float, float]:
    """Weighted mean and standard deviation."""
    mean = float((values * weight).sum(dtype=torch.float64)) / total
    return mean, math.sqrt(float(((values - mean).square() * weight).sum(dtype=torch.float64)) / total)


def _within(points: Tensor, height: int, width: int) -> Tensor:
    """1 for points (n, 2) within a picture of this size, 0 for others; (n,) float32."""
    most = points.new_tensor([width - 1, height - 1])
    return ((points >= 0) & (points <= most)).all(1).float()
