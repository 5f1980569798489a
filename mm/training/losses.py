"""The paper's training loss (Oh et al. 2018, section 3.2 and supplementary), and the terms beside it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from kornia.filters import gaussian_blur2d, get_gaussian_kernel1d
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv1d, l1_loss, pad

from mm.errors import InputError

PAPER_WEIGHT = 0.1
"""λ: the weight of the three terms that keep texture and shape apart (paper, section 3.3)."""

LOG_FLOOR, LOG_SCALE = 0.003, 0.03
"""Error in [0, 1] units below which :func:`log_l1` is nearly linear, and the scale that gives it L1's
gradient at a usual error (0.027)."""

GAIN_WINDOW = 32
"""Side in px of the windows of :func:`motion_gain_loss`, of which two overlap by half."""

GAIN_FLOOR = (0.2 / 255) ** 2
"""Mean squared change of a window that counts half: a fifth of a grey level, squared."""

GAIN_BLUR = 1.0
"""σ in px of the Gaussian through which :func:`motion_gain_loss` sees the change."""

GAIN_BANDS = (1.0, 2.0, 4.0)
"""σ in px of the Gaussians between which the bands lie, finest first; the coarsest band is below the last."""

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Side in px and σ in px of the Gaussian window of Wang et al. 2004."""

SSIM_CONSTANTS = 0.01**2, 0.03**2
"""C₁ and C₂ of Wang et al. 2004, of frames in [0, 1]."""


class Loss(ABC):
    """A training loss: terms that a network and a batch give, and their weights.

    Attributes:
        weights: weight of each term by name, in the order in which they are added; a term without a weight,
            or with the weight 0, is logged only.
        names: of all terms, as they are logged.
        inputs: names of the batch's entries that the terms read.
    """

    weights: dict[str, float]
    names: tuple[str, ...]
    inputs: tuple[str, ...]

    @abstractmethod
    def __call__(self, network: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the network on a batch.

        Args:
            network: the network that is trained.
            batch: what the synthesizer rendered (:meth:`mm.synthesis.Synthesizer.forward`).

        Returns:
            each of ``names``, unweighted, as a float32 scalar: a mean over samples.
        """

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of the terms."""
        weighted = [weight * terms[name] for name, weight in self.weights.items() if weight]
        return torch.stack(weighted).sum()


class SplattingLoss(Loss):
    """L1(Y, Ŷ), 1 − SSIM(Y, Ŷ) and the error of the displacement field, for a network that moves pixels.

    Args:
        ssim: weight of :func:`ssim_loss`.
        displacement: weight of :func:`displacement_loss`, which needs ``data.synthesizer.displacement``.

    Raises:
        InputError: for a negative weight.
    """

    names = ("image", "ssim", "displacement")
    inputs = ("xa", "xb", "y", "factor", "displacement")

    def __init__(self, ssim: float = 0.3, displacement: float = 0.15) -> None:
        for name, value in {"ssim": ssim, "displacement": displacement}.items():
            if not value >= 0:
                raise InputError(f"model.loss.{name} must be at least 0, got {value:g}")
        self.weights = {"image": 1.0, "ssim": ssim, "displacement": displacement}

    def __call__(self, network: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Loss.__call__`; ``network`` is a :class:`~mm.networks.SplattingNetwork`."""
        factor, target = batch["factor"], batch["y"]
        prediction, field = network.magnify_with_field(batch["xa"], batch["xb"], factor)
        truth = batch["displacement"] * (factor - 1).view(-1, 1, 1, 1)
        return {
            "image": l1(prediction, target),
            "ssim": ssim_loss(prediction, target),
            "displacement": displacement_loss(field.displacement, truth),
        }


class PaperLoss(Loss):
    """L1(Y, Ŷ) + λ (L1(V_a, V_b) + L1(V′_b, V′_Y) + L1(M_b, M′_b)) of Oh et al. 2018, section 3.2.

    V is the texture and M the shape that the encoder gives; a prime marks frames in changed colours.

    Args:
        weight: λ of the three terms on texture and shape. At 0 they are not computed, and two of the four
            frames are not encoded.
        image: "l1" with the true magnified frame (the paper), or "log", which takes every sample's error
            relative to itself (:func:`log_l1`).
        ssim: weight of :func:`ssim_loss`; 0 in the paper.
        motion_gain: weight of :func:`motion_gain_loss`; 0 in the paper.
        by_band: whether to take ``motion_gain`` in each band of spatial frequency.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(
        self,
        weight: float = PAPER_WEIGHT,
        image: Literal["l1", "log"] = "l1",
        ssim: float = 0.0,
        motion_gain: float = 0.0,
        by_band: bool = False,
    ) -> None:
        for name, value in {"weight": weight, "ssim": ssim, "motion_gain": motion_gain}.items():
            if not value >= 0:
                raise InputError(f"model.loss.{name} must be at least 0, got {value:g}")
        if image not in ("l1", "log"):
            raise InputError(f"model.loss.image must be l1 or log, got {image!r}")
        if by_band and not motion_gain:
            raise InputError("model.loss.by_band needs a weight: give model.loss.motion_gain too")
        self.by_band = by_band
        self.weights = {
            "image": float(image == "l1"),
            "image_log": float(image == "log"),
            "ssim": ssim,
            "motion_gain": motion_gain,
            "texture": weight,
            "texture_perturbed": weight,
            "shape": weight,
        }
        # L1 is logged whatever is trained on, so that runs compare.
        self.names = ("image", *(name for name, value in self.weights.items() if value and name != "image"))
        self._frames = ("xa", "xb", "xb_perturbed", "y_perturbed") if weight else ("xa", "xb")
        self.inputs = (*self._frames, "y", "factor", *(("change",) if motion_gain else ()))

    def __call__(self, network: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Loss.__call__`; ``network`` is a :class:`~mm.networks.MagnificationNetwork`."""
        factor, target = batch["factor"], batch["y"]
        count = len(factor)
        # One batch for the encoder. No term looks at the shape of y_perturbed.
        four = torch.cat([batch[name] for name in self._frames])
        texture, shape = network.encode(four, min(len(four), 3 * count))
        textures, shapes = texture.split(count), shape.split(count)
        magnified = network.manipulate(shapes[0], shapes[1], factor)
        prediction = network.decode(textures[1], magnified, (target.shape[-2], target.shape[-1]))
        terms = {"image": l1(prediction, target)}
        if self.weights["image_log"]:
            terms["image_log"] = log_l1(prediction, target)
        if self.weights["ssim"]:
            terms["ssim"] = ssim_loss(prediction, target)
        if self.weights["motion_gain"]:
            frames = prediction, target, batch["xa"], batch["change"]
            terms["motion_gain"] = motion_gain_loss(*frames, by_band=self.by_band)
        if self.weights["texture"]:
            # Motion must not enter the texture, in either colours; colour must not enter the shape.
            terms["texture"] = l1(textures[0], textures[1])
            terms["texture_perturbed"] = l1(textures[2], textures[3])
            terms["shape"] = l1(shapes[1], shapes[2])
        return terms


def l1(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean absolute difference as a float32 scalar, whatever the inputs' precision.

    A mean over a million values that are 0.01 apart is beyond bf16's 8 bits, so the difference is taken in
    float32.
    """
    return l1_loss(one.float(), other.float())


def displacement_loss(field: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of ``|field − truth| / (1 + |truth|)``, as a float32 scalar.

    Below a px the error counts in px, above it as a part of the motion.

    Args:
        field: (B, 2, H, W), px.
        truth: of the same shape.
    """
    truth = truth.float()
    return ((field.float() - truth).abs() / (1 + truth.abs())).mean()


def log_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean over samples of ``LOG_SCALE`` · log(1 + e / ``LOG_FLOOR``), e a sample's own L1.

    Under L1 a noisy sample that should move far weighs fifty times one that should move by 0.2 px, and the
    network learns to leave small motions alone. Here a tenth less error counts about the same in both.

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1].
    """
    errors = (prediction.float() - target.float()).abs().mean(dim=(1, 2, 3))
    return LOG_SCALE * torch.log1p(errors / LOG_FLOOR).mean()


def ssim_loss(prediction: Tensor, target: Tensor) -> Tensor:
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
    rows, columns = (_ssim_window(side, first.device) for side in first.shape[-2:])
    with torch.autocast(first.device.type, enabled=False):
        means = rows.T @ torch.cat(products) @ columns
    mean_a, mean_b, square_a, square_b, product = means.chunk(len(products))
    steady, contrast = SSIM_CONSTANTS
    means_product, means_power = mean_a * mean_b, mean_a.square() + mean_b.square()
    alike = (2 * means_product + steady) * (2 * (product - means_product) + contrast)
    each = (means_power + steady) * (square_a + square_b - means_power + contrast)
    return 1 - (alike / each).mean()


@lru_cache(maxsize=32)
def _ssim_window(size: int, device: torch.device) -> Tensor:
    """Return the Gaussian window of SSIM as a matrix (size, size); lines end by reflection.

    On a CPU a product of matrices takes a tenth of the time of a convolution with one filter a channel.
    """
    reach = SSIM_WINDOW // 2
    # It is kept, so it must not depend on where it was first asked for.
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        impulses = pad(torch.eye(size)[:, None], (reach, reach), mode="reflect")
        kernel = get_gaussian_kernel1d(SSIM_WINDOW, SSIM_SIGMA)[None]
        return conv1d(impulses, kernel)[:, 0].to(device)


def motion_gain_loss(
    prediction: Tensor, target: Tensor, reference: Tensor, change: Tensor, by_band: bool = False
) -> Tensor:
    """Return the mean error ``|g − 1|`` of the gain g of small motions, as a float32 scalar.

    In a window, with c the true change, c̄ its blur and e = Ŷ − Y, ``1 + ⟨e, c̄⟩ / ⟨c, c̄⟩`` is the part of the
    change that the output shows. Where the change is small against the picture's contrast, that part is the
    gain g of the motion. The blur leaves out the finest detail, which a network at half the resolution cannot
    show: without it, all other detail had to move too far to make up (``mm evaluate frequency``).

    A distance between pictures prefers a motion that is too short to one that may be wrong, so faint motion
    is moved too little in every sample alike. A window's g averages a thousand pixels: it shows that bias
    without their scatter.

    By bands, each band of spatial frequency is held to 1 alone. Over the whole change, coarse detail that
    moves too far makes up for fine detail that moves too little (0.02 px × 10: by a fifth).

    Args:
        prediction: Ŷ, (B, 3, H, W), unclamped.
        target: Y, of the same shape, in [0, 1].
        reference: X_a, of the same shape, as the network saw it.
        change: c = Y − X_a, of the same shape, before noise was added to either.
        by_band: take the mean over the bands between ``GAIN_BANDS``; each has the share of the noise that
            white noise has in it.

    Returns:
        The mean over windows of ``w · |g − 1|``, at most 2 a window. The weight w is below 1 where the change
        comes near the contrast (motion is then not in proportion to change), where only the blur of a
        neighbour's change reaches, and where the change is below the noise or ``GAIN_FLOOR``. Pixels beyond
        the last full window are ignored.
    """
    target, change = target.float(), change.float()
    if by_band:
        bands = zip(_bands(change), _bands(target), _white_shares(), strict=True)
        parts = [_Part(part, part, picture, share) for part, picture, share in bands]
    else:
        # Proportion is judged by the whole change: fine detail that moves by its period is out of it too.
        parts = [_Part(_blurred(change, GAIN_BLUR), change, target, 1.0)]
    windows = _windows(target)
    # The noise of the reference, and of a target that has any. It is not blurred, so the term lets go of a
    # change well before it is lost.
    noise = windows((target - change - reference.float()).square())
    error = prediction.float() - target
    terms = []
    for part in parts:
        floor = GAIN_FLOOR * part.share
        own, along = _along(error, change, part.along, windows, noise * part.share + floor)
        small = _small(part.change, part.picture, windows, floor)
        terms.append((own * small * along.abs().clamp_max(2)).mean())
    return torch.stack(terms).mean()


class _Part(NamedTuple):
    """A part of the change, the change and picture that decide whether it is small, its share of noise."""

    along: Tensor
    change: Tensor
    picture: Tensor
    share: float


Windows = Callable[[Tensor], Tensor]


def _windows(frames: Tensor) -> Windows:
    """Return the function that takes means over windows, (B, C, H, W) to (B, h, w)."""
    side = min(GAIN_WINDOW, *frames.shape[-2:])
    return lambda values: avg_pool2d(values, side, max(1, side // 2)).mean(dim=1)


def _along(
    error: Tensor, change: Tensor, part: Tensor, windows: Windows, floor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return each window's own share of that part of the change, and g − 1 along the part."""
    # The blur brings a neighbour's change into a window with little change; ⟨c, c̄⟩ is then below ⟨c̄, c̄⟩, or
    # even negative. Such a window counts by its own share; elsewhere that share is 1.
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
    """Return the bands between the blurs of ``GAIN_BANDS``, finest first, and the last blur."""
    blurred = [_blurred(frames, sigma) for sigma in GAIN_BANDS]
    return [fine - coarse for fine, coarse in pairwise(blurred)] + blurred[-1:]


def _white_shares() -> list[float]:
    """Return each band's share of white noise; the shares sum to 1.

    A Gaussian leaves 1/σ² of white noise's power. The differences of these stand for the bands' own shares,
    which are 0.44, 0.11 and 0.07 of what the first Gaussian leaves.
    """
    density = [(GAIN_BANDS[0] / sigma) ** 2 for sigma in GAIN_BANDS]
    return [fine - coarse for fine, coarse in pairwise([*density, 0.0])]
