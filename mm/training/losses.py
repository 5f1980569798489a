"""The paper's training loss (Oh et al. 2018, section 3.2 and supplementary), and the terms beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss

PAPER_WEIGHT = 0.1
"""λ: the weight of the three terms that keep texture and shape apart (paper, section 3.3)."""

LOG_FLOOR, LOG_SCALE = 0.003, 0.03
"""Of :func:`log_l1`: the error, in [0, 1] units, below which a sample counts no more, and what makes the
gradient that of L1 at a usual error (0.027)."""

SQUARE_SCALE = 15.0
"""Of :func:`mean_square`: what makes its gradient that of L1 at a difference of 1/30."""

AMPLITUDE_WINDOW = 32
"""Of :func:`amplitude`: side in px of the windows, of which two overlap by half."""

AMPLITUDE_FLOOR = (0.2 / 255) ** 2
"""Of :func:`amplitude`: the mean squared change of a window that counts half: a fifth of a grey level's."""

AMPLITUDE_BLUR = 1.0
"""Of :func:`amplitude`: σ in px of the Gaussian through which it looks at the change."""

AMPLITUDE_BANDS = (1.0, 2.0, 4.0)
"""Of :func:`amplitude_by_band`: σ in px of the Gaussians between which its bands lie, finest first; below the
last is the coarsest band."""

COARSE_SIDES = (4, 8, 16)
"""Of :func:`coarse`: sides in px of the squares over which it takes means."""

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Side in px and σ in px of the Gaussian window of Wang et al. 2004."""

SSIM_CONSTANTS = 0.01**2, 0.03**2
"""C₁ and C₂ of Wang et al. 2004, of frames in [0, 1]."""


class Representations(NamedTuple):
    """What the encoder made of the four frames of a training batch, each (B, C, h, w)."""

    texture_a: Tensor
    """V_a: texture of the reference frame."""
    texture_b_perturbed: Tensor
    """V′_b: texture of the moved frame in changed colours."""
    texture_y_perturbed: Tensor
    """V′_Y: texture of the magnified frame in the same changed colours."""
    texture_b: Tensor
    """V_b: texture of the moved frame."""
    shape_b: Tensor
    """M_b: shape of the moved frame."""
    shape_b_perturbed: Tensor
    """M′_b: shape of the moved frame in changed colours."""


def l1(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean absolute difference as a float32 scalar, whatever the inputs' precision.

    A mean over a million values that are 0.01 apart is beyond bf16's 8 bits, so the difference is taken in
    float32.
    """
    return l1_loss(one.float(), other.float())


def loss_terms(prediction: Tensor, target: Tensor, features: Representations | None) -> dict[str, Tensor]:
    """Return each term of the loss, unweighted, under its name.

    Args:
        prediction: Ŷ, the network's magnified frame, (B, 3, H, W), unclamped.
        target: Y, the true magnified frame, (B, 3, H, W) in [0, 1].
        features: the encoder's outputs, or None for the image's term alone.

    Returns:
        ``image`` = L1(Y, Ŷ); ``texture`` = L1(V_a, V_b): motion must not enter the texture;
        ``texture_perturbed`` = L1(V′_b, V′_Y): the same for the magnified motion, in other colours;
        ``shape`` = L1(M_b, M′_b): colour must not enter the shape; the last three only with ``features``.
        Float32 scalars.
    """
    image = {"image": l1(prediction, target)}
    if features is None:
        return image
    return image | {
        "texture": l1(features.texture_a, features.texture_b),
        "texture_perturbed": l1(features.texture_b_perturbed, features.texture_y_perturbed),
        "shape": l1(features.shape_b, features.shape_b_perturbed),
    }


def log_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean over samples of ``LOG_SCALE`` · log(1 + e / ``LOG_FLOOR``), e a sample's own L1.

    Under L1 a noisy sample that should move far weighs fifty times one that should move by a fifth of a
    pixel: the network learns to leave small motions alone. Here a tenth less error counts about as much in
    either.

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1].
    """
    errors = (prediction.float() - target.float()).abs().mean(dim=(1, 2, 3))
    return LOG_SCALE * torch.log1p(errors / LOG_FLOOR).mean()


def mean_square(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ``SQUARE_SCALE`` times the mean squared difference, as a float32 scalar: for ablations.

    Where the motion cannot be told, L1's best answer is the median of what may be, this one's the mean.

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1].
    """
    return SQUARE_SCALE * mse_loss(prediction.float(), target.float())


def structure(prediction: Tensor, target: Tensor) -> Tensor:
    """Return 1 − SSIM (Wang et al. 2004), the mean over samples, channels and pixels, as a float32 scalar.

    L1 takes a blurred edge for nearly right; this does not. Beside L1 as in Zhao et al., "Loss Functions for
    Image Restoration with Neural Networks" (2017). Frames are continued by reflection.

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped, H and W at least 6 px.
        target: Y, of the same shape, in [0, 1].
    """
    # Not kornia's own SSIM: it copies its σ to the device at each call, which waits for all work under way.
    first, second = prediction.float(), target.float()
    products = [first, second, first * first, second * second, first * second]
    with torch.autocast(first.device.type, enabled=False):
        means = gaussian_blur2d(torch.cat(products), SSIM_WINDOW, (SSIM_SIGMA, SSIM_SIGMA), "reflect")
    mean_a, mean_b, square_a, square_b, product = means.chunk(len(products))
    steady, contrast = SSIM_CONSTANTS
    means_product, means_power = mean_a * mean_b, mean_a.square() + mean_b.square()
    alike = (2 * means_product + steady) * (2 * (product - means_product) + contrast)
    each = (means_power + steady) * (square_a + square_b - means_power + contrast)
    return 1 - (alike / each).mean()


def coarse(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the L1 of means over squares of 4, 8 and 16 px, as a float32 scalar: for ablations.

    Where something is shown some pixels away from where it should be, its fine detail is as wrong there as
    anywhere else nearby, and says nothing of the way back; what is larger than the error does. Far motion is
    shown no farther for it all the same (``experiments/ablations/RESULTS.md``).

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1]. Of a side that is no multiple of a square's, the last pixels
            are in none.

    Returns:
        The mean over the three sizes of squares.
    """
    error = prediction.float() - target.float()
    sides = [min(side, *error.shape[-2:]) for side in COARSE_SIDES]
    return torch.stack([avg_pool2d(error, side).abs().mean() for side in sides]).mean()


def amplitude(prediction: Tensor, target: Tensor, reference: Tensor, change: Tensor) -> Tensor:
    """Return how far the change that was made is from the change that should have been, along the latter.

    In a window, with c the true change, c̄ the same blurred and e = Ŷ − Y, ``1 + ⟨e, c̄⟩ / ⟨c, c̄⟩`` is the part
    of the change that the output shows; where that is small against the picture's own contrast it is the gain
    g of the motion. It is blurred because a network that works at half the resolution cannot show the change
    of the finest detail: with c in place of c̄, all else in a sharp frame had to move too far to make up for
    that (``mm evaluate frequency``).

    A distance between pictures prefers a motion that is too short to one that may be wrong, so what is hard
    to see is moved too little in every sample alike. A window's g averages over a thousand pixels: their
    scatter is gone, and what is left is that bias.

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1].
        reference: X_a, of the same shape, as the network saw it.
        change: c = Y − X_a, of the same shape, before noise was added to either.

    Returns:
        The sum of ``w · |g − 1|``, at most 2 a window, over the windows' number, as a float32 scalar. w is 1
        but for windows where the change comes near the contrast, for then motion is not in proportion to
        change; for those into which only the blur of a neighbour's change reaches; and where the blurred
        change is below the reference's noise or below ``AMPLITUDE_FLOOR``, for then it is hard to see or
        there is none. Of that noise no blur is taken, so the term lets go of a change well before it is lost.
        Of a frame whose side is no multiple of half a window, the last pixels are in none.
    """
    target, change = target.float(), change.float()
    # Of the whole change: fine detail that moves by its own period is as far from proportion as coarse.
    parts = [_Part(_blurred(change, AMPLITUDE_BLUR), change, target, 1.0)]
    return _missed(prediction, target, reference, change, parts)


def amplitude_by_band(prediction: Tensor, target: Tensor, reference: Tensor, change: Tensor) -> Tensor:
    """Return :func:`amplitude`, the mean of it over bands of spatial frequency.

    Over all of the change at once, coarse detail that moves too far makes up for fine detail that moves too
    little: one network moved the coarsest by a fifth too far at 0.02 px × 10 (``mm evaluate frequency``).
    Here each band is held to 1 by itself.

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1].
        reference: X_a, of the same shape, as the network saw it.
        change: c = Y − X_a, of the same shape, before noise was added to either.

    Returns:
        As of :func:`amplitude`, where change and contrast are the band's; of the noise a band has a share
        that falls with the square of its scale, as white noise's power does. A float32 scalar.
    """
    target, change = target.float(), change.float()
    bands = zip(_bands(change), _bands(target), _white_shares(), strict=True)
    parts = [_Part(part, part, picture, share) for part, picture, share in bands]
    return _missed(prediction, target, reference, change, parts)


class _Part(NamedTuple):
    """A part of the change, what tells whether it is small, and its share of white noise."""

    along: Tensor
    change: Tensor
    picture: Tensor
    share: float


def _missed(
    prediction: Tensor, target: Tensor, reference: Tensor, change: Tensor, parts: list[_Part]
) -> Tensor:
    """Return the mean over parts of ``w · |g − 1|`` of the windows; ``target`` and ``change`` are float32."""
    windows = _windows(target)
    # Of the reference, and of a target that has any.
    noise = windows((target - change - reference.float()).square())
    error = prediction.float() - target
    terms = []
    for part in parts:
        floor = AMPLITUDE_FLOOR * part.share
        own, along = _along(error, change, part.along, windows, noise * part.share + floor)
        small = _small(part.change, part.picture, windows, floor)
        terms.append((own * small * along.abs().clamp_max(2)).mean())
    return torch.stack(terms).mean()


Windows = Callable[[Tensor], Tensor]


def _windows(frames: Tensor) -> Windows:
    """Return what takes the means over windows, (B, C, H, W) to (B, h, w)."""
    side = min(AMPLITUDE_WINDOW, *frames.shape[-2:])
    return lambda values: avg_pool2d(values, side, max(1, side // 2)).mean(dim=1)


def _along(
    error: Tensor, change: Tensor, part: Tensor, windows: Windows, floor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return each window's share of the part of the change that is its own, and g − 1 along that part."""
    # Into a window whose own change is little the blur brings a neighbour's; ⟨c, c̄⟩ is then below ⟨c̄, c̄⟩, or
    # even negative. Such a window counts by the share of it that is its own. Elsewhere that is all.
    within, power = windows(change * part).clamp_min(0), windows(part.square())
    power = power.maximum(within)
    return within / power.clamp_min(1e-12), windows(error * part) / (power + floor)


def _small(change: Tensor, picture: Tensor, windows: Windows, floor: float) -> Tensor:
    """Return each window's weight by how far its change is below its contrast."""
    means = torch.stack([windows(channel) for channel in picture.split(1, dim=1)])
    contrast = windows(picture.square()) - means.square().mean(dim=0)
    return (1 - windows(change.square()) / contrast.clamp_min(floor)).clamp_min(0)


def _blurred(frames: Tensor, sigma: float) -> Tensor:
    size = 2 * math.ceil(3 * sigma) + 1
    with torch.autocast(frames.device.type, enabled=False):
        return gaussian_blur2d(frames, size, (sigma, sigma), "replicate")


def _bands(frames: Tensor) -> list[Tensor]:
    """Return what lies between the blurs of ``AMPLITUDE_BANDS``, finest first, and what is below the last."""
    blurred = [_blurred(frames, sigma) for sigma in AMPLITUDE_BANDS]
    return [fine - coarse for fine, coarse in pairwise(blurred)] + blurred[-1:]


def _white_shares() -> list[float]:
    """Return each band's share of the noise that :func:`amplitude` reckons with: they sum to 1.

    1/σ² is the power that a Gaussian leaves of white noise. Its differences stand for the bands' own, which
    would be 0.44, 0.11 and 0.07 of what the first one leaves.
    """
    density = [(AMPLITUDE_BANDS[0] / sigma) ** 2 for sigma in AMPLITUDE_BANDS]
    return [fine - coarse for fine, coarse in pairwise([*density, 0.0])]


_OF_THE_IMAGE = ("image", "image_log", "image_square", "structure", "amplitude", "coarse")


def total_loss(
    terms: dict[str, Tensor],
    weight: float = PAPER_WEIGHT,
    ssim_weight: float = 0.0,
    amplitude_weight: float = 0.0,
    coarse_weight: float = 0.0,
) -> Tensor:
    """Return the weighted sum of the terms of the loss.

    Args:
        terms: of :func:`loss_terms`; ``image_log`` or ``image_square``, which then takes the place of
            ``image``; ``structure``, ``amplitude`` and ``coarse`` where those have a weight.
        weight: the paper's λ, of the terms of the representations.
        ssim_weight: of ``structure``; 0 in the paper.
        amplitude_weight: of ``amplitude``; 0 in the paper.
        coarse_weight: of ``coarse``; 0 in the paper.
    """
    loss = terms.get("image_log", terms.get("image_square", terms["image"]))
    if ssim_weight:
        loss = loss + ssim_weight * terms["structure"]
    if amplitude_weight:
        loss = loss + amplitude_weight * terms["amplitude"]
    if coarse_weight:
        loss = loss + coarse_weight * terms["coarse"]
    others = [value for name, value in terms.items() if name not in _OF_THE_IMAGE]
    return loss + weight * torch.stack(others).sum() if others else loss
