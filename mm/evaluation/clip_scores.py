"""Scores of a magnified clip against its exact truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from mm.evaluation.scene_spec import SceneSpec
from mm.evaluation.sequences import LayerMotion, visible_layer
from mm.evaluation.sequences import Sequence as Rendered
from mm.motion import gain_by_frequency, measure_displacement

EDGES = (0.05, 0.1, 0.2, 0.35)  # cycles per px, of the bands of detail; Fourier scenes end at the last
# Weights of the five scales of MS-SSIM (Wang et al. 2003); a small frame has fewer, summing to 1.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
EVERY = 3  # of the scored frames, one whose SSIM is taken
KERNEL = 11  # px, of SSIM's window
SAME = 0.5 / 255  # difference below which the truth is the clip itself
LEAST_STILL = 0.01  # of the frame's pixels, to measure flicker
REGIONS = 2  # that the motion is measured in, at most, the largest
LEAST_REGION = 150  # px² of a region
RIM = 4  # px inside a layer's rim, from where registration sees the layer alone
SEARCH = 6  # px beyond the true motion that registration searches
ITERATIONS = 10
TRUSTED = 0.05  # error of the gain that is measured in the truth itself; beyond it a region does not count


class ClipScore(NamedTuple):
    """Scores of one magnified clip; NaN where there is nothing to measure.

    Attributes:
        ssim: mean over every third frame.
        psnr: dB, of all frames.
        ms_ssim: likewise, with as many scales as the frames' size has.
        gain: part of the magnified vibration that is shown; 1 is right.
        leak: part of the factor that motion outside of the band is magnified by: 0 leaves it as it was, 1
            magnifies it as if it were inside.
        flicker: deviation over time from the truth where the truth is the clip, grey levels RMS.
        coarse, middle, fine: part of the truth's detail that stands in its place, at 0.05–0.1, 0.1–0.2 and
            0.2–0.35 cycles per px.
        colour: mean distance of the colour in CIELAB's a and b.
        seconds: of processor, a frame.
    """

    ssim: float
    psnr: float
    ms_ssim: float
    gain: float
    leak: float
    flicker: float
    coarse: float
    middle: float
    fine: float
    colour: float
    seconds: float


class Region(NamedTuple):
    """A region of one layer, in which its motion is measured.

    Attributes:
        layer: 0 the background, k + 1 object k.
        rows, columns: of the crop.
        rest: (1, 3, h, w), the crop with nothing moved.
        weight: (h, w), 1 where the layer is seen alone.
    """

    layer: int
    rows: slice
    columns: slice
    rest: Tensor
    weight: Tensor


def clip_score(
    output: Tensor,
    clip: Rendered,
    motion: LayerMotion,
    factor: float,
    regions: Sequence[Region],
    scored: slice,
    seconds: float,
) -> ClipScore:
    """Return the scores of a magnified clip.

    Args:
        output: (T, 3, H, W) in [0, 1].
        clip: and its truth.
        motion: of the layers.
        factor: asked for.
        regions: in which the motion is measured, as :func:`regions` finds them.
        scored: the frames that count.
        seconds: of processor, a frame.
    """
    truth, clean, shown = clip.truth[scored], clip.clean[scored], output[scored].float()
    gain, leak = measured_gain(output, motion, factor, regions, scored)
    coarse, middle, fine = gain_by_frequency(torch.zeros_like(truth), shown, truth, EDGES).tolist()
    some = shown[::EVERY], truth[::EVERY]
    ssim = structural_similarity_index_measure(*some, data_range=1.0)
    assert isinstance(ssim, Tensor)
    return ClipScore(
        float(ssim),
        float(peak_signal_noise_ratio(shown, truth, data_range=1.0)),
        ms_ssim(*some),
        gain,
        leak,
        flicker(shown, truth, clean),
        coarse,
        middle,
        fine,
        colour_error(shown, truth),
        seconds,
    )


def ms_ssim(output: Tensor, truth: Tensor) -> float:
    """Return the mean MS-SSIM of frames (T, 3, H, W)."""
    side = min(output.shape[-2:])
    # Torchmetrics wants the first; the second keeps the window inside the smallest scale.
    fits = [n for n in range(1, len(SCALES) + 1) if side // max((n - 1) ** 2, 2 ** (n - 1)) >= KERNEL]
    count = max(fits, default=1)
    weights = tuple(weight / sum(SCALES[:count]) for weight in SCALES[:count])
    return float(multiscale_structural_similarity_index_measure(output, truth, data_range=1.0, betas=weights))


def flicker(output: Tensor, truth: Tensor, clean: Tensor) -> float:
    """Return the deviation of (T, 3, H, W) from the truth over time, where magnifying changes nothing.

    Returns:
        grey levels RMS; NaN where the truth differs from the clip nearly everywhere.
    """
    still = ((truth - clean).abs().amax((0, 1)) < SAME).nonzero(as_tuple=True)
    if len(still[0]) < LEAST_STILL * truth[0, 0].numel():
        return math.nan
    error = (output - truth)[..., still[0], still[1]].double()
    return float((error - error.mean(0)).square().mean().sqrt()) * 255


def colour_error(output: Tensor, truth: Tensor) -> float:
    """Return the mean distance of frames (T, 3, H, W) in CIELAB's a and b."""
    tall = [each.permute(0, 2, 3, 1).flatten(0, 1).contiguous().numpy() for each in (output, truth)]
    one, other = (cv2.cvtColor(each, cv2.COLOR_RGB2LAB)[..., 1:] for each in tall)
    return float(np.linalg.norm(one - other, axis=-1).mean())


def measured_gain(
    output: Tensor, motion: LayerMotion, factor: float, regions: Sequence[Region], scored: slice
) -> tuple[float, float]:
    """Return the gain in the band and the leak from outside it, the means over regions.

    In each region the measured course is ``gain · factor · band + share · other + constant`` by least
    squares, over time and both axes, and the leak is ``(share − 1) / (factor − 1)``.

    Args:
        output: (T, 3, H, W) in [0, 1].
        motion: of the layers.
        factor: asked for.
        regions: as :func:`regions` finds them.
        scored: the frames that count.
    """
    gains, leaks = [], []
    for region in regions:
        band, other = motion.band[scored, region.layer], motion.other[scored, region.layer]
        measured = measure_displacement(
            region.rest,
            output[scored, :, region.rows, region.columns].float(),
            weight=region.weight,
            limit=_search(motion, factor, region.layer),
            iterations=ITERATIONS,
        ).double()
        found = measured.isfinite().all(-1)
        has_other = bool((other - other.mean(0)).abs().max() > 1e-3)
        courses = [factor * band, *([other] if has_other else [])]
        if found.sum() < 2 + len(courses):
            continue
        centred = [(each[found] - each[found].mean(0)).flatten() for each in (measured, *courses)]
        solved = torch.linalg.lstsq(torch.stack(centred[1:], -1), centred[0][:, None]).solution[:, 0].tolist()
        gains.append(solved[0])
        if has_other and factor != 1:
            leaks.append((solved[1] - 1) / (factor - 1))
    return _mean(gains), _mean(leaks)


def regions(
    spec: SceneSpec, rest: Tensor, clip: Rendered, motion: LayerMotion, factor: float, scored: slice
) -> list[Region]:
    """Return the largest regions in which objects are seen alone and the truth's own motion is measured well.

    Args:
        spec: the scene.
        rest: (3, H, W), the scene with nothing moved.
        clip: and its truth.
        motion: of the layers.
        factor: asked for.
        scored: the frames that count.
    """
    (labels,) = visible_layer(spec, torch.zeros_like(motion.band[:1]))
    height, width = labels.shape
    found = []
    for layer in range(1, 1 + len(spec.objects)):
        inside = (labels == layer).float()
        inside = -F.max_pool2d(-inside[None, None], 2 * RIM + 1, stride=1, padding=RIM)[0, 0]
        if inside.sum() < LEAST_REGION:
            continue
        around = _search(motion, factor, layer) + 2 * RIM
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        crop = (
            slice(max(int(rows[0]) - around, 0), min(int(rows[-1]) + around + 1, height)),
            slice(max(int(columns[0]) - around, 0), min(int(columns[-1]) + around + 1, width)),
        )
        found.append(Region(layer, *crop, rest[None, :, crop[0], crop[1]], inside[crop]))
    found.sort(key=lambda region: -float(region.weight.sum()))
    trusted: list[Region] = []
    for region in found:
        gain, _ = measured_gain(clip.truth, motion, factor, [region], scored)
        if abs(gain - 1) <= TRUSTED:
            trusted.append(region)
        if len(trusted) == REGIONS:
            break
    return trusted


def _search(motion: LayerMotion, factor: float, layer: int) -> int:
    moved = [motion.magnified(each)[:, layer].norm(dim=-1).amax() for each in (1.0, factor)]
    return math.ceil(float(max(moved))) + SEARCH


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
