"""Clips of a scene with the truth of a temporal magnification, by either renderer.

Each layer vibrates in a band of frequencies, along the scene's direction for it, and moves otherwise as well.
The truth is the clip with the vibration alone ``factor`` times as large, without noise or rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.protocol import Rounding
from mm.evaluation.renderers import Stage
from mm.evaluation.scene_spec import REACH, SceneSpec
from mm.synthesis import Camera, TrajectoryConfig
from mm.synthesis.random import SampleRandom


@dataclass(frozen=True)
class LayerMotion:
    """The motion of a scene's layers over T frames, px (x, y), the background first.

    Attributes:
        band: (T, 1 + K, 2) float64, the vibration inside the band.
        other: (T, 1 + K, 2) float64, all other motion.
        low, high: the band in cycles per frame.
    """

    band: Tensor
    other: Tensor
    low: float
    high: float

    def magnified(self, factor: float) -> Tensor:
        """Return the displacements (T, 1 + K, 2) with the vibration ``factor`` times as large."""
        return factor * self.band + self.other


@dataclass(frozen=True)
class Sequence:
    """A clip and its truth.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1], as recorded.
        truth: (T, 3, H, W) float32 in [0, 1], what magnifying the band should give.
        clean: (T, 3, H, W) float32 in [0, 1], the frames without noise and rounding.
    """

    frames: Tensor
    truth: Tensor
    clean: Tensor


def draw_motion(
    spec: SceneSpec, config: TrajectoryConfig, frames: int, amplitude: float, seed: int
) -> LayerMotion:
    """Return motion over time for a scene; a function of its arguments.

    Args:
        spec: the scene.
        config: ranges; a range whose ends are equal fixes its value.
        frames: how many.
        amplitude: peak of the vibration, px.
        seed: of the motion, with the scene's index.
    """
    # Far apart, so that no two scenes of two seeds share their numbers.
    random = SampleRandom(torch.tensor([seed * 1_000_003 + spec.index]))
    layers = len(spec.directions)
    trajectories, limits = config.draw(random, layers, frames)
    amounts = trajectories.amounts(torch.arange(frames).float()[None, None])[0].double()
    angle = 2 * torch.pi * random.uniform("other motion", layers)[0].double()
    # (1 + K, T, 2) each.
    band = amplitude * amounts[..., :1] * spec.directions[:, None]
    other = amounts[..., 1:2] * torch.stack((angle.cos(), angle.sin()), -1)[:, None] + amounts[..., 2:]
    low, high = limits[0].tolist()
    return LayerMotion(band.transpose(0, 1), other.transpose(0, 1), low, high)


def render_sequence(
    spec: SceneSpec,
    motion: LayerMotion,
    factor: float,
    shown: Stage,
    *,
    camera: Camera | None = None,
    noise: float = 0.0,
    seed: int = 0,
    rounding: Rounding = "random",
) -> Sequence:
    """Render a clip and its truth.

    Args:
        spec: the scene.
        motion: of its layers.
        factor: of the vibration in the truth.
        shown: the scene in a renderer, as :func:`~mm.evaluation.renderers.stage` sets it up.
        camera: what the camera does; a global shutter. None adds nothing but noise and rounding.
        noise: standard deviation of the photon noise at mid-grey, in [0, 1] units.
        seed: of the camera's noise, with the scene's index.
        rounding: of the recorded frames to 8 bits, as of :func:`~mm.evaluation.protocol.record_frames`.

    Raises:
        InputError: if a layer moves farther than the scene was built for, or the camera's shutter rolls.
    """
    camera = camera or Camera()
    if camera.rolling_shutter:
        raise InputError(f"rolling_shutter must be 0 here, got {camera.rolling_shutter:g}")
    moved = (motion.magnified(1.0), motion.magnified(factor))
    farthest = max(float(each.norm(dim=-1).amax()) for each in moved)
    if farthest > spec.margin - REACH:
        raise InputError(
            f"the scene is built for motion of up to {spec.margin - REACH} px, got {farthest:.3g} px; "
            "build it with a larger reach"
        )
    random = SampleRandom(torch.tensor([seed * 1_000_003 + spec.index]))
    index = torch.arange(len(motion.band))[None]
    clean, truth = (
        camera.exposed(shown.frames(each).cpu()[None], random, index, len(motion.band)) for each in moved
    )
    thresholds = None if rounding == "none" else random.uniform("rounding", *clean.shape[1:])
    if thresholds is not None and rounding == "nearest":
        thresholds = thresholds.fill_(0.5)
    recorded = camera.recorded(clean, random, torch.tensor([noise]), thresholds)
    clean, truth = (camera.sharpened(each, random).clamp(0, 1)[0] for each in (clean, truth))
    return Sequence(recorded[0], truth, clean)


def visible_layer(spec: SceneSpec, displacements: Tensor) -> Tensor:
    """Return the layer at each pixel: uint8 (T, H, W), 0 the background and k + 1 object k.

    The visible layer is the frontmost that is more than half opaque at the pixel's centre.

    Args:
        spec: the scene.
        displacements: (T, 1 + K, 2) px (x, y), of each layer.
    """
    height, width = spec.size
    labels = torch.zeros(len(displacements), height, width, dtype=torch.uint8)
    rows, columns = torch.arange(height)[:, None].expand(height, width), torch.arange(width)
    pixels = torch.stack((columns.expand(height, width), rows), -1).double()
    # From back to front.
    for number in reversed(range(len(spec.objects))):
        alpha = spec.objects[number][None, 3:].double()
        side = alpha.shape[-1]
        # From −1 to 1 over the patch, the centres of its first and last pixels.
        place = (pixels - spec.centres[number] - displacements[:, None, None, number + 1]) * 2 / (side - 1)
        opaque = F.grid_sample(alpha.expand(len(place), -1, -1, -1), place, align_corners=True)[:, 0] > 0.5
        labels[opaque] = number + 1
    return labels
